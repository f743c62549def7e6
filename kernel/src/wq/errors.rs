//! Why waiting for an item or a queue failed, or an item could not be disabled.

use core::fmt;

use crate::waits::Deadlock;

/// Why waiting for an item or a queue failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitError {
    /// The item's handler panicked; it is not running any more.
    Poisoned,
    /// The caller is the very item, or an item of the very queue: it would wait for itself.
    SelfWait,
    /// The item was cancelled and is over, but its disable count is full: do not enable it for this call.
    TooDeep(TooDeep),
    /// The caller is an item of a queue with a rescuer, and what it would wait for has none: the
    /// wait may last until memory is free again (H6).
    NoProgress,
    /// What it would wait for waits, through others or not, for the caller (D11, I4).
    Deadlock(Deadlock),
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadlock(deadlock) => return deadlock.fmt(f),
            Self::Poisoned => "the work item's handler panicked",
            Self::SelfWait => "a work item cannot wait for itself",
            Self::TooDeep(_) => "the work item is disabled too often",
            Self::NoProgress => {
                "an item whose queue has a rescuer waits for one whose queue has none"
            }
        })
    }
}

impl core::error::Error for WaitError {}

impl From<Deadlock> for WaitError {
    fn from(deadlock: Deadlock) -> Self {
        Self::Deadlock(deadlock)
    }
}

/// The item is disabled 65,535 times already. It was cancelled, and is as disabled as before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooDeep {
    /// It was pending.
    pub was_pending: bool,
}
