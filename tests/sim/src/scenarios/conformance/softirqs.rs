//! When softirqs run, in which order, and for how long (S rows).

use std::sync::Arc;

use kernel::ipi::call_on;
use kernel::softirq::{BhCx, VECTORS, Vector, counters, leak_count, raise, raise_on};
use kernel::thread::{ThreadCx, current, sleep};
use kernel::trace::{Categories, Kind, want};
use kernel::wq::{self, Run, Softirq, Submitted, Work};
use machine::{Duration, now};
use sim::{Kinds, Scenario};

use super::super::ipi::{address, at};
use super::events;
use crate::kit::{Count, burn, core, cpus, here, ms, new_bh_item, new_item, pick, until, us};

/// Scenarios of softirqs.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("vectors-in-order", 1, vectors_in_order)
        .about("all ten vectors raised at once run in the order of their numbers (S1)")
        .endures(Kinds::NONE),
    Scenario::new("where-softirqs-run", 1, where_softirqs_run)
        .about("raised in a thread a vector runs in ksoftirqd, else at the outermost end of where it was raised (S2, S3, S9)")
        .endures(Kinds::NONE),
    Scenario::new("vector-that-raises-itself", 1, raises_itself)
        .about("one entry passes ten times over vectors that raise themselves, or for 2 ms (S4, S5)")
        .endures(Kinds::NONE),
    Scenario::new("one-vector-on-two-cores", 2, on_two_cores)
        .about("two cores run one vector at once, and each counts its own (S7)")
        .cpus_range(2, 8)
        .endures(Kinds::NONE),
    Scenario::new("open-sections-of-softirqs", 2, open_sections)
        .about("a softirq that leaves preemption, BH or interrupts off is told and repaired, and what comes after it runs (S12)")
        .cpus_range(1, 4)
        .endures(Kinds::DELAYS),
];

fn vectors_in_order(_: &ThreadCx<'_>) {
    want(Categories::SOFTIRQ);
    let entries = || events(here(), &[Kind::SoftirqEntry]);
    let off = sync::bh_disable();
    let before = entries().len();
    Vector::ALL.iter().rev().for_each(|v| raise(*v));
    assert_eq!(entries().len(), before, "BH is off");
    drop(off);
    let order: Vec<u32> = entries()[before..].iter().map(|e| e.head.arg).collect();
    assert_eq!(order, (0..VECTORS as u32).collect::<Vec<_>>());
    want(Categories::DEFAULT);
}

/// An item that notes in whose thread it ran.
fn witness() -> Arc<Work<Count, Softirq>> {
    new_bh_item(
        Count::default(),
        |_: &BhCx<'_>, run: &Run<'_, Count, Softirq>| run.set(current().id() as usize),
    )
}

fn where_softirqs_run(cx: &ThreadCx<'_>) {
    fn queue(arg: usize) {
        let item: &Arc<Work<Count, Softirq>> = at(arg);
        assert_eq!(wq::bh().queue(item), Submitted::Queued);
        assert_eq!(item.get(), 0, "it ran within the interrupt");
    }
    let me = current().id() as usize;
    let ksoftirqd = {
        let mut id = 0;
        kernel::thread::for_each_thread(|t| {
            if t.name == "ksoftirqd/0" {
                id = t.id as usize;
            }
        });
        id
    };
    assert_ne!(ksoftirqd, 0, "every core has one");
    // In a thread: ksoftirqd.
    let item = witness();
    assert_eq!(wq::bh().queue(&item), Submitted::Queued);
    until(cx, || item.get() != 0);
    assert_eq!(item.get(), ksoftirqd);
    // With BH off: not at an inner end, but before the outermost one returns.
    let item = witness();
    let outer = sync::bh_disable();
    let inner = sync::bh_disable();
    assert_eq!(wq::bh().queue(&item), Submitted::Queued);
    drop(inner);
    assert_eq!(item.get(), 0, "the end of an inner section ran it");
    drop(outer);
    assert_eq!(item.get(), me, "the end of the section did not run it");
    // In an interrupt: at its end, in whatever thread it came upon.
    let items = Arc::new(witness());
    call_on(core(0), queue, address(&items)).expect("the mailbox is empty");
    let end = now() + ms(1);
    while items.get() == 0 && now() < end {}
    assert_eq!(items.get(), me, "the interrupt's end did not run it");
}

/// An item that computes for a while and queues itself again.
struct Restless {
    pause: Duration,
    left: Count,
}

