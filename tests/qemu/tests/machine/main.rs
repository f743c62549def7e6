//! Tests of the machine as a whole, one guest each: what it costs, what it says when it dies, and what
//! it says about machines it does not support.

mod cost;
mod fault;
mod fdt;
mod unsupported;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// A test with guests of its own.
type Body = fn() -> Result<(), String>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let all = [cost::TESTS, fault::TESTS, unsupported::TESTS].concat();
    let trials = all.into_iter().map(|(name, body)| {
        Trial::test(format!("machine::{name}"), move || {
            body().map_err(Failed::from)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// `Err` unless `right`.
fn check(right: bool, what: impl Into<String>) -> Result<(), String> {
    if right {
        return Ok(());
    }
    Err(format!("wrong: {}", what.into()))
}
