//! One file per command of the tool.

pub mod qemu;
pub mod run;
