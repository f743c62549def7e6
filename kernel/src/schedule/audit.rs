//! What an audit sees of the scheduler: runqueues counted again, saved lags, lateness.
//!
//! Nothing here decides anything. Any context; the locks are one runqueue's at a time, and that of
//! the list of threads, under which runqueues are only tried.

use core::sync::atomic::Ordering;

use machine::Instant;

use sched::{Lag, Loan};

use super::Rq;
use crate::audit::{Fairness, Locked, Share, Sound};
use crate::cpu::CpuLocal;
use crate::kernel;
use crate::thread::Thread;

/// What is wrong with core `c`'s runqueue, if anything.
pub(crate) fn check(c: &CpuLocal, locked: Locked) -> Result<(), &'static str> {
    let rq = locked.take(&c.rq);
    rq.map_or(Ok(()), |rq: sync::SpinGuard<'_, Rq>| rq.queue.check())
}

/// As [`check`], of a runqueue that is not locked, and how many threads are on it.
pub(crate) fn check_one(c: &CpuLocal) -> Result<Sound, &'static str> {
    let Some(rq) = c.rq.try_lock() else {
        return Ok(Sound::default());
    };
    rq.queue.check()?;
    Ok(Sound {
        elements: rq.queue.nr_queued() as u32,
        running: None,
    })
}

/// The first thread that sleeps and has taken too much lag along (V6).
pub(crate) fn check_sleepers() -> Result<(), (u32, &'static str)> {
    let mut found = Ok(());
    kernel().threads.try_for_each(|t| {
        if found.is_ok() {
            found = check_sleeper(t).map_err(|wrong| (t.id(), wrong));
        }
    });
    found
}

fn check_sleeper(t: &Thread) -> Result<(), &'static str> {
    let owner = t.core();
    match owner.rq.try_lock() {
        // It may have changed its owner before the lock was taken.
        Some(rq) if t.cpu() == owner.id() => rq.queue.check_saved(t.handle()),
        _ => Ok(()),
    }
}

/// The nice value and the slice that count for `t`; `None` while its runqueue is locked.
pub(crate) fn counts(t: &Thread) -> Option<Loan> {
    let owner = t.core();
    let rq = owner.rq.try_lock()?;
    // As above.
    (t.cpu() == owner.id()).then(|| rq.queue.counts(t.handle()))
}

/// How fair core `c` is; `None` while its runqueue is locked.
pub(crate) fn fairness(c: &CpuLocal) -> Option<Fairness> {
    let rq = c.rq.try_lock()?;
    let mut worst: Option<Lag> = None;
    rq.queue.for_each_lag(|_, _, lag| {
        if worst.is_none_or(|w| lag.margin() < w.margin()) {
            worst = Some(lag);
        }
    });
    // A core that was put to rest looks at its slices when it goes on.
    let awake = c.clock.awake_since();
    let end = awake.and_then(|since| Some(rq.queue.slice_end(Instant::ZERO)?.max(since)));
    Some(Fairness {
        worst,
        end,
        asked: c.header.need_resched.load(Ordering::Relaxed),
    })
}

/// What each thread on core `c` has had of it; `None` while its runqueue is locked.
pub(crate) fn shares(c: &CpuLocal, mut f: impl FnMut(Share)) -> Option<u64> {
    let rq = c.rq.try_lock()?;
    rq.queue.for_each_lag(|h, se, lag| {
        f(Share {
            thread: h.raw() as u64,
            weight: u64::from(se.weight()),
            ran: se.sum_exec().as_nanos(),
            lag,
        });
    });
    Some(rq.queue.upsets())
}
