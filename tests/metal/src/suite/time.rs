//! Timers and timed sleeps.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use kernel::completion::Completion;
use kernel::thread::{ThreadCx, sleep, sleep_until};
use kernel::timer::Timer;
use machine::{Duration, Instant};

/// Sleeps never end early, and end within 100 us of guest time (instruction-counted runs).
pub(crate) fn sleeps_are_exact(cx: &ThreadCx<'_>) {
    for us in [1, 10, 100, 999, 5_000, 20_000] {
        let at = machine::now() + Duration::from_micros(us);
        sleep_until(cx, at);
        let late = machine::now().since(at);
        assert!(machine::now() >= at, "woke early");
        assert!(late < Duration::from_micros(100), "a sleep of {us} us ended {late:?} late");
    }
}

/// A sleep on a running system ends, and not early.
pub(crate) fn sleeps_are_not_early(cx: &ThreadCx<'_>) {
    for ms in [1, 5, 10] {
        let t0 = machine::now();
        sleep(cx, Duration::from_millis(ms));
        assert!(machine::now().since(t0) >= Duration::from_millis(ms));
    }
}

static FIRED: AtomicU32 = AtomicU32::new(0);
static FIRED_AT: AtomicU64 = AtomicU64::new(0);
static DONE: Completion = Completion::new();

fn fire(_: &Timer) {
    assert!(sync::serving_softirq(), "timer callbacks run in BH context");
    FIRED.fetch_add(1, Ordering::Relaxed);
    FIRED_AT.store(machine::now().as_nanos(), Ordering::Relaxed);
    DONE.complete();
}

/// Arm, re-arm later and earlier, cancel: one callback per arming, at the last deadline given.
#[expect(unsafe_code, reason = "arms a static timer, which lives for ever")]
pub(crate) fn arm_rearm_cancel(cx: &ThreadCx<'_>) {
    static TIMER: Timer = Timer::new(fire);
    let arm = |at: Instant| {
        // SAFETY: the timer is a static.
        unsafe { TIMER.arm(at) }
    };
    FIRED.store(0, Ordering::Relaxed);
    let t0 = machine::now();
    arm(t0 + Duration::from_secs(3_600));
    assert!(TIMER.is_armed());
    let at = t0 + Duration::from_millis(3);
    arm(at);
    DONE.wait(cx);
    assert_eq!(FIRED.load(Ordering::Relaxed), 1);
    assert!(FIRED_AT.load(Ordering::Relaxed) >= at.as_nanos(), "fired early");
    assert!(!TIMER.is_armed());
    assert!(!TIMER.cancel(), "a fired timer is not armed");
    arm(machine::now() + Duration::from_millis(2));
    assert!(TIMER.cancel(), "an armed timer is cancelled");
    sleep(cx, Duration::from_millis(5));
    assert_eq!(FIRED.load(Ordering::Relaxed), 1, "a cancelled timer fired");
    TIMER.cancel_sync();
}
