//! What a pwq counts for whoever looks at it.

/// Counters of one pwq (N4).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PwqStats {
    /// Executions begun.
    pub started: u64,
    /// Executions ended, panics included.
    pub completed: u64,
    /// Executions that panicked.
    pub panicked: u64,
    /// Workers woken because an item of this queue blocked.
    pub cm_wakeup: u64,
    /// Executions taken out of concurrency management for using the core too long.
    pub cpu_intensive: u64,
    /// How often a worker with an item of this queue waited for its core for so long that it counted no
    /// more.
    pub preempted: u64,
    /// Pending items that were cancelled.
    pub cancelled: u64,
    /// Calls for the rescuer (H1).
    pub mayday: u64,
    /// Items that the rescuer took (H2).
    pub rescued: u64,
}

impl PwqStats {
    /// Nothing has happened.
    pub(crate) const NONE: Self = Self {
        started: 0,
        completed: 0,
        panicked: 0,
        cm_wakeup: 0,
        cpu_intensive: 0,
        preempted: 0,
        cancelled: 0,
        mayday: 0,
        rescued: 0,
    };
}
