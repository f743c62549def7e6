//! One execution of an item by a worker: from the pool's lock to the handler and back.
#![expect(unsafe_code, reason = "items are run type-erased")]

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use links::Handle;
use sync::SpinGuard;
use workqueue::{Begun, Eyes, Finished, Over, Passed, Pwq};

use super::anatomy::{self, stretch};
use super::barrier::Barrier;
use super::handles::{item_name, queue_name, share_of};
use super::header::{Header, Hold};
use super::pool::{Inner, Pool};
use super::rest::{After, Rest};
use super::share::Share;
use super::urge;
use super::worker::{Worker, WorkerKind};
use crate::cpu::this_cpu;
use crate::kernel;
use crate::thread::{self, ThreadCx};
use crate::trace::{Kind, Told, emit, with_function_bits};

/// Items of `pool` that so many [`Eyes`] see start, of [`Eyes::EVENTS`] `only` those of this pwq, one after another, for as long as its worker `w` goes on as it did and nothing
/// is left over but a count.
#[inline(always)]
pub(super) fn go_on<'p, const EYES: u8>(
    cx: &ThreadCx<'_>,
    (w, pool): (&'static Worker, &'static Pool),
    mut g: SpinGuard<'p, Inner>,
    mut hold: Hold,
    only: Handle<Pwq>,
) -> (SpinGuard<'p, Inner>, After) {
    loop {
        let Inner { policy, store, .. } = &mut *g;
        let Some(begun) = policy.go_on::<_, EYES>(store, w.handle(), only) else {
            return (g, After::of(hold));
        };
        pool.wake(begun.wake);
        let finished;
        // The item before this one is given up outside the lock, and before this one is "current".
        (g, hold, finished) = execute::<EYES, NEXT>(cx, (w, pool), begun, g, || drop(hold), None);
        if let Some(f) = finished {
            let rest = follow(pool, &mut g, &f);
            return (g, After { hold, rest });
        }
        if EYES != Eyes::ALL && g.policy.has_more() {
            return match g.policy.is_managed() {
                true => go_on_quickly::<false, EYES>(cx, w, g, hold, only),
                false => go_on_quickly::<true, EYES>(cx, w, g, hold, only),
            };
        }
    }
}

/// As [`go_on`] of [`Eyes::EVENTS`], apart: others save no registers for it.
#[inline(never)]
pub(super) fn go_on_seen<'p>(
    cx: &ThreadCx<'_>,
    w: &'static Worker,
    g: SpinGuard<'p, Inner>,
    hold: Hold,
    p: Handle<Pwq>,
) -> (SpinGuard<'p, Inner>, After) {
    stretch::begin(w);
    let (mut g, after) = go_on::<{ Eyes::EVENTS }>(cx, (w, w.pool()), g, hold, p);
    stretch::end(w, p, &mut g);
    (g, after)
}

/// As [`go_on`], but of [`Eyes::ALL`], where another one was before them, and since the lock was taken nobody was woken. `LONE`: in a
/// pool without concurrency management, where each starts by itself; else `w` is the worker that runs in its pool.
#[inline(never)]
fn go_on_quickly<'p, const LONE: bool, const EYES: u8>(
    cx: &ThreadCx<'_>,
    w: &'static Worker,
    g: SpinGuard<'p, Inner>,
    mut hold: Hold,
    only: Handle<Pwq>,
) -> (SpinGuard<'p, Inner>, After) {
    let pool = w.pool();
    // What all of them are told with.
    let queue = (EYES == Eyes::EVENTS).then(|| queue_name(share_of(only).queue_ptr()));
    let mut g = pool.adopt_enabled(g);
    if !g.policy.is_settled(&g.store, w.handle()) {
        return (g, After::of(hold));
    }
    loop {
        let Inner { policy, store, .. } = &mut *g;
        let begun = if LONE {
            policy.go_on_lone::<_, EYES>(store, w.handle(), only)
        } else {
            policy.go_on_managed::<_, EYES>(store, w.handle(), only)
        };
        let Some(begun) = begun else {
            return (g, After::of(hold));
        };
        pool.wake(begun.wake);
        let finished;
        (g, hold, finished) = if LONE {
            execute::<EYES, ALONE>(cx, (w, pool), begun, g, || drop(hold), queue)
        } else {
            execute::<EYES, MANAGED>(cx, (w, pool), begun, g, || drop(hold), queue)
        };
        if let Some(f) = finished {
            // Mostly that an item ended while a flush waits for earlier ones.
            if f.is_nothing() && g.policy.is_settled(&g.store, w.handle()) {
                continue;
            }
            let rest = follow(pool, &mut g, &f);
            return (g, After { hold, rest });
        }
    }
}

