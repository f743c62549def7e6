//! What each busy worker of a pool with a stall does: where it sleeps, or where it computes.
//!
//! The frames of one that sleeps lie still and are read here. One that has a core, this one or another, is
//! seen by that core only ([`crate::lockup`]): it is asked now, and its answer is told by a later look of
//! either timer, soon.

use links::Arena;
use machine::{CpuId, Duration, Instant};
use sync::{Rank, SpinLock};
use workqueue::{Kind, Worker as WorkerNode};

use super::super::handles::worker_of;
use super::super::pool::Pool;
use super::super::pool_at;
use super::super::waiting::work_of;
use super::{StallKind, Stalls};
use crate::lockup::{self, Asked, Frames};
use crate::panic::tell_frames;
use crate::soon::Patience;
use crate::thread::{State, Thread};
use crate::{kernel, waits};

/// Most busy workers of one pool that are told.
const MOST: usize = 8;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// A question that was not answered yet.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    asked: Asked,
    since: Instant,
    pool: usize,
}

/// Questions that were not answered yet.
#[derive(Debug)]
pub(super) struct Awaited(SpinLock<heapless::Vec<Waiting, MOST>>);

impl Awaited {
    pub(super) const fn new() -> Self {
        let none = heapless::Vec::new();
        Self(SpinLock::new(Rank::Leaf, "workers asked", none))
    }
}

/// A busy worker.
struct Busy {
    /// `None`: a softirq.
    thread: Option<u32>,
    item: Option<waits::ItemName>,
    at: At,
}

enum At {
    /// It has a core, which knows where.
    Core(CpuId),
    /// It wants a core; where it was preempted.
    Waits(CpuId, Frames),
    Sleeps(Frames),
}

/// Tells what the busy workers of the pools of `stalls` do, but for threads that were told with their
/// stall. No lock is held.
pub(super) fn tell(stalls: &Stalls) {
    for (n, stall) in stalls.iter().enumerate() {
        let same = |s: &&super::Stall| s.place == stall.place && s.kind != StallKind::Timers;
        if stall.kind == StallKind::Timers || stalls[..n].iter().any(|s| same(&s)) {
            continue;
        }
        let pool = pool_at(workword::Place::new(stall.place as u16));
        let (workers, more) = busy(pool);
        for worker in &workers {
            let told = stalls
                .iter()
                .filter(same)
                .any(|s| s.thread.is_some() && s.thread == worker.thread);
            tell_one(stall.place, worker, told);
        }
        if more > 0 {
            crate::log!("  pool {}: and {more} more workers", stall.place);
        }
    }
}

fn tell_one(pool: usize, worker: &Busy, told: bool) {
    let item = worker.item.as_ref().map_or("?", |i| i.0);
    match (&worker.at, worker.thread) {
        (At::Core(core), _) => ask(pool, *core),
        (At::Sleeps(frames), Some(thread)) if !told => {
            crate::log!("  pool {pool}: worker {thread} sleeps in an item of {item}");
            tell_frames(frames);
        }
        (At::Waits(core, frames), Some(thread)) => {
            crate::log!(
                "  pool {pool}: worker {thread} waits for core {core} in an item of {item}"
            );
            tell_frames(frames);
        }
        _ => {}
    }
}

fn ask(pool: usize, core: CpuId) {
    let waiting = Waiting {
        asked: lockup::ask(core),
        since: machine::now(),
        pool,
    };
    // What does not fit is not told; the picture of all pools that follows shows the worker.
    let _full = kernel().wq.watchdog.busy.0.lock().push(waiting);
}

/// The busy workers of `pool`, and how many more there are than have room.
fn busy(pool: &Pool) -> (heapless::Vec<Busy, MOST>, usize) {
    let (mut found, mut more) = (heapless::Vec::new(), 0);
    let Some(g) = pool.lock_soon(&Patience::new()) else {
        return (found, more);
    };
    let threads = g.policy.kind() != Kind::Bh;
    g.policy.each_worker(&g.store, |w| {
        let node: &WorkerNode = g.store.get(w);
        if node.current().is_none() {
            return;
        }
        if found.is_full() {
            more += 1;
            return;
        }
        let item = work_of(&g, w);
        let thread = if threads { worker_of(w).thread() } else { None };
        let at = match thread {
            Some(t) if t.state() == State::Sleeping => At::Sleeps(frames_of(t)),
            Some(t) if !t.has_core() => At::Waits(t.cpu(), frames_of(t)),
            Some(t) => At::Core(t.cpu()),
            None => match pool.cpu() {
                Some(core) => At::Core(core),
                None => return,
            },
        };
        let thread = thread.map(|t| t.id());
        let _fits = found.push(Busy { thread, item, at });
    });
    (found, more)
}

/// Where a thread without a core was when it left it.
fn frames_of(t: &Thread) -> Frames {
    let mut frames = Frames::new();
    let mut all = [0; lockup::MOST_FRAMES];
    let n = t.backtrace(&mut all);
    let _all_fit = frames.extend_from_slice(&all[..n]);
    frames
}

/// Tells the answers that have come. False: some are still to come.
pub(super) fn tell_all() -> bool {
    let list = &kernel().wq.watchdog.busy.0;
    let mut n = 0;
    loop {
        let Some(waiting) = list.lock().get(n).copied() else {
            return n == 0;
        };
        let (core, pool) = (waiting.asked.core(), waiting.pool);
        let answer = waiting.asked.answer();
        if answer.is_none() && machine::now().since(waiting.since) < PATIENCE {
            n += 1;
            continue;
        }
        // The other timer's look may have come first.
        let mine = {
            let mut g = list.lock();
            let at = g
                .iter()
                .position(|w| w.since == waiting.since && w.asked.core() == core);
            at.map(|at| g.swap_remove(at)).is_some()
        };
        match answer {
            _ if !mine => {}
            Some(glimpse) => {
                crate::log!("  pool {pool}: core {core} is {glimpse}");
                tell_frames(&glimpse.frames);
            }
            None => crate::log!("  pool {pool}: core {core} does not answer"),
        }
    }
}
