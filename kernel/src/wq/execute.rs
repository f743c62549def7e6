//! One execution of an item by a worker: from the pool's lock to the handler and back.
#![expect(unsafe_code, reason = "items are run type-erased")]

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use links::Handle;
use sync::SpinGuard;
use workqueue::{Begun, Finished, Item};

use super::anatomy;
use super::barrier::Barrier;
use super::handles::{item_name, queue_name, share_of};
use super::header::Header;
use super::pool::{Inner, Pool};
use super::rest::{After, Rest};
use super::share::Share;
use super::urge;
use super::worker::{Worker, WorkerKind};
use crate::kernel;
use crate::thread::{self, ThreadCx};
use crate::trace::{Kind, Told, emit, with_function};

/// (4) to (6) of the item's life: runs one item or barrier.
#[inline(always)]
pub(super) fn execute<'p>(
    cx: &ThreadCx<'_>,
    w: &'static Worker,
    begun: Begun,
    mut g: SpinGuard<'p, Inner>,
    after: &mut After,
) -> SpinGuard<'p, Inner> {
    let Begun { item, .. } = begun;
    let Some(pwq) = begun.pwq else {
        return pass_barrier(w, item, g, after);
    };
    let pool = w.pool();
    // SAFETY: the item's submission keeps it alive until `hold` is dropped.
    let h: &'p Header = unsafe { Header::of(item) };
    // The share is kept by its item.
    let share: &'p Share = share_of(pwq);
    // The hold first: once the word is taken, whoever claims the item next may set it.
    let hold = h.take_hold();
    let submissions = h.word.take();
    let owned = hold.is_some();
    let watched = share.pwq(&g).is_preemption_aware() && w.kind == WorkerKind::Bound;
    if watched {
        let after = g.policy.tuning().preempted_after;
        thread::current().watch.begin(after);
    }
    let told = Told::of(Kind::ExecuteStart);
    told.emit(|| {
        let head = with_function(pool.head(), h.function());
        (head, item_name(item), queue_name(share.queue_ptr()))
    });
    if told.anatomy() {
        anatomy::started(w, h);
    }
    if w.marks.get() != 0 {
        marked(w, share, &mut g);
    }
    w.set_budget(begun.counted);
    drop(g);
    // The item before this one: outside the lock, and before this one is "current".
    after.settle();
    w.share.set(share);
    w.current.set(Some(NonNull::from(h)));
    // SAFETY: items on thread pools take a `ThreadCx`; `hold` is the count.
    unsafe { h.run(core::ptr::from_ref(cx).cast(), submissions, owned) };
    // E20: the next item would start in the section this one left open.
    if sync::preempt_word() != 0 || machine::irqs_masked() {
        end_left_sections(h);
    }
    w.current.set(None);
    if watched {
        thread::current().watch.end();
    }
    let mut g = pool.lock();
    let told = Told::of(Kind::ExecuteEnd);
    told.emit(|| (pool.head(), item_name(item), queue_name(share.queue_ptr())));
    if told.anatomy() {
        anatomy::over(w, share, h, &mut g);
    }
    after.note(hold);
    let Inner { policy, store, .. } = &mut *g;
    if let Some(f) = policy.finish(store, w.handle(), (item, pwq)) {
        after.rest = follow(pool, &mut g, &f);
    }
    g
}

/// As [`execute`], of a worker that comes to the list, or to what was put on its own: not where time is short.
#[inline(never)]
pub(super) fn execute_first<'p>(
    cx: &ThreadCx<'_>,
    w: &'static Worker,
    begun: Begun,
    g: SpinGuard<'p, Inner>,
    after: &mut After,
) -> SpinGuard<'p, Inner> {
    execute(cx, w, begun, g, after)
}

/// What follows from the end of an item, as far as it concerns `pool`, whose lock is `g`.
#[inline(never)]
fn follow(pool: &'static Pool, g: &mut Inner, f: &Finished) -> Rest {
    pool.wake(f.wake);
    pool.flushed(f.flushed);
    pool.conclude(g, f.hand, f.gone).and(f.freed)
}

/// Worker `w` comes to a barrier: its waiter goes on.
#[inline(never)]
fn pass_barrier<'p>(
    w: &'static Worker,
    barrier: Handle<Item>,
    mut g: SpinGuard<'p, Inner>,
    after: &mut After,
) -> SpinGuard<'p, Inner> {
    let pool = w.pool();
    let Inner { policy, store, .. } = &mut *g;
    emit(Kind::BarrierDone, pool.head(), 0, item_name(barrier));
    // SAFETY: it was queued and runs once.
    unsafe { Barrier::complete(barrier, store) };
    let f = policy.finish_barrier(store, w.handle());
    pool.flushed(f.flushed);
    let rest = pool.conclude(&mut g, f.hand, f.gone);
    if after.rest.is_none() {
        after.rest = rest;
    } else if !rest.is_none() {
        drop(g);
        after.settle();
        rest.carry_out();
        g = pool.lock();
    }
    g
}

/// `w`, which is marked, starts an item of `share`; under its pool's lock `g`.
#[cold]
fn marked(w: &Worker, share: &Share, g: &mut Inner) {
    let marks = w.marks.replace(0);
    if marks & Worker::REPATRIATED != 0 {
        anatomy::brought_back(share, g);
    }
    if marks & Worker::AHEAD != 0 {
        urge::look_again(w.pool(), g);
    }
}

/// E20: the handler of `h` left preemption, BH or interrupts off: told and repaired. A spin lock that
/// it holds still cannot be taken from it.
#[cold]
fn end_left_sections(h: &Header) {
    let (word, masked) = (sync::preempt_word(), machine::irqs_masked());
    assert!(
        machine::percpu().held.is_empty(),
        "work item {} returned holding a spin lock",
        (h.vtable.name)()
    );
    // Between items a worker has no section open.
    sync::restore_preempt_word(0);
    machine::irq_enable();
    kernel().wq.leaks.fetch_add(1, Ordering::Relaxed);
    crate::log!(
        "BUG: workqueue leaked atomic: work item {} returned with preempt word {word:#x}, interrupts {}",
        (h.vtable.name)(),
        if masked { "masked" } else { "on" }
    );
    sync::resched_if_due();
}
