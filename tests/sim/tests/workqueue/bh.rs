//! Items in BH context (K rows).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use kernel::thread::{ThreadCx, yield_now};
use kernel::wq::{self, Bh, Submitted, Work, Workqueue};
use machine::CpuId;
use sim::{Scenario, sweep};
use sim_tests::{crowd, join};

use super::{CORES, SEEDS, cpus, here};

#[test]
fn f6_k2_k4_bh_items_run_in_order_on_their_core() {
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
    sweep(Scenario::new("bh", 1, body), &CORES, SEEDS);
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
    sweep(Scenario::new("bh hammered", 1, body), &CORES, SEEDS);
}
