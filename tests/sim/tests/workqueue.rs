//! Workqueues under the simulator: the rules that involve several cores and the scheduler.
//!
//! Each scenario runs on several numbers of cores under many seeds; row IDs are those of the
//! feature table (B4, C5, E2, ...).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use kernel::completion::Completion;
use kernel::thread::{ThreadCx, sleep, yield_now};
use kernel::wq::{self, Bh, DelayedWork, PerCpu, Submitted, Unbound, WaitError, Work, Workqueue};
use machine::{CpuId, Duration, now};
use sim::{Options, Scenario, run, sweep};
use sim_tests::{crowd, join};

const CORES: [usize; 4] = [1, 2, 3, 8];
const SEEDS: std::ops::Range<u64> = 0..60;

fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

fn cpus() -> usize {
    kernel::cpu::online().count()
}

/// The running core; stale unless the thread cannot migrate.
fn here() -> CpuId {
    kernel::cpu::this_cpu().id()
}

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
    sweep(
        Scenario {
            name: "runs where queued",
            cpus: 1,
            init: body,
        },
        &CORES,
        SEEDS,
    );
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
    sweep(
        Scenario {
            name: "hammered",
            cpus: 1,
            init: body,
        },
        &CORES,
        SEEDS,
    );
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
    sweep(
        Scenario {
            name: "self-requeue",
            cpus: 1,
            init: body,
        },
        &CORES,
        SEEDS,
    );
}

#[test]
fn e2_e9_a_sleeping_item_does_not_hold_back_the_next() {
    fn body(cx: &ThreadCx<'_>) {
        const SLEEPERS: usize = 6;
        let gate = Arc::new(Completion::new());
        let started = Arc::new(AtomicUsize::new(0));
        let items: Vec<_> = (0..SLEEPERS)
            .map(|_| {
                Arc::new(Work::new(
                    (gate.clone(), started.clone()),
                    |cx: &ThreadCx<'_>, run: &wq::Run<'_, (Arc<Completion>, Arc<AtomicUsize>)>| {
                        run.1.fetch_add(1, Ordering::Relaxed);
                        run.0.wait(cx);
                    },
                ))
            })
            .collect();
        for item in &items {
            assert_eq!(wq::percpu().queue_on(CpuId::BOOT, item), Submitted::Queued);
        }
        let began = now();
        while started.load(Ordering::Relaxed) < SLEEPERS {
            assert!(
                now().since(began) < Duration::from_millis(50),
                "an item waits for a sleeper"
            );
            sleep(cx, us(20));
        }
        // The last one has started; give it time to block.
        sleep(cx, Duration::from_millis(1));
        let mut workers = 0;
        wq::for_each_pool(|p| {
            if p.id == 0 {
                workers = p.workers.total;
                assert_eq!(p.workers.blocked as usize, SLEEPERS);
                assert_eq!(p.nr_running, 0);
            }
        });
        assert!(workers as usize > SLEEPERS, "{workers} workers");
        gate.complete_all();
        for item in &items {
            assert!(item.flush(cx).is_ok());
        }
    }
    sweep(
        Scenario {
            name: "sleepers",
            cpus: 1,
            init: body,
        },
        &CORES,
        SEEDS,
    );
}

/// E8: three items on one core, in virtual time. w0: burn 5, sleep 10, burn 5; w1, w2: burn 5,
/// sleep 10 (ms).
fn golden(cx: &ThreadCx<'_>, max_active: u32) -> u64 {
    fn burn(ms: u64) {
        let end = now() + Duration::from_millis(ms);
        // Not `relax`: in the simulator it means "nothing to do", and the clock jumps to the next
        // event.
        while now() < end {}
    }
    let wq = Workqueue::<PerCpu>::builder("golden")
        .max_active(max_active)
        .build()
        .unwrap();
    let items: Vec<_> = (0..3usize)
        .map(|i| {
            Arc::new(Work::new(
                i,
                |cx: &ThreadCx<'_>, run: &wq::Run<'_, usize>| {
                    burn(5);
                    sleep(cx, Duration::from_millis(10));
                    if **run == 0 {
                        burn(5);
                    }
                },
            ))
        })
        .collect();
    let began = now();
    for item in &items {
        assert_eq!(wq.queue_on(CpuId::BOOT, item), Submitted::Queued);
    }
    wq.flush(cx).unwrap();
    let ms = (now().since(began).as_micros() + 500) / 1000;
    wq.destroy(cx).unwrap();
    ms
}

