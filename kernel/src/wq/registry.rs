//! The list of all queues, and what the system says about those that follow it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use machine::CpuMask;
use spin::Once;
use sync::atomic::Ordering;
use sync::{Rank, SpinLock};
use workqueue::{CPUS_PER_SHARD, Scope};

use super::observed;
use super::queue::Queue;
use super::shares::Shares;
use super::system::SystemQueues;
use crate::kernel;
use crate::mem::AllocError;
use crate::soon::Patience;

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
    queue.listed_at.store(g.queues.len(), Ordering::Relaxed);
    match crate::mem::try_push(&mut g.queues, Arc::clone(queue)) {
        Ok(()) => {
            // Somebody may have begun to look, or ceased, since its shares were made.
            observed::tell(&queue.flush.lock_same_rank().shares);
            Added::Yes
        }
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
    let at = queue.listed_at.load(Ordering::Relaxed);
    let listed = g.queues.get(at).is_some_and(|q| Arc::ptr_eq(q, queue));
    let gone = listed.then(|| g.queues.swap_remove(at));
    if let Some(moved) = g.queues.get(at).filter(|_| listed) {
        moved.listed_at.store(at, Ordering::Relaxed);
    }
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

/// Every queue with its shares through `f`, under the list's lock and its own.
pub(super) fn each_queue_locked(mut f: impl FnMut(&Queue, &Shares)) {
    let listed = kernel().wq.registry.listed.lock();
    for q in &listed.queues {
        // The list comes before a queue's own lock.
        let state = q.flush.lock_same_rank();
        f(q, &state.shares);
    }
}

/// As [`each_queue_locked`], but for the queues whose lock is not to be had soon; false if there are such, or
/// the list's is not. For reports.
pub(super) fn each_queue_soon(patience: &Patience, mut f: impl FnMut(&Queue, &Shares)) -> bool {
    let Some(listed) = patience.lock(|| kernel().wq.registry.listed.try_lock()) else {
        return false;
    };
    let mut all = true;
    for q in &listed.queues {
        match patience.lock(|| q.flush.try_lock()) {
            Some(state) => f(q, &state.shares),
            None => all = false,
        }
    }
    all
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
