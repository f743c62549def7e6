//! `sim`, `soak`, `bench sim`: builds the simulator's program and hands the options over.
//!
//! This tool must not link the kernel, so the work is done by an example of package `sim-tests`,
//! built in a profile of its own (fast, with every assertion). It understands the options itself.

use clap::Args;

use crate::{Failure, Outcome, tree};

/// Options that the simulator's program understands.
#[derive(Args, Debug)]
pub struct Passed {
    /// See `--help` of the command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Passed {
    /// The words as they came.
    pub fn words(&self) -> &[String] {
        &self.options
    }
}

/// Runs the program's verb `verb`; returns its exit code.
pub fn run(verb: &str, passed: &Passed) -> Outcome<u8> {
    let mut command = tree::cargo();
    command
        .args(["run", "-q", "--profile", "sim", "-p", "sim-tests"])
        .args(["--example", "sim", "--", verb])
        .args(&passed.options);
    let status = command
        .status()
        .map_err(|e| Failure::missing(format!("cannot start cargo ({e}); is it on the path?")))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.ok_or_else(|| Failure::failed("the simulator's program was killed"))
}
