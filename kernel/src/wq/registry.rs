//! The list of all queues, the system queues, and what the outside may see of pools and queues.

use alloc::sync::Arc;
use alloc::vec::Vec;

use links::Arena;
use machine::{CpuId, CpuMask};
use spin::Once;
use sync::atomic::Ordering;
use sync::{Rank, SpinLock};
use workqueue::{Attrs, CPUS_PER_SHARD, Kind as PoolKind, PwqStats, Scope, Worker as WorkerNode};

use super::dedicated::Backend;
use super::handles::worker_of;
use super::pool::{Inner, Pool};
use super::queue::{Class, Queue};
use super::share::Shares;
use super::typed::{Bh, PerCpu, Unbound, Workqueue};
use super::worker::WorkerKind;
use super::{QueueName, each_pool};
use crate::kernel;
use crate::mem::AllocError;
use crate::thread::{State, ThreadRef};

/// The queues everybody may use.
#[derive(Debug)]
pub(super) struct SystemQueues {
    pub(super) percpu: Workqueue<PerCpu>,
    pub(super) highpri: Workqueue<PerCpu>,
    pub(super) unbound: Workqueue<Unbound>,
    pub(super) bh: Workqueue<Bh>,
    pub(super) bh_highpri: Workqueue<Bh>,
}

/// What the system says about all unbound queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Global {
    /// The cores they may use (G7).
    pub(super) allowed: CpuMask,
    /// What [`Scope::Default`] means (G2).
    pub(super) default: Scope,
    /// About how many physical cores a shard of a cache has (G8).
    pub(super) shard: usize,
    /// Items that name no core go to all of them in turn (C2).
    pub(super) force_rr: bool,
}

/// The queues, and what was said when they came.
#[derive(Debug)]
pub(super) struct Listed {
    queues: Vec<Arc<Queue>>,
    global: Global,
    /// Counts additions, so that a change of `global` leaves no new queue out.
    added: u64,
}

/// All queues of a kernel.
#[derive(Debug)]
pub(super) struct Registry {
    listed: SpinLock<Listed>,
    pub(super) system: Once<SystemQueues>,
}

impl Registry {
    pub(super) const fn new() -> Self {
        let listed = Listed {
            queues: Vec::new(),
            global: Global {
                allowed: CpuMask::ALL,
                default: Scope::FIRST_DEFAULT,
                shard: CPUS_PER_SHARD,
                force_rr: false,
            },
            added: 0,
        };
        Self {
            listed: SpinLock::new(Rank::Workqueue, "workqueue list", listed),
            system: Once::new(),
        }
    }

    /// For an audit.
    pub(super) const fn list(&self) -> &SpinLock<Listed> {
        &self.listed
    }
}

/// What became of a new queue.
pub(super) enum Added {
    /// It is in the list.
    Yes,
    /// The system says something else by now; the queue must be settled anew.
    Changed(Global),
    /// There is no memory for it.
    NoMemory,
    /// It is to be exported, and another one of its name is.
    NameTaken,
}

/// Puts a queue on the list, if it was settled under what the system says.
pub(super) fn add(queue: &Arc<Queue>, settled: Global) -> Added {
    let mut g = kernel().wq.registry.listed.lock();
    if g.global != settled {
        return Added::Changed(g.global);
    }
    if queue.attributes.exported && g.exported(&queue.attributes.name).is_some() {
        return Added::NameTaken;
    }
    g.added += 1;
    match crate::mem::try_push(&mut g.queues, Arc::clone(queue)) {
        Ok(()) => Added::Yes,
        Err(_) => Added::NoMemory,
    }
}

impl Listed {
    pub(super) fn queues(&self) -> &[Arc<Queue>] {
        &self.queues
    }

    fn exported(&self, name: &str) -> Option<&Arc<Queue>> {
        let wanted = |q: &&Arc<Queue>| q.attributes.exported && q.attributes.name == name;
        self.queues.iter().find(wanted)
    }
}

/// The exported queue of this name (F8).
pub(super) fn exported(name: &str) -> Option<Arc<Queue>> {
    let g = kernel().wq.registry.listed.lock();
    g.exported(name).cloned()
}

pub(super) fn remove(queue: &Arc<Queue>) {
    let mut g = kernel().wq.registry.listed.lock();
    let at = g.queues.iter().position(|q| Arc::ptr_eq(q, queue));
    let gone = at.map(|i| g.queues.swap_remove(i));
    drop(g);
    drop(gone);
}

/// What the system says now.
pub(super) fn global() -> Global {
    kernel().wq.registry.listed.lock().global
}

