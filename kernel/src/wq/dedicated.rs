//! Workqueues as they were before concurrency management, to compare with: threads of one queue only.
//!
//! A queue of [`Backend::SingleThreaded`] has one thread, on any core; one of
//! [`Backend::MultiThreaded`] has one for each core, which takes what that core queues. Each is the only
//! worker of a pool of its own ([`workqueue::Kind::Dedicated`]); so all that is done with items and
//! queues is done as for any other. What differs:
//!
//! * `max_active` is not looked at: a thread executes one item at a time, in the order of queueing, and
//!   waits with it. There is no idle worker to wake, no hog to notice, no scope, and nobody to steal.
//! * `mem_reclaim` needs no rescuer: the threads were made with the queue. One whose item panics makes
//!   its successor before it ends, and tries each second until it can; meanwhile the items wait.
//! * Attributes of an unbound or ordered queue hold from its making on and do not change. The nice level
//!   is that of the threads; the cores are those of a single thread. One that is a core's keeps to that,
//!   runs anywhere while the core is offline, and goes home when it is back.
//! * The end of the queue ends its threads.
//!
//! Pools are made sixty-four at a time, are used again, and never freed, for the reason that unbound ones
//! are not ([`super::unbound`]).
//!
//! References: rows X1-X4, X6.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::sync::atomic::Ordering;

use machine::{CpuId, CpuMask};
use spin::Once;
use sync::{Rank, SpinLock};
use workqueue::{Attrs, Kind, Pool as Policy};
use workword::Place;

use super::pool::Pool;
use super::queue::Class;
use super::{FIRST_DEDICATED, manager, unbound};
use crate::kernel;
use crate::mem::{self, AllocError};

/// Who executes the items of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(u8)]
pub enum Backend {
    /// The pools of the system, concurrency managed (boot argument `wq.backend=cmwq`).
    #[default]
    ConcurrencyManaged,
    /// One thread (`wq.backend=st`).
    SingleThreaded,
    /// One thread for each core (`wq.backend=mt`).
    MultiThreaded,
}

impl Backend {
    /// As boot arguments and reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConcurrencyManaged => "cmwq",
            Self::SingleThreaded => "st",
            Self::MultiThreaded => "mt",
        }
    }

    /// What a queue of class `class` gets that asks for this one. BH queues have no threads; an ordered
    /// queue is one line of items, so it has one.
    pub(super) fn of(self, class: Class) -> Self {
        match (class, self) {
            (Class::Bh, _) => Self::ConcurrencyManaged,
            (Class::Ordered, Self::MultiThreaded) => Self::SingleThreaded,
            _ => self,
        }
    }

    /// The queue's threads are its own.
    pub(super) fn is_dedicated(self) -> bool {
        self != Self::ConcurrencyManaged
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no back end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownBackend;

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(s: &str) -> Result<Self, UnknownBackend> {
        [
            Self::ConcurrencyManaged,
            Self::SingleThreaded,
            Self::MultiThreaded,
        ]
        .into_iter()
        .find(|b| b.name() == s)
        .ok_or(UnknownBackend)
    }
}

/// The boot argument that says who executes items, unless their queue does.
const BOOT_ARGUMENT: &str = "wq.backend=";

/// What the boot arguments say, which is noted. Called once, before there is a queue.
pub(super) fn from_boot_line() -> Backend {
    let words = kernel().info().bootargs.split_ascii_whitespace();
    let name = words
        .filter_map(|w| w.strip_prefix(BOOT_ARGUMENT))
        .next_back();
    let Some(name) = name else {
        return Backend::default();
    };
    let chosen = name.parse().unwrap_or_else(|UnknownBackend| {
        crate::log!("{BOOT_ARGUMENT}{name} is ignored: expected cmwq, st or mt");
        Backend::default()
    });
    kernel().wq.backend.store(chosen as u8, Ordering::Relaxed);
    chosen
}

/// Who executes the items of queues that ask for nobody ([`super::Builder::backend`]).
#[must_use]
pub fn default_backend() -> Backend {
    match kernel().wq.backend.load(Ordering::Relaxed) {
        1 => Backend::SingleThreaded,
        2 => Backend::MultiThreaded,
        _ => Backend::ConcurrencyManaged,
    }
}

/// Pools that are made together.
const CHUNK: usize = 64;
/// Most chunks.
const CHUNKS: usize = 256;

