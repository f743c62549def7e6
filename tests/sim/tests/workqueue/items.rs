//! One item: where it runs, how often, and whose it is (B, C and J rows).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use kernel::thread::{ThreadCx, sleep, yield_now};
use kernel::wq::{self, Group, Run, Submitted, TooDeep, WaitError, Work};
use machine::CpuId;
use sim::{Scenario, sweep};
use sim_tests::{crowd, join};

use super::{CORES, SEEDS, cpus, here, us};

#[test]
fn b4_c3_an_item_runs_where_it_is_queued() {
    fn body(cx: &ThreadCx<'_>) {
        for n in 0..cpus() {
            let ran = Arc::new(Work::new(AtomicUsize::new(99), |_, run| {
                run.store(here().index(), Ordering::Relaxed);
            }));
            assert_eq!(
                wq::percpu().queue_on(CpuId::new(n), &ran),
                Submitted::Queued
            );
            assert!(ran.flush(cx).is_ok());
            assert_eq!(ran.load(Ordering::Relaxed), n);
        }
    }
    sweep(Scenario::new("runs where queued", 1, body), &CORES, SEEDS);
}

struct Hammered {
    inside: AtomicUsize,
    runs: AtomicU32,
    submissions: AtomicU32,
}

#[test]
fn c5_b4_all_cores_hammer_one_item() {
    fn body(cx: &ThreadCx<'_>) {
        let item = Arc::new(Work::new(
            Hammered {
                inside: AtomicUsize::new(0),
                runs: AtomicU32::new(0),
                submissions: AtomicU32::new(0),
            },
            |cx: &ThreadCx<'_>, run: &wq::Run<'_, Hammered>| {
                assert_eq!(
                    run.inside.fetch_add(1, Ordering::Relaxed),
                    0,
                    "runs twice at once"
                );
                yield_now(cx);
                sleep(cx, us(3));
                run.inside.fetch_sub(1, Ordering::Relaxed);
                run.runs.fetch_add(1, Ordering::Relaxed);
                run.submissions
                    .fetch_add(run.submissions(), Ordering::Relaxed);
            },
        ));
        let queued = Arc::new(AtomicU32::new(0));
        let tries = Arc::new(AtomicU32::new(0));
        let threads = {
            let (item, queued, tries) = (item.clone(), queued.clone(), tries.clone());
            crowd(2 * cpus(), move |cx, i| {
                for round in 0..8 {
                    let wq = wq::percpu();
                    let done = wq.queue_on(CpuId::new((i + round) % cpus()), &item);
                    match done {
                        Submitted::Queued => queued.fetch_add(1, Ordering::Relaxed),
                        Submitted::AlreadyPending(_) => 0,
                        other => panic!("{other:?}"),
                    };
                    tries.fetch_add(1, Ordering::Relaxed);
                    yield_now(cx);
                }
            })
        };
        join(cx, &threads);
        assert!(item.flush(cx).is_ok());
        assert_eq!(
            item.runs.load(Ordering::Relaxed),
            queued.load(Ordering::Relaxed)
        );
        assert_eq!(
            item.submissions.load(Ordering::Relaxed),
            tries.load(Ordering::Relaxed)
        );
    }
    sweep(Scenario::new("hammered", 1, body), &CORES, SEEDS);
}

#[test]
fn b5_b8_an_item_queues_itself_and_is_freed_in_its_own_handler() {
    struct Countdown {
        left: AtomicU32,
        gone: Arc<AtomicBool>,
    }
    impl Drop for Countdown {
        fn drop(&mut self) {
            self.gone.store(true, Ordering::Relaxed);
        }
    }
    fn body(cx: &ThreadCx<'_>) {
        let gone = Arc::new(AtomicBool::new(false));
        let item = Arc::new(Work::new(
            Countdown {
                left: AtomicU32::new(5),
                gone: gone.clone(),
            },
            |_, run| {
                if run.left.fetch_sub(1, Ordering::Relaxed) > 1 {
                    assert_eq!(wq::percpu().queue(run), Submitted::Queued);
                    assert!(matches!(
                        wq::percpu().queue(run),
                        Submitted::AlreadyPending(2)
                    ));
                }
            },
        ));
        assert_eq!(wq::percpu().queue(&item), Submitted::Queued);
        drop(item); // the queue has the last count now
        for _ in 0..1000 {
            if gone.load(Ordering::Relaxed) {
                return;
            }
            sleep(cx, us(10));
        }
        panic!("the item was never freed");
    }
    sweep(Scenario::new("self-requeue", 1, body), &CORES, SEEDS);
}

