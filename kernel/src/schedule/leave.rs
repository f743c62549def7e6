//! The running thread gives up the core by itself: it yields, sleeps or ends.
//!
//! Who sleeps announces that, looks at its condition once more, and then leaves. Between the announcement
//! and the core's next thread a waker may come at any time; it finds the thread announced and makes
//! it runnable again.
#![expect(unsafe_code, reason = "the timer of a timed sleep is in its thread")]

use core::sync::atomic::Ordering;

use machine::Instant;

use super::{Why, reschedule, reschedule_blocked, reschedule_yielding};
use crate::thread::{State, Thread, ThreadCx, current};
use crate::trace::{Head, Kind, emit};
use crate::wq;

/// Gives up the running thread's turn.
pub(crate) fn yield_current() {
    might_sleep("yield_now");
    let irq = machine::irq_save();
    reschedule_yielding();
    machine::irq_restore(irq);
}

/// Announces that the running thread is going to sleep. The caller then checks its condition once
/// more, and calls [`cancel_sleep`] or one of the `schedule_*` functions.
#[inline]
pub(crate) fn prepare_to_sleep() {
    current().state.announce();
}

/// Takes back [`prepare_to_sleep`].
#[inline]
pub(crate) fn cancel_sleep() {
    current().state.set(State::Running);
}

/// Sleeps, unless somebody woke the thread since [`prepare_to_sleep`].
pub(crate) fn schedule_blocked(_cx: &ThreadCx<'_>) {
    might_sleep("schedule");
    let me = current();
    let worker = !me.worker.load(Ordering::Relaxed).is_null();
    if worker && me.state() == State::Sleeping {
        worker_sleeps(me);
    }
    let irq = machine::irq_save();
    reschedule_blocked();
    machine::irq_restore(irq);
    if worker {
        worker_runs(me);
    }
}

// Apart, so that other threads need not save the registers that these take.

#[inline(never)]
fn worker_sleeps(me: &Thread) {
    wq::hooks::worker_sleeping(me);
}

#[inline(never)]
fn worker_runs(me: &Thread) {
    wq::hooks::worker_running(me);
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
    reschedule(Why::Exit);
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
