//! One work item: where it runs, how often, and whose it is (B, C and J rows).

use std::sync::Arc;

use kernel::thread::{ThreadCx, current};
use kernel::wq::{self, PerCpu, Run, Submitted, Unbound, Workqueue};
use machine::CpuId;
use sim::Scenario;

use crate::kit::{
    Count, HARDY, core, cpus, crowd, dawdle, here, insist, join, linger, new_item, one_in, pick,
    some_core, until,
};

/// Scenarios of single items.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("runs-where-queued", 3, runs_where_queued)
        .about("a per-CPU item runs on the core it was queued on, in order there (B4, C1, C3)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("hammered-item", 4, hammered)
        .about("all cores queue one item: it never runs twice at once, no submission is lost (B4, C5)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("doorbell", 3, doorbell)
        .about("what was written before a submission, accepted or merged, is seen by a run (B6, B7)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("queue-and-cancel-storm", 3, queue_and_cancel)
        .about("accepted submissions are runs plus cancellations, whatever interleaves (B4, J1, J2, J7)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("nested-disables", 3, nested_disables)
        .about("while anybody holds it disabled an item neither runs nor is accepted (B9, J4, J5)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("freed-in-its-handler", 2, freed_in_its_handler)
        .about("items that queue themselves again are freed after their last run (B5, B8)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("family-of-items", 2, family)
        .about("items that queue a child and go, whose address the next may get, all run (B8, C7)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("item-on-three-queues", 3, three_queues)
        .about("an item queued on several queues never runs twice at once (B4, C5)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("same-worker-again", 2, same_worker)
        .about("an item that queues itself and sleeps is continued by the same worker (C6)")
        .cpus_range(1, 4)
        .endures(HARDY),
];

struct Ticket {
    cpu: CpuId,
    nth: usize,
    next: Arc<Vec<Count>>,
}

fn runs_where_queued(cx: &ThreadCx<'_>) {
    fn stamp(_: &ThreadCx<'_>, run: &Run<'_, Ticket>) {
        assert_eq!(here(), run.cpu, "it runs on another core");
        assert_eq!(run.next[run.cpu.index()].up(), run.nth, "out of order");
        linger();
    }
    let next: Arc<Vec<Count>> = Arc::new((0..cpus()).map(|_| Count::default()).collect());
    let mut queued = vec![0; cpus()];
    for _ in 0..30 {
        // Where "here" is must stay true until the item is queued.
        let stay = sync::preempt_disable();
        let cpu = if one_in(2) { here() } else { some_core() };
        let nth = queued[cpu.index()];
        queued[cpu.index()] += 1;
        let next = Arc::clone(&next);
        let item = new_item(Ticket { cpu, nth, next }, stamp);
        let done = if cpu == here() {
            wq::percpu().queue(&item)
        } else {
            wq::percpu().queue_on(cpu, &item)
        };
        assert_eq!(done, Submitted::Queued);
        drop(stay);
        dawdle(cx);
    }
    wq::percpu().flush(cx).expect("not an item of the queue");
    for (n, queued) in queued.iter().enumerate() {
        assert_eq!(next[n].get(), *queued, "core {n}");
    }
}

/// What an item's users and its handler write down.
#[derive(Default)]
struct Ledger {
    /// Runs under way.
    inside: Count,
    runs: Count,
    /// Accepted submissions.
    queued: Count,
    /// Submissions a run was told that it serves.
    served: Count,
    /// Pending submissions that were taken back.
    cancelled: Count,
}

fn enter_and_leave(cx: &ThreadCx<'_>, run: &Run<'_, Ledger>) {
    assert_eq!(run.inside.up(), 0, "it runs twice at once");
    dawdle(cx);
    run.runs.up();
    run.served.add(run.submissions() as usize);
    run.inside.down();
}

fn hammered(cx: &ThreadCx<'_>) {
    const ROUNDS: usize = 8;
    let item = new_item(Ledger::default(), enter_and_leave);
    let users = {
        let item = Arc::clone(&item);
        crowd(cpus() + 2, move |cx, _| {
            for _ in 0..ROUNDS {
                let done = wq::percpu().queue_on(some_core(), &item);
                assert!(done.is_pending(), "{done:?}");
                item.queued.up_if(done == Submitted::Queued);
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    item.flush(cx).expect("nobody panics");
    assert_eq!(item.runs.get(), item.queued.get());
    assert_eq!(item.served.get(), users.len() * ROUNDS);
}

fn doorbell(cx: &ThreadCx<'_>) {
    #[derive(Default)]
    struct Letters {
        posted: Count,
        read: Count,
    }
    fn empty(cx: &ThreadCx<'_>, run: &Run<'_, Letters>) {
        run.read.add(run.posted.take());
        dawdle(cx);
    }
    let item = new_item(Letters::default(), empty);
    let posters = {
        let item = Arc::clone(&item);
        crowd(cpus() + 1, move |cx, i| {
            for _ in 0..15 {
                item.posted.up();
                assert!(wq::percpu().queue_on(core(i), &item).is_pending());
                dawdle(cx);
            }
        })
    };
    join(cx, &posters);
    item.flush(cx).expect("nobody panics");
    assert_eq!(item.read.get(), posters.len() * 15, "a bell was not heard");
}

fn queue_and_cancel(cx: &ThreadCx<'_>) {
    let item = new_item(Ledger::default(), enter_and_leave);
    let users = {
        let item = Arc::clone(&item);
        crowd(cpus() + 2, move |cx, _| {
            for _ in 0..12 {
                match pick(6) {
                    0 => item.cancelled.up_if(item.cancel()),
                    1 => item
                        .cancelled
                        .up_if(item.cancel_sync(cx).expect("no panic")),
                    2 => {
                        item.cancelled.up_if(item.disable().expect("not so deep"));
                        let _ = item.enable();
                    }
                    3 => {
                        let _ = item.flush(cx).expect("no panic");
                    }
                    _ => {
                        let done = wq::percpu().queue_on(some_core(), &item);
                        item.queued.up_if(done == Submitted::Queued);
                    }
                }
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    item.flush(cx).expect("no panic");
    assert_eq!(item.queued.get(), item.runs.get() + item.cancelled.get());
}

fn nested_disables(cx: &ThreadCx<'_>) {
    let item = new_item(Ledger::default(), enter_and_leave);
    let users = {
        let item = Arc::clone(&item);
        crowd(cpus() + 2, move |cx, i| {
            for _ in 0..6 {
                if i % 2 == 0 {
                    let done = wq::percpu().queue_on(some_core(), &item);
                    item.queued.up_if(done == Submitted::Queued);
                    dawdle(cx);
                    continue;
                }
                let was = item.disable_sync(cx).expect("no panic");
                item.cancelled.up_if(was);
                let runs = item.runs.get();
                let deeper = one_in(2) && item.disable().is_ok();
                dawdle(cx);
                assert_eq!(wq::percpu().queue(&item), Submitted::Disabled);
                assert_eq!((item.inside.get(), item.runs.get()), (0, runs), "it ran");
                if deeper {
                    assert!(!item.enable(), "enabled although disabled once more");
                }
                let _ = item.enable();
            }
        })
    };
    join(cx, &users);
    let last = wq::percpu().queue(&item);
    assert!(last.is_pending(), "still {last:?} after as many enables");
    item.queued.up_if(last == Submitted::Queued);
    item.flush(cx).expect("no panic");
    assert_eq!(item.queued.get(), item.runs.get() + item.cancelled.get());
}

/// Counts when it is dropped.
struct Mortal {
    left: Count,
    gone: Arc<Count>,
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.gone.up();
    }
}

fn freed_in_its_handler(cx: &ThreadCx<'_>) {
    fn count_down(cx: &ThreadCx<'_>, run: &Run<'_, Mortal>) {
        if run.left.down() > 1 {
            assert_eq!(wq::percpu().queue(run), Submitted::Queued, "B5");
            let again = wq::percpu().queue(run);
            assert_eq!(again, Submitted::AlreadyPending(2));
        }
        dawdle(cx);
    }
    let gone = Arc::new(Count::default());
    for i in 0..10 {
        let (left, gone) = (Count::new(1 + pick(6)), Arc::clone(&gone));
        let item = new_item(Mortal { left, gone }, count_down);
        assert_eq!(wq::percpu().queue_on(core(i), &item), Submitted::Queued);
        // The queue's count is the last one now, perhaps already gone.
        drop(item);
        dawdle(cx);
    }
    until(cx, || gone.get() == 10);
}

fn family(cx: &ThreadCx<'_>) {
    fn beget(cx: &ThreadCx<'_>, run: &Run<'_, Mortal>) {
        dawdle(cx);
        let left = run.left.get();
        if left > 1 {
            let (left, gone) = (Count::new(left - 1), Arc::clone(&run.gone));
            let child = new_item(Mortal { left, gone }, beget);
            assert_eq!(
                wq::percpu().queue_on(some_core(), &child),
                Submitted::Queued
            );
        }
        dawdle(cx);
    }
    let gone = Arc::new(Count::default());
    for i in 0..4 {
        let (left, gone) = (Count::new(8), Arc::clone(&gone));
        let first = new_item(Mortal { left, gone }, beget);
        assert_eq!(wq::percpu().queue_on(core(i), &first), Submitted::Queued);
    }
    until(cx, || gone.get() == 4 * 8);
}

fn three_queues(cx: &ThreadCx<'_>) {
    let own = insist(|| Workqueue::<PerCpu>::builder("third").build());
    let free = insist(|| Workqueue::<Unbound>::builder("free").max_active(2).build());
    let item = new_item(Ledger::default(), enter_and_leave);
    let users = {
        let (item, own, free) = (Arc::clone(&item), own.clone(), free.clone());
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..10 {
                // `Elsewhere` is a legal answer: the item runs for a queue with other pools.
                let done = match pick(4) {
                    0 => wq::highpri().queue_on(some_core(), &item),
                    1 => free.queue(&item),
                    2 => wq::percpu().queue(&item),
                    _ => own.queue_on(some_core(), &item),
                };
                item.queued.up_if(done == Submitted::Queued);
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    item.flush(cx).expect("no panic");
    assert_eq!(item.runs.get(), item.queued.get());
    own.destroy(cx).expect("not its item");
    free.destroy(cx).expect("not its item");
}

fn same_worker(cx: &ThreadCx<'_>) {
    #[derive(Default)]
    struct Loyal {
        left: Count,
        worker: Count,
    }
    fn go_round(cx: &ThreadCx<'_>, run: &Run<'_, Loyal>) {
        let me = current().id() as usize;
        let before = run.worker.get();
        assert!(before == 0 || before == me, "another worker continues it");
        run.worker.set(me);
        if run.left.down() > 1 {
            assert_eq!(wq::percpu().queue(run), Submitted::Queued);
        }
        dawdle(cx);
    }
    // One on each core: beside others it would be left to whoever is free between its runs.
    let items: Vec<_> = (0..cpus())
        .map(|_| {
            let (left, worker) = (Count::new(25), Count::default());
            new_item(Loyal { left, worker }, go_round)
        })
        .collect();
    for (i, item) in items.iter().enumerate() {
        assert_eq!(wq::percpu().queue_on(core(i), item), Submitted::Queued);
    }
    until(cx, || items.iter().all(|i| i.left.get() == 0));
    wq::percpu().flush(cx).expect("not its item");
}
