//! The usual submission: what was seen of a word, and what is added to it.

use crate::state::{
    BH, COUNT_ONE, DEPTH, HELD, PENDING, POISONED, Place, QUEUED, count_of, place_bits, place_of,
};

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

    /// It was on a list, that of [`Self::place`].
    #[inline(always)]
    #[must_use]
    pub const fn is_queued(self) -> bool {
        self.0 & QUEUED != 0
    }

    /// Where it was queued, or ran last.
    #[inline(always)]
    #[must_use]
    pub const fn place(self) -> Place {
        place_of(self.0)
    }

    /// Nobody owned the item, and a submission would not have been refused.
    #[inline(always)]
    #[must_use]
    pub const fn is_idle(self) -> bool {
        self.0 & (PENDING | REFUSE) == 0
    }

    /// Nobody owned the item, it was not queued, and had not panicked.
    #[inline(always)]
    #[must_use]
    pub const fn is_at_rest(self) -> bool {
        self.0 & (PENDING | POISONED) == 0
    }
}

/// The word of an item whose pending state was ended, as it was before: [`crate::WorkWord::take`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Taken(pub(crate) u64);

impl Taken {
    /// How many submissions its run serves.
    #[inline(always)]
    #[must_use]
    pub const fn submissions(self) -> u32 {
        count_of(self.0)
    }

    /// The submission kept the item by a count, which is now the caller's.
    #[inline(always)]
    #[must_use]
    pub const fn is_held(self) -> bool {
        self.0 & HELD != 0
    }
}

/// What a submission makes of the word of an idle item that ran last at the place it is for: before and after. Made
/// once for a place, so that one comparison tells whether the item is such a one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    pub(crate) idle: u64,
    pub(crate) queued: u64,
}

impl Mark {
    /// The mark of no place: no item is such a one.
    pub const NONE: Self = Self {
        idle: PENDING,
        queued: PENDING,
    };

    /// The mark of `place`, which is a BH pool's or not.
    #[must_use]
    pub const fn at(place: Place, bh: bool) -> Self {
        let idle = place_bits(place) | if bh { BH } else { 0 };
        let queued = idle | PENDING | QUEUED | COUNT_ONE;
        Self { idle, queued }
    }

    /// The same, of a submission that keeps the item by a count, or not.
    #[inline(always)]
    #[must_use]
    pub const fn held(self, held: bool) -> Self {
        let Self { idle, queued } = self;
        let queued = if held { queued | HELD } else { queued };
        Self { idle, queued }
    }
}
