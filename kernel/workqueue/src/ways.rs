//! What makes a pwq unlike others, and whether it stays in its pool.

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
/// five.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ways(pub(crate) u8);

impl Ways {
    /// Submissions from outside are refused.
    pub(crate) const REFUSES: u8 = 1;
    /// It does not stay in its pool: [`Leaving`] says more.
    pub(crate) const LEAVES: u8 = 1 << 1;
    /// Its slots are its node's.
    pub(crate) const BY_NODE: u8 = 1 << 2;
    /// Its items are outside concurrency management (E13).
    pub(crate) const CPU_INTENSIVE: u8 = 1 << 3;
    /// Its workers stop counting while they wait for their core for long.
    pub(crate) const PREEMPTION_AWARE: u8 = 1 << 4;

    #[inline(always)]
    pub(crate) const fn any(self, of: u8) -> bool {
        self.0 & of != 0
    }

    pub(crate) const fn set(&mut self, way: u8, on: bool) {
        self.0 = if on { self.0 | way } else { self.0 & !way };
    }
}