/// How an item is executed: whatever it is; as [`go_on`] says; as [`go_on_quickly`] says, without concurrency management and with.
const FIRST: u8 = 3;
const NEXT: u8 = 0;
const ALONE: u8 = 1;
const MANAGED: u8 = 2;

/// Runs one item or barrier, of a worker that comes to the list, or to what was put on its own, or with something left
/// over: not where time is short.
#[inline(never)]
pub(super) fn execute_first<'p>(
    cx: &ThreadCx<'_>,
    w: &'static Worker,
    begun: Begun,
    mut g: SpinGuard<'p, Inner>,
    after: After,
) -> (SpinGuard<'p, Inner>, After) {
    let pool = w.pool();
    if begun.pwq.is_none() {
        let Inner { policy, store, .. } = &mut *g;
        let f = policy.finish_barrier(store, w.handle());
        let passed = Passed {
            barrier: begun.item,
            flushed: f.flushed,
            gone: f.gone,
        };
        let rest = let_go(pool, &mut g, passed);
        return and_rest(pool, g, after, rest);
    }
    let (mut g, hold, finished) =
        execute::<{ Eyes::ALL }, FIRST>(cx, (w, pool), begun, g, || after.settle(), None);
    let rest = match finished {
        None => Rest::NONE,
        Some(f) => follow(pool, &mut g, &f),
    };
    (g, After { hold, rest })
}

