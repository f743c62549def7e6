//! 99: a worker that others keep off its core counts no more exactly when the threshold is over, if its
//! queue asked for that; what is queued behind it goes on (beyond Linux, E2).

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloc::sync::Arc;
use kernel::cpu::CpuMask;
use kernel::thread::{Builder, Nice, ThreadCx, ThreadRef};
use kernel::wq::{self, PerCpu, Run, Submitted, Work, Workqueue};
use machine::{CpuId, Duration, now};

use super::work_kit::{ms, us};
use crate::ktest;
use crate::registry::Needs;

ktest!(
    "99_work_preempted_worker_is_passed_at_the_threshold",
    passed_at_the_threshold,
    Needs::new().icount().timeout(60)
);

/// The threshold of a machine that has just booted.
const THRESHOLD: Duration = ms(10);
/// How late the timer and the hook may be.
const LATE_NS: u64 = 50_000;
/// CPU time of the long item: beside a thread of nice -20 it has a ninetieth of the core.
const LONG: Duration = ms(4);
/// Somebody else has had the core.
const AWAY: Duration = us(100);

/// Uses the core for `d`, not counting the time that others have it.
fn compute(d: Duration) {
    let (mut used, mut last) = (Duration::ZERO, now());
    while used < d {
        let t = now();
        if t.since(last) < AWAY {
            used += t.since(last);
        }
        last = t;
    }
}

/// What the rival is told, and sees.
#[derive(Default)]
struct Watcher {
    stop: AtomicBool,
    /// How long it had the core when the pool was told for the first time, in nanoseconds.
    told: AtomicU64,
}

/// A thread of nice -20 that wants the core all the time.
fn rival(watcher: &Arc<Watcher>) -> ThreadRef {
    let w = Arc::clone(watcher);
    let body = move |_: &ThreadCx<'_>| {
        let before = wq::preempted_count();
        let mut last = now();
        let mut got_core = last;
        while !w.stop.load(Ordering::Relaxed) {
            let t = now();
            if t.since(last) >= AWAY {
                got_core = t;
            }
            last = t;
            if w.told.load(Ordering::Relaxed) == 0 && wq::preempted_count() != before {
                let ns = t.since(got_core).as_nanos();
                w.told.store(ns, Ordering::Relaxed);
            }
        }
    };
    let builder = Builder::new("rival").affinity(CpuMask::single(CpuId::BOOT));
    let nice = Nice::new(-20).expect("a nice level");
    builder.nice(nice).spawn(body).expect("memory for a thread")
}

/// When a race's short item was over, when its long one was, and when the pool was told, in nanoseconds:
/// the first two since the long one began, the last since the rival got the core; 0 if it was not.
struct Times {
    short: u64,
    long: u64,
    told: u64,
}

/// A long item of `wq`, a short one behind it on the same core's pool, and a rival.
fn race(cx: &ThreadCx<'_>, wq: &Workqueue<PerCpu>) -> Times {
    let long = Arc::new(Work::new(
        (AtomicU64::new(0), AtomicU64::new(0)),
        |_: &ThreadCx<'_>, run: &Run<'_, (AtomicU64, AtomicU64)>| {
            run.0.store(now().as_nanos(), Ordering::Relaxed);
            compute(LONG);
            run.1.store(now().as_nanos(), Ordering::Relaxed);
        },
    ));
    let short = Arc::new(Work::new(
        AtomicU64::new(0),
        |_: &ThreadCx<'_>, run: &Run<'_, AtomicU64>| {
            run.store(now().as_nanos(), Ordering::Relaxed);
        },
    ));
    let watcher = Arc::new(Watcher::default());
    assert_eq!(wq.queue_on(CpuId::BOOT, &long), Submitted::Queued);
    assert_eq!(
        wq::percpu().queue_on(CpuId::BOOT, &short),
        Submitted::Queued
    );
    let rival = rival(&watcher);
    long.flush(cx).expect("it did not panic");
    short.flush(cx).expect("it did not panic");
    watcher.stop.store(true, Ordering::Relaxed);
    rival.join(cx);
    let began = long.0.load(Ordering::Relaxed);
    Times {
        short: short.load(Ordering::Relaxed) - began,
        long: long.1.load(Ordering::Relaxed) - began,
        told: watcher.told.load(Ordering::Relaxed),
    }
}

fn passed_at_the_threshold(cx: &ThreadCx<'_>) {
    wq::set_cpu_intensive_threshold(Duration::ZERO);
    assert_eq!(wq::preempted_threshold(), THRESHOLD);
    let plain = Workqueue::<PerCpu>::builder("plain").build();
    let plain = plain.expect("memory for a queue");
    let t = race(cx, &plain);
    kernel::log!(
        "as in Linux: short {} us, long {} us",
        t.short / 1_000,
        t.long / 1_000
    );
    assert_eq!(t.told, 0, "a queue that did not ask");
    assert!(t.short >= t.long, "it waits for the long one");
    plain.destroy(cx).expect("not one of its items");

    let aware = Workqueue::<PerCpu>::builder("aware").preemption_aware();
    let aware = aware.build().expect("memory for a queue");
    for threshold in [THRESHOLD, ms(2), ms(37)] {
        wq::set_preempted_threshold(threshold);
        let t = race(cx, &aware);
        let ns = threshold.as_nanos();
        kernel::log!(
            "told at {} ns for {ns} ns: short {} us, long {} us",
            t.told,
            t.short / 1_000,
            t.long / 1_000
        );
        // The rival reads its clock a moment after it has got the core.
        let range = ns - LATE_NS..ns + LATE_NS;
        assert!(range.contains(&t.told), "told at {}, not {ns} ns", t.told);
        assert!(2 * t.short < t.long, "it does not wait for the long one");
    }
    wq::set_preempted_threshold(THRESHOLD);
    wq::set_cpu_intensive_threshold(ms(10));
    aware.destroy(cx).expect("not one of its items");
}