#[test]
fn e8_the_golden_scenario_takes_50_35_or_25_ms() {
    fn body(cx: &ThreadCx<'_>) {
        assert!(golden(cx, 1).abs_diff(50) <= 1);
        assert!(golden(cx, 2).abs_diff(35) <= 1);
        assert!(golden(cx, 3).abs_diff(25) <= 1);
    }
    for seed in 0..3 {
        let _ = run(
            &Scenario {
                name: "golden",
                cpus: 1,
                init: body,
            },
            seed,
            Options::default(),
        )
        .expect_ok();
    }
}

#[test]
fn d2_max_active_limits_each_core() {
    fn body(cx: &ThreadCx<'_>) {
        let wq = Workqueue::<PerCpu>::builder("two")
            .max_active(2)
            .build()
            .unwrap();
        let gate = Arc::new(Completion::new());
        let started = Arc::new(AtomicUsize::new(0));
        let make = || {
            Arc::new(Work::new(
                (gate.clone(), started.clone()),
                |cx: &ThreadCx<'_>, run: &wq::Run<'_, (Arc<Completion>, Arc<AtomicUsize>)>| {
                    run.1.fetch_add(1, Ordering::Relaxed);
                    run.0.wait(cx);
                },
            ))
        };
        let items: Vec<_> = (0..5).map(|_| make()).collect();
        for item in &items {
            assert!(wq.queue_on(CpuId::BOOT, item).is_pending());
        }
        sleep(cx, Duration::from_millis(2));
        assert_eq!(started.load(Ordering::Relaxed), 2);
        gate.complete_all();
        wq.flush(cx).unwrap();
        assert_eq!(started.load(Ordering::Relaxed), 5);
        wq.destroy(cx).unwrap();
    }
    sweep(
        Scenario {
            name: "max_active",
            cpus: 1,
            init: body,
        },
        &CORES,
        0..20,
    );
}

#[test]
fn f1_d3_unbound_items_start_at_once_up_to_the_limit() {
    fn body(cx: &ThreadCx<'_>) {
        let wq = Workqueue::<Unbound>::builder("free")
            .max_active(3)
            .build()
            .unwrap();
        let gate = Arc::new(Completion::new());
        let started = Arc::new(AtomicUsize::new(0));
        let items: Vec<_> = (0..6)
            .map(|_| {
                Arc::new(Work::new(
                    (gate.clone(), started.clone()),
                    |cx: &ThreadCx<'_>, run: &wq::Run<'_, (Arc<Completion>, Arc<AtomicUsize>)>| {
                        run.1.fetch_add(1, Ordering::Relaxed);
                        run.0.wait(cx);
                    },
                ))
            })
            .collect();
        for (n, item) in items.iter().enumerate() {
            assert!(wq.queue_on(CpuId::new(n % cpus()), item).is_pending());
        }
        sleep(cx, Duration::from_millis(2));
        assert_eq!(started.load(Ordering::Relaxed), 3);
        gate.complete_all();
        wq.flush(cx).unwrap();
        assert_eq!(started.load(Ordering::Relaxed), 6);
        wq.destroy(cx).unwrap();
    }
    sweep(
        Scenario {
            name: "unbound",
            cpus: 1,
            init: body,
        },
        &CORES,
        0..20,
    );
}

