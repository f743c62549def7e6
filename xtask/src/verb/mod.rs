//! One file per command of the tool.

pub mod bench;
pub mod bench_http;
mod bench_profile;
pub mod bugs;
mod bugs_hunt;
mod bugs_table;
pub mod ci;
pub mod conformance;
mod conformance_mutate;
mod conformance_record;
pub mod decode;
pub mod experiment;
pub mod layers;
pub mod lint;
pub mod mutants;
pub mod qemu;
pub mod rules;
pub mod run;
pub mod screenshots;
pub mod seam;
pub mod setup;
pub mod sim;
pub mod size;
pub mod test;
pub mod trace;
pub mod unsafe_audit;
