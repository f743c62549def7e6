//! Workers that wait for their core: of a queue that asked, others of its core do not wait with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kernel::cpu::CpuMask;
use kernel::hotplug::offline;
use kernel::thread::{Builder, Nice, ThreadCx, ThreadRef, sleep};
use kernel::wq::{self, PerCpu, Run, Submitted, Workqueue};
use machine::{CpuId, Duration, now};
use sim::Scenario;

use super::hotplug::{any_core, assert_at_rest, present, up};
use crate::kit::{Count, HARDY, burn, core, cpus, insist, ms, new_item, one_in, pick, until, us};

/// Scenarios of preempted workers.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("preempted-worker-passed", 2, passed)
        .about("a short item does not wait for one that others keep off the core, if its queue asked")
        .cpus_range(1, 4),
    Scenario::new("preempted-worker-holds", 2, holds)
        .about("without being asked the pool waits for a preempted worker, as Linux does (E2)")
        .cpus_range(1, 4),
    Scenario::new("preempted-and-changed", 3, changed)
        .about("preempted workers under cancel, flush and cores that go: each counts once (7.6, M2, M3)")
        .cpus_range(2, 5)
        .endures(HARDY),
];

const THRESHOLD: Duration = ms(1);
/// CPU time of the long item; beside a thread of nice -10 it has a tenth of its core.
const LONG: Duration = ms(3);

/// Uses the core for `d`, not counting the time that others have it.
fn compute(d: Duration) {
    let (mut used, mut last) = (Duration::ZERO, now());
    while used < d {
        let t = now();
        let gap = t.since(last);
        if gap < us(50) {
            used += gap;
        }
        last = t;
    }
}

/// Computes, for a number of steps: however slow or often interrupted the core is, it ends.
fn work(steps: usize) {
    (0..steps).for_each(|_| machine::sync_point());
}

/// A thread of nice -10 that wants core `id` until it is told to stop: all the time, or if it is `brief`
/// for a part of [`THRESHOLD`] now and then.
fn rival(id: CpuId, stop: &Arc<Count>, brief: bool) -> ThreadRef {
    let nice = Nice::new(-10).expect("a nice level");
    insist(|| {
        let stop = Arc::clone(stop);
        let builder = Builder::new("rival").nice(nice);
        let builder = builder.affinity(CpuMask::single(id));
        builder.spawn(move |cx: &ThreadCx<'_>| {
            while stop.get() == 0 {
                burn(us(if brief { 300 } else { 20 }));
                if brief {
                    sleep(cx, us(1_500));
                }
                // However the cores are chosen, the others get on.
                machine::relax();
            }
        })
    })
}

fn queue(aware: bool) -> Workqueue<PerCpu> {
    insist(|| {
        let b = Workqueue::<PerCpu>::builder("aware");
        if aware { b.preemption_aware() } else { b }.build()
    })
}

fn told() -> u64 {
    let mut n = 0;
    wq::for_each_queue(|q| n += q.stats.preempted);
    n
}

/// Runs a long item of `wq` beside a rival of its core, and a short one of the system's queue behind it.
/// When either was over, in nanoseconds since the start of the long one.
fn race(
    cx: &ThreadCx<'_>,
    wq: &Workqueue<PerCpu>,
    brief: bool,
    meanwhile: impl FnOnce(),
) -> (u64, u64) {
    let at = core(cpus() - 1);
    let stop = Arc::new(Count::default());
    let rival = rival(at, &stop, brief);
    let times = || (AtomicU64::new(0), AtomicU64::new(0));
    type Times = (AtomicU64, AtomicU64);
    let long = new_item(times(), |_: &ThreadCx<'_>, run: &Run<'_, Times>| {
        run.0.store(now().as_nanos(), Ordering::Relaxed);
        compute(LONG);
        run.1.store(now().as_nanos(), Ordering::Relaxed);
    });
    let short = new_item(times(), |_: &ThreadCx<'_>, run: &Run<'_, Times>| {
        run.1.store(now().as_nanos(), Ordering::Relaxed);
    });
    assert_eq!(wq.queue_on(at, &long), Submitted::Queued);
    until(cx, || long.0.load(Ordering::Relaxed) != 0);
    assert_eq!(wq::percpu().queue_on(at, &short), Submitted::Queued);
    meanwhile();
    long.flush(cx).expect("no panic");
    short.flush(cx).expect("no panic");
    stop.up();
    rival.join(cx);
    let begin = long.0.load(Ordering::Relaxed);
    let ends = [&long.1, &short.1].map(|end| end.load(Ordering::Relaxed) - begin);
    (ends[0], ends[1])
}

