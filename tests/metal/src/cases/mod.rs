//! The tests, one file per subject. Numbers give the order; a test trusts what lower ones checked.

mod boot;
mod cores;
mod memory;
mod misuse;
mod sleeping;
mod switching;
mod time;
