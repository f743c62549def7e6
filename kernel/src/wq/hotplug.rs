//! Worker pools of a core that goes offline and comes back (M1-M3, K5, C3).
//!
//! The two pools of threads lose their core and get it back ([`workqueue::Pool::disassociate`]); their
//! workers follow the rule of all threads, so they run anywhere while their core is off and go home
//! afterwards, before the pool counts them again.
//!
//! A BH pool has no threads: the softirq of its core runs its items. While that core is off another
//! one's does, its *server*. The pool, its list and its pseudo worker stay the same, so items run once
//! each, in order, and never beside themselves. The server changes under the pool's lock and only
//! between two turns of the pseudo worker: the leaving core is in its idle thread, where no turn is
//! open; the one that comes back becomes the *heir*, to which the server leaves the pool at the end of
//! its turn.

use core::sync::atomic::Ordering;

use machine::CpuId;
use workqueue::Worker as WorkerNode;

use super::pool::{Inner, Pool};
use super::{PER_CORE, manager, urge};
use crate::cpu::{CpuLocal, CpuMask, cpu};
use crate::softirq;
use crate::thread::SpawnError;
use crate::trace::{Kind, emit};

/// The first pools of a core are those of threads.
const THREAD_POOLS: usize = PER_CORE / 2;

pub(super) fn of_threads(c: &'static CpuLocal) -> impl Iterator<Item = &'static Pool> {
    c.wq.pools[..THREAD_POOLS].iter()
}

fn of_softirqs(c: &'static CpuLocal) -> impl Iterator<Item = &'static Pool> {
    c.wq.pools[THREAD_POOLS..].iter()
}

/// M1: each pool of core `c` has a worker. One that gets none does not keep the next from it.
pub(crate) fn prepare(c: &'static CpuLocal) -> Result<(), SpawnError> {
    let mut result = Ok(());
    for pool in of_threads(c) {
        let none = pool.lock().policy.nr_workers() == 0;
        if none {
            result = result.and(manager::create_first(pool));
        }
    }
    result
}

/// M2: core `c` is about to leave. Pools that have lost it already stay as they are.
pub(crate) fn core_leaves(c: &'static CpuLocal) {
    of_threads(c).for_each(|pool| {
        let mut g = pool.lock();
        if !g.policy.has_core() {
            return;
        }
        emit(Kind::PoolUnbind, pool.head(), 0, 0);
        let Inner { policy, store, .. } = &mut *g;
        let wake = policy.disassociate(store);
        pool.note_budget(policy);
        urge::look_again(pool, &mut g);
        pool.wake(wake);
    });
}

/// M3: core `c` is back, and so are its workers. Its BH pools return to it. Pools that never lost it stay as
/// they are.
pub(crate) fn core_is_back(c: &'static CpuLocal) {
    of_threads(c).for_each(|pool| {
        let mut g = pool.lock();
        if g.policy.has_core() {
            return;
        }
        emit(Kind::PoolBind, pool.head(), 0, 0);
        let Inner { policy, store, .. } = &mut *g;
        let wake = policy.associate(store);
        pool.note_budget(policy);
        urge::look_again(pool, &mut g);
        pool.wake(wake);
    });
    take_bh_pools(c);
}

/// The BH pools of core `c` return to it.
pub(crate) fn take_bh_pools(c: &'static CpuLocal) {
    for pool in of_softirqs(c) {
        let mut g = pool.lock();
        if pool.server() == Some(c.id()) {
            continue;
        }
        let node: &WorkerNode = links::Arena::get(&g.store, pool.bh_worker());
        if node.current().is_none() {
            serve(pool, &mut g, c.id());
        } else {
            pool.heir.store(c.id().index() as u32, Ordering::Relaxed);
        }
    }
}

/// K5: core `c`, the running one, leaves; in its idle thread, with interrupts masked. All BH pools that
/// it serves, its own and those of other cores, go to core `to`.
pub(crate) fn give_bh_pools(c: &'static CpuLocal, to: &'static CpuLocal) {
    let mine = CpuMask::single(c.id()).0;
    let adopted = of_softirqs(c).map(|pool| c.softirq.bh(pool.vector()).adopted());
    let all = CpuMask(adopted.fold(mine, |all, a| all | a.0));
    for pool in all.iter().flat_map(|id| of_softirqs(cpu(id))) {
        let mut g = pool.lock();
        if pool.heir.load(Ordering::Relaxed) == c.id().index() as u32 {
            // It was about to return here: its server keeps it.
            pool.heir.store(u32::MAX, Ordering::Relaxed);
        } else if pool.server() == Some(c.id()) {
            // Its own core, if that is back and waits for the end of a turn.
            match pool.heir.swap(u32::MAX, Ordering::Relaxed) {
                u32::MAX => serve(pool, &mut g, to.id()),
                heir => serve(pool, &mut g, CpuId::new(heir as usize)),
            }
        }
    }
    of_softirqs(c).for_each(|pool| c.softirq.bh(pool.vector()).let_all_go());
}

/// The pool goes to another core when the pseudo worker's turn is over.
#[inline]
pub(super) fn has_heir(pool: &Pool) -> bool {
    pool.heir.load(Ordering::Relaxed) != u32::MAX
}

/// The pseudo worker's turn is over: the pool goes to its heir, if there is one.
#[inline]
pub(super) fn bequeath(pool: &Pool, g: &mut Inner) {
    let heir = pool.heir.load(Ordering::Relaxed);
    if heir != u32::MAX {
        pool.heir.store(u32::MAX, Ordering::Relaxed);
        serve(pool, g, CpuId::new(heir as usize));
    }
}

/// Makes core `to` the server of `pool`, under the pool's lock and between two turns.
fn serve(pool: &Pool, g: &mut Inner, to: CpuId) {
    pool.server.store(to.index() as u32, Ordering::Relaxed);
    emit(Kind::PoolServe, pool.head(), to.index() as u64, 0);
    if let Some(home) = pool.cpu()
        && home != to
    {
        cpu(to).softirq.bh(pool.vector()).adopt(home);
    }
    // What was raised on the core before is lost with it, also if what it was raised for was cancelled: until there
    // was a turn nobody raises it again.
    let node: &WorkerNode = links::Arena::get(&g.store, pool.bh_worker());
    if g.policy.pending() > 0 || node.is_woken() {
        softirq::raise_on(to, pool.vector());
    }
}

/// Core `was`, the running one, finds that it does not serve `pool` any more; under the pool's lock.
#[cold]
pub(super) fn forget(pool: &Pool, was: CpuId) {
    if let Some(home) = pool.cpu() {
        cpu(was).softirq.bh(pool.vector()).let_go(home);
    }
}

/// At boot: the pools of core `c` that is not there.
pub(super) fn never_came(c: &'static CpuLocal) {
    core_leaves(c);
    for pool in of_softirqs(c) {
        serve(pool, &mut pool.lock(), CpuId::BOOT);
    }
}