#[test]
fn i1_flush_waits_for_everything_earlier_under_producers() {
    fn body(cx: &ThreadCx<'_>) {
        let wq = Workqueue::<PerCpu>::builder("flushed").build().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (wq2, stop2) = (wq.clone(), stop.clone());
        let producers = crowd(3, move |cx, _| {
            let mine: Vec<_> = (0..3)
                .map(|_| Arc::new(Work::new((), |cx, _| sleep(cx, us(5)))))
                .collect();
            while !stop2.load(Ordering::Relaxed) {
                for item in &mine {
                    assert!(wq2.queue(item).is_pending());
                    yield_now(cx);
                }
                sleep(cx, us(3));
            }
        });
        let wq3 = wq.clone();
        let flushers = crowd(20, move |cx, i| {
            let done = Arc::new(Work::new(AtomicBool::new(false), |cx, run| {
                sleep(cx, us(7));
                run.store(true, Ordering::Relaxed);
            }));
            assert_eq!(
                wq3.queue_on(CpuId::new(i % cpus()), &done),
                Submitted::Queued
            );
            wq3.flush(cx).unwrap();
            assert!(done.load(Ordering::Relaxed), "flush returned too early");
        });
        join(cx, &flushers);
        stop.store(true, Ordering::Relaxed);
        join(cx, &producers);
        wq.destroy(cx).unwrap();
    }
    sweep(
        Scenario {
            name: "flush",
            cpus: 1,
            init: body,
        },
        &[1, 2, 4],
        0..30,
    );
}

#[test]
fn j2_cancel_sync_ends_a_self_requeueing_item() {
    fn body(cx: &ThreadCx<'_>) {
        let item = Arc::new(Work::new(AtomicU64::new(0), |cx: &ThreadCx<'_>, run| {
            run.fetch_add(1, Ordering::Relaxed);
            let _ = wq::percpu().queue(run);
            yield_now(cx);
        }));
        assert_eq!(wq::percpu().queue(&item), Submitted::Queued);
        sleep(cx, us(50));
        assert!(item.cancel_sync(cx).is_ok());
        let runs = item.load(Ordering::Relaxed);
        sleep(cx, us(200));
        assert_eq!(item.load(Ordering::Relaxed), runs, "it runs on");
        assert_eq!(item.cancel_sync(cx), Ok(false));
        assert_eq!(wq::percpu().queue(&item), Submitted::Queued);
        assert!(item.disable_sync(cx).is_ok());
        assert_eq!(wq::percpu().queue(&item), Submitted::Disabled);
        assert!(item.enable());
    }
    sweep(
        Scenario {
            name: "cancel_sync",
            cpus: 1,
            init: body,
        },
        &CORES,
        SEEDS,
    );
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
    sweep(
        Scenario {
            name: "storm",
            cpus: 1,
            init: body,
        },
        &CORES,
        SEEDS,
    );
}

#[test]
fn i7_a_flush_waiter_of_a_cancelled_item_returns() {
    fn body(cx: &ThreadCx<'_>) {
        let wq = Workqueue::<PerCpu>::builder("one")
            .max_active(1)
            .build()
            .unwrap();
        let gate = Arc::new(Completion::new());
        let blocker = Arc::new(Work::new(gate.clone(), |cx: &ThreadCx<'_>, run| {
            run.wait(cx)
        }));
        let item = Arc::new(Work::new((), |_: &ThreadCx<'_>, _| {
            panic!("it was cancelled")
        }));
        assert_eq!(wq.queue_on(CpuId::BOOT, &blocker), Submitted::Queued);
        assert_eq!(wq.queue_on(CpuId::BOOT, &item), Submitted::Queued);
        let waiters = {
            let item = item.clone();
            crowd(3, move |cx, _| {
                let _ = item.flush(cx);
            })
        };
        yield_now(cx);
        assert!(item.cancel());
        join(cx, &waiters);
        gate.complete_all();
        wq.destroy(cx).unwrap();
    }
    sweep(
        Scenario {
            name: "flush and cancel",
            cpus: 1,
            init: body,
        },
        &CORES,
        SEEDS,
    );
}

