//! The running thread gives up the core by itself: it yields, sleeps or ends.
//!
//! Who sleeps announces that, looks at its condition once more, and then leaves. Between the announcement
//! and the core's next thread a waker may come at any time; it finds the thread announced and makes
//! it runnable again.
#![expect(unsafe_code, reason = "the timer of a timed sleep is in its thread")]

use core::sync::atomic::Ordering;

use machine::Instant;

use super::{clock, preempt, reschedule_blocked, reschedule_ending, reschedule_yielding};
use crate::cpu::this_cpu;
use crate::thread::{State, Thread, ThreadCx, current};
use crate::trace::{Head, Kind, emit};
use crate::waits::SleepsIn;
use crate::wq;

/// Gives up the running thread's turn.
pub(crate) fn yield_current() {
    might_sleep("yield_now");
    let irq = machine::irq_save();
    reschedule_yielding();
    machine::irq_restore(irq);
}

/// The running thread is about to wait for another one that this core may run at once: it lets that go first, if it is that
/// one's turn. It stays runnable, and may be back at once.
pub(crate) fn waive_turn() {
    might_sleep("a wait");
    let irq = machine::irq_save();
    this_cpu().rq.lock_masked().queue.waive(clock());
    preempt();
    machine::irq_restore(irq);
}

/// One other thread waits for this core, and no more; and the running one would not be moved to another core if it waited,
/// too. Stale at once.
#[inline(always)]
pub(crate) fn is_beside_one() -> bool {
    let c = this_cpu();
    c.load() == 2 && !c.others.may_take(current().stays())
}

/// Announces that the running thread is going to sleep. The caller then checks its condition once
/// more, and calls [`cancel_sleep`] or one of the `schedule_*` functions.
#[inline]
pub(crate) fn prepare_to_sleep() {
    let me = current();
    me.sleeps_in.sleeps(SleepsIn::Nothing);
    me.state.announce();
}

/// As [`prepare_to_sleep`], of `me`, the running thread, in `what`, under a lock that is held by whoever wakes
/// it.
#[inline(always)]
pub(crate) fn prepare_to_sleep_locked(me: &Thread, what: SleepsIn) {
    me.sleeps_in.sleeps(what);
    me.state.announce_locked();
}

/// Takes back [`prepare_to_sleep`].
#[inline]
pub(crate) fn cancel_sleep() {
    current().state.set(State::Running);
}

/// Sleeps, unless somebody woke the thread since [`prepare_to_sleep`].
pub(crate) fn schedule_blocked(cx: &ThreadCx<'_>) {
    might_sleep("schedule");
    let masked = sync::IrqGuard::new();
    schedule_masked(current(), cx);
    drop(masked);
}

/// As [`schedule_blocked`], of `me`, the running thread, with interrupts masked on entry and on return; the
/// caller has asked [`might_sleep`] before.
#[inline(always)]
pub(crate) fn schedule_masked(me: &Thread, _cx: &ThreadCx<'_>) {
    let mut told = None;
    if !me.worker.load(Ordering::Relaxed).is_null() && me.state() == State::Sleeping {
        told = worker_sleeps(me);
    }
    reschedule_blocked();
    if let Some(worker) = told {
        worker_runs(worker);
    }
}

/// As [`schedule_masked`], of a worker that is on its pool's idle list: it is not counted, so the pool is told nothing.
#[inline(always)]
pub(crate) fn schedule_uncounted(_cx: &ThreadCx<'_>) {
    reschedule_blocked();
}

// Apart, so that other threads need not save the registers that these take.

#[inline(never)]
fn worker_sleeps(me: &Thread) -> Option<&'static wq::Worker> {
    wq::hooks::worker_sleeping(me)
}

#[inline(never)]
fn worker_runs(worker: &'static wq::Worker) {
    wq::hooks::worker_running(worker);
    // What was lent to it may be somebody else's now, who goes first: the section that ends next may not ask.
    if this_cpu().header.need_resched.load(Ordering::Relaxed) {
        preempt();
    }
}

/// As [`schedule_blocked`], waking up by itself at `at`. False when the time is over.
pub(crate) fn schedule_until(cx: &ThreadCx<'_>, at: Instant) -> bool {
    let me = current();
    // SAFETY: the timer lives in the thread, which runs; it is cancelled below before the thread
    // can end.
    unsafe { me.sleep_timer.arm(at) };
    schedule_blocked(cx);
    me.sleep_timer.cancel_sync();
    machine::now() < at
}

/// Ends the running thread; its state is `Dead`.
pub(crate) fn exit_current() -> ! {
    might_sleep("exit");
    machine::irq_disable();
    emit(Kind::SchedProcessExit, Head::of(current().id()), 0, 0);
    reschedule_ending();
    unreachable!("a dead thread is never continued");
}

/// Panics when the running context may not sleep, naming what forbids it to `who`.
#[inline]
pub(crate) fn might_sleep(who: &'static str) {
    if cfg!(debug_assertions) && sync::in_atomic() {
        slept_in_atomic(who);
    }
}

#[cold]
fn slept_in_atomic(who: &'static str) -> ! {
    let thread = current().name();
    match machine::percpu().held.last() {
        Some(lock) => panic!(
            "sleep in atomic context: {who} while holding spin lock \"{}\", in thread \"{thread}\"",
            lock.name
        ),
        None if sync::serving_softirq() => panic!(
            "sleep in atomic context: {who} in BH work item {}, on top of thread \"{thread}\"",
            wq::bh::current_item().unwrap_or("(none)"),
        ),
        None => panic!(
            "sleep in atomic context: {who} with preempt word {:#x}, interrupts {}, in thread \"{thread}\"",
            sync::preempt_word(),
            if machine::irqs_masked() {
                "masked"
            } else {
                "on"
            },
        ),
    }
}
