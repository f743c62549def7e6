//! What kinds of queue there are, as the executive asks for them.

/// What kinds of queue there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    PerCpu,
    Unbound,
    Ordered,
    Bh,
}

impl Class {
    /// Its queues' shares are each in one pool for as long as the queue lives.
    #[inline(always)]
    pub(super) const fn stays(self) -> bool {
        matches!(self, Self::PerCpu | Self::Bh)
    }

    /// What pictures and tables call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PerCpu => "percpu",
            Self::Unbound => "unbound",
            Self::Ordered => "ordered",
            Self::Bh => "bh",
        }
    }
}
