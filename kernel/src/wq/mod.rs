//! Workqueues: run this later, in a thread or in BH context, without a thread of your own.
//!
//! A [`Work`] item owns a value and a handler. A [`Workqueue`] takes items; the pools of the system
//! execute them, one running worker per core and priority, another as soon as that one blocks
//! (docs/rules.md, rows A to K). The decisions are made in the `workqueue` crate, ownership of items in
//! `workword`; this module takes the locks, switches the threads and gives it types.
//!
//! # The life of a work item
//!
//! ```text
//!          (1) Queue::submit                       (4) execute, bh::run
//!   idle ────────────────────▶ on a pool's list ──────────────────────────────▶ running
//!    ▲ │ ▲                            ▲   │                                       │
//!    │ │ └──────(5) steal ────────────┼───┤ (cancel, disable, mod_delayed)        │
//!    │ │                              │   ▼                                       │
//!    │ ├─(1) no max_active slot─▶ inactive ─(3) finish or remove frees a slot──▶ list
//!    │ └─(2) queue_delayed─▶ timer armed ──(2') delayed::fire──▶ as (1)           │
//!    └───────────────────────────(6) execute: finish, then the count is dropped───┘
//! ```
//!
//! (1) with interrupts off: one atomic claim under the pool's lock, one list insertion, perhaps a
//! wake-up. (4) ends the pending state before the handler is called, so the handler may queue its
//! own item again (B5); it runs again after this run, never beside it, on whichever pool (C5).
//! (6) closes the books under the pool's lock and drops the submission's `Arc` count outside it.
//! A panicking handler goes `worker_panicked` instead of (6).
//!
//! # Locks
//!
//! flush lock of a queue (`Rank::Workqueue`) → one pool (`Rank::Pool`) → slots of a node, mayday lock of
//! a queue, wait queue, timer base, lending, runqueue, mailbox. Never two pools at once. Handlers and destructors
//! run without any lock.

mod alarm;
pub(crate) mod anatomy;
mod attrs;
mod audit;
mod await_item;
mod barrier;
pub(crate) mod bh;
mod builder;
mod check;
mod class;
mod dedicated;
mod delayed;
mod dump;
mod errors;
mod execute;
mod exported;
mod flush;
mod group;
mod handles;
mod header;
mod hog;
pub(crate) mod hooks;
mod hotplug;
mod info;
mod item;
mod joint;
mod limits;
mod link;
mod manager;
pub(crate) mod observed;
mod on_cpu;
mod ops;
mod panicked;
mod params;
mod pool;
pub(crate) mod preempted;
mod queue;
mod registry;
mod rescuer;
mod rest;
mod rouse;
mod routes;
pub mod scope;
mod seats;
mod share;
mod shares;
mod show;
mod steal;
mod submit;
mod submitted;
mod system;
mod task;
mod tuning;
mod typed;
mod unbound;
mod urge;
mod waiting;
mod watchdog;
mod worker;

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use machine::MAX_CPUS;
use workqueue::Kind as PoolKind;

