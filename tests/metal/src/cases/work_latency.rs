//! 93: where the time of items goes, and what is charged to their queue (E17, N4).

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::thread::{self, ThreadCx};
use kernel::wq::{self, PerCpu, QueueInfo, QueueLatency, Run, Submitted, Work, Workqueue};
use machine::{CpuId, Duration, now};

use super::work_kit::{Gated, eventually, ms, on_core};
use crate::ktest;
use crate::registry::Needs;

ktest!(
    "93_e17_work_time_is_charged_to_its_queue",
    charged_to_its_queue,
    Needs::new().icount().seen()
);
ktest!(
    "93_e17_work_of_a_burst_some_is_followed",
    some_of_a_burst,
    Needs::new().icount().seen()
);
ktest!(
    "93_n4_work_counters_of_a_queue",
    counters_of_a_queue,
    Needs::new().seen()
);

fn info(name: &str) -> QueueInfo {
    let mut found = None;
    wq::for_each_queue(|q| found = found.take().or((q.name == name).then_some(q)));
    found.expect("it is listed")
}

fn latency(name: &str) -> QueueLatency {
    let mut found = None;
    wq::for_each_latency(|q| found = found.take().or((q.name == name).then_some(q)))
        .expect("memory for the sums");
    found.expect("it is listed")
}

/// An item's work, and how long it took by the clock.
#[derive(Default)]
struct Rounds {
    took: AtomicU64,
}

/// Always the same work, and a sleep of 2 ms.
fn toil(cx: &ThreadCx<'_>, run: &Run<'_, Rounds>) {
    let began = now();
    for _ in 0..2_000 {
        super::compute();
    }
    run.took
        .store(now().since(began).as_nanos(), Ordering::Relaxed);
    thread::sleep(cx, ms(2));
}

/// `ns` is `wanted` and at most an eighth more. The handler's own clock also runs while another thread
/// has the core for a moment, and its sleep begins a moment before the thread does.
fn assert_about(what: &str, ns: u64, wanted: u64) {
    let range = wanted - 20_000..wanted + wanted / 8 + 100_000;
    assert!(range.contains(&ns), "{what}: {ns} ns, not {wanted} ns");
}

/// E17: alone, and beside a thread that takes half the core: the time charged is the same.
fn charged_to_its_queue(cx: &ThreadCx<'_>) {
    let wq = Workqueue::<PerCpu>::builder("toil").build();
    let wq = wq.expect("memory for a queue");
    let item = Arc::new(<Work<_>>::new(Rounds::default(), toil));
    let go = || {
        assert_eq!(wq.queue_on(CpuId::BOOT, &item), Submitted::Queued);
        item.flush(cx).expect("it did not panic");
        item.took.load(Ordering::Relaxed)
    };
    let alone = go();
    let charged = info("toil").cpu_time_ns;
    assert_about("charged alone", charged, alone);
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let rival = on_core(CpuId::BOOT, move |_| {
        while !seen.load(Ordering::Relaxed) {
            super::compute();
        }
    });
    let beside = go();
    stop.store(true, Ordering::Relaxed);
    rival.join(cx);
    assert!(beside > alone + alone / 2, "the rival had no share");
    assert_about(
        "charged beside a rival",
        info("toil").cpu_time_ns - charged,
        alone,
    );
    let told = latency("toil");
    assert_eq!(told.items, 2);
    let slowest = told.slowest.expect("two were followed");
    assert_eq!(slowest.value, core::any::type_name::<Rounds>());
    let parts = slowest.parts;
    assert_eq!(parts.total(), told.total.max);
    assert_about("the sleep", parts.blocked, 2_000_000);
    assert!(parts.preempted >= beside - alone - alone / 8, "{parts:?}");
    assert_eq!(parts.inactive, 0);

    wq::set_anatomy(false);
    go();
    wq::set_anatomy(true);
    assert_eq!(latency("toil").items, 2, "followed although turned off");
    go();
    assert_eq!(latency("toil").items, 3);
    wq.destroy(cx).expect("not one of its items");
}

/// E17: of a burst some items are followed, the first of them always, and without a gap each; the CPU time is that of all.
fn some_of_a_burst(cx: &ThreadCx<'_>) {
    const ITEMS: usize = 10;
    const ROUNDS: u64 = 500;
    let wq = Workqueue::<PerCpu>::builder("burst").build();
    let wq = wq.expect("memory for a queue");
    let brief = |_: &ThreadCx<'_>, run: &Run<'_, Rounds>| {
        let began = now();
        (0..ROUNDS).for_each(|_| super::compute());
        let took = now().since(began).as_nanos();
        run.took.store(took, Ordering::Relaxed);
    };
    let item = |_| Arc::new(<Work<_>>::new(Rounds::default(), brief));
    let items: Vec<_> = (0..ITEMS).map(item).collect();
    let burst = || {
        for item in &items {
            assert_eq!(wq.queue_on(CpuId::BOOT, item), Submitted::Queued);
        }
        wq.flush(cx).expect("not one of its items");
    };
    let usual = wq::anatomy_gap();
    assert!(usual > Duration::ZERO, "all are followed by default");
    // What of a burst was charged, ought to have been, and was followed.
    let measured = || {
        let (cpu, followed) = (info("burst").cpu_time_ns, latency("burst").items);
        burst();
        let took = items.iter().map(|i| i.took.load(Ordering::Relaxed)).sum();
        assert_about("the burst", info("burst").cpu_time_ns - cpu, took);
        latency("burst").items - followed
    };
    let all = ITEMS as u64;
    wq::set_anatomy_gap(ms(200));
    for _ in 0..2 {
        let followed = measured();
        assert!((1..all).contains(&followed), "{followed} were followed");
        thread::sleep(cx, ms(500));
    }
    wq::set_anatomy_gap(Duration::ZERO);
    assert_eq!(measured(), all);
    wq::set_anatomy_gap(usual);
    wq.destroy(cx).expect("not one of its items");
}

/// N4: started less completed are those under way, and none at rest.
fn counters_of_a_queue(cx: &ThreadCx<'_>) {
    let wq = Workqueue::<PerCpu>::builder("counted").build();
    let wq = wq.expect("memory for a queue");
    let usual = wq::anatomy_gap();
    wq::set_anatomy_gap(Duration::ZERO);
    let gated = Gated::new();
    let items = gated.items(5);
    for item in &items {
        assert_eq!(wq.queue_on(CpuId::BOOT, item), Submitted::Queued);
    }
    eventually(cx, "all start", || gated.started() == items.len());
    let s = info("counted").stats;
    assert_eq!((s.started, s.completed), (5, 0));
    // Each but the last blocked with another one behind it, which a worker that was idle or a new one
    // started.
    assert!(s.cm_wakeup <= 4, "{s:?}");
    gated.open();
    wq.flush(cx).expect("not one of its items");
    let q = info("counted");
    assert_eq!((q.stats.started, q.stats.completed), (5, 5));
    assert_eq!((q.active, q.inactive, q.pending), (0, 0, 0));
    assert!(q.cpu_time_ns > 0, "they ran");
    let s = q.stats;
    assert_eq!((s.panicked, s.cancelled, s.mayday, s.rescued), (0, 0, 0, 0));
    assert_eq!(latency("counted").items, 5);
    wq::set_anatomy_gap(usual);
    wq.destroy(cx).expect("not one of its items");
}