#[test]
fn j8_j9_delayed_work_is_exact_and_can_be_moved() {
    fn body(cx: &ThreadCx<'_>) {
        let item = Arc::new(DelayedWork::new(
            AtomicU64::new(0),
            |_: &ThreadCx<'_>, run| {
                run.store(now().as_nanos(), Ordering::Relaxed);
            },
        ));
        let wq = wq::percpu();
        let began = now();
        assert_eq!(wq.queue_delayed(&item, us(300)), Submitted::Queued);
        assert!(matches!(
            wq.queue_delayed(&item, us(1)),
            Submitted::AlreadyPending(2)
        ));
        sleep(cx, us(100));
        assert!(matches!(
            wq.mod_delayed(&item, us(400)),
            Submitted::AlreadyPending(_)
        ));
        sleep(cx, us(250));
        assert_eq!(item.load(Ordering::Relaxed), 0, "it ran at its old time");
        sleep(cx, us(400));
        let at = item.load(Ordering::Relaxed) - began.as_nanos();
        assert!((500_000..600_000).contains(&at), "ran after {at} ns");
        assert_eq!(wq.queue_delayed(&item, us(100)), Submitted::Queued);
        assert!(item.cancel());
        assert!(!item.cancel());
        assert_eq!(wq.queue_delayed(&item, us(100)), Submitted::Queued);
        assert_eq!(item.cancel_sync(cx), Ok(true));
        assert_eq!(wq.queue_delayed(&item, Duration::ZERO), Submitted::Queued);
        assert_eq!(item.flush(cx).map(|_| ()), Ok(()));
    }
    sweep(
        Scenario {
            name: "delayed",
            cpus: 1,
            init: body,
        },
        &CORES,
        SEEDS,
    );
}

#[test]
fn j9_a_storm_of_modifications_runs_once_after_the_last() {
    fn body(cx: &ThreadCx<'_>) {
        let item = Arc::new(DelayedWork::new(
            AtomicU32::new(0),
            |_: &ThreadCx<'_>, run| {
                run.fetch_add(1, Ordering::Relaxed);
            },
        ));
        let threads = {
            let item = item.clone();
            crowd(cpus() + 1, move |cx, _| {
                for _ in 0..6 {
                    assert!(wq::percpu().mod_delayed(&item, us(500)).is_pending());
                    sleep(cx, us(10));
                }
            })
        };
        join(cx, &threads);
        sleep(cx, Duration::from_millis(2));
        assert_eq!(item.load(Ordering::Relaxed), 1);
    }
    sweep(
        Scenario {
            name: "mod_delayed",
            cpus: 1,
            init: body,
        },
        &CORES,
        SEEDS,
    );
}

#[test]
fn k2_k4_bh_items_run_in_order_on_their_core() {
    fn body(cx: &ThreadCx<'_>) {
        static ORDER: AtomicUsize = AtomicUsize::new(0);
        let next = Arc::new([const { AtomicUsize::new(0) }; 8]);
        let items: Vec<_> = (0..35usize * cpus())
            .map(|i| {
                let (cpu, nth) = (i % cpus(), i / cpus());
                Arc::new(Work::new(
                    (next.clone(), cpu, nth),
                    |_: &kernel::softirq::BhCx<'_>,
                     run: &wq::Run<'_, (Arc<[AtomicUsize; 8]>, usize, usize), wq::Softirq>| {
                        assert_eq!(here().index(), run.1, "wrong core");
                        assert_eq!(run.0[run.1].fetch_add(1, Ordering::Relaxed), run.2, "order");
                        ORDER.fetch_add(1, Ordering::Relaxed);
                    },
                ))
            })
            .collect();
        for (i, item) in items.iter().enumerate() {
            assert_eq!(
                wq::bh().queue_on(CpuId::new(i % cpus()), item),
                Submitted::Queued
            );
        }
        wq::bh().flush(cx).unwrap();
        for n in 0..cpus() {
            assert_eq!(next[n].load(Ordering::Relaxed), 35);
        }
    }
    sweep(
        Scenario {
            name: "bh",
            cpus: 1,
            init: body,
        },
        &CORES,
        SEEDS,
    );
}

