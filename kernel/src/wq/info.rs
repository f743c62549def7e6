//! What the outside may see of pools and queues.

use links::Arena;
use machine::{CpuId, CpuMask};
use workqueue::{Attrs, Kind as PoolKind, PwqStats, Worker as WorkerNode};

use super::dedicated::Backend;
use super::handles::worker_of;
use super::pool::{Inner, Pool};
use super::queue::{Class, Queue};
use super::worker::WorkerKind;
use super::{QueueName, each_pool, registry};
use crate::thread::{State, ThreadRef};

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
    /// How events name it.
    pub event_id: u64,
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

pub(super) fn pool_info(pool: &Pool, g: &Inner) -> PoolInfo {
    let p = &g.policy;
    let (total, idle) = (p.nr_workers(), p.nr_resting(&g.store));
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

/// Describes every pool through `f`, which is called without locks.
pub fn for_each_pool(mut f: impl FnMut(PoolInfo)) {
    each_pool(|p| {
        let info = pool_info(p, &p.lock());
        f(info);
    });
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
        event_id: crate::trace::name(q),
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
        let s = g.policy.stats(&g.store, share.handle());
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

/// Describes every queue through `f`, which is called without locks. Needs memory for the list.
pub fn for_each_queue(mut f: impl FnMut(QueueInfo)) {
    let Ok(queues) = registry::all() else { return };
    for q in &queues {
        f(queue_info(q));
    }
}
