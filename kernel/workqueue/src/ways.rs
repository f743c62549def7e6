//! What makes a pwq unlike others, and whether it stays in its pool.

use crate::Eyes;

/// Whether a pwq stays in its pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leaving {
    /// It does.
    No,
    /// It is gone when its last item is over.
    Retired,
    /// It is gone; the executive was told.
    Gone,
    /// It moves when its active item is over.
    Plugged,
    /// It moves; the executive was told.
    Moving,
}

impl Leaving {
    /// Waiting items may start.
    #[inline(always)]
    pub(crate) const fn activates(self) -> bool {
        matches!(self, Self::No | Self::Retired)
    }
}

/// What makes a pwq unlike others, one bit each: so the paths of every item ask one question instead of
/// five. Those that are asked for together lie together: then the mask is part of the instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ways(pub(crate) u16);

impl Ways {
    /// All its items are active (D1).
    pub(crate) const UNLIMITED: u16 = 1;
    /// The next item gets another colour.
    pub(crate) const TURNS: u16 = 1 << 1;
    /// Something of an earlier colour is in flight.
    pub(crate) const COLOURED: u16 = 1 << 2;
    /// Its slots are its node's.
    pub(crate) const BY_NODE: u16 = 1 << 3;
    /// Submissions from outside are refused.
    pub(crate) const REFUSES: u16 = 1 << 4;
    /// It does not stay in its pool: [`Leaving`] says more.
    pub(crate) const LEAVES: u16 = 1 << 5;
    /// More of its items are active than its limit allows, which was lowered (D6).
    pub(crate) const OVER: u16 = 1 << 6;
    /// Somebody wants to know of what its items do.
    pub(crate) const OBSERVED: u16 = 1 << 7;
    /// Its workers stop counting while they wait for their core for long.
    pub(crate) const PREEMPTION_AWARE: u16 = 1 << 8;
    /// Its items are outside concurrency management (E13).
    pub(crate) const CPU_INTENSIVE: u16 = 1 << 9;

    /// What its active items are counted for: else as many are active as the limit allows, or all that are in flight.
    pub(crate) const COUNTED: u16 = Self::BY_NODE | Self::LEAVES | Self::OVER;
    /// What the end of an item is asked for in a pool of a core.
    pub(crate) const NOT_PLAIN: u16 = Self::NOT_PLAIN_UNSEEN | Self::OBSERVED;
    /// As [`Self::NOT_PLAIN`], whoever sees it.
    pub(crate) const NOT_PLAIN_UNSEEN: u16 =
        Self::COLOURED | Self::BY_NODE | Self::REFUSES | Self::LEAVES | Self::OVER;
    /// What an item that is taken out is asked for.
    pub(crate) const NOT_PLAINLY_OUT: u16 = Self::UNLIMITED | Self::TURNS | Self::NOT_PLAIN_UNSEEN;
    /// What makes the start of its items unlike others, who know it.
    pub(crate) const ASIDE: u16 = Self::PREEMPTION_AWARE | Self::CPU_INTENSIVE;
    /// What a submission is asked for.
    pub(crate) const NOT_PLAINLY: u16 = Self::TURNS | Self::NOT_PLAIN | Self::ASIDE;

    #[inline(always)]
    pub(crate) const fn any(self, of: u16) -> bool {
        self.0 & of != 0
    }

    /// Who sees the items of such a pwq start, unless they are followed.
    pub(crate) const fn eyes(self) -> u8 {
        if self.any(Self::ASIDE) {
            Eyes::ALL
        } else if self.any(Self::OBSERVED) {
            Eyes::EVENTS
        } else {
            Eyes::NONE
        }
    }

    pub(crate) const fn set(&mut self, way: u16, on: bool) {
        self.0 = if on { self.0 | way } else { self.0 & !way };
    }
}
