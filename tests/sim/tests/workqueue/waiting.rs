//! Waiting and cancelling: flush, cancel, drain (I and J rows).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use kernel::completion::Completion;
use kernel::thread::{ThreadCx, sleep, yield_now};
use kernel::wq::{self, DelayedWork, PerCpu, Submitted, Work, Workqueue};
use machine::{CpuId, Duration};
use sim::{Scenario, sweep};
use sim_tests::{crowd, join};

use super::{CORES, SEEDS, cpus, us};

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
    sweep(Scenario::new("flush", 1, body), &[1, 2, 4], 0..30);
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
    sweep(Scenario::new("cancel_sync", 1, body), &CORES, SEEDS);
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
    sweep(Scenario::new("flush and cancel", 1, body), &CORES, SEEDS);
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
    sweep(Scenario::new("drain", 1, body), &CORES, SEEDS);
}
