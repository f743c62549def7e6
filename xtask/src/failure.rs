//! The one error type of the tool: a sentence for a person and an exit code for a script.
//!
//! A chain of wrapped errors would tell the person how the tool is built, not what to do. So every
//! place that can fail says in one sentence what is missing and how to go on, and picks one of the
//! fixed exit codes.

use std::fmt;

/// Exit code: the guest panicked.
pub const PANIC: u8 = 101;
/// Exit code: the command line makes no sense.
pub const USAGE: u8 = 2;
/// Exit code: a tool is missing or a host port is taken.
pub const MISSING: u8 = 3;
/// Exit code: the build, QEMU or a check failed.
pub const FAILED: u8 = 4;
/// Exit code: `--timeout` ran out.
pub const TIMEOUT: u8 = 124;
/// Exit code: Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// What every fallible function of the tool returns.
pub type Outcome<T> = Result<T, Failure>;

/// A failure with its way out.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Exit code of the process.
    pub code: u8,
    /// One sentence: what is wrong and what to do.
    pub message: String,
}

impl Failure {
    /// The person asked for something impossible.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            message: message.into(),
        }
    }

    /// Something the host should provide is not there or not free.
    pub fn missing(message: impl Into<String>) -> Self {
        Self {
            code: MISSING,
            message: message.into(),
        }
    }

    /// A build, a check or QEMU itself failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            code: FAILED,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
