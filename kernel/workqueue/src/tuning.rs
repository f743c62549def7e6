//! The numbers of a pool.

use machine::Duration;

/// The numbers of a pool (A3); tests use shorter times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuning {
    /// How long a superfluous worker stays idle before it ends (E12).
    pub idle_timeout: Duration,
    /// Pause after a worker could not be created (E10).
    pub create_cooldown: Duration,
    /// From the start of a creation to the first call for rescuers (E10).
    pub mayday_initial: Duration,
    /// From one call for rescuers to the next (E10).
    pub mayday_interval: Duration,
    /// CPU time since its start or last wake-up after which an execution leaves concurrency
    /// management (E14); [`Duration::MAX`] is never.
    pub cpu_intensive_after: Duration,
    /// For how long a worker waits for its core before it counts no more, if its queue asked for that
    /// ([`Pool::preempted`](crate::Pool::preempted)); [`Duration::MAX`] is for ever.
    pub preempted_after: Duration,
}

impl Tuning {
    /// Linux's values: 300 s, 1 s, 10 ms, 100 ms and 10 ms; beyond Linux 10 ms more. E14's is not scaled by the speed of the machine
    /// (E15).
    pub const LINUX: Self = Self {
        idle_timeout: Duration::from_secs(300),
        create_cooldown: Duration::from_secs(1),
        mayday_initial: Duration::from_millis(10),
        mayday_interval: Duration::from_millis(100),
        cpu_intensive_after: Duration::from_millis(10),
        preempted_after: Duration::from_millis(10),
    };
}