/// The queues that follow what the system says, and how many were added so far.
pub(super) fn unbound_queues() -> Result<(Vec<Arc<Queue>>, u64), AllocError> {
    let list = &kernel().wq.registry.listed;
    loop {
        let n = list.lock().queues.len();
        let mut copy = crate::mem::try_vec_with_capacity(n)?;
        let g = list.lock();
        if g.queues.len() > n {
            continue;
        }
        copy.extend(g.queues.iter().filter(|q| q.is_placed()).cloned());
        return Ok((copy, g.added));
    }
}

/// Makes the system say `global`, unless queues were added since `version`.
pub(super) fn set_global(version: u64, global: Global) -> bool {
    let mut g = kernel().wq.registry.listed.lock();
    if g.added != version {
        return false;
    }
    g.global = global;
    kernel()
        .wq
        .takers
        .store(global.allowed.0, Ordering::Relaxed);
    true
}

/// One pool, at the moment of the call.
#[derive(Clone, Copy, Debug)]
pub struct PoolInfo {
    /// Its number in the pool table.
    pub id: usize,
    /// Its core; `None` for an unbound pool, or the only thread of a queue.
    pub cpu: Option<CpuId>,
    /// Nice level of its workers.
    pub nice: i8,
    /// "thread" or "bh".
    pub kind: &'static str,
    /// Workers, and how many of them are idle, running, and blocked.
    pub workers: WorkerCounts,
    /// Items waiting for a worker.
    pub pending: u32,
    /// Workers that concurrency management counts.
    pub nr_running: u32,
    /// Of an unbound pool: where its workers start, and where they may run (G3, G4).
    pub pod: CpuMask,
    /// As above.
    pub cpus: CpuMask,
    /// Workers woken in their pod that had been outside (G3).
    pub repatriated: u64,
}

/// Workers of one pool.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WorkerCounts {
    /// All.
    pub total: u32,
    /// Waiting for work.
    pub idle: u32,
    /// Executing.
    pub running: u32,
    /// Executing an item that sleeps or, in the pool of a core, is outside concurrency management.
    pub blocked: u32,
}

/// One queue, at the moment of the call.
#[derive(Clone, Debug)]
pub struct QueueInfo {
    /// Its name.
    pub name: QueueName,
    /// "percpu", "unbound" or "bh".
    pub kind: &'static str,
    /// Who executes its items.
    pub backend: Backend,
    /// Uses the highpri pools.
    pub highpri: bool,
    /// Its items are outside concurrency management.
    pub cpu_intensive: bool,
    /// Its items hold others back only while they have their core, or nearly.
    pub preemption_aware: bool,
    /// It has a rescuer (F4).
    pub mem_reclaim: bool,
    /// It follows the freezer (F5).
    pub freezable: bool,
    /// It can be changed by name (F8).
    pub exported: bool,
    /// Items run one at a time, in order (D8).
    pub ordered: bool,
    /// The limit per core, or for the system if unbound; without effect on threads of its own.
    pub max_active: u32,
    /// How many items each memory node lets be active at least (D4).
    pub min_active: u32,
    /// What an unbound queue asked for.
    pub attrs: Option<Attrs>,
    /// Items that wait: for a slot or for a worker.
    pub pending: u64,
    /// Items with a max_active slot.
    pub active: u32,
    /// Items waiting for one.
    pub inactive: u32,
    /// Counters, summed over the pools.
    pub stats: PwqStats,
    /// CPU time of its items that are over, in nanoseconds, interrupts included (E17); counted while
    /// [`super::anatomy`] is on.
    pub cpu_time_ns: u64,
    /// Workers that were woken for it in their pod and had been outside (G3).
    pub repatriated: u64,
}

fn pool_info(pool: &Pool, g: &Inner) -> PoolInfo {
    let p = &g.policy;
    let (total, idle) = (p.nr_workers(), p.nr_idle());
    let busy = total - idle;
    let running = match p.kind() {
        PoolKind::Bound => p.nr_running().min(busy),
        PoolKind::Unbound | PoolKind::Dedicated => busy - asleep(g).min(busy),
        PoolKind::Bh => busy,
    };
    let own = match p.kind() {
        PoolKind::Dedicated => pool.cpus(),
        _ => pool.cpu().map_or(CpuMask::ALL, CpuMask::single),
    };
    PoolInfo {
        id: pool.place().index(),
        cpu: pool.cpu(),
        nice: pool.nice().get(),
        kind: if p.kind() == PoolKind::Bh {
            "bh"
        } else {
            "thread"
        },
        workers: WorkerCounts {
            total,
            idle,
            running,
            blocked: busy - running,
        },
        pending: p.pending(),
        nr_running: p.nr_running(),
        pod: g.key.map_or(own, |key| key.pod),
        cpus: g.key.map_or(own, |key| key.cpus),
        repatriated: pool.repatriated(),
    }
}

