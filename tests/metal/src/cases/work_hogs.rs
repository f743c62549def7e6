//! 93: items that hog their core leave concurrency management exactly when their budget is used up
//! (E3, E13-E16).

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloc::sync::Arc;
use kernel::thread::{self, ThreadCx};
use kernel::wq::{self, PerCpu, Run, Submitted, Work, Workqueue};
use machine::{CpuId, Duration, now};

use super::work_kit::{ms, on_core};
use crate::ktest;
use crate::registry::Needs;

ktest!(
    "93_e13_e14_e15_work_hog_is_overtaken_at_its_budget",
    overtaken_at_the_budget,
    Needs::new().icount()
);
ktest!(
    "93_e14_work_hog_budget_is_cpu_time_since_wake_up",
    cpu_time_since_the_last_wake_up,
    Needs::new().icount()
);
ktest!(
    "93_work_hogs_are_counted_by_function",
    counted_by_function,
    Needs::new().icount()
);

/// The threshold of a machine that has just booted.
const THRESHOLD: Duration = ms(10);
/// How late the timer and the hook may be.
const LATE_NS: u64 = 50_000;
/// A slice on one core: what the scheduler may let the hog finish first.
const SLICE_NS: u64 = 700_000;

/// What a hog saw, in nanoseconds since it started.
#[derive(Default)]
struct Seen {
    began: AtomicU64,
    /// The hook ran; 0 if it did not.
    hook: AtomicU64,
}

/// Computes for `for_how_long`, looking out for the hook.
fn burn(seen: &Seen, for_how_long: Duration) {
    let (began, before) = (now(), wq::hog_count());
    seen.began.store(began.as_nanos(), Ordering::Relaxed);
    while now().since(began) < for_how_long {
        super::compute();
        if wq::hog_count() != before && seen.hook.load(Ordering::Relaxed) == 0 {
            let ns = now().since(began).as_nanos();
            seen.hook.store(ns, Ordering::Relaxed);
        }
    }
}

fn hog() -> Arc<Work<Seen>> {
    let body = |_: &ThreadCx<'_>, run: &Run<'_, Seen>| burn(run, ms(100));
    Arc::new(<Work<_>>::new(Seen::default(), body))
}

/// Runs a hog of 100 ms on `wq` with a short item behind it on the same core's pool. When the hook
/// ran and when the short item started, in nanoseconds from the start of the hog.
fn race(cx: &ThreadCx<'_>, wq: &Workqueue<PerCpu>) -> (u64, u64) {
    let hog = hog();
    let short = Arc::new(Work::new(
        AtomicU64::new(0),
        |_: &ThreadCx<'_>, run: &Run<'_, AtomicU64>| {
            run.store(now().as_nanos(), Ordering::Relaxed);
        },
    ));
    assert_eq!(wq.queue_on(CpuId::BOOT, &hog), Submitted::Queued);
    assert_eq!(
        wq::percpu().queue_on(CpuId::BOOT, &short),
        Submitted::Queued
    );
    hog.flush(cx).expect("it did not panic");
    short.flush(cx).expect("it did not panic");
    let began = hog.began.load(Ordering::Relaxed);
    let started = short.load(Ordering::Relaxed).saturating_sub(began);
    (hog.hook.load(Ordering::Relaxed), started)
}

fn assert_at(what: &str, ns: u64, wanted: u64, late: u64) {
    // The hog reads its clock a moment after its budget began.
    let range = wanted - 2_000..wanted + late;
    assert!(range.contains(&ns), "{what} at {ns} ns, not {wanted} ns");
}

