//! 74: concurrency management, workers that come and go, kinds of queue (E and F rows).

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::thread::{self, ThreadCx};
use kernel::wq::{self, PerCpu, Run, Submitted, Unbound, Work, Workqueue};
use machine::{CpuId, Duration, now};

use super::work_kit::{Famine, Gated, cores, eventually, here, ms, pool_of, us};
use crate::ktest;
use crate::registry::Needs;

ktest!(
    "74_e8_work_golden_timeline",
    golden_timeline,
    Needs::new().icount()
);
ktest!(
    "75_e9_sleepers_and_one_more_worker",
    sleepers_and_one_more_worker
);
ktest!("76_e12_idle_workers_end", idle_workers_end);
ktest!(
    "77_f3_e13_f7_work_hogs_do_not_hold_highpri",
    hogs_do_not_hold_highpri
);
ktest!("78_f1_unbound_work_spreads", unbound_work_spreads);
ktest!(
    "79_failed_worker_creation_is_survived",
    failed_worker_creation_is_survived
);

/// Iterations of [`super::compute`] in 5 ms; CPU time, whoever else runs meanwhile.
static FIVE_MS: AtomicU64 = AtomicU64::new(0);

fn calibrate() {
    super::compute();
    let began = now();
    for _ in 0..1_000 {
        super::compute();
    }
    let ns = now().since(began).as_nanos();
    FIVE_MS.store(5_000_000 * 1_000 / ns, Ordering::Relaxed);
}

fn burn_five_ms() {
    for _ in 0..FIVE_MS.load(Ordering::Relaxed) {
        super::compute();
    }
}

/// E8 on core 0; item 0: burn 5, sleep 10, burn 5; items 1 and 2: burn 5, sleep 10 (ms). Item 0 goes
/// to `first`, the others to `rest`. Nanoseconds from the first submission to the last end.
fn golden(cx: &ThreadCx<'_>, first: &Workqueue<PerCpu>, rest: &Workqueue<PerCpu>) -> u64 {
    let body = |cx: &ThreadCx<'_>, run: &Run<'_, usize>| {
        burn_five_ms();
        thread::sleep(cx, ms(10));
        if **run == 0 {
            burn_five_ms();
        }
    };
    let items: Vec<_> = (0..3)
        .map(|i| Arc::new(<Work<usize>>::new(i, body)))
        .collect();
    let began = now();
    for (i, item) in items.iter().enumerate() {
        let queue = if i == 0 { first } else { rest };
        assert_eq!(queue.queue_on(CpuId::BOOT, item), Submitted::Queued);
    }
    first.flush(cx).expect("not one of its items");
    rest.flush(cx).expect("not one of its items");
    now().since(began).as_nanos()
}

/// E8, E13: 50 ms one after the other, 35 and 25 with concurrency management, 25 when two of the
/// items are outside it.
fn golden_timeline(cx: &ThreadCx<'_>) {
    calibrate();
    let near = |what: &str, ns: u64, wanted: u64| {
        let off = ns.abs_diff(wanted * 1_000_000);
        assert!(off < 100_000, "{what}: {ns} ns instead of {wanted} ms");
    };
    for (limit, wanted) in [(1, 50), (2, 35), (3, 25)] {
        let builder = Workqueue::<PerCpu>::builder("golden").max_active(limit);
        let wq = builder.build().expect("memory for a queue");
        near("max_active", golden(cx, &wq, &wq), wanted);
        wq.destroy(cx).expect("not one of its items");
    }
    let heavy = Workqueue::<PerCpu>::builder("heavy").cpu_intensive();
    let heavy = heavy.build().expect("memory for a queue");
    let ns = golden(cx, wq::percpu(), &heavy);
    // They share the core from 5 ms on, so the order within is the scheduler's; the end is not.
    assert!(ns < 27_000_000, "CPU_INTENSIVE: {ns} ns");
    heavy.destroy(cx).expect("not one of its items");
}