pub use self::anatomy::{
    Parts, QueueLatency, SlowestItem, Spread, Summary, anatomy, anatomy_gap, for_each_latency,
    latency_bounds, set_anatomy, set_anatomy_gap,
};
pub use self::attrs::{
    AttrsError, cache_shard_size, default_scope, force_rr_cpu, remap_unbound, set_cache_shard_size,
    set_default_scope, set_force_rr_cpu, set_unbound_mask, unbound_mask,
};
pub(crate) use self::audit::{check_pool, for_each_pool_lock};
pub use self::builder::{Builder, CreateError};
pub(crate) use self::check::check;
pub use self::dedicated::{Backend, UnknownBackend, default_backend};
pub use self::delayed::{DelayedRun, DelayedWork, SubmitDelayed};
pub use self::dump::dump;
pub use self::errors::{TooDeep, WaitError};
pub use self::exported::set_attribute;
pub use self::group::{Cancelled, Group, JoinError, Member};
pub use self::hog::{Hog, for_each_hog, hog_count, set_warning_threshold, warning_threshold};
pub(crate) use self::hotplug::{core_is_back, core_leaves, give_bh_pools, prepare, take_bh_pools};
pub(crate) use self::info::try_each_pool;
pub use self::info::{
    PoolInfo, QueueInfo, WorkerCounts, for_each_free_pool, for_each_pool, for_each_queue,
};
pub use self::item::{Context, Handler, Run, Softirq, Submit, Threaded, Work};
pub(crate) use self::joint::{Open as OpenScope, wait_for_open as wait_for_open_scopes};
pub use self::on_cpu::{OnCpuError, on_each_core, work_on_cpu, work_on_cpu_safe};
pub(crate) use self::panicked::worker_panicked;
pub use self::params::{ParamInfo, SetError, params, set_param};
pub use self::preempted::preempted_count;
pub(crate) use self::registry::{apply_freezer, freezable_active};
pub use self::rescuer::current_is_rescuer;
pub use self::scope::ScopeError;
pub use self::seats::{Doing, ItemName, MOST_SEATS, MOST_WAITING, Seat, Table, Tables, Waiting};
pub use self::show::show_all;
pub use self::submitted::Submitted;
pub(crate) use self::system::init;
pub use self::system::{bh, bh_highpri, highpri, percpu, unbound};
pub use self::task::Task;
pub use self::tuning::{
    cpu_intensive_threshold, preempted_threshold, set_cpu_intensive_threshold, set_idle_timeout,
    set_preempted_threshold,
};
pub use self::typed::{Bh, Kind, Limited, Ordered, PerCpu, Placed, Unbound, Workqueue};
pub(crate) use self::waiting::{item_and_queue, item_of_worker};
pub(crate) use self::watchdog::spread as spread_watchdog;
pub use self::watchdog::{
    DEFAULT_LIMIT as DEFAULT_WATCHDOG, Frames, MOST_FRAMES, MOST_STALLS, Stall, StallKind, Stalls,
    last_stalls, panic_on_stall, panic_on_stall_time, set_panic_on_stall, set_panic_on_stall_time,
    set_watchdog, stall_count, touch_watchdog, watchdog_cores, watchdog_limit,
};
pub use self::worker::Worker;
pub use workqueue::{Attrs, Scope};

use self::alarm::Refused;
use self::handles::pool_at;
use self::hog::Hogs;
use self::pool::Pool;
use self::queue::Class;
use self::registry::Registry;
use self::watchdog::Watchdog;
use crate::mutex::Mutex;
use crate::thread::{Name, Thread};
use crate::{kernel, thread};

/// A queue's name.
pub type QueueName = Name;

/// Pools of one core in the pool table.
const PER_CORE: usize = 4;
/// Place of the first unbound pool.
const FIRST_UNBOUND: usize = MAX_CPUS * PER_CORE;
/// Place of the first dedicated pool.
const FIRST_DEDICATED: usize = FIRST_UNBOUND + unbound::places(MAX_CPUS);

/// The pools of one core (A1).
#[derive(Debug)]
pub struct CpuPools {
    /// Normal threads, highpri threads, normal BH, highpri BH.
    pools: [Pool; PER_CORE],
    /// `[A]` the BH item that this core executes; for reports.
    bh_item: AtomicPtr<header::Header>,
    /// `[A]` when the stretch of BH items began that this core executes, by the raw counter.
    bh_stretch: AtomicU64,
}

impl CpuPools {
    pub(crate) const fn new() -> Self {
        Self {
            pools: [
                Pool::new(PoolKind::Bound, false),
                Pool::new(PoolKind::Bound, true),
                Pool::new(PoolKind::Bh, false),
                Pool::new(PoolKind::Bh, true),
            ],
            bh_item: AtomicPtr::new(core::ptr::null_mut()),
            bh_stretch: AtomicU64::new(0),
        }
    }

    fn bh(&self, highpri: bool) -> &Pool {
        &self.pools[2 + usize::from(highpri)]
    }
}

/// What workqueues have beside the cores: the unbound pools and the list of queues.
#[derive(Debug)]
pub struct System {
    /// `[I]` pools of the cores, by place.
    bound: [AtomicPtr<Pool>; FIRST_UNBOUND],
    unbound: unbound::Table,
    dedicated: dedicated::Table,
    /// `[I]` a [`Backend`], of queues that ask for none.
    backend: AtomicU8,
    /// Whoever changes attributes has it.
    changes: Mutex<()>,
    /// Counts items that go round-robin over cores (C2).
    turn: AtomicUsize,
    /// `[A]` the cores that do, if they are online: copy of what the registry says.
    takers: AtomicU64,
    registry: Registry,
    anatomy: anatomy::Switch,
    /// `[A]` a copy of what is wanted: see [`observed`].
    observed: AtomicBool,
    hogs: Hogs,
    refused: Refused,
    watchdog: Watchdog,
    /// Queues that are not freed yet.
    alive: AtomicUsize,
    /// `[A]` who wants the freezer on (F5, [`crate::freezer`]).
    pub(crate) frozen: AtomicU8,
    /// The first wait that progress cannot be promised for was told (H6).
    told_dependency: AtomicBool,
    /// Handlers that returned in atomic context (E20).
    leaks: AtomicUsize,
    /// How often a pool went on without a worker that waited for its core.
    preempted: AtomicU64,
}