/// How many workers of a pool without a core sleep in their items. The pool is not told of that, so the
/// threads are asked.
fn asleep(g: &Inner) -> u32 {
    let mut n = 0;
    g.policy.each_worker(&g.store, |h| {
        let node: &WorkerNode = g.store.get(h);
        let w = worker_of(h);
        let sleeps = |t: &ThreadRef| t.state() == State::Sleeping;
        let own = node.current().is_some() && w.kind != WorkerKind::Rescuer;
        n += u32::from(own && w.thread().is_some_and(sleeps));
    });
    n
}

/// Describes every pool through `f`.
pub fn for_each_pool(mut f: impl FnMut(PoolInfo)) {
    each_pool(|p| f(pool_info(p, &p.lock())));
}

/// As [`for_each_pool`], without those that are locked.
pub fn for_each_free_pool(mut f: impl FnMut(PoolInfo)) {
    each_pool(|p| {
        if let Some(g) = p.try_lock() {
            f(pool_info(p, &g));
        }
    });
}

/// Describes every pool that is not locked through `f`; of a locked one it only gets the name.
pub(crate) fn try_each_pool(mut f: impl FnMut((usize, Option<CpuId>), Option<PoolInfo>)) {
    each_pool(|p| {
        let info = p.try_lock().map(|g| pool_info(p, &g));
        f((p.place().index(), p.cpu()), info);
    });
}

fn queue_info(q: &Queue) -> QueueInfo {
    let a = &q.attributes;
    let mut info = QueueInfo {
        name: a.name.clone(),
        kind: if a.class == Class::Ordered {
            Class::Unbound.name()
        } else {
            a.class.name()
        },
        backend: a.backend,
        highpri: a.highpri,
        cpu_intensive: a.cpu_intensive,
        preemption_aware: a.preemption_aware,
        mem_reclaim: a.mem_reclaim,
        freezable: a.freezable,
        exported: a.exported,
        ordered: a.class == Class::Ordered,
        max_active: q.max_active(),
        min_active: q.min_active(),
        attrs: None,
        pending: 0,
        active: 0,
        inactive: 0,
        stats: PwqStats::default(),
        cpu_time_ns: 0,
        repatriated: 0,
    };
    let state = q.flush.lock();
    if matches!(a.class, Class::Unbound | Class::Ordered) {
        info.attrs = Some(state.attrs);
    }
    for share in state.shares.iter() {
        let (_, mut g) = share.lock();
        let books = share.books(&mut g);
        info.cpu_time_ns += books.cpu_time_ns();
        info.repatriated += books.repatriated;
        let pwq = share.pwq(&g);
        let s = pwq.stats();
        info.active += pwq.active();
        info.inactive += pwq.inactive();
        let waiting = u64::from(pwq.active() + pwq.inactive());
        info.pending += waiting.saturating_sub(s.started - s.completed);
        info.stats.started += s.started;
        info.stats.completed += s.completed;
        info.stats.panicked += s.panicked;
        info.stats.cm_wakeup += s.cm_wakeup;
        info.stats.cpu_intensive += s.cpu_intensive;
        info.stats.preempted += s.preempted;
        info.stats.cancelled += s.cancelled;
        info.stats.mayday += s.mayday;
        info.stats.rescued += s.rescued;
    }
    info
}

/// The queues of the moment.
pub(super) fn all() -> Result<Vec<Arc<Queue>>, AllocError> {
    let list = &kernel().wq.registry.listed;
    let n = list.lock().queues.len() + 4;
    let mut copy = crate::mem::try_vec_with_capacity(n)?;
    let g = list.lock();
    copy.extend(g.queues.iter().take(n).cloned());
    drop(g);
    Ok(copy)
}

/// Describes every queue through `f`, which is called without locks. Needs memory for the list.
pub fn for_each_queue(mut f: impl FnMut(QueueInfo)) {
    let Ok(queues) = all() else { return };
    for q in &queues {
        f(queue_info(q));
    }
}

/// Every queue with its shares through `f`, under the list's lock and its own.
pub(super) fn each_queue_locked(mut f: impl FnMut(&Queue, &Shares)) {
    let listed = kernel().wq.registry.listed.lock();
    for q in &listed.queues {
        // The list comes before a queue's own lock.
        let state = q.flush.lock_same_rank();
        f(q, &state.shares);
    }
}

/// The freezer was turned on or off: every queue that follows it does.
pub(crate) fn apply_freezer() {
    let listed = kernel().wq.registry.listed.lock();
    for q in listed.queues.iter().filter(|q| q.attributes.freezable) {
        // The list comes before a queue's own lock.
        q.apply_limit(&q.flush.lock_same_rank());
    }
}

/// Active items of all queues that follow the freezer.
pub(crate) fn freezable_active() -> u32 {
    let mut active = 0;
    each_queue_locked(|q, shares| {
        if q.attributes.freezable {
            for share in shares.iter() {
                let (_, g) = share.lock();
                active += share.pwq(&g).active();
            }
        }
    });
    active
}