fn settings() {
    wq::set_cpu_intensive_threshold(Duration::ZERO);
    wq::set_preempted_threshold(THRESHOLD);
    assert_eq!(wq::preempted_threshold(), THRESHOLD);
}

fn passed(cx: &ThreadCx<'_>) {
    settings();
    let wq = queue(true);
    for _ in 0..2 {
        let before = told();
        let seen = || {
            until(cx, || {
                let mut picture = String::new();
                wq::show_all(&mut picture).expect("a string has room");
                picture.contains("flags=percpu,preemption_aware")
                    && picture.contains(" (preempted)")
            });
        };
        let (long, short) = race(cx, &wq, false, seen);
        assert!(told() > before, "nobody was told");
        assert!(
            short < long,
            "the short item was over at {short} ns, the long one at {long} ns"
        );
    }
    wq.destroy(cx).expect("not one of its items");
}

fn holds(cx: &ThreadCx<'_>) {
    settings();
    let plain = queue(false);
    let (long, short) = race(cx, &plain, false, || {});
    assert!(short >= long, "{short} ns, and the long one {long} ns");
    plain.destroy(cx).expect("not one of its items");
    // Nor when it was asked, and the time is for ever.
    wq::set_preempted_threshold(Duration::ZERO);
    assert_eq!(wq::preempted_threshold(), Duration::ZERO);
    let aware = queue(true);
    let (long, short) = race(cx, &aware, false, || {});
    assert!(short >= long, "{short} ns, and the long one {long} ns");
    assert_eq!((told(), wq::preempted_count()), (0, 0));
    // Somebody who soon lets the core go again: a worker that is back in time is told of no more (7.6).
    wq::set_preempted_threshold(THRESHOLD);
    let _ = race(cx, &aware, true, || {});
    aware.destroy(cx).expect("not one of its items");
}

fn changed(cx: &ThreadCx<'_>) {
    wq::set_cpu_intensive_threshold(us(500));
    wq::set_preempted_threshold(us(300));
    let wq = queue(true);
    let at = any_core();
    let stop = Arc::new(Count::default());
    let rival = rival(at, &stop, false);
    let runs = Arc::new(Count::default());
    let mut due = 0;
    let first = pick(4);
    for round in first..first + 4 {
        let body = |cx: &ThreadCx<'_>, run: &Run<'_, Arc<Count>>| {
            for _ in 0..pick(3) {
                work(300);
                if one_in(3) {
                    sleep(cx, us(30));
                }
            }
            work(1_500);
            run.up();
        };
        let items: Vec<_> = (0..3).map(|_| new_item(Arc::clone(&runs), body)).collect();
        for item in &items {
            assert_eq!(wq.queue_on(at, item), Submitted::Queued);
        }
        due += items.len();
        // Under way, and off the core most of the time.
        sleep(cx, us(200 + pick(3_000) as u64));
        match round % 4 {
            0 => {
                let was = items[2].cancel_sync(cx).expect("no panic");
                due -= usize::from(was);
            }
            1 => wq.flush(cx).expect("not one of its items"),
            2 if offline(cx, at).is_ok() => {
                sleep(cx, us(pick(2_000) as u64));
                up(cx, at);
            }
            _ => drop(items[pick(3)].flush(cx).expect("no panic")),
        }
    }
    wq.flush(cx).expect("not one of its items");
    assert_eq!(runs.get(), due, "each once, but those that were cancelled");
    stop.up();
    rival.join(cx);
    wq.destroy(cx).expect("not one of its items");
    (0..present()).for_each(|n| up(cx, CpuId::new(n)));
    assert_at_rest(cx);
}
