//! The ten vectors, Linux's.

/// Softirq vectors, in order of urgency (S1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Vector {
    /// High-priority BH work.
    Hi = 0,
    /// Timer callbacks.
    Timer = 1,
    /// Reserved: network transmit.
    NetTx = 2,
    /// Reserved: network receive.
    NetRx = 3,
    /// Reserved: block completions.
    Block = 4,
    /// Reserved: polled interrupts.
    IrqPoll = 5,
    /// Normal BH work.
    Tasklet = 6,
    /// Reserved: load balancing.
    Sched = 7,
    /// Reserved: high-resolution timers.
    HrTimer = 8,
    /// Reserved: grace periods.
    Rcu = 9,
}

impl Vector {
    /// Linux's name of vector `n`; empty beyond the last.
    #[must_use]
    pub fn name(n: usize) -> &'static str {
        const NAMES: [&str; VECTORS] = [
            "HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER",
            "RCU",
        ];
        NAMES.get(n).copied().unwrap_or_default()
    }
}

/// Number of vectors.
pub const VECTORS: usize = 10;

impl Vector {
    /// All of them, in order.
    pub const ALL: [Self; VECTORS] = [
        Self::Hi,
        Self::Timer,
        Self::NetTx,
        Self::NetRx,
        Self::Block,
        Self::IrqPoll,
        Self::Tasklet,
        Self::Sched,
        Self::HrTimer,
        Self::Rcu,
    ];
}
