//! What a pool serves, and what follows from that alone.

/// What a pool serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The threads of one core, concurrency managed.
    Bound,
    /// Threads on any core.
    Unbound,
    /// The softirq of one core.
    Bh,
    /// One thread of one queue, as before concurrency management: its items run one after the
    /// other, and what waits behind a sleeper waits until that wakes up (X2, X3).
    Dedicated,
}

impl Kind {
    /// A pool that makes as many workers as its items need (E9); others have one for ever.
    #[inline(always)]
    pub(crate) const fn grows(self) -> bool {
        matches!(self, Self::Bound | Self::Unbound)
    }
}
