//! What queueing an item says.

use super::handles::item_name;
use super::header::Header;
use crate::trace::{Head, Kind, emit};

/// What became of a submission.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a refused submission is lost"]
pub enum Submitted {
    /// It will run once more.
    Queued,
    /// It was pending already; so many submissions are merged into the coming run.
    AlreadyPending(u32),
    /// It is disabled: the submission is lost (B9).
    Disabled,
    /// Its handler panicked earlier: the submission is lost.
    Poisoned,
    /// The queue drains or is destroyed, and the caller is not one of its own items (C10): the
    /// submission is lost, the item stays idle.
    Draining,
    /// It is running for another queue on a pool this queue does not use; it would run twice at
    /// once: the submission is lost.
    Elsewhere,
}

impl Submitted {
    /// A run will follow: this submission's own, or the one it was merged into.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Queued | Self::AlreadyPending(_))
    }
}

/// A submission joined others, now `n` of them. Where it is the first, the item was idle and in the hands
/// of somebody who cancels it: queued, and taken out at once, as the answer to that one says too (J1).
#[inline(always)]
pub(super) const fn joined(n: u32) -> Submitted {
    if n == 1 {
        Submitted::Queued
    } else {
        Submitted::AlreadyPending(n)
    }
}

/// B9: the item is disabled. Interrupts are masked since it said so.
#[cold]
pub(super) fn refused(h: &Header) -> Submitted {
    emit(Kind::RefuseWork, Head::of(0), item_name(h.handle()), 0);
    Submitted::Disabled
}
