//! The list of all queues, the system queues, and what the outside may see of pools and queues.

use alloc::sync::Arc;
use alloc::vec::Vec;

use links::Arena;
use machine::CpuId;
use spin::Once;
use sync::{Rank, SpinLock};
use workqueue::{Kind as PoolKind, Pwq, PwqStats};

use super::pool::{Inner, Pool};
use super::queue::{Class, Queue};
use super::typed::{Bh, PerCpu, Unbound, Workqueue};
use super::{QueueName, each_pool};
use crate::audit::{Finding, Locked, Structure};
use crate::kernel;

/// The queues everybody may use.
#[derive(Debug)]
pub(super) struct SystemQueues {
    pub(super) percpu: Workqueue<PerCpu>,
    pub(super) highpri: Workqueue<PerCpu>,
    pub(super) unbound: Workqueue<Unbound>,
    pub(super) bh: Workqueue<Bh>,
    pub(super) bh_highpri: Workqueue<Bh>,
}

/// All queues of a kernel.
#[derive(Debug)]
pub(super) struct Registry {
    queues: SpinLock<Vec<Arc<Queue>>>,
    pub(super) system: Once<SystemQueues>,
}

impl Registry {
    pub(super) const fn new() -> Self {
        Self {
            queues: SpinLock::new(Rank::Workqueue, "workqueue list", Vec::new()),
            system: Once::new(),
        }
    }
}

pub(super) fn add(queue: &Arc<Queue>) -> Option<()> {
    let mut list = kernel().wq.registry.queues.lock();
    crate::mem::try_push(&mut list, Arc::clone(queue)).ok()
}

pub(super) fn remove(queue: &Arc<Queue>) {
    let mut list = kernel().wq.registry.queues.lock();
    let at = list.iter().position(|q| Arc::ptr_eq(q, queue));
    let gone = at.map(|i| list.swap_remove(i));
    drop(list);
    drop(gone);
}

/// One pool, at the moment of the call.
#[derive(Clone, Copy, Debug)]
pub struct PoolInfo {
    /// Its number in the pool table.
    pub id: usize,
    /// Its core; `None` for an unbound pool.
    pub cpu: Option<CpuId>,
    /// Nice level of its workers.
    pub nice: i8,
    /// "thread" or "bh".
    pub kind: &'static str,
    /// Workers, and how many of them are idle, running, and blocked. Unbound pools do not follow
    /// their workers' sleep: all that execute an item count as running.
    pub workers: WorkerCounts,
    /// Items waiting for a worker.
    pub pending: u32,
    /// Workers that concurrency management counts.
    pub nr_running: u32,
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
    /// Executing an item that sleeps or is outside concurrency management.
    pub blocked: u32,
}

/// One queue, at the moment of the call.
#[derive(Clone, Debug)]
pub struct QueueInfo {
    /// Its name.
    pub name: QueueName,
    /// "percpu", "unbound" or "bh".
    pub kind: &'static str,
    /// Uses the highpri pools.
    pub highpri: bool,
    /// Its items are outside concurrency management.
    pub cpu_intensive: bool,
    /// It has a rescuer (F4).
    pub mem_reclaim: bool,
    /// The limit per core, or for the system if unbound.
    pub max_active: u32,
    /// Items that wait: for a slot or for a worker.
    pub pending: u64,
    /// Items with a max_active slot.
    pub active: u32,
    /// Items waiting for one.
    pub inactive: u32,
    /// Counters, summed over the pools.
    pub stats: PwqStats,
}

fn pool_info(pool: &Pool, g: &Inner) -> PoolInfo {
    let p = &g.policy;
    let (total, idle) = (p.nr_workers(), p.nr_idle());
    let busy = total - idle;
    let running = if p.kind() == PoolKind::Bound {
        p.nr_running().min(busy)
    } else {
        busy
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
    }
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
        kind: match a.class {
            Class::PerCpu => "percpu",
            Class::Unbound => "unbound",
            Class::Bh => "bh",
        },
        highpri: a.highpri,
        cpu_intensive: a.cpu_intensive,
        mem_reclaim: a.mem_reclaim,
        max_active: q.max_active(),
        pending: 0,
        active: 0,
        inactive: 0,
        stats: PwqStats::default(),
    };
    for share in &q.shares {
        let g = share.pool.lock();
        let pwq: &Pwq = g.store.get(share.handle());
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
        info.stats.cancelled += s.cancelled;
        info.stats.mayday += s.mayday;
        info.stats.rescued += s.rescued;
    }
    info
}

/// Describes every queue through `f`, which is called without locks. Needs memory for the list.
pub fn for_each_queue(mut f: impl FnMut(QueueInfo)) {
    let list = &kernel().wq.registry.queues;
    let n = list.lock().len() + 4;
    let Ok(mut copy) = crate::mem::try_vec_with_capacity::<Arc<Queue>>(n) else {
        return;
    };
    let g = list.lock();
    copy.extend(g.iter().take(n).cloned());
    drop(g);
    for q in &copy {
        f(queue_info(q));
    }
}

/// What is wrong with the pools and the queues' shares of them, if anything.
pub(crate) fn check(locked: Locked) -> Result<(), Finding> {
    let mut found = Ok(());
    each_pool(|p| {
        let g = p.lock_or_pass(locked);
        let checked = g.map_or(Ok(()), |g| g.policy.check(&g.store));
        if let (Ok(()), Err(wrong)) = (found, checked) {
            found = Err(finding(Structure::Pool, p, wrong));
        }
    });
    found?;
    let Some(queues) = locked.take(&kernel().wq.registry.queues) else {
        return Ok(());
    };
    for q in queues.iter() {
        for share in &q.shares {
            let Some(g) = share.pool.lock_or_pass(locked) else {
                continue;
            };
            let pwq: &Pwq = g.store.get(share.handle());
            let checked = pwq.check(&g.store);
            checked.map_err(|wrong| finding(Structure::PoolWorkqueue, share.pool, wrong))?;
        }
    }
    Ok(())
}

fn finding(what: Structure, pool: &Pool, wrong: &'static str) -> Finding {
    let id = pool.place().index();
    Finding { what, id, wrong }
}
