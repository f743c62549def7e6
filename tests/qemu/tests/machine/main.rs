//! Tests of the machine as a whole, one guest each: that it serves at the edges of what is supported,
//! what it costs, what it says when it dies, and what it says about machines it does not support.

mod boots;
mod cost;
mod experiment;
mod fault;
mod fdt;
mod gdb;
mod lockup;
mod monitor;
mod monitor_tcp;
mod unsupported;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// A test with guests of its own.
type Body = fn() -> Result<(), String>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let all = [
        boots::TESTS,
        cost::TESTS,
        experiment::TESTS,
        fault::TESTS,
        lockup::TESTS,
        monitor::TESTS,
        monitor_tcp::TESTS,
        unsupported::TESTS,
    ]
    .concat();
    let mut trials: Vec<Trial> = all.into_iter().map(trial).collect();
    // Not passed, where they cannot be run.
    let ignored = !cost::can_measure();
    let measured = cost::MEASURED.iter().copied().map(trial);
    trials.extend(measured.map(|t| t.with_ignored_flag(ignored)));
    let debugged = gdb::TESTS.iter().copied().map(trial);
    trials.extend(debugged.map(|t| t.with_ignored_flag(!gdb::can_debug())));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial((name, body): (&str, Body)) -> Trial {
    Trial::test(format!("machine::{name}"), move || {
        body().map_err(Failed::from)
    })
}

/// `Err` unless `right`.
fn check(right: bool, what: impl Into<String>) -> Result<(), String> {
    if right {
        return Ok(());
    }
    Err(format!("wrong: {}", what.into()))
}
