//! 10: clock and timers.

use core::sync::atomic::{AtomicU64, Ordering};

use kernel::cpu::online;
use kernel::thread::{self, ThreadCx};
use kernel::timer::Timer;
use machine::{CpuId, Duration, Instant, now};

use super::work_kit::on_core;
use crate::ktest;
use crate::registry::Needs;

ktest!("10_clock_never_goes_back", clock_never_goes_back);
ktest!("11_sleep_is_never_short", sleep_is_never_short);
ktest!(
    "12_timer_fires_once_and_in_order",
    timer_fires_once_and_in_order
);
ktest!(
    "13_cancelled_timer_does_not_fire",
    cancelled_timer_does_not_fire
);
ktest!(
    "14_sleep_ends_within_50_us",
    sleep_ends_within_50_us,
    Needs::new().icount()
);
ktest!(
    "15_timers_of_all_cores_are_as_good",
    timers_of_all_cores_are_as_good,
    Needs::new().cpus(2)
);

fn clock_never_goes_back(cx: &ThreadCx<'_>) {
    let mut last = now();
    for i in 0..20_000 {
        let next = now();
        assert!(next >= last, "{last:?} then {next:?}");
        last = next;
        if i % 1_000 == 0 {
            // Perhaps on another core afterwards.
            thread::yield_now(cx);
        }
    }
}

fn sleep_is_never_short(cx: &ThreadCx<'_>) {
    for us in [1, 10, 100, 1_000, 20_000] {
        let wanted = Duration::from_micros(us);
        let before = now();
        thread::sleep(cx, wanted);
        let slept = now().since(before);
        assert!(slept >= wanted, "asked for {wanted:?}, slept {slept:?}");
        assert!(
            slept < Duration::from_millis(2_000),
            "asked for {wanted:?}, slept {slept:?}"
        );
    }
}

/// Times at which the callbacks ran, zero for "not yet".
static FIRED: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
static COUNT: AtomicU64 = AtomicU64::new(0);

fn fire(which: usize) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    FIRED[which].store(now().as_nanos(), Ordering::Release);
}

static TIMERS: [Timer; 3] = [
    Timer::new(|_| fire(0)),
    Timer::new(|_| fire(1)),
    Timer::new(|_| fire(2)),
];

#[expect(
    unsafe_code,
    reason = "arming asks for a timer that stays alive; these are static"
)]
fn arm(which: usize, at: Instant) {
    // SAFETY: the timers are static.
    unsafe { TIMERS[which].arm(at) };
}

fn timer_fires_once_and_in_order(cx: &ThreadCx<'_>) {
    let begin = now();
    let at = [30, 10, 20].map(|ms| begin + Duration::from_millis(ms));
    (0..3).for_each(|i| arm(i, at[i]));
    thread::sleep(cx, Duration::from_millis(120));
    let fired = [0, 1, 2].map(|i| FIRED[i].load(Ordering::Acquire));
    for i in 0..3 {
        assert!(
            fired[i] >= at[i].as_nanos(),
            "timer {i} fired {} ns early",
            at[i].as_nanos() - fired[i]
        );
    }
    assert!(
        fired[1] <= fired[2] && fired[2] <= fired[0],
        "order: {fired:?}"
    );
    assert_eq!(COUNT.load(Ordering::Relaxed), 3);
}

fn cancelled_timer_does_not_fire(cx: &ThreadCx<'_>) {
    static RAN: AtomicU64 = AtomicU64::new(0);
    static TIMER: Timer = Timer::new(|_| {
        RAN.fetch_add(1, Ordering::Relaxed);
    });
    let arm = |ms| {
        #[expect(unsafe_code, reason = "as above")]
        // SAFETY: the timer is static.
        unsafe {
            TIMER.arm(now() + Duration::from_millis(ms));
        }
    };
    arm(50);
    assert!(TIMER.is_armed());
    assert!(TIMER.cancel(), "it was armed");
    assert!(!TIMER.cancel(), "it was not armed any more");
    // Re-arming replaces the deadline.
    arm(60_000);
    arm(5);
    thread::sleep(cx, Duration::from_millis(80));
    assert_eq!(RAN.load(Ordering::Relaxed), 1);
    assert!(!TIMER.is_armed());
}

fn sleep_ends_within_50_us(cx: &ThreadCx<'_>) {
    for ms in [1, 10, 100, 1_000] {
        let wanted = Duration::from_millis(ms);
        let before = now();
        thread::sleep(cx, wanted);
        let late = now().since(before).as_nanos() - wanted.as_nanos();
        assert!(late < 50_000, "a sleep of {ms} ms ended {late} ns late");
    }
}

/// How late the middle one of 50 sleeps on a core ends. The host's other programs delay some of them
/// by a turn of their own, hardly half of them.
fn median_lateness(cx: &ThreadCx<'_>, on: CpuId) -> u64 {
    static MEDIAN: AtomicU64 = AtomicU64::new(0);
    let sleeper = on_core(on, |cx| {
        let wanted = Duration::from_micros(500);
        let mut late = [0; 50];
        for late in &mut late {
            let before = now();
            thread::sleep(cx, wanted);
            *late = now().since(before).as_nanos() - wanted.as_nanos();
        }
        late.sort_unstable();
        MEDIAN.store(late[late.len() / 2], Ordering::Relaxed);
    });
    sleeper.join(cx);
    MEDIAN.load(Ordering::Relaxed)
}

/// Each core's timer is as good as the boot core's: a core whose own timer does not wake it is woken
/// by accident only, by another core's interrupt. One core after the other, so that the host's cores do.
fn timers_of_all_cores_are_as_good(cx: &ThreadCx<'_>) {
    let boot = median_lateness(cx, CpuId::BOOT);
    for core in online().iter().filter(|&core| core != CpuId::BOOT) {
        let here = median_lateness(cx, core);
        assert!(
            here < 20 * boot + 2_000_000,
            "core {core}: {here} ns late, the boot core {boot} ns"
        );
    }
}
