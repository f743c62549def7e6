//! What is to be seen of the cores' timers: how many, how late, and whether all is in order.

use core::sync::atomic::Ordering;

use machine::{Duration, Instant};

use crate::audit::Locked;
use crate::cpu::CpuLocal;

/// Timers that are armed at this moment, on all cores.
#[must_use]
pub fn armed() -> usize {
    crate::kernel()
        .cpus()
        .iter()
        .map(|c| c.timers.lock().queue.len())
        .sum()
}

/// By how much the latest of all timers that are due is late at time `now`. Cores that rest while the
/// machine is suspended serve none, and what came due meanwhile is late from the end of the rest on.
#[must_use]
pub fn lateness(now: Instant) -> Duration {
    let late = |c: &CpuLocal| {
        let awake = c.clock.awake_since()?;
        let due = c.timers.lock().queue.next()?;
        Some(now.since(due.max(awake).min(now)))
    };
    let each = crate::kernel().cpus().iter().filter_map(late);
    each.max().unwrap_or(Duration::ZERO)
}

/// What is wrong with core `c`'s timers, if anything.
pub(crate) fn check(c: &CpuLocal, locked: Locked) -> Result<(), &'static str> {
    let Some(base) = locked.take(&c.timers) else {
        return Ok(());
    };
    if base.queue.next().is_some() && !c.online.load(Ordering::Relaxed) {
        return Err("a core that is offline has armed timers");
    }
    base.queue.check()
}
