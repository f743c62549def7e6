//! Races somebody found by reading; each failed before it was mended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kernel::cpu::CpuMask;
use kernel::hotplug;
use kernel::softirq::{BhCx, Vector, raise};
use kernel::thread::{self, Builder, ThreadCx, sleep};
use kernel::wq::{self, DelayedWork, Run, Softirq, Submitted, Threaded, Work};
use machine::{CpuId, Duration};
use sim::{Scenario, sweep};
use sim_tests::scenarios::find;

/// An interrupt raises a softirq between the look at the pending bits and the end of the BH-off
/// section: the item must not stay behind on an idle core.
fn softirq_raised_at_the_end_of_a_section(cx: &ThreadCx<'_>) {
    let other = CpuId::new(1);
    let section = |_: &ThreadCx<'_>| {
        let off = sync::bh_disable();
        raise(Vector::NetRx);
        drop(off);
    };
    let thread = Builder::new("section")
        .affinity(CpuMask::single(other))
        .spawn(section)
        .expect("memory");
    let item = Arc::new(Work::new((), |_: &BhCx<'_>, _: &Run<'_, (), Softirq>| {}));
    assert_eq!(wq::bh().queue_on(other, &item), Submitted::Queued);
    thread.join(cx);
    sleep(cx, Duration::from_millis(50));
    assert!(!item.is_pending(), "the BH item was lost");
}

#[test]
fn no_softirq_is_lost_at_the_end_of_a_bh_off_section() {
    let scenario = Scenario::new(
        "softirq at the end of a section",
        1,
        softirq_raised_at_the_end_of_a_section,
    );
    sweep(scenario, &[2], 0..2000);
}

/// A thread that may run anywhere is preempted by one that may not: the idle core must take it.
#[test]
fn an_idle_core_takes_what_a_pinned_thread_preempts() {
    let scenario = find("preempted-by-a-pinned-thread").expect("in the catalogue");
    sweep(*scenario, &[2], 0..20);
}

/// A delayed item falls due while it still runs for another queue: accepted means run.
fn due_while_running_elsewhere(cx: &ThreadCx<'_>) {
    type Count = Arc<AtomicUsize>;
    let runs: Count = Arc::default();
    let item = Arc::new(DelayedWork::new(
        Arc::clone(&runs),
        |cx: &ThreadCx<'_>, run: &Run<'_, Count, Threaded>| {
            run.fetch_add(1, Ordering::Relaxed);
            sleep(cx, Duration::from_millis(10));
        },
    ));
    let now = wq::percpu().queue_delayed(&item, Duration::ZERO);
    assert_eq!(now, Submitted::Queued);
    sleep(cx, Duration::from_millis(2));
    let later = wq::highpri().queue_delayed(&item, Duration::from_millis(1));
    assert_eq!(later, Submitted::Queued);
    sleep(cx, Duration::from_millis(100));
    assert_eq!(
        runs.load(Ordering::Relaxed),
        2,
        "an accepted submission was lost"
    );
}

#[test]
fn an_accepted_delayed_submission_runs() {
    let scenario = Scenario::new(
        "due while running elsewhere",
        1,
        due_while_running_elsewhere,
    );
    sweep(scenario, &[2], 0..20);
}

/// Both flushed items too early: one that another core had claimed and not listed yet, one whose
/// timer had put it off because it ran for another queue.
#[test]
fn flush_sees_submissions_on_their_way() {
    for name in ["barriers-beyond-the-limit", "flushed-early"] {
        let scenario = find(name).expect("in the catalogue");
        sweep(*scenario, &[3, 8], 0..100);
    }
}

/// Threads started at once went to one core, which poked one other core for all of them.
#[test]
fn every_waiting_thread_finds_an_idle_core() {
    let scenario = find("no-core-idle").expect("in the catalogue");
    sweep(*scenario, &[5, 8], 0..10);
}

/// A disabled item answered that a submission had joined it, while somebody who disabled it once more
/// had it in his hands; the submission was lost with an answer that promised a run.
#[test]
fn disabled_item_refuses_while_it_is_disabled_once_more() {
    let scenario = find("nested-disables").expect("in the catalogue");
    sweep(*scenario, &[2, 4], 0..40);
}

/// Between the end of a run and its worker's next step the item's slot went to another pool, and an item
/// that waited for that very worker (C6) was overtaken by a later one of its ordered queue (C9).
#[test]
fn ordered_item_that_waits_for_its_worker_is_not_overtaken() {
    let scenario = find("attributes-storm").expect("in the catalogue");
    sweep(*scenario, &[5], 200..216);
}

/// A thread leaves core 1 for core 2, which goes offline just then, so it may stay after all: core 1 had
/// left it out of its choice, found nobody else, and idled on with it on its runqueue.
fn bound_for_a_core_that_leaves(cx: &ThreadCx<'_>) {
    let [from, to] = [1, 2].map(CpuId::new);
    for _ in 0..4 {
        let mover = Builder::new("mover").affinity(CpuMask::single(from));
        let mover = mover
            .spawn(move |_| thread::current().set_affinity(CpuMask::single(to)))
            .expect("memory");
        hotplug::offline(cx, to).expect("another core is online");
        mover.join(cx);
        hotplug::online(cx, to).expect("it was there before");
    }
}

#[test]
fn a_thread_whose_new_core_leaves_goes_on_where_it_is() {
    let scenario = Scenario::new(
        "bound for a core that leaves",
        1,
        bound_for_a_core_that_leaves,
    );
    sweep(scenario, &[3], 0..1000);
}

/// Two cores that hand threads to each other held their own runqueues and tried each other's, in step
/// and for ever.
#[test]
fn cores_that_hand_threads_to_each_other_get_on() {
    let scenario = find("affinity-changes").expect("in the catalogue");
    sweep(*scenario, &[2, 3], 0..200);
}