/// E9: whoever sleeps, there is another worker, and no more than one.
fn sleepers_and_one_more_worker(cx: &ThreadCx<'_>) {
    // All workers that there are, and some that have yet to be made. The highpri pool is idle
    // otherwise.
    let n = pool_of(CpuId::BOOT, true).workers.total as usize + 10;
    let gated = Gated::new();
    let items = gated.items(n);
    for item in &items {
        assert_eq!(wq::highpri().queue_on(CpuId::BOOT, item), Submitted::Queued);
    }
    eventually(cx, "the start of all sleepers", || gated.started() == n);
    let workers = || {
        let workers = pool_of(CpuId::BOOT, true).workers;
        [workers.total, workers.blocked, workers.idle].map(|n| n as usize)
    };
    eventually(cx, "the sleep of all, and one more worker", || {
        workers() == [n + 1, n, 1]
    });
    thread::sleep(cx, ms(50));
    assert_eq!(workers(), [n + 1, n, 1], "total, blocked, idle");
    gated.open();
    for item in &items {
        item.flush(cx).expect("it did not panic");
    }
}

/// E11, E12: with nothing to do, two workers stay, and the others not longer than the timeout.
fn idle_workers_end(cx: &ThreadCx<'_>) {
    const TIMEOUT: Duration = ms(300);
    const N: usize = 16;
    wq::set_idle_timeout(TIMEOUT);
    let gated = Gated::new();
    let items = gated.items(N);
    for item in &items {
        assert_eq!(wq::percpu().queue_on(CpuId::BOOT, item), Submitted::Queued);
    }
    eventually(cx, "the start of all sleepers", || gated.started() == N);
    let opened = now();
    gated.open();
    for item in &items {
        item.flush(cx).expect("it did not panic");
    }
    let total = pool_of(CpuId::BOOT, false).workers.total as usize;
    let early = now().since(opened) < TIMEOUT;
    // Others that were there before may have been idle for long.
    assert!(!early || total >= N, "workers ended at once");
    eventually(cx, "the end of idle workers", || {
        pool_of(CpuId::BOOT, false).workers.total == 2
    });
    assert!(now().since(opened) >= TIMEOUT, "workers ended early");
    wq::set_idle_timeout(Duration::from_secs(300));
}

/// Spins until told to stop.
static HOG_STOP: AtomicBool = AtomicBool::new(false);
static HOG_RUNS: AtomicBool = AtomicBool::new(false);
static HOG: Work<()> = Work::new((), |_, _| {
    HOG_RUNS.store(true, Ordering::Relaxed);
    while !HOG_STOP.load(Ordering::Relaxed) {
        super::compute();
    }
});

fn start_hog(cx: &ThreadCx<'_>, wq: &Workqueue<PerCpu>) {
    HOG_STOP.store(false, Ordering::Relaxed);
    HOG_RUNS.store(false, Ordering::Relaxed);
    assert_eq!(wq.queue_on(CpuId::BOOT, &HOG), Submitted::Queued);
    eventually(cx, "the hog", || HOG_RUNS.load(Ordering::Relaxed));
}

fn stop_hog(cx: &ThreadCx<'_>) {
    HOG_STOP.store(true, Ordering::Relaxed);
    HOG.flush(cx).expect("it did not panic");
}

