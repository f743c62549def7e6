//! A handler panicked: its worker's last steps, without the stack it was on.
#![expect(unsafe_code, reason = "the item is known by its handle")]

use links::Handle;
use workqueue::{Item, Kind as PoolKind, Worker as WorkerNode};

use super::anatomy::{self, stretch};
use super::handles::{item_name, queue_name, share_of};
use super::header::Header;
use super::pool::Inner;
use super::worker::{Worker, of_thread, retire};
use super::{manager, rescuer, urge};
use crate::thread::{Thread, ThreadCx};
use crate::trace::{Kind, Told, emit};

/// The running work item panicked and its thread `t`, the running one, is about to end: the pool
/// forgets the worker, the item is poisoned and its slot released. The item's count is leaked,
/// because its destructor may trip over the state that made the handler panic.
pub(crate) fn worker_panicked(t: &Thread) {
    let Some(w) = of_thread(t) else { return };
    t.watch.end();
    if let Some(r) = w.rescuing() {
        rescuer::panicked(w, r);
        return;
    }
    let pool = w.pool();
    let mut g = pool.lock();
    let item = poison(w, &mut g);
    let Inner { policy, store, .. } = &mut *g;
    emit(Kind::WorkerDie, pool.head(), 0, 0);
    let f = policy.abandon(store, w.handle());
    urge::look_again(pool, &mut g);
    pool.wake(f.wake);
    pool.flushed(f.flushed);
    let rest = pool.conclude(&mut g, f.hand, f.gone).and(f.freed);
    drop(g);
    if !rest.is_none() {
        rest.carry_out();
    }
    if let Some(item) = item {
        // SAFETY: kept by the count of the run that panicked.
        let h = unsafe { Header::of(item) };
        // SAFETY: nobody else gives that count up.
        unsafe { h.tell_panicked() };
    }
    retire(w);
    if pool.kind == PoolKind::Dedicated {
        // It was the only one. The thread is a plain one from here on.
        drop(manager::manage(&ThreadCx::mint(), pool));
    }
}

/// The item that `w` executes panicked; under the pool's lock. The item.
pub(super) fn poison(w: &Worker, g: &mut Inner) -> Option<Handle<Item>> {
    let node: &WorkerNode = links::Arena::get(&g.store, w.handle());
    let (item, p) = (node.current(), node.current_pwq());
    if let (Some(item), Some(p)) = (item, p) {
        emit(
            Kind::ExecuteEnd,
            w.pool().head().flags(Kind::PANICKED),
            item_name(item),
            queue_name(share_of(p).queue_ptr()),
        );
        // SAFETY: the run's count keeps it alive; barriers do not panic.
        let h = unsafe { Header::of(item) };
        stretch::end(w, p, g);
        // Of an item that was started unseen, or is not followed, the worker has another one's course.
        if share_of(p).pwq(g).is_observed() && w.course.get().started() == w.began.get() {
            let told = Told::of(Kind::ExecuteEnd);
            anatomy::over(told, told.now(), w, (share_of(p), h), g);
        }
        h.word.poison();
        h.in_run.end();
    }
    item
}
