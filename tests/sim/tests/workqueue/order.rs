//! Limits and order of unbound queues (D6, D8), and many flushes at once (I2).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use kernel::completion::Completion;
use kernel::thread::{ThreadCx, sleep, yield_now};
use kernel::wq::{Limited, Ordered, PerCpu, Run, Unbound, Work, Workqueue};
use machine::Duration;
use sim::{Scenario, sweep};
use sim_tests::{crowd, join};
use sync::{Rank, SpinLock};

use super::us;

/// Items of an ordered queue: the order of queueing, taken under a lock around it, is the order of
/// execution, and no two overlap.
#[test]
fn d8_an_ordered_queue_keeps_the_order_and_never_overlaps() {
    struct Log {
        running: AtomicBool,
        order: SpinLock<Vec<u32>>,
    }
    fn body(cx: &ThreadCx<'_>) {
        const EACH: usize = 6;
        const THREADS: usize = 4;
        let wq = Workqueue::<Ordered>::builder("ordered").build().unwrap();
        assert_eq!(wq.max_active(), 1);
        let log = Arc::new(Log {
            running: AtomicBool::new(false),
            order: SpinLock::new(Rank::Leaf, "order", Vec::with_capacity(EACH * THREADS)),
        });
        let tickets = Arc::new(<SpinLock<u32>>::new(Rank::Service, "tickets", 0));
        let (queue, written) = (wq.clone(), log.clone());
        let producers = crowd(THREADS, move |cx, i| {
            for n in 0..EACH {
                // Outside the lock: memory comes from the host.
                let item = Arc::new(Work::new(
                    (written.clone(), AtomicU32::new(0)),
                    |cx: &ThreadCx<'_>, run: &Run<'_, (Arc<Log>, AtomicU32)>| {
                        assert!(!run.0.running.swap(true, Ordering::Relaxed), "overlap");
                        let n = run.1.load(Ordering::Relaxed);
                        run.0.order.lock().push(n);
                        match n % 3 {
                            0 => sleep(cx, us(4)),
                            1 => yield_now(cx),
                            _ => {}
                        }
                        run.0.running.store(false, Ordering::Relaxed);
                    },
                ));
                let mut next = tickets.lock();
                item.1.store(*next, Ordering::Relaxed);
                *next += 1;
                assert!(queue.queue(&item).is_pending());
                drop(next);
                if (n + i) % 2 == 0 {
                    yield_now(cx);
                }
            }
        });
        join(cx, &producers);
        wq.flush(cx).unwrap();
        let order = std::mem::take(&mut *log.order.lock());
        assert!(
            order.iter().copied().eq(0..(EACH * THREADS) as u32),
            "{order:?}"
        );
        wq.destroy(cx).unwrap();
    }
    sweep(Scenario::new("ordered", 1, body), &[1, 2, 4, 8], 0..30);
}

/// Raising the limit starts waiting items at once, lowering it stops nobody.
#[test]
fn d6_the_limit_can_be_changed() {
    fn check<K>(cx: &ThreadCx<'_>, wq: &Workqueue<K>)
    where
        K: Limited<Context = kernel::wq::Threaded>,
    {
        type Gate = (Completion, AtomicUsize);
        let gate: Arc<Gate> = Arc::new((Completion::new(), AtomicUsize::new(0)));
        let item = || {
            Arc::new(Work::new(
                gate.clone(),
                |cx: &ThreadCx<'_>, run: &Run<'_, Arc<Gate>>| {
                    run.1.fetch_add(1, Ordering::Relaxed);
                    run.0.wait(cx);
                },
            ))
        };
        let items: Vec<_> = (0..10).map(|_| item()).collect();
        let started = || gate.1.load(Ordering::Relaxed);
        let boot = machine::CpuId::BOOT;
        for item in &items {
            assert!(wq.queue_on(boot, item).is_pending());
        }
        let settle = || sleep(cx, Duration::from_millis(1));
        for (limit, running) in [(1, 1), (4, 4), (2, 4), (6, 6), (1, 6)] {
            wq.set_max_active(limit);
            assert_eq!(wq.max_active(), limit);
            settle();
            assert_eq!(started(), running, "with a limit of {limit}");
        }
        // Below the limit again only when all but the last have ended.
        for _ in 0..6 {
            gate.0.complete();
        }
        settle();
        assert_eq!(
            started(),
            7,
            "a lowered limit holds for those that start later"
        );
        gate.0.complete_all();
        wq.flush(cx).unwrap();
        assert_eq!(started(), 10);
    }
    fn body(cx: &ThreadCx<'_>) {
        let unbound = Workqueue::<Unbound>::builder("u").max_active(1).build();
        let percpu = Workqueue::<PerCpu>::builder("p").max_active(1).build();
        let (unbound, percpu) = (unbound.unwrap(), percpu.unwrap());
        check(cx, &unbound);
        check(cx, &percpu);
        unbound.destroy(cx).unwrap();
        percpu.destroy(cx).unwrap();
    }
    sweep(Scenario::new("limits", 1, body), &[1, 2, 4], 0..20);
}

/// More flushes at once than there are colours: all return, none before what it waits for.
#[test]
fn i2_a_hundred_flushes_share_sixteen_colours() {
    fn body(cx: &ThreadCx<'_>) {
        let wq = Workqueue::<PerCpu>::builder("colours").build().unwrap();
        let queue = wq.clone();
        let flushers = crowd(100, move |cx, i| {
            let mine = Arc::new(Work::new(
                AtomicBool::new(false),
                |cx: &ThreadCx<'_>, run| {
                    sleep(cx, us(20));
                    run.store(true, Ordering::Relaxed);
                },
            ));
            let cpu = machine::CpuId::new(i % super::cpus());
            assert!(queue.queue_on(cpu, &mine).is_pending());
            queue.flush(cx).unwrap();
            assert!(mine.load(Ordering::Relaxed), "flush returned too early");
        });
        join(cx, &flushers);
        wq.destroy(cx).unwrap();
    }
    sweep(Scenario::new("colours", 1, body), &[1, 2, 4], 0..8);
}
