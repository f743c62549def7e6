//! What the running thread does to itself: sleep, park, give up its turn, end; and the proof that it may.
#![expect(unsafe_code, reason = "container_of, from the header to its thread")]

use core::fmt;
use core::marker::PhantomData;
use core::mem::offset_of;

use machine::Duration;

use super::{State, Thread};
use crate::timer::Timer;
use crate::waits::{self, SleepsIn};
use crate::{kernel, lend, mutex, schedule};

/// Proof of thread context: whoever has it may sleep.
///
/// Every function that may sleep takes one. It is minted for a thread's body and for each work
/// item run by a worker thread, and it is neither `Send` nor `'static`, so a BH handler or an
/// interrupt handler cannot have one.
pub struct ThreadCx<'a> {
    scope: PhantomData<(&'a (), *const ())>,
}

impl fmt::Debug for ThreadCx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ThreadCx")
    }
}

impl ThreadCx<'_> {
    /// Mints the token; the caller is in thread context and hands it down by reference only.
    pub(crate) const fn mint() -> Self {
        Self { scope: PhantomData }
    }
}

/// Ends the running thread.
pub(crate) fn exit() -> ! {
    let thread = current();
    thread.sleep_timer.cancel();
    if mutex::abandon(thread) > 0 {
        thread.quarantine();
    }
    lend::forget(thread);
    kernel().threads.remove(thread);
    thread.state.set(State::Dead);
    // Joiners may drop their references at once; the scheduler's own one keeps the stack.
    thread.exited.complete_all();
    schedule::exit_current()
}

/// The running thread.
#[inline(always)]
pub fn current() -> &'static Thread {
    // SAFETY: after boot every running header is the first field of a `Thread`, and the reference
    // is used by code that runs on that thread.
    unsafe { Thread::of_header(machine::current()) }
}

/// Gives up the core to another eligible thread.
pub fn yield_now(_cx: &ThreadCx<'_>) {
    schedule::yield_current();
}

/// Sleeps for at least `d`.
pub fn sleep(cx: &ThreadCx<'_>, d: Duration) {
    sleep_until(cx, machine::now() + d);
}

/// Sleeps until `at` or shortly after.
pub fn sleep_until(cx: &ThreadCx<'_>, at: machine::Instant) {
    schedule::might_sleep("thread::sleep");
    let _said = waits::sleeps_in(SleepsIn::Time);
    while machine::now() < at {
        schedule::prepare_to_sleep();
        schedule::schedule_until(cx, at);
    }
}

/// Sleeps until somebody calls [`Thread::unpark`] on this thread, or has done so already.
pub fn park(cx: &ThreadCx<'_>) {
    schedule::might_sleep("thread::park");
    let _said = waits::sleeps_in(SleepsIn::Park);
    let me = current();
    loop {
        schedule::prepare_to_sleep();
        if me.park_token.take() {
            schedule::cancel_sleep();
            return;
        }
        schedule::schedule_blocked(cx);
    }
}

/// Timer callback of a timed sleep.
pub(super) fn wake_sleeper(timer: &Timer) {
    let p = core::ptr::from_ref(timer).cast::<u8>();
    let p = p
        .wrapping_sub(offset_of!(Thread, sleep_timer))
        .cast::<Thread>();
    // SAFETY: only `Thread::sleep_timer` has this callback, and `schedule_until` cancels the timer
    // and waits for a running callback before the thread can end.
    let thread = unsafe { &*p };
    schedule::wake(thread);
}