fn raises_itself(cx: &ThreadCx<'_>) {
    fn again(_: &BhCx<'_>, run: &Run<'_, Restless, Softirq>) {
        burn(run.pause);
        if run.left.down() > 1 {
            assert_eq!(wq::bh().queue(run), Submitted::Queued);
        }
    }
    // A pass serves ten items that take no time, or as many of 300 us as begin within 2 ms (K4).
    for (pause, items, passes, served) in [(us(0), 200, 10, 100), (us(300), 20, 1, 7)] {
        // With a fresh slice and nobody else to run: a thread that is due ends the entry, too.
        sleep(cx, ms(1));
        let left = Count::new(items);
        let item = new_bh_item(Restless { pause, left }, again);
        let runs = || counters(here()).0[Vector::Tasklet as usize];
        // Otherwise ksoftirqd goes on before this thread can look.
        let stay = sync::preempt_disable();
        let (before, begin) = (runs(), now());
        let off = sync::bh_disable();
        assert_eq!(wq::bh().queue(&item), Submitted::Queued);
        drop(off);
        let took = now().since(begin);
        let (did, done) = (runs() - before, items - item.left.get());
        // Where another core slowed this one down, the 2 ms were over before the ten passes.
        let slow = took >= us(2_000) && did < passes && done < served;
        assert!(
            slow || (did, done) == (passes, served),
            "{did} passes, {done} items of {pause:?} in {took:?}"
        );
        assert!(took < us(2_000 + 300 + 50), "the entry took {took:?}");
        drop(stay);
        // ksoftirqd has the rest.
        until(cx, || item.left.get() == 0);
    }
}

fn open_sections(cx: &ThreadCx<'_>) {
    fn leave_open(_: &BhCx<'_>, run: &Run<'_, Count, Softirq>) {
        match run.get() {
            0 => core::mem::forget(sync::preempt_disable()),
            1 => core::mem::forget(sync::bh_disable()),
            _ => machine::irq_disable(),
        }
    }
    let told = || (0..cpus()).map(|n| leak_count(core(n))).sum::<u64>();
    for n in 0..3 {
        let cpu = core(n);
        let before = leak_count(cpu);
        let item = new_bh_item(Count::new(n), leave_open);
        assert_eq!(wq::bh().queue_on(cpu, &item), Submitted::Queued);
        item.flush(cx).expect("no panic");
        // The item is over a little before its softirq.
        until(cx, || leak_count(cpu) == before + 1);
        // Softirqs, interrupts and threads of its core go on.
        let next = witness();
        assert_eq!(wq::bh().queue_on(cpu, &next), Submitted::Queued);
        next.flush(cx).expect("no panic");
        assert_ne!(next.get(), 0);
        let nap = new_item((), |cx: &ThreadCx<'_>, _: &Run<'_, ()>| sleep(cx, us(50)));
        assert_eq!(wq::percpu().queue_on(cpu, &nap), Submitted::Queued);
        nap.flush(cx).expect("no panic");
        assert_eq!(told(), n as u64 + 1, "the next ones left nothing open");
    }
}

fn on_two_cores(cx: &ThreadCx<'_>) {
    fn meet(_: &BhCx<'_>, run: &Run<'_, Arc<Count>, Softirq>) {
        run.up();
        let end = now() + ms(5);
        while run.get() < 2 && now() < end {
            machine::relax();
        }
        assert_eq!(run.get(), 2, "the other core waits for this one");
    }
    let runs = |n| counters(core(n)).0[Vector::Tasklet as usize];
    let before = [runs(0), runs(1)];
    let met = Arc::new(Count::default());
    let items = [0, 1].map(|_| new_bh_item(Arc::clone(&met), meet));
    for (n, item) in items.iter().enumerate() {
        assert_eq!(wq::bh().queue_on(core(n), item), Submitted::Queued);
    }
    wq::bh().flush(cx).expect("not its item");
    assert!(
        runs(0) > before[0] && runs(1) > before[1],
        "each core counts its own"
    );
    // Nothing else raises the reserved ones: they run once, and on the core that they were raised for.
    for vector in Vector::ALL {
        if matches!(vector, Vector::Hi | Vector::Timer | Vector::Tasklet) {
            continue;
        }
        let runs = || -> Vec<u64> {
            let on = |n| counters(core(n)).0[vector as usize];
            (0..cpus()).map(on).collect()
        };
        let mut expected = runs();
        let there = pick(cpus());
        raise_on(core(there), vector);
        until(cx, || runs()[there] > expected[there]);
        expected[there] += 1;
        assert_eq!(runs(), expected, "{vector:?} was raised for core {there}");
    }
}
