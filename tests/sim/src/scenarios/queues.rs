//! Whole queues: flush, drain, destroy, and barriers (I rows, C10, D7).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kernel::completion::Completion;
use kernel::thread::{ThreadCx, sleep, yield_now};
use kernel::wq::{self, PerCpu, Run, Submitted, Unbound, WaitError, Work, Workqueue};
use machine::Duration;
use sim::Scenario;

use crate::kit::{
    Count, HARDY, core, cpus, crowd, dawdle, insist, join, ms, new_delayed, new_item, one_in, pick,
    some_core, until, us, volunteers,
};

/// Scenarios of whole queues.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("flush-under-producers", 3, flush_under_producers)
        .about("flush waits for what was queued before it and not for what comes later (I1)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("many-flushers", 4, many_flushers)
        .about("more flushes at once than there are colours all return, none too early (I1, I2)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("flush-and-cancel", 3, flush_and_cancel)
        .about("waiters for an inactive item return when it is cancelled (I6, I7, J7)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("barriers-beyond-the-limit", 3, barriers)
        .about("flushes of running and waiting items get past max_active = 1 (D7, I5, I6)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("drained-chains", 3, drained_chains)
        .about("drain lets chains finish and refuses strangers, whose items stay usable (C10, F10, I9)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("queues-come-and-go", 3, come_and_go)
        .about("destroyed queues have run all they accepted; armed timers find them gone (I10)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("waiting-for-oneself", 2, waiting_for_oneself)
        .about("an item that waits for itself or its queue is told so, under load (I4, J2)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("items-wait-for-items", 3, items_wait_for_items)
        .about("items flush items of other queues on the same core without deadlock (E2, I5)")
        .cpus_range(1, 8)
        .endures(HARDY),
];

fn flush_under_producers(cx: &ThreadCx<'_>) {
    let wq = insist(|| Workqueue::<PerCpu>::builder("flushed").build());
    let stop = Arc::new(AtomicBool::new(false));
    let producers = {
        let (wq, stop) = (wq.clone(), Arc::clone(&stop));
        crowd(2, move |cx, _| {
            let mine: Vec<_> = (0..3)
                .map(|_| new_item((), |cx: &ThreadCx<'_>, _| dawdle(cx)))
                .collect();
            let mut pause = us(3);
            while !stop.load(Ordering::Relaxed) {
                for item in &mine {
                    assert!(wq.queue_on(some_core(), item).is_pending());
                    yield_now(cx);
                }
                sleep(cx, pause);
                // Ever slower: without memory for workers it takes seconds.
                pause = (pause + pause).min(ms(50));
            }
        })
    };
    let flushers = {
        let wq = wq.clone();
        crowd(8, move |cx, i| {
            let item = new_item(Count::default(), |cx: &ThreadCx<'_>, run| {
                dawdle(cx);
                run.up();
            });
            for round in 1..4 {
                assert_eq!(wq.queue_on(core(i), &item), Submitted::Queued);
                wq.flush(cx).expect("not one of its items");
                assert_eq!(item.get(), round, "flush returned too early");
            }
        })
    };
    join(cx, &flushers);
    stop.store(true, Ordering::Relaxed);
    join(cx, &producers);
    wq.destroy(cx).expect("not one of its items");
}

fn many_flushers(cx: &ThreadCx<'_>) {
    let wq = insist(|| {
        Workqueue::<PerCpu>::builder("colours")
            .max_active(2)
            .build()
    });
    let flushers = {
        let wq = wq.clone();
        crowd(36, move |cx, i| {
            let item = new_item(Count::default(), |cx: &ThreadCx<'_>, run| {
                sleep(cx, us(5 + pick(30) as u64));
                run.up();
            });
            dawdle(cx);
            if i % 3 != 0 {
                assert_eq!(wq.queue_on(some_core(), &item), Submitted::Queued);
            }
            wq.flush(cx).expect("not one of its items");
            assert_eq!(item.get(), usize::from(i % 3 != 0), "too early");
        })
    };
    join(cx, &flushers);
    wq.destroy(cx).expect("not one of its items");
}

/// An item that runs until the gate opens.
fn blocker(gate: &Arc<Completion>) -> Arc<Work<Arc<Completion>>> {
    new_item(
        Arc::clone(gate),
        |cx: &ThreadCx<'_>, run: &Run<'_, Arc<Completion>>| run.wait(cx),
    )
}

fn flush_and_cancel(cx: &ThreadCx<'_>) {
    let wq = insist(|| Workqueue::<PerCpu>::builder("one").max_active(1).build());
    for _ in 0..5 {
        let gate = Arc::new(Completion::new());
        let first = blocker(&gate);
        let items: Arc<Vec<_>> = Arc::new(
            (0..3)
                .map(|_| new_item((), |_: &ThreadCx<'_>, _| panic!("cancelled")))
                .collect(),
        );
        assert_eq!(wq.queue_on(core(0), &first), Submitted::Queued);
        for item in items.iter() {
            assert_eq!(wq.queue_on(core(0), item), Submitted::Queued);
        }
        let waiters = {
            let items = Arc::clone(&items);
            crowd(4, move |cx, i| {
                let _ = items[i % 3].flush(cx);
            })
        };
        for item in items.iter() {
            dawdle(cx);
            let was = if one_in(2) {
                item.cancel()
            } else {
                item.cancel_sync(cx).expect("it never ran")
            };
            assert!(was, "it waits behind the blocker");
        }
        // They waited for nothing but the cancelled items.
        join(cx, &waiters);
        gate.complete_all();
        first.flush(cx).expect("no panic");
    }
    wq.destroy(cx).expect("not one of its items");
}

fn barriers(cx: &ThreadCx<'_>) {
    let wq = insist(|| Workqueue::<PerCpu>::builder("narrow").max_active(1).build());
    let items: Arc<Vec<_>> = Arc::new(
        (0..4)
            .map(|_| {
                new_item(Count::default(), |cx: &ThreadCx<'_>, run| {
                    dawdle(cx);
                    run.up();
                })
            })
            .collect(),
    );
    let users = {
        let (wq, items) = (wq.clone(), Arc::clone(&items));
        crowd(cpus() + 4, move |cx, _| {
            for _ in 0..8 {
                let item = &items[pick(4)];
                let runs = item.get();
                let done = wq.queue_on(some_core(), item);
                assert!(done.is_pending(), "{done:?}");
                if one_in(2) {
                    dawdle(cx);
                }
                item.flush(cx).expect("no panic");
                assert!(item.get() > runs, "flush returned too early");
            }
        })
    };
    join(cx, &users);
    wq.destroy(cx).expect("not one of its items");
}

struct Chain {
    wq: Workqueue<PerCpu>,
    left: Count,
}

fn next_link(cx: &ThreadCx<'_>, run: &Run<'_, Chain>) {
    dawdle(cx);
    if run.left.down() > 1 {
        let done = run.wq.queue_on(some_core(), run);
        assert_eq!(done, Submitted::Queued, "a chained item is refused");
    }
}

fn drained_chains(cx: &ThreadCx<'_>) {
    let wq = insist(|| Workqueue::<PerCpu>::builder("chains").build());
    let strangers = {
        let wq = wq.clone();
        crowd(2, move |cx, _| {
            let item = new_item(Count::default(), |_: &ThreadCx<'_>, run| {
                run.up();
            });
            let mut accepted = 0;
            for _ in 0..20 {
                match wq.queue_on(some_core(), &item) {
                    Submitted::Queued => accepted += 1,
                    Submitted::Draining => assert_eq!(item.flush(cx), Ok(false), "not idle"),
                    other => panic!("{other:?}"),
                }
                item.flush(cx).expect("no panic");
                assert_eq!(item.get(), accepted);
                dawdle(cx);
            }
        })
    };
    for _ in 0..4 {
        let chains: Vec<_> = (0..cpus())
            .map(|_| {
                let (wq, left) = (wq.clone(), Count::new(1 + pick(6)));
                new_item(Chain { wq, left }, next_link)
            })
            .collect();
        for (i, c) in chains.iter().enumerate() {
            assert_eq!(wq.queue_on(core(i), c), Submitted::Queued);
        }
        wq.drain(cx).expect("not one of its items");
        assert!(chains.iter().all(|c| c.left.get() == 0), "drain is over");
    }
    join(cx, &strangers);
    wq.destroy(cx).expect("not one of its items");
}

fn come_and_go(cx: &ThreadCx<'_>) {
    let owners = volunteers(cpus() + 1, |cx, _| {
        for _ in 0..4 {
            // Without memory there is no queue, and nothing else happens.
            let Ok(wq) = Workqueue::<Unbound>::builder("short").max_active(2).build() else {
                dawdle(cx);
                continue;
            };
            let late = new_delayed((), |_: &ThreadCx<'_>, _| panic!("after the end"));
            assert_eq!(
                wq.queue_delayed(&late, Duration::from_secs(300)),
                Submitted::Queued
            );
            let runs = Arc::new(Count::default());
            for _ in 0..4 {
                let item = new_item(
                    Arc::clone(&runs),
                    |cx: &ThreadCx<'_>, run: &Run<'_, Arc<Count>>| {
                        dawdle(cx);
                        run.up();
                    },
                );
                assert_eq!(wq.queue(&item), Submitted::Queued);
            }
            let other = wq.clone();
            wq.destroy(cx).expect("not one of its items");
            assert_eq!(runs.get(), 4, "destroyed with items left");
            let stranger = new_item((), |_: &ThreadCx<'_>, _| panic!("at the end"));
            assert_eq!(other.queue(&stranger), Submitted::Draining);
            assert!(!stranger.is_pending());
            if one_in(2) {
                assert!(late.cancel());
            }
        }
    });
    join(cx, &owners);
    // The timers left behind fire into nothing.
    sleep(cx, Duration::from_secs(301));
}

fn waiting_for_oneself(cx: &ThreadCx<'_>) {
    fn foolish(cx: &ThreadCx<'_>, run: &Run<'_, Count>) {
        dawdle(cx);
        assert_eq!(run.work().flush(cx), Err(WaitError::SelfWait));
        assert_eq!(run.work().cancel_sync(cx), Err(WaitError::SelfWait));
        assert_eq!(run.work().disable_sync(cx), Err(WaitError::SelfWait));
        assert_eq!(wq::percpu().flush(cx), Err(WaitError::SelfWait));
        run.up();
    }
    let items: Arc<Vec<_>> = Arc::new(
        (0..3)
            .map(|_| new_item(Count::default(), foolish))
            .collect(),
    );
    let users = {
        let items = Arc::clone(&items);
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..6 {
                let item = &items[pick(3)];
                assert!(wq::percpu().queue_on(some_core(), item).is_pending());
                dawdle(cx);
                item.flush(cx).expect("a thread is not the item");
            }
        })
    };
    join(cx, &users);
    until(cx, || items.iter().all(|i| !i.is_pending()));
    wq::percpu().flush(cx).expect("not one of its items");
}

fn items_wait_for_items(cx: &ThreadCx<'_>) {
    type Leaf = Arc<Work<Count>>;
    fn wait_for_leaf(cx: &ThreadCx<'_>, run: &Run<'_, Leaf>) {
        let leaf: &Leaf = run;
        let before = leaf.get();
        assert!(wq::highpri().queue_on(some_core(), leaf).is_pending());
        leaf.flush(cx).expect("no panic");
        assert!(leaf.get() > before, "flush returned too early");
    }
    let leaf = || {
        new_item(Count::default(), |cx: &ThreadCx<'_>, run| {
            dawdle(cx);
            run.up();
        })
    };
    let leaves: Vec<Leaf> = (0..3).map(|_| leaf()).collect();
    let items: Vec<_> = (0..4 * cpus())
        .map(|i| new_item(Arc::clone(&leaves[i % 3]), wait_for_leaf))
        .collect();
    for _ in 0..3 {
        for item in &items {
            assert!(wq::percpu().queue_on(some_core(), item).is_pending());
        }
        wq::percpu().flush(cx).expect("not one of its items");
    }
}
