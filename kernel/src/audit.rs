//! Audits: the executive recounts itself.
//!
//! Counters and augmented trees are kept step by step because recounting would be too slow; an audit
//! recounts them all and compares. It is for tests, for the simulator, and for somebody at a console
//! who wants to know whether the machine's state can be trusted.
//!
//! Context: [`check`] any in which a pool's or a runqueue's lock may be taken, [`glance`] any in which no other core
//! goes on. Locks
//! are taken one after the other, so each finding is about one structure at one moment.
//! O(everything that is queued).

use core::fmt;

use machine::{CpuId, Instant};
pub use sched::{Lag, PULL_SCAN};
use sync::{SpinGuard, SpinLock};

use crate::cpu::cpu;
use crate::{kernel, lend, schedule, timer, wq};

/// A structure that contradicts itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What kind of structure.
    pub what: Structure,
    /// The core of a runqueue, the number of a pool or node.
    pub id: usize,
    /// The broken rule in words.
    pub wrong: &'static str,
}

/// What was found wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Structure {
    /// A core's runqueue.
    RunQueue,
    /// A worker pool.
    Pool,
    /// A queue's share of a pool.
    PoolWorkqueue,
    /// A queue's slots in a memory node.
    Slots,
    /// A core's armed timers.
    Timers,
    /// A thread that sleeps.
    Thread,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, id, wrong } = self;
        match what {
            Structure::RunQueue => write!(f, "runqueue of core {id}: {wrong}"),
            Structure::Pool => write!(f, "pool {id}: {wrong}"),
            Structure::PoolWorkqueue => write!(f, "a queue's share of pool {id}: {wrong}"),
            Structure::Slots => write!(f, "a queue's slots in node {id}: {wrong}"),
            Structure::Timers => write!(f, "timers of core {id}: {wrong}"),
            Structure::Thread => write!(f, "thread {id}: {wrong}"),
        }
    }
}

/// What an audit does about a structure that is locked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    /// It waits.
    Wait,
    /// It passes the structure over, which is in the middle of a change.
    Pass,
}

impl Locked {
    pub(crate) fn take<T>(self, lock: &SpinLock<T>) -> Option<SpinGuard<'_, T>> {
        match self {
            Self::Wait => Some(lock.lock()),
            Self::Pass => lock.try_lock(),
        }
    }
}

/// Recounts runqueues, timers, pools and queues, and looks at the threads that sleep.
///
/// # Errors
///
/// The first finding.
pub fn check() -> Result<(), Finding> {
    all(Locked::Wait)
}

/// As [`check`], of what nobody has locked, and of the slots of memory nodes, which takes several
/// locks one after the other: the caller sees to it that nothing else runs meanwhile.
///
/// # Errors
///
/// The first finding.
pub fn glance() -> Result<(), Finding> {
    all(Locked::Pass)
}

fn all(locked: Locked) -> Result<(), Finding> {
    for c in kernel().cpus() {
        let id = c.id().index();
        let finding = |what| move |wrong| Finding { what, id, wrong };
        schedule::audit::check(c, locked).map_err(finding(Structure::RunQueue))?;
        timer::check(c, locked).map_err(finding(Structure::Timers))?;
    }
    schedule::audit::check_sleepers().map_err(of_thread)?;
    lend::check(locked).map_err(of_thread)?;
    wq::check(locked)
}

const fn of_thread((id, wrong): (u32, &'static str)) -> Finding {
    Finding {
        what: Structure::Thread,
        id: id as usize,
        wrong,
    }
}

/// Whether every thread that lends what it has to another one sleeps. Only while nothing runs: who
/// lends goes to sleep a little later.
///
/// # Errors
///
/// The first thread that does not.
pub fn check_loans() -> Result<(), Finding> {
    lend::check_at_rest().map_err(of_thread)
}

/// Runs `f` with the timers of `core` locked and interrupts masked: as a core that stands in there has them, for
/// tests of those who must not wait for it.
pub fn with_timers_locked<R>(core: CpuId, f: impl FnOnce() -> R) -> R {
    let _timers = cpu(core).timers.lock();
    f()
}

/// What a spin lock guards that can be audited by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guarded {
    /// The runqueue of a core.
    RunQueue(CpuId),
    /// The worker pool with this number.
    Pool(usize),
}

/// Calls `f` with the address of each such lock: what [`machine::lock_released`] is told. They stay
/// where they are.
pub fn for_each_lock(mut f: impl FnMut(usize, Guarded)) {
    for c in kernel().cpus() {
        f(c.rq.address(), Guarded::RunQueue(c.id()));
    }
    wq::for_each_pool_lock(|lock, pool| f(lock, Guarded::Pool(pool)));
}

/// A structure that was found sound.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sound {
    /// What a recount looks at: threads of a runqueue, items and workers of a pool.
    pub elements: u32,
    /// How many running workers a pool counts.
    pub running: Option<u32>,
}

/// Recounts one structure, unless it is locked, which counts as nothing.
///
/// # Errors
///
/// What is wrong.
pub fn check_one(what: Guarded) -> Result<Sound, Finding> {
    match what {
        Guarded::RunQueue(id) => schedule::audit::check_one(cpu(id)).map_err(|wrong| Finding {
            what: Structure::RunQueue,
            id: id.index(),
            wrong,
        }),
        Guarded::Pool(id) => wq::check_pool(id),
    }
}

/// How fair a core is to its threads at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fairness {
    /// The lag that is closest to its bound or furthest beyond it, of the threads on the core (V4).
    pub worst: Option<Lag>,
    /// When the running thread's slice ends, while others wait (V5).
    pub end: Option<Instant>,
    /// The core was asked to choose anew.
    pub asked: bool,
}

/// What one thread on a core has had of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// Its entity, by address.
    pub thread: u64,
    /// Its weight.
    pub weight: u64,
    /// CPU time in ns so far.
    pub ran: u64,
    /// Its lag and the bounds of that.
    pub lag: Lag,
}

/// Calls `f` with the share of every thread on core `id`, those included that slept in debt; `None`
/// while its runqueue is locked. Else how often the runqueue was changed so far other than by
/// choosing and running: between two looks with the same number the shares follow the weights (V3).
pub fn shares(id: CpuId, f: impl FnMut(Share)) -> Option<u64> {
    schedule::audit::shares(cpu(id), f)
}

/// How fair core `id` is; `None` while its runqueue is locked.
#[must_use]
pub fn fairness(id: CpuId) -> Option<Fairness> {
    schedule::audit::fairness(cpu(id))
}