/// E14, E15: the hook runs at the threshold, whichever it is, and the next item starts as soon as
/// the scheduler lets it. E13: a CPU_INTENSIVE queue's items hold nobody back and have no budget.
fn overtaken_at_the_budget(cx: &ThreadCx<'_>) {
    // As the machine comes, however fast it is; whoever changes it puts it back.
    assert_eq!(wq::cpu_intensive_threshold(), THRESHOLD);
    for threshold in [THRESHOLD, ms(2), ms(37)] {
        wq::set_cpu_intensive_threshold(threshold);
        let ns = threshold.as_nanos();
        let (hook, short) = race(cx, wq::percpu());
        assert_at("the hook ran", hook, ns, LATE_NS);
        assert_at("the short item started", short, ns, SLICE_NS + LATE_NS);
    }
    wq::set_cpu_intensive_threshold(Duration::ZERO);
    let (hook, short) = race(cx, wq::percpu());
    assert_eq!(hook, 0, "a hook without a threshold");
    assert_at("the short item started", short, 100_000_000, LATE_NS);
    wq::set_cpu_intensive_threshold(THRESHOLD);
    let heavy = Workqueue::<PerCpu>::builder("heavy").cpu_intensive();
    let heavy = heavy.build().expect("memory for a queue");
    let (hook, short) = race(cx, &heavy);
    assert_eq!(hook, 0, "a CPU_INTENSIVE item has a budget");
    assert!(
        short < SLICE_NS + LATE_NS,
        "the short item waited {short} ns"
    );
    heavy.destroy(cx).expect("not one of its items");
}

/// E14: the time during which others have the core does not count; E3: a sleep starts anew.
fn cpu_time_since_the_last_wake_up(cx: &ThreadCx<'_>) {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let rival = on_core(CpuId::BOOT, move |_| {
        while !seen.load(Ordering::Relaxed) {
            super::compute();
        }
    });
    let hog = hog();
    assert_eq!(wq::percpu().queue_on(CpuId::BOOT, &hog), Submitted::Queued);
    hog.flush(cx).expect("it did not panic");
    stop.store(true, Ordering::Relaxed);
    rival.join(cx);
    // Half the core is its own, so the tenth millisecond of its time is over within the twentieth.
    let hook = hog.hook.load(Ordering::Relaxed);
    assert_at("the hook ran", hook, 19_000_000, 2_000_000);

    let pausing = Arc::new(Work::new(
        Seen::default(),
        |cx: &ThreadCx<'_>, run: &Run<'_, Seen>| {
            for _ in 0..3 {
                burn(run, ms(9));
                thread::sleep(cx, ms(1));
            }
        },
    ));
    let queued = wq::percpu().queue_on(CpuId::BOOT, &pausing);
    assert_eq!(queued, Submitted::Queued);
    pausing.flush(cx).expect("it did not panic");
    let hook = pausing.hook.load(Ordering::Relaxed);
    assert_eq!(hook, 0, "9 ms at a time is no hog");
}

/// What only [`counted_by_function`] executes.
#[derive(Default)]
struct Greedy(Seen);

/// E16: each function has its own count, and each queue too.
fn counted_by_function(cx: &ThreadCx<'_>) {
    const TIMES: u64 = 5;
    let wq = Workqueue::<PerCpu>::builder("hogged").build();
    let wq = wq.expect("memory for a queue");
    let body = |_: &ThreadCx<'_>, run: &Run<'_, Greedy>| burn(&run.0, ms(11));
    let item = Arc::new(<Work<Greedy>>::new(Greedy::default(), body));
    for _ in 0..TIMES {
        assert_eq!(wq.queue_on(CpuId::BOOT, &item), Submitted::Queued);
        item.flush(cx).expect("it did not panic");
    }
    let (mut functions, mut count) = (0, 0);
    wq::for_each_hog(|hog| {
        if hog.name == core::any::type_name::<Greedy>() {
            functions += 1;
            count += hog.count;
        }
    });
    assert_eq!((functions, count), (1, TIMES), "one function, each time");
    let mut of_queue = 0;
    wq::for_each_queue(|q| {
        if q.name == "hogged" {
            of_queue = q.stats.cpu_intensive;
        }
    });
    assert_eq!(of_queue, TIMES);
    wq.destroy(cx).expect("not one of its items");
}