impl System {
    pub(crate) const fn new() -> Self {
        Self {
            bound: [const { AtomicPtr::new(core::ptr::null_mut()) }; FIRST_UNBOUND],
            unbound: unbound::Table::new(),
            dedicated: dedicated::Table::new(),
            backend: AtomicU8::new(Backend::ConcurrencyManaged as u8),
            changes: Mutex::new(()),
            turn: AtomicUsize::new(0),
            takers: AtomicU64::new(u64::MAX),
            registry: Registry::new(),
            anatomy: anatomy::Switch::new(),
            observed: AtomicBool::new(true),
            hogs: Hogs::new(),
            refused: Refused::new(),
            watchdog: Watchdog::new(),
            alive: AtomicUsize::new(0),
            frozen: AtomicU8::new(0),
            told_dependency: AtomicBool::new(false),
            leaks: AtomicUsize::new(0),
            preempted: AtomicU64::new(0),
        }
    }
}

/// As [`pool_at`], of a pool that is no core's.
fn pool_beside(n: usize) -> &'static Pool {
    if n < FIRST_DEDICATED {
        kernel().wq.unbound.at(n - FIRST_UNBOUND)
    } else {
        kernel().wq.dedicated.at(n - FIRST_DEDICATED)
    }
}

/// The pool that a per-CPU or BH queue uses on core `n`.
fn pool_for(class: Class, highpri: bool, n: usize) -> &'static Pool {
    let high = usize::from(highpri);
    let first = if class == Class::Bh { 2 } else { 0 };
    &kernel().cpus()[n].wq.pools[first + high]
}

/// The core that the pool with this number belongs to; `None` for an unbound pool, and for a queue's
/// own.
#[must_use]
pub const fn core_of_pool(id: usize) -> Option<machine::CpuId> {
    if id < FIRST_UNBOUND {
        Some(machine::CpuId::new(id / PER_CORE))
    } else {
        None
    }
}

/// Whether the pool with this number, one of a core's, is that for high priority.
#[must_use]
pub const fn is_highpri_pool(id: usize) -> bool {
    id < FIRST_UNBOUND && id % 2 == 1
}

fn each_pool(mut f: impl FnMut(&'static Pool)) {
    // A report of what went wrong during boot may ask before they have their places.
    let bound = kernel().cpus().iter().flat_map(|c| &c.wq.pools);
    bound.filter(|p| p.is_installed()).for_each(&mut f);
    let used = |pool: &&'static Pool| pool.is_used();
    let unbound = kernel().wq.unbound.pools().iter();
    let others = unbound.chain(kernel().wq.dedicated.pools());
    others.filter(used).for_each(f);
}

/// Queues whose memory is in use: those that were not destroyed, and those that a handle or an armed
/// delayed item still refers to.
#[must_use]
pub fn queues_alive() -> usize {
    kernel().wq.alive.load(Ordering::Relaxed)
}

/// Handlers so far that returned with preemption, BH or interrupts off; each was reported and
/// repaired (E20).
#[must_use]
pub fn leak_count() -> usize {
    kernel().wq.leaks.load(Ordering::Relaxed)
}

/// The running thread is a worker that executes an item.
#[must_use]
pub fn in_work_item() -> bool {
    worker::current_worker().is_some_and(Worker::is_busy)
}

/// The type of the item that the running thread executes, by name; `None` if it is no worker that does
/// (N9).
#[must_use]
pub fn current_work() -> Option<&'static str> {
    worker::current_worker().and_then(Worker::item_name)
}

/// The thread serves a pool.
pub(crate) fn is_worker(t: &Thread) -> bool {
    worker::of_thread(t).is_some()
}

/// As [`current_work`], for thread `t`; only for the running thread.
pub(crate) fn current_item(t: &Thread) -> Option<&'static str> {
    if !core::ptr::eq(t, thread::current()) {
        return None;
    }
    worker::of_thread(t).and_then(Worker::item_name)
}