/// E6, F3, E13, F7: a running item holds back the other items of its pool, but neither highpri
/// ones, nor anything when its queue is CPU_INTENSIVE.
fn hogs_do_not_hold_highpri(cx: &ThreadCx<'_>) {
    let flag = || {
        Arc::new(Work::new(AtomicBool::new(false), |_, run| {
            assert_eq!(here(), CpuId::BOOT);
            run.store(true, Ordering::Relaxed);
        }))
    };
    let (normal, high) = (flag(), flag());
    wq::set_cpu_intensive_threshold(Duration::ZERO);
    start_hog(cx, wq::percpu());
    assert_eq!(
        wq::percpu().queue_on(CpuId::BOOT, &normal),
        Submitted::Queued
    );
    assert_eq!(
        wq::highpri().queue_on(CpuId::BOOT, &high),
        Submitted::Queued
    );
    eventually(cx, "the highpri item", || high.load(Ordering::Relaxed));
    thread::sleep(cx, ms(20));
    assert!(
        !normal.load(Ordering::Relaxed),
        "two of one pool ran at once"
    );
    stop_hog(cx);
    normal.flush(cx).expect("it did not panic");
    assert!(normal.load(Ordering::Relaxed));
    wq::set_cpu_intensive_threshold(ms(10));

    let heavy = Workqueue::<PerCpu>::builder("heavy").cpu_intensive();
    let heavy = heavy.build().expect("memory for a queue");
    start_hog(cx, &heavy);
    let beside = flag();
    assert_eq!(
        wq::percpu().queue_on(CpuId::BOOT, &beside),
        Submitted::Queued
    );
    eventually(cx, "the item beside a CPU_INTENSIVE hog", || {
        beside.load(Ordering::Relaxed)
    });
    assert!(HOG.is_pending() || HOG_RUNS.load(Ordering::Relaxed));
    stop_hog(cx);
    heavy.destroy(cx).expect("not one of its items");
}

/// F1: as many unbound items run at once as `max_active` allows, on all cores.
fn unbound_work_spreads(cx: &ThreadCx<'_>) {
    struct Spread {
        stop: AtomicBool,
        running: AtomicUsize,
        cores: AtomicU64,
    }
    let n = cores();
    let wq = Workqueue::<Unbound>::builder("spread").max_active(n as u32);
    let wq = wq.build().expect("memory for a queue");
    let spread = Arc::new(Spread {
        stop: AtomicBool::new(false),
        running: AtomicUsize::new(0),
        cores: AtomicU64::new(0),
    });
    let items: Vec<_> = (0..n + 1)
        .map(|_| {
            Arc::new(Work::new(
                Arc::clone(&spread),
                |_, run: &Run<'_, Arc<Spread>>| {
                    run.running.fetch_add(1, Ordering::Relaxed);
                    while !run.stop.load(Ordering::Relaxed) {
                        run.cores.fetch_or(1 << here().index(), Ordering::Relaxed);
                        super::compute();
                    }
                    run.running.fetch_sub(1, Ordering::Relaxed);
                },
            ))
        })
        .collect();
    for item in &items {
        assert_eq!(wq.queue(item), Submitted::Queued);
    }
    let running = || spread.running.load(Ordering::Relaxed);
    let used = || spread.cores.load(Ordering::Relaxed).count_ones() as usize;
    eventually(cx, "as many running items as cores", || running() == n);
    eventually(cx, "an item on every core", || used() == n);
    thread::sleep(cx, ms(5));
    assert_eq!(running(), n, "more items than max_active");
    spread.stop.store(true, Ordering::Relaxed);
    wq.destroy(cx).expect("not one of its items");
}

/// E10: without memory for another worker, those that exist go on; later one is made.
fn failed_worker_creation_is_survived(cx: &ThreadCx<'_>) {
    let gated = Gated::new();
    let total = pool_of(CpuId::BOOT, true).workers.total as usize;
    let items = gated.items(total + 2);
    let famine = Famine::begin(cx);
    for item in &items {
        assert_eq!(wq::highpri().queue_on(CpuId::BOOT, item), Submitted::Queued);
    }
    thread::sleep(cx, ms(300));
    let without = gated.started();
    assert!(without < items.len(), "workers were made without memory");
    famine.end();
    let began = now();
    eventually(cx, "a worker after the cool-down", || {
        gated.started() == items.len()
    });
    let waited = now().since(began);
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    gated.open();
    for item in &items {
        item.flush(cx).expect("it did not panic");
    }
    thread::sleep(cx, us(100));
}