#[test]
fn b4_j1_queue_and_cancel_storm_accounts_for_every_submission() {
    fn body(cx: &ThreadCx<'_>) {
        let item = Arc::new(Work::new(AtomicU32::new(0), |cx: &ThreadCx<'_>, run| {
            run.fetch_add(1, Ordering::Relaxed);
            sleep(cx, us(2));
        }));
        let queued = Arc::new(AtomicU32::new(0));
        let cancelled = Arc::new(AtomicU32::new(0));
        let threads = {
            let (item, queued, cancelled) = (item.clone(), queued.clone(), cancelled.clone());
            crowd(cpus() + 2, move |cx, i| {
                for round in 0..10 {
                    if i % 3 == 0 {
                        let was = match round % 3 {
                            0 => item.cancel(),
                            1 => item.cancel_sync(cx).unwrap(),
                            _ => {
                                let was = item.disable().unwrap();
                                let _ = item.enable();
                                was
                            }
                        };
                        cancelled.fetch_add(u32::from(was), Ordering::Relaxed);
                    } else if i % 3 == 1 && round % 4 == 3 {
                        item.flush(cx).unwrap();
                    } else if wq::percpu().queue(&item) == Submitted::Queued {
                        queued.fetch_add(1, Ordering::Relaxed);
                    }
                    yield_now(cx);
                }
            })
        };
        join(cx, &threads);
        item.flush(cx).unwrap();
        let over = item.load(Ordering::Relaxed) + cancelled.load(Ordering::Relaxed);
        assert_eq!(queued.load(Ordering::Relaxed), over);
    }
    sweep(Scenario::new("storm", 1, body), &CORES, SEEDS);
}

#[test]
fn an_item_cannot_wait_for_itself() {
    fn body(cx: &ThreadCx<'_>) {
        let item = Arc::new(Work::new(
            AtomicBool::new(false),
            |cx: &ThreadCx<'_>, run| {
                assert_eq!(run.work().cancel_sync(cx), Err(WaitError::SelfWait));
                assert_eq!(run.work().flush(cx), Err(WaitError::SelfWait));
                assert_eq!(wq::percpu().flush(cx), Err(WaitError::SelfWait));
                run.store(true, Ordering::Relaxed);
            },
        ));
        assert_eq!(wq::percpu().queue(&item), Submitted::Queued);
        item.flush(cx).unwrap();
        assert!(item.load(Ordering::Relaxed));
    }
    sweep(Scenario::new("self wait", 1, body), &CORES, 0..20);
}

#[test]
fn b9_too_many_disables_still_cancel_and_say_so() {
    fn body(cx: &ThreadCx<'_>) {
        let item = Arc::new(<Work<()>>::new((), |_: &ThreadCx<'_>, _: &Run<'_, ()>| {}));
        for _ in 0..u16::MAX {
            assert_eq!(item.disable(), Ok(false));
        }
        let too_deep = TooDeep { was_pending: false };
        assert_eq!(item.disable(), Err(too_deep));
        let too_deep = WaitError::TooDeep(too_deep);
        assert_eq!(item.disable_sync(cx), Err(too_deep), "nobody may undo it");
        assert_eq!(item.cancel_sync(cx), Ok(false));
        assert_eq!(wq::percpu().queue(&item), Submitted::Disabled);
    }
    sweep(Scenario::new("too deep", 1, body), &[1], 0..1);
}

#[test]
fn b9_a_group_counts_members_that_are_disabled_too_often() {
    fn body(cx: &ThreadCx<'_>) {
        let item = || Arc::new(<Work<()>>::new((), |_: &ThreadCx<'_>, _: &Run<'_, ()>| {}));
        let (full, other) = (item(), item());
        let group = Group::with_capacity(2).expect("memory");
        for member in [&full, &other] {
            group.join(member).expect("memory");
        }
        // Off: what is queued stays pending.
        let _off = sync::preempt_disable();
        for member in [&full, &other] {
            assert_eq!(wq::percpu().queue(member), Submitted::Queued);
        }
        drop(_off);
        for _ in 0..u16::MAX {
            let _was_pending = full.disable().expect("room for one more");
        }
        let told = group.cancel_all_sync(cx).expect("not a member");
        assert_eq!((told.poisoned, told.too_deep), (0, 1), "{told:?}");
        assert_eq!(full.busy(), (false, false));
        assert_eq!(other.busy(), (false, false));
        // The group took back its own disables, and no other.
        assert_eq!(wq::percpu().queue(&full), Submitted::Disabled);
        assert_eq!(wq::percpu().queue(&other), Submitted::Queued);
        other.flush(cx).expect("no panic");
        for n in 1..=u16::MAX {
            assert_eq!(full.enable(), n == u16::MAX, "{n}");
        }
        assert_eq!(wq::percpu().queue(&full), Submitted::Queued);
        full.flush(cx).expect("no panic");
    }
    sweep(Scenario::new("too deep in a group", 1, body), &[1], 0..1);
}
