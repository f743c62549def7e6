//! Numbers of all pools that can be changed while they work (A3, N2).

use machine::Duration;
use workqueue::Tuning;

use super::each_pool;
use crate::kernel;

/// Changes the numbers of every pool; each is told under its lock.
fn change(f: impl Fn(&mut Tuning)) {
    each_pool(|pool| {
        let mut g = pool.lock();
        let mut tuning = g.policy.tuning();
        f(&mut tuning);
        pool.set_tuning(&mut g, tuning);
    });
}

/// A limit as pools have it: zero, which is no limit, is the longest time.
const fn or_never(limit: Duration) -> Duration {
    match limit {
        Duration::ZERO => Duration::MAX,
        limit => limit,
    }
}

/// A limit that all pools have, zero for none.
fn limit(of: impl Fn(Tuning) -> Duration) -> Duration {
    let pool = &kernel().cpus()[0].wq.pools[0];
    let tuning = pool.lock().policy.tuning();
    match of(tuning) {
        Duration::MAX => Duration::ZERO,
        limit => limit,
    }
}

/// Sets how long a superfluous worker stays idle, in every pool (E12).
pub fn set_idle_timeout(timeout: Duration) {
    change(|tuning| tuning.idle_timeout = timeout);
}

/// How much CPU time an execution may use ([`set_cpu_intensive_threshold`]); zero is no limit.
#[must_use]
pub fn cpu_intensive_threshold() -> Duration {
    limit(|tuning| tuning.cpu_intensive_after)
}

/// Sets how much CPU time an execution on a per-CPU queue may use, since its start or last
/// wake-up, before it leaves concurrency management (E14). 0 is no limit.
pub fn set_cpu_intensive_threshold(limit: Duration) {
    change(|tuning| tuning.cpu_intensive_after = or_never(limit));
}

/// For how long a worker of a queue that asked for it may wait for its core until its pool goes on
/// without it; zero is for ever.
#[must_use]
pub fn preempted_threshold() -> Duration {
    limit(|tuning| tuning.preempted_after)
}

/// Sets what [`preempted_threshold`] says, for items that start from now on. Zero is for ever: all queues
/// are as in Linux then. Takes spin locks; any context.
pub fn set_preempted_threshold(limit: Duration) {
    change(|tuning| tuning.preempted_after = or_never(limit));
}
