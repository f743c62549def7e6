//! What becomes of an item and its queue when a submission is given up (C10, I10, J3, J10).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kernel::cpu::CpuMask;
use kernel::softirq::BhCx;
use kernel::thread::{Builder, ThreadCx, sleep, yield_now};
use kernel::wq::{self, Bh, DelayedWork, PerCpu, Run, Softirq, Submitted, WaitError, Work};
use machine::{CpuId, Duration};
use sim::{Scenario, sweep};
use sync::{BhOff, Rank, SpinLock};

use super::us;

type BhItem = Work<(), Softirq>;

/// An item of another core is cancelled from BH context while it changes pools: it is not the
/// caller's own.
#[test]
fn j3_cancel_sync_bh_knows_its_own_run_from_a_moving_item() {
    const ROUNDS: u32 = 20;
    fn body(cx: &ThreadCx<'_>) {
        let wq = wq::Workqueue::<Bh>::builder("moving").build().unwrap();
        let moving: Arc<BhItem> = Arc::new(Work::new((), |_: &BhCx<'_>, _| {
            for _ in 0..5 {
                machine::sync_point();
            }
        }));
        let canceller = Arc::new(Work::new(
            moving.clone(),
            |cx: &BhCx<'_>, run: &Run<'_, Arc<BhItem>, Softirq>| {
                assert!(run.cancel_sync_bh(cx).is_ok(), "it is not its own run");
            },
        ));
        let round = Arc::new(AtomicU32::new(0));
        let (start, queue, item) = (round.clone(), wq.clone(), moving.clone());
        let other = CpuId::new(1);
        let mover = Builder::new("mover")
            .affinity(CpuMask::single(other))
            .spawn(move |cx: &ThreadCx<'_>| {
                for n in 1..=ROUNDS {
                    while start.load(Ordering::Relaxed) < n {
                        yield_now(cx);
                        machine::relax();
                    }
                    let _ = queue.queue_on(other, &item);
                }
            })
            .expect("memory for a thread");
        let (queue, item) = (wq.clone(), moving.clone());
        let driver = Builder::new("driver")
            .affinity(CpuMask::single(CpuId::BOOT))
            .spawn(move |cx: &ThreadCx<'_>| {
                for n in 1..=ROUNDS {
                    assert!(queue.queue_on(CpuId::BOOT, &item).is_pending());
                    assert!(item.flush(cx).is_ok());
                    // From here on both cores go at once.
                    round.store(n, Ordering::Relaxed);
                    assert!(queue.queue_on(CpuId::BOOT, &canceller).is_pending());
                    assert!(canceller.flush(cx).is_ok());
                    assert!(item.flush(cx).is_ok());
                }
            })
            .expect("memory for a thread");
        driver.join(cx);
        mover.join(cx);
        let own: Arc<BhItem> = Arc::new(Work::new((), |cx: &BhCx<'_>, run: &Run<'_, (), _>| {
            assert_eq!(run.work().cancel_sync_bh(cx), Err(WaitError::SelfWait));
        }));
        assert_eq!(wq.queue(&own), Submitted::Queued);
        assert!(own.flush(cx).is_ok());
        wq.destroy(cx).unwrap();
    }
    sweep(Scenario::new("moving item", 2, body), &[2, 3], 0..200);
}

/// A value whose destructor does what any code in thread context may do.
struct Fussy(Arc<(SpinLock<u32, BhOff>, AtomicU32)>);

impl Drop for Fussy {
    fn drop(&mut self) {
        assert!(
            !sync::in_atomic() && !sync::serving_softirq(),
            "a destructor in atomic context"
        );
        *self.0.0.lock() += 1;
        self.0.1.fetch_add(1, Ordering::Relaxed);
    }
}

/// Items whose queue is destroyed while their timers run are refused: the timer's hold on them may
/// be the last.
#[test]
fn i10_a_refused_delayed_item_is_dropped_in_thread_context() {
    fn body(cx: &ThreadCx<'_>) {
        const ITEMS: u32 = 5;
        let wq = wq::Workqueue::<PerCpu>::builder("short-lived").build();
        let wq = wq.unwrap();
        let book = Arc::new((SpinLock::new(Rank::Service, "book", 0), AtomicU32::new(0)));
        let mut kept = Vec::new();
        for n in 0..ITEMS {
            let item = Arc::new(DelayedWork::new(
                Fussy(book.clone()),
                |_: &ThreadCx<'_>, _: &Run<'_, Fussy>| panic!("after the end"),
            ));
            let delay = us(300 + u64::from(n % 2) * 50);
            assert_eq!(wq.queue_delayed(&item, delay), Submitted::Queued);
            if n == 0 {
                kept.push(item);
            }
        }
        wq.destroy(cx).unwrap();
        sleep(cx, Duration::from_millis(2));
        assert_eq!(book.1.load(Ordering::Relaxed), ITEMS - 1);
        // One that is kept is idle, and works on another queue.
        assert!(!kept[0].is_pending());
        assert!(!kept[0].cancel());
        drop(kept);
        assert_eq!(*book.0.lock(), ITEMS);
    }
    sweep(Scenario::new("refused", 1, body), &[1, 2, 3], 0..40);
}

/// A cancelled delayed item does not keep the queue it was meant for.
#[test]
fn j10_a_cancelled_delayed_item_lets_go_of_its_queue() {
    fn body(cx: &ThreadCx<'_>) {
        let before = wq::queues_alive();
        let item = Arc::new(DelayedWork::new((), |_: &ThreadCx<'_>, _| {}));
        let cancels: [fn(&ThreadCx<'_>, &DelayedWork<()>) -> bool; 4] = [
            |_, item| item.cancel(),
            |cx, item| item.cancel_sync(cx) == Ok(true),
            |_, item| item.disable() == Ok(true) && item.enable(),
            |cx, item| item.flush(cx) == Ok(true),
        ];
        for cancel in cancels {
            let wq = wq::Workqueue::<PerCpu>::builder("brief").build().unwrap();
            assert_eq!(wq::queues_alive(), before + 1);
            let minute = Duration::from_secs(60);
            assert_eq!(wq.queue_delayed(&item, minute), Submitted::Queued);
            assert!(cancel(cx, &item));
            wq.destroy(cx).unwrap();
            assert_eq!(wq::queues_alive(), before, "the item keeps the queue");
        }
        // One that is moved to another queue lets go of the first.
        let wq = wq::Workqueue::<PerCpu>::builder("brief").build().unwrap();
        assert!(wq.queue_delayed(&item, us(500)).is_pending());
        assert!(wq::percpu().mod_delayed(&item, us(500)).is_pending());
        wq.destroy(cx).unwrap();
        assert_eq!(wq::queues_alive(), before);
        assert_eq!(item.flush(cx), Ok(true));
    }
    sweep(Scenario::new("let go", 1, body), &[1, 2], 0..20);
}