#[test]
fn k6_bh_items_are_not_reentrant_and_can_be_cancelled() {
    fn body(cx: &ThreadCx<'_>) {
        let wq = Workqueue::<Bh>::builder("bh").highpri().build().unwrap();
        let item = Arc::new(Work::new(
            (AtomicUsize::new(0), AtomicU32::new(0)),
            |_: &kernel::softirq::BhCx<'_>,
             run: &wq::Run<'_, (AtomicUsize, AtomicU32), wq::Softirq>| {
                assert_eq!(
                    run.0.fetch_add(1, Ordering::Relaxed),
                    0,
                    "runs twice at once"
                );
                for _ in 0..20 {
                    machine::relax();
                }
                run.1.fetch_add(1, Ordering::Relaxed);
                run.0.fetch_sub(1, Ordering::Relaxed);
            },
        ));
        let queued = Arc::new(AtomicU32::new(0));
        let threads = {
            let (wq, item, queued) = (wq.clone(), item.clone(), queued.clone());
            crowd(cpus() + 1, move |cx, i| {
                for round in 0..10 {
                    if i == 0 && round % 3 == 2 {
                        let was = item.cancel_sync(cx).unwrap();
                        queued.fetch_sub(u32::from(was), Ordering::Relaxed);
                    } else if wq.queue_on(CpuId::new((i + round) % cpus()), &item)
                        == Submitted::Queued
                    {
                        queued.fetch_add(1, Ordering::Relaxed);
                    }
                    yield_now(cx);
                }
            })
        };
        join(cx, &threads);
        item.flush(cx).unwrap();
        assert_eq!(
            item.1.load(Ordering::Relaxed),
            queued.load(Ordering::Relaxed)
        );
        wq.destroy(cx).unwrap();
    }
    sweep(
        Scenario {
            name: "bh hammered",
            cpus: 1,
            init: body,
        },
        &CORES,
        SEEDS,
    );
}

#[test]
fn i9_i10_drain_lets_chains_finish_and_refuses_strangers() {
    fn body(cx: &ThreadCx<'_>) {
        let wq = Workqueue::<PerCpu>::builder("chain").build().unwrap();
        let chain = Arc::new(Work::new(
            (wq.clone(), AtomicU32::new(10)),
            |cx: &ThreadCx<'_>, run: &wq::Run<'_, (Workqueue<PerCpu>, AtomicU32)>| {
                sleep(cx, us(2));
                if run.1.fetch_sub(1, Ordering::Relaxed) > 1 {
                    assert_eq!(
                        run.0.queue(run),
                        Submitted::Queued,
                        "a chained item is refused"
                    );
                }
            },
        ));
        assert_eq!(wq.queue(&chain), Submitted::Queued);
        let late = Arc::new(DelayedWork::new((), |_: &ThreadCx<'_>, _| {
            panic!("after the end")
        }));
        assert_eq!(
            wq.queue_delayed(&late, Duration::from_millis(5)),
            Submitted::Queued
        );
        let other = wq.clone();
        wq.destroy(cx).unwrap();
        assert_eq!(chain.1.load(Ordering::Relaxed), 0);
        let stranger = Arc::new(Work::new((), |_: &ThreadCx<'_>, _| panic!("after the end")));
        assert_eq!(other.queue(&stranger), Submitted::Draining);
        assert!(!stranger.is_pending());
        assert_eq!(
            wq::percpu().queue_on(CpuId::BOOT, &Arc::new(Work::new((), |_, _| {}))),
            Submitted::Queued
        );
        sleep(cx, Duration::from_millis(10));
        assert!(!late.is_pending());
    }
    sweep(
        Scenario {
            name: "drain",
            cpus: 1,
            init: body,
        },
        &CORES,
        SEEDS,
    );
}

#[test]
fn e12_idle_workers_end_after_the_timeout() {
    fn body(cx: &ThreadCx<'_>) {
        wq::set_idle_timeout(Duration::from_millis(5));
        let gate = Arc::new(Completion::new());
        let items: Vec<_> = (0..16)
            .map(|_| {
                Arc::new(Work::new(gate.clone(), |cx: &ThreadCx<'_>, run| {
                    run.wait(cx)
                }))
            })
            .collect();
        for item in &items {
            assert_eq!(wq::percpu().queue_on(CpuId::BOOT, item), Submitted::Queued);
        }
        sleep(cx, Duration::from_millis(3));
        gate.complete_all();
        wq::percpu().flush(cx).unwrap();
        let count = || {
            let mut n = 0;
            wq::for_each_pool(|p| n = if p.id == 0 { p.workers.total } else { n });
            n
        };
        assert!(count() >= 16);
        sleep(cx, Duration::from_millis(4));
        assert!(count() >= 16, "workers ended before the timeout");
        sleep(cx, Duration::from_millis(20));
        assert_eq!(count(), 2);
    }
    sweep(
        Scenario {
            name: "reaping",
            cpus: 1,
            init: body,
        },
        &[1, 2],
        0..10,
    );
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
    sweep(
        Scenario {
            name: "self wait",
            cpus: 1,
            init: body,
        },
        &CORES,
        0..20,
    );
}