/// The pools of one worker.
#[derive(Debug)]
pub(super) struct Table {
    chunks: [Once<Box<[Pool]>>; CHUNKS],
    /// Where the search for a vacant pool goes on; held while one is taken, and while a chunk is added.
    turn: SpinLock<usize>,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self {
            chunks: [const { Once::new() }; CHUNKS],
            turn: SpinLock::new(Rank::Workqueue, "dedicated pools", 0),
        }
    }

    /// All pools, used or not.
    pub(super) fn pools(&'static self) -> impl Iterator<Item = &'static Pool> {
        self.chunks.iter().map_while(Once::get).flatten()
    }

    /// The pool at place `n` of this table.
    pub(super) fn at(&'static self, n: usize) -> &'static Pool {
        let chunk = self.chunks[n / CHUNK].get();
        &chunk.expect("a place that was given to a pool")[n % CHUNK]
    }

    /// A pool that nobody uses, which becomes the caller's.
    fn take(
        &'static self,
        cpus: CpuMask,
        nice: i8,
        cpu: Option<CpuId>,
    ) -> Result<&'static Pool, AllocError> {
        loop {
            let mut turn = self.turn.lock();
            let made = self.chunks.iter().map_while(Once::get).count() * CHUNK;
            for _ in 0..made {
                let pool = self.at(*turn % made);
                *turn = (*turn + 1) % made;
                if take(pool, cpus, nice, cpu) {
                    return Ok(pool);
                }
            }
            drop(turn);
            self.grow(made)?;
        }
    }

    /// Adds a chunk, unless there are more than `made` pools already.
    fn grow(&'static self, made: usize) -> Result<(), AllocError> {
        let next = self.chunks.get(made / CHUNK).ok_or(AllocError)?;
        let mut pools = mem::try_vec_with_capacity(CHUNK)?;
        for n in made..made + CHUNK {
            let pool = Pool::new(Kind::Dedicated, false);
            pool.install(Place::new((FIRST_DEDICATED + n) as u16), None);
            pools.push(pool);
        }
        let pools = pools.into_boxed_slice();
        // Others who come with a chunk wait for the lock, and drop theirs.
        let mut turn = self.turn.lock();
        if next.is_completed() {
            drop(turn);
            return Ok(());
        }
        next.call_once(|| pools);
        *turn = made;
        Ok(())
    }
}

/// Takes `pool`, if nobody uses it and its last worker has left.
fn take(pool: &'static Pool, cpus: CpuMask, nice: i8, cpu: Option<CpuId>) -> bool {
    if pool.is_used() {
        return false;
    }
    let tuning = kernel().cpus()[0].wq.pools[0].lock().policy.tuning();
    let mut g = pool.lock();
    let free = g.references == 0 && g.policy.is_vacant();
    if free {
        g.references = 1;
        g.policy = Policy::new(Kind::Dedicated, tuning);
        pool.nice.store(nice, Ordering::Relaxed);
        pool.cpus.store(cpus.0, Ordering::Relaxed);
        pool.set_cpu(cpu);
        pool.used.store(true, Ordering::Relaxed);
    }
    free
}

/// The pools of one queue, each with its worker; given back unless somebody keeps them.
pub(super) struct Own(Vec<&'static Pool>);

impl Own {
    /// Makes those of a queue named `name`.
    pub(super) fn make(backend: Backend, name: &str, attrs: &Attrs) -> Result<Self, AllocError> {
        let cores = kernel().cpus();
        let mut own = Self(mem::try_vec_with_capacity(cores.len())?);
        match backend {
            Backend::MultiThreaded => {
                for id in cores.iter().map(|c| c.id()) {
                    let thread = heapless::format!(64; "{name}/{id}").unwrap_or_default();
                    own.add(CpuMask::single(id), Some(id), attrs.nice, &thread)?;
                }
            }
            _ => own.add(attrs.cpus, None, attrs.nice, name)?,
        }
        Ok(own)
    }

    fn add(
        &mut self,
        cpus: CpuMask,
        cpu: Option<CpuId>,
        nice: i8,
        thread: &str,
    ) -> Result<(), AllocError> {
        let pool = kernel().wq.dedicated.take(cpus, nice, cpu)?;
        self.0.push(pool);
        manager::create_named(pool, thread).map_err(|_| AllocError)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn pool(&self, n: usize) -> &'static Pool {
        self.0[n]
    }

    /// The queue's shares have them from now on.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for pool in self.0.drain(..) {
            unbound::put(pool, &mut pool.lock());
        }
    }
}
