//! Softirqs: raises from everywhere, BH-off sections, ksoftirqd (S rows).

use std::sync::Arc;

use kernel::cpu::CpuMask;
use kernel::ipi::call_on;
use kernel::softirq::{BhCx, VECTORS, Vector, counters, raise, raise_on};
use kernel::thread::{Builder, ThreadCx, sleep};
use kernel::wq::{self, Run, Softirq, Submitted};
use machine::{CpuId, now};
use sim::{Kinds, Scenario};

use crate::kit::{
    Count, HARDY, burn, core, cpus, crowd, dawdle, here, insist, join, linger, ms, new_bh_item,
    one_in, pick, some_core, until, us,
};

/// Scenarios of softirqs.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("raise-storm", 3, raise_storm)
        .about("a vector raised from a thread, a section, an interrupt or afar runs after that (S2, S3)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("bh-off-sections", 3, sections)
        .about("no BH item runs on a core inside its BH-off sections; all run afterwards (S9, S10)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("bh-flood", 1, flood)
        .about("a BH item that queues itself for ever leaves a computing thread its share (S4, S6)")
        // Each interrupt's exit runs a pass of BH items, so with many interrupts it has no share.
        .endures(Kinds::NONE),
    Scenario::new("end-of-a-section", 2, end_of_a_section)
        .about("a softirq raised while a BH-off section ends is not left behind (S2, S9)")
        .cpus_range(2, 8)
        .endures(HARDY),
];

/// How often vector `v` has run on core `cpu`.
fn runs(cpu: CpuId, v: Vector) -> u64 {
    let (runs, _): ([u64; VECTORS], u64) = counters(cpu);
    runs[v as usize]
}

fn raise_storm(cx: &ThreadCx<'_>) {
    const RAISED: [Vector; 2] = [Vector::NetTx, Vector::NetRx];
    fn from_interrupt(v: usize) {
        raise(RAISED[v]);
    }
    let raisers = crowd(cpus() + 1, |cx, _| {
        for _ in 0..12 {
            let v = pick(2);
            let stay = sync::preempt_disable();
            let cpu = if one_in(2) { here() } else { some_core() };
            let before = runs(cpu, RAISED[v]);
            match pick(3) {
                0 if cpu == here() => raise(RAISED[v]),
                1 if cpu == here() => {
                    let section = sync::bh_disable();
                    raise(RAISED[v]);
                    linger();
                    drop(section);
                }
                2 if call_on(cpu, from_interrupt, v).is_ok() => {}
                _ => raise_on(cpu, RAISED[v]),
            }
            drop(stay);
            until(cx, || runs(cpu, RAISED[v]) > before);
            dawdle(cx);
        }
    });
    join(cx, &raisers);
}

/// A core's BH-off section, and what its BH items did.
#[derive(Default)]
struct Section {
    open: Count,
    runs: Count,
}

fn look(_: &BhCx<'_>, run: &Run<'_, Arc<Vec<Section>>, Softirq>) {
    let section = &run[here().index()];
    assert_eq!(section.open.get(), 0, "a BH item runs in a BH-off section");
    linger();
    section.runs.up();
}

fn sections(cx: &ThreadCx<'_>) {
    let all: Arc<Vec<Section>> = Arc::new((0..cpus()).map(|_| Section::default()).collect());
    let users = {
        let all = Arc::clone(&all);
        crowd(cpus() + 2, move |cx, _| {
            for _ in 0..8 {
                let item = new_bh_item(Arc::clone(&all), look);
                assert_eq!(wq::bh().queue_on(some_core(), &item), Submitted::Queued);
                let outer = sync::bh_disable();
                // A thread does not leave its core in here.
                all[here().index()].open.up();
                linger();
                let inner = sync::bh_disable();
                let item = new_bh_item(Arc::clone(&all), look);
                assert_eq!(wq::bh_highpri().queue(&item), Submitted::Queued);
                linger();
                drop(inner);
                linger();
                all[here().index()].open.down();
                drop(outer);
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    let total = || all.iter().map(|s| s.runs.get()).sum::<usize>();
    until(cx, || total() == 16 * users.len());
}

fn flood(cx: &ThreadCx<'_>) {
    #[derive(Default)]
    struct Share {
        stop: Count,
        bh: Count,
        thread: Count,
    }
    fn again(_: &BhCx<'_>, run: &Run<'_, Arc<Share>, Softirq>) {
        let begin = now();
        burn(us(20));
        run.bh.add(now().since(begin).as_micros() as usize);
        if run.stop.get() == 0 {
            assert_eq!(wq::bh().queue(run), Submitted::Queued);
        }
    }
    let share = Arc::new(Share::default());
    let thread = {
        let share = Arc::clone(&share);
        crowd(1, move |_, _| {
            while share.stop.get() == 0 {
                // Interruptions by the flood would count as the thread's own time, steps do not.
                machine::sync_point();
                share.thread.up();
            }
        })
    };
    let item = new_bh_item(Arc::clone(&share), again);
    assert_eq!(wq::bh().queue(&item), Submitted::Queued);
    sleep(cx, ms(20));
    share.stop.up();
    join(cx, &thread);
    item.flush(cx).expect("no panic");
    // A step takes a fifth of a microsecond on average.
    let (thread, bh) = (share.thread.get() / 5, share.bh.get());
    assert!(8 * thread >= bh, "{thread} us beside {bh} us of BH items");
    assert!(8 * bh >= thread, "{bh} us of BH items beside {thread} us");
}

fn end_of_a_section(cx: &ThreadCx<'_>) {
    fn nothing(_: &BhCx<'_>, _: &Run<'_, (), Softirq>) {}
    for _ in 0..12 {
        let other = core(1 + pick(cpus() - 1));
        let section = |_: &ThreadCx<'_>| {
            let off = sync::bh_disable();
            raise(Vector::NetRx);
            linger();
            drop(off);
        };
        let thread = Builder::new("section").affinity(CpuMask::single(other));
        let thread = insist(|| thread.clone().spawn(section));
        linger();
        let item = new_bh_item((), nothing);
        assert_eq!(wq::bh().queue_on(other, &item), Submitted::Queued);
        thread.join(cx);
        until(cx, || !item.is_pending());
    }
}
