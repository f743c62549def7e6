//! 70: work items run where, when and as often as they should (B and C rows, E2).

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::thread::{self, ThreadCx};
use kernel::wq::{self, Run, Submitted, Work};
use machine::{CpuId, now};

use super::work_kit::{cores, eventually, here, ms, on_core, on_every_core, us};
use crate::ktest;

ktest!("70_c1_c3_work_runs_where_queued", runs_where_queued);
ktest!("71_b5_c6_work_requeues_itself", requeues_itself);
ktest!("72_b4_c5_work_is_not_reentrant", is_not_reentrant);
ktest!("73_e2_sleeping_work_holds_nothing_back", holds_nothing_back);

/// C1 (from a thread of each core, in order) and C3 (on a named core).
fn runs_where_queued(cx: &ThreadCx<'_>) {
    on_every_core(cx, |cx, n| {
        let next = Arc::new(AtomicUsize::new(0));
        let items: Vec<_> = (0..20)
            .map(|i| {
                Arc::new(Work::new(
                    (n, i, Arc::clone(&next)),
                    |_, run: &Run<'_, (usize, usize, Arc<AtomicUsize>)>| {
                        assert_eq!(here().index(), run.0, "another core than the queuer's");
                        assert_eq!(run.2.fetch_add(1, Ordering::Relaxed), run.1, "order");
                    },
                ))
            })
            .collect();
        for item in &items {
            assert_eq!(wq::percpu().queue(item), Submitted::Queued);
        }
        for item in &items {
            item.flush(cx).expect("no item panicked");
        }
        assert_eq!(next.load(Ordering::Relaxed), items.len());
    });
    for n in 0..cores() {
        let ran = Arc::new(Work::new(AtomicUsize::new(usize::MAX), |_, run| {
            run.store(here().index(), Ordering::Relaxed);
        }));
        let queued = wq::percpu().queue_on(CpuId::new(n), &ran);
        assert_eq!(queued, Submitted::Queued);
        ran.flush(cx).expect("it did not panic");
        assert_eq!(ran.load(Ordering::Relaxed), n);
    }
}

/// B5: an item can queue itself once while it runs. C6: the same worker runs it again.
fn requeues_itself(cx: &ThreadCx<'_>) {
    struct Twice {
        runs: AtomicU32,
        worker: AtomicU64,
    }
    let item = Arc::new(Work::new(
        Twice {
            runs: AtomicU32::new(0),
            worker: AtomicU64::new(0),
        },
        |cx: &ThreadCx<'_>, run: &Run<'_, Twice>| {
            let me = u64::from(thread::current().id());
            if run.runs.fetch_add(1, Ordering::Relaxed) == 0 {
                run.worker.store(me, Ordering::Relaxed);
                assert_eq!(wq::percpu().queue(run), Submitted::Queued);
                assert_eq!(wq::percpu().queue(run), Submitted::AlreadyPending(2));
                // Another worker finds it on the list meanwhile.
                thread::sleep(cx, ms(5));
            } else {
                assert_eq!(run.submissions(), 2);
                assert_eq!(run.worker.load(Ordering::Relaxed), me, "another worker");
            }
        },
    ));
    assert_eq!(wq::percpu().queue(&item), Submitted::Queued);
    // A flush waits for what is pending when it is called: not before the item has queued itself.
    eventually(cx, "the second run", || {
        item.runs.load(Ordering::Relaxed) == 2
    });
    item.flush(cx).expect("it did not panic");
    assert_eq!(item.runs.load(Ordering::Relaxed), 2);
}

/// C5 and B4: all cores queue and cancel one item; it never runs twice at once, and each
/// submission ends in a run or a cancel.
fn is_not_reentrant(cx: &ThreadCx<'_>) {
    #[derive(Default)]
    struct Hammered {
        inside: AtomicBool,
        runs: AtomicU32,
        queued: AtomicU32,
        cancelled: AtomicU32,
    }
    let item = Arc::new(Work::new(
        Hammered::default(),
        |cx: &ThreadCx<'_>, run: &Run<'_, Hammered>| {
            assert!(!run.inside.swap(true, Ordering::Relaxed), "twice at once");
            let n = run.runs.fetch_add(1, Ordering::Relaxed);
            if n.is_multiple_of(64) {
                thread::sleep(cx, us(20));
            } else {
                super::compute();
            }
            run.inside.store(false, Ordering::Relaxed);
        },
    ));
    let shared = Arc::clone(&item);
    on_every_core(cx, move |cx, n| {
        for round in 0..2_000 {
            if (n + round) % 16 == 0 {
                let was = if round % 32 == 0 {
                    shared.cancel_sync(cx).expect("it did not panic")
                } else {
                    shared.cancel()
                };
                shared
                    .cancelled
                    .fetch_add(u32::from(was), Ordering::Relaxed);
            } else {
                let target = CpuId::new((n + round) % cores());
                let queue = wq::percpu();
                let done = if round % 2 == 0 {
                    queue.queue(&shared)
                } else {
                    queue.queue_on(target, &shared)
                };
                match done {
                    Submitted::Queued => shared.queued.fetch_add(1, Ordering::Relaxed),
                    // Somebody cancels and waits just now.
                    Submitted::AlreadyPending(_) | Submitted::Disabled => 0,
                    other => panic!("{other:?}"),
                };
            }
            if round % 50 == 0 {
                thread::yield_now(cx);
            }
        }
    });
    item.flush(cx).expect("it did not panic");
    let [queued, runs, cancelled] =
        [&item.queued, &item.runs, &item.cancelled].map(|n| n.load(Ordering::Relaxed));
    assert!(runs > 0);
    assert_eq!(queued, runs + cancelled, "{runs} runs, {cancelled} cancels");
}

/// E2: the next item starts as soon as the running one sleeps, and not before.
fn holds_nothing_back(cx: &ThreadCx<'_>) {
    static FIRST: AtomicU64 = AtomicU64::new(0);
    static SECOND: AtomicU64 = AtomicU64::new(0);
    static SLEEPER: Work<()> = Work::new((), |cx: &ThreadCx<'_>, _| {
        for _ in 0..20 {
            super::compute();
        }
        assert_eq!(SECOND.load(Ordering::Relaxed), 0, "started beside a runner");
        thread::sleep(cx, ms(200));
        FIRST.store(now().as_nanos(), Ordering::Relaxed);
    });
    static NEXT: Work<()> = Work::new((), |_, _| {
        SECOND.store(now().as_nanos(), Ordering::Relaxed);
    });
    let queuer = on_core(CpuId::BOOT, |_| {
        assert_eq!(wq::percpu().queue(&SLEEPER), Submitted::Queued);
        assert_eq!(wq::percpu().queue(&NEXT), Submitted::Queued);
    });
    queuer.join(cx);
    SLEEPER.flush(cx).expect("it did not panic");
    NEXT.flush(cx).expect("it did not panic");
    let (first, second) = (
        FIRST.load(Ordering::Relaxed),
        SECOND.load(Ordering::Relaxed),
    );
    assert!(second < first, "an item waited for a sleeping one");
}
