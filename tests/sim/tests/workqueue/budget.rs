//! The CPU budget of per-CPU items (E3, E13, E14, E16): exact under any interleaving.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kernel::cpu::CpuMask;
use kernel::thread::{Builder, ThreadCx, sleep};
use kernel::wq::{self, PerCpu, Run, Work, Workqueue};
use machine::{CpuId, Duration, Instant, now};
use sim::{Kinds, Options, Scenario, run, sweep};

use super::us;

/// How late the timer and the hook may be.
const LATE: Duration = Duration::from_micros(50);
/// Longest slice (8 cores): what the scheduler may let the hog finish first.
const SLICE: Duration = Duration::from_micros(2_800);

/// Computes until `for_how_long` is over; when the budget was used up, if it was.
fn burn(for_how_long: Duration) -> Option<Duration> {
    let (began, before) = (now(), wq::hog_count());
    let mut seen = None;
    while now().since(began) < for_how_long {
        if seen.is_none() && wq::hog_count() != before {
            seen = Some(now().since(began));
        }
    }
    seen
}

fn assert_at(what: &str, at: Duration, wanted: Duration, late: Duration) {
    let earliest = wanted.as_nanos() - 2_000;
    assert!(
        at.as_nanos() >= earliest && at < wanted + late,
        "{what} at {at:?}, not {wanted:?}"
    );
}

/// A hog of 15 ms and a short item behind it; when the short one started.
fn race(cx: &ThreadCx<'_>, wq: &Workqueue<PerCpu>, budget: Option<Duration>) -> Duration {
    let hog = Arc::new(Work::new(
        (AtomicU64::new(0), budget),
        |_: &ThreadCx<'_>, run: &Run<'_, (AtomicU64, Option<Duration>)>| {
            run.0.store(now().as_nanos(), Ordering::Relaxed);
            let seen = burn(Duration::from_millis(15));
            assert_eq!(seen.is_some(), run.1.is_some(), "hook at {seen:?}");
            if let (Some(seen), Some(wanted)) = (seen, run.1) {
                assert_at("the hook ran", seen, wanted, LATE);
            }
        },
    ));
    let short = Arc::new(Work::new(
        AtomicU64::new(0),
        |_: &ThreadCx<'_>, run: &Run<'_, AtomicU64>| {
            run.store(now().as_nanos(), Ordering::Relaxed);
        },
    ));
    assert!(wq.queue_on(CpuId::BOOT, &hog).is_pending());
    assert!(wq::percpu().queue_on(CpuId::BOOT, &short).is_pending());
    hog.flush(cx).expect("it did not panic");
    short.flush(cx).expect("it did not panic");
    let at = |ns: &AtomicU64| Instant::from_nanos(ns.load(Ordering::Relaxed));
    at(&short).since(at(&hog.0))
}

#[test]
fn e14_a_hog_is_overtaken_at_its_budget() {
    fn body(cx: &ThreadCx<'_>) {
        let ten = Duration::from_millis(10);
        let started = race(cx, wq::percpu(), Some(ten));
        assert_at("the short item started", started, ten, SLICE + LATE);
        let two = Duration::from_millis(2);
        wq::set_cpu_intensive_threshold(two);
        let started = race(cx, wq::percpu(), Some(two));
        assert_at("the short item started", started, two, SLICE + LATE);
        let heavy = Workqueue::<PerCpu>::builder("heavy").cpu_intensive();
        let heavy = heavy.build().expect("memory for a queue");
        let started = race(cx, &heavy, None);
        assert!(started < SLICE + LATE, "E13: it waited {started:?}");
        heavy.destroy(cx).expect("not one of its items");
    }
    let scenario = Scenario::new("budget", 1, body).endures(Kinds::NONE);
    sweep(scenario, &[1, 2, 8], 0..8);
}

#[test]
fn e3_e14_the_budget_counts_cpu_time_since_the_last_wake_up() {
    fn body(cx: &ThreadCx<'_>) {
        wq::set_cpu_intensive_threshold(Duration::from_millis(3));
        let rival = Builder::new("rival")
            .affinity(CpuMask::single(CpuId::BOOT))
            .spawn(|_: &ThreadCx<'_>| {
                let _ = burn(Duration::from_millis(20));
            })
            .expect("memory for a thread");
        let hog = Arc::new(Work::new((), |_: &ThreadCx<'_>, _: &Run<'_, ()>| {
            let seen = burn(Duration::from_millis(15)).expect("it hogs");
            // Beside an equal rival half the time is its own; a slice early or late.
            let wanted = Duration::from_millis(6);
            assert!(
                seen + SLICE > wanted && seen < wanted + SLICE,
                "3 ms of its own time were over after {seen:?}"
            );
        }));
        assert!(wq::percpu().queue_on(CpuId::BOOT, &hog).is_pending());
        hog.flush(cx).expect("it did not panic");
        rival.join(cx);
        let pausing = Arc::new(Work::new((), |cx: &ThreadCx<'_>, _: &Run<'_, ()>| {
            for _ in 0..3 {
                let seen = burn(us(2_500));
                assert_eq!(seen, None, "a sleep starts the budget anew");
                sleep(cx, us(100));
            }
        }));
        assert!(wq::percpu().queue_on(CpuId::BOOT, &pausing).is_pending());
        pausing.flush(cx).expect("it did not panic");
    }
    let scenario = Scenario::new("budget of CPU time", 1, body).endures(Kinds::NONE);
    sweep(scenario, &[1, 2], 0..8);
}

#[test]
fn e16_a_hog_is_told_ever_more_seldom() {
    fn body(cx: &ThreadCx<'_>) {
        let item = Arc::new(Work::new((), |_: &ThreadCx<'_>, _: &Run<'_, ()>| {
            burn(Duration::from_millis(11));
        }));
        for _ in 0..12 {
            assert!(wq::percpu().queue_on(CpuId::BOOT, &item).is_pending());
            item.flush(cx).expect("it did not panic");
        }
    }
    let outcome = run(&Scenario::new("told hog", 1, body), 0, Options::default()).expect_ok();
    let counts: Vec<&str> = outcome
        .console
        .lines()
        .filter_map(|line| {
            line.split_once("hogged CPU for >10000us ")?
                .1
                .split(' ')
                .next()
        })
        .collect();
    assert_eq!(counts, ["4", "5", "7", "11"]);
}