/// (4) to (6) of the item's life: runs one item, and `settle` as soon as the lock is free. Its count, and what follows from
/// its end. `EYES` are those that saw it start. `HOW`: see [`FIRST`]. `queue` names
/// its queue in events, if that is known.
#[inline(always)]
fn execute<'p, const EYES: u8, const HOW: u8>(
    cx: &ThreadCx<'_>,
    (w, pool): (&'static Worker, &'static Pool),
    begun: Begun,
    mut g: SpinGuard<'p, Inner>,
    settle: impl FnOnce(),
    queue: Option<u64>,
) -> (SpinGuard<'p, Inner>, Hold, Option<Finished>) {
    let Begun { item, counted, .. } = begun;
    let pwq = begun.pwq.expect("an item, not a barrier");
    // SAFETY: the item's submission keeps it alive until `hold` is dropped.
    let h: &'p Header = unsafe { Header::of(item) };
    // The share is kept by its item.
    let share: &'p Share = share_of(pwq);
    let name = || queue.unwrap_or_else(|| queue_name(share.queue_ptr()));
    h.in_run.begin();
    let (taken, hold) = h.take();
    let aware = EYES == Eyes::ALL && share.pwq(&g).is_preemption_aware();
    let watched = aware && w.kind == WorkerKind::Bound;
    if watched {
        let after = g.policy.tuning().preempted_after;
        thread::current().watch.begin(after);
    }
    // Interrupts are masked: it stays the running core until they are not.
    let c = this_cpu();
    let told = Told::by_unless(EYES == Eyes::NONE, c, Kind::ExecuteStart);
    let now = told.now();
    told.emit_bits(now, || {
        let head = with_function_bits(g.store.head, h.function());
        (head, item_name(item), name())
    });
    if EYES == Eyes::EVENTS {
        w.began.set(now);
    } else if told.anatomy() {
        anatomy::started(now, w, h);
    }
    if matches!(HOW, FIRST | NEXT) && w.marks.get() != 0 {
        marked(w, share, &mut g);
    }
    match HOW {
        FIRST => pool.set_budget(counted),
        // It is counted, or the pool has no core and so no budget.
        NEXT => c.clock.start_budget(pool.budget()),
        MANAGED => {
            let begin = if EYES == Eyes::NONE {
                machine::stamp()
            } else {
                now
            };
            c.clock.renew_budget(begin, || pool.budget());
        }
        _ => {}
    }
    if HOW == MANAGED || HOW == ALONE && begun.wake.is_none() {
        g.release_quietly();
    } else {
        drop(g);
    }
    // Before this item is "current": a panic of that one's destructor is not its. None sleeps, having no `ThreadCx`.
    settle();
    w.pwq.set(Some(pwq));
    w.current.set(Some(NonNull::from(h)));
    // SAFETY: items on thread pools take a `ThreadCx`; `hold` is the count.
    unsafe { h.run(core::ptr::from_ref(cx).cast(), taken) };
    // E20: the next item would start in the section this one left open.
    if sync::preempt_word() != 0 || machine::irqs_masked() {
        end_left_sections(h);
    }
    w.current.set(None);
    if watched {
        thread::current().watch.end();
    }
    let mut g = pool.lock_enabled();
    let told = Told::unless(EYES == Eyes::NONE, Kind::ExecuteEnd);
    let now = told.now();
    told.emit_bits(now, || (g.store.head, item_name(item), name()));
    if EYES != Eyes::EVENTS && told.anatomy() {
        anatomy::over(told, now, w, (share, h), &mut g);
    }
    let Inner { policy, store, .. } = &mut *g;
    let ran = (item, pwq);
    let over = match HOW {
        MANAGED => policy.finish_bound::<_, EYES>(store, w.handle(), ran),
        ALONE => policy.finish_lone::<_, EYES>(store, w.handle(), ran),
        _ if EYES == Eyes::NONE => policy.finish_plain(store, w.handle(), ran),
        _ => policy.finish(store, w.handle(), ran),
    };
    let finished = match over {
        Over::Goes => None,
        // From the handle: mostly it is not wanted.
        Over::Last => {
            share_of(pwq).tell_passed(&g);
            None
        }
        Over::Follows(f) => {
            share_of(pwq).tell_passed(&g);
            Some(f)
        }
    };
    h.in_run.end();
    (g, hold, finished)
}

/// What follows from the end of an item, as far as it concerns `pool`, whose lock is `g`.
#[inline(never)]
fn follow(pool: &'static Pool, g: &mut Inner, f: &Finished) -> Rest {
    pool.wake(f.wake);
    pool.flushed(f.flushed);
    pool.conclude(g, f.hand, f.gone).and(f.freed)
}

/// A worker of `pool` has passed a barrier: its waiter goes on. What is left to do; under the lock `g`.
#[inline(never)]
pub(super) fn let_go(pool: &'static Pool, g: &mut Inner, passed: Passed) -> Rest {
    emit(Kind::BarrierDone, pool.head(), 0, item_name(passed.barrier));
    // SAFETY: it was queued and is passed once.
    unsafe { Barrier::complete(passed.barrier, &g.store) };
    pool.flushed(passed.flushed);
    pool.conclude(g, None, passed.gone)
}

/// `rest` is to be done as well as `after`: at once, if both leave something.
#[inline(always)]
pub(super) fn and_rest<'p>(
    pool: &'static Pool,
    g: SpinGuard<'p, Inner>,
    mut after: After,
    rest: Rest,
) -> (SpinGuard<'p, Inner>, After) {
    if rest.is_none() || after.rest.is_none() {
        if !rest.is_none() {
            after.rest = rest;
        }
        return (g, after);
    }
    drop(g);
    after.settle();
    rest.carry_out();
    (pool.lock(), After::NONE)
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
