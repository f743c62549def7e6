//! The usual submission: what was seen of a word, and what is added to it.

use crate::state::{BH, COUNT_ONE, DEPTH, PENDING, POISONED, Place, QUEUED, place_bits};

/// Whether a word refuses submissions.
pub(crate) const REFUSE: u64 = DEPTH | POISONED;

/// A word as it was at some moment: [`crate::WorkWord::look`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen(pub(crate) u64);

impl Seen {
    /// Somebody owned the item, or it was queued: a submission may join.
    #[inline(always)]
    #[must_use]
    pub const fn is_pending(self) -> bool {
        self.0 & PENDING != 0
    }

    /// Nobody owned the item, and a submission would not have been refused.
    #[inline(always)]
    #[must_use]
    pub const fn is_idle(self) -> bool {
        self.0 & (PENDING | REFUSE) == 0
    }
}

/// What a submission adds to the word of an idle item that ran last at the place it is for. Made once for
/// a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark(u64);

impl Mark {
    /// The mark of `place`, which is a BH pool's or not.
    #[must_use]
    pub const fn at(place: Place, bh: bool) -> Self {
        let bh = if bh { BH } else { 0 };
        Self(PENDING | QUEUED | COUNT_ONE | place_bits(place) | bh)
    }

    /// As a number.
    #[inline(always)]
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Of a number that [`Self::raw`] gave.
    #[inline(always)]
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }
}
