//! Delayed items (I8, J8-J10).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{self, DelayedWork, Run, Submitted, WaitError, Work};
use machine::{CpuId, Duration, now};
use sim::{Scenario, sweep};
use sim_tests::{crowd, join};

use super::{CORES, SEEDS, cpus, us};

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
    sweep(Scenario::new("delayed", 1, body), &CORES, SEEDS);
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
    sweep(Scenario::new("mod_delayed", 1, body), &CORES, SEEDS);
}

#[test]
fn i8_j10_an_armed_item_obeys_everybody() {
    fn body(cx: &ThreadCx<'_>) {
        let item = Arc::new(DelayedWork::new(
            AtomicU32::new(0),
            |_: &ThreadCx<'_>, run| {
                run.fetch_add(1, Ordering::Relaxed);
            },
        ));
        let long = Duration::from_secs(60);
        let arm = || assert_eq!(wq::percpu().queue_delayed(&item, long), Submitted::Queued);
        let inside: &Work<AtomicU32> = &item;
        arm();
        assert_eq!(item.disable_sync(cx), Ok(true));
        assert_eq!(wq::percpu().queue_delayed(&item, long), Submitted::Disabled);
        assert!(item.enable());
        arm();
        assert!(inside.cancel());
        arm();
        assert_eq!(inside.disable(), Ok(true));
        assert!(inside.enable());
        assert_eq!(item.load(Ordering::Relaxed), 0);
        arm();
        assert_eq!(item.flush(cx), Ok(true));
        assert_eq!(item.load(Ordering::Relaxed), 1);
        assert_eq!(item.flush(cx), Ok(false));
    }
    sweep(Scenario::new("armed", 1, body), &CORES, SEEDS);
}

#[test]
fn b3_an_interrupt_cancels_while_the_timer_fires() {
    type Item = DelayedWork<()>;
    #[expect(unsafe_code, reason = "an interrupt is given an address")]
    fn cancel(item: usize) {
        let item = std::ptr::with_exposed_provenance::<Item>(item);
        // SAFETY: the scenario keeps the item until all interrupts are over.
        let _ = unsafe { &*item }.cancel();
    }
    fn body(cx: &ThreadCx<'_>) {
        let item = Arc::new(Item::new((), |_: &ThreadCx<'_>, _| {}));
        let at = Arc::as_ptr(&item).expose_provenance();
        let cancellers = crowd(cpus(), move |cx, _| {
            for round in 0..30 {
                for n in 0..cpus() {
                    let _ = kernel::ipi::call_on(CpuId::new(n), cancel, at);
                }
                sleep(cx, us(1 + round % 3));
            }
        });
        for round in 0..30 {
            let delay = us(1 + round % 7);
            assert!(wq::percpu().queue_delayed(&item, delay).is_pending());
            sleep(cx, us(3 + round % 4));
        }
        join(cx, &cancellers);
        sleep(cx, us(100));
        assert!(item.cancel_sync(cx).is_ok());
    }
    sweep(Scenario::new("interrupted timer", 1, body), &CORES, SEEDS);
}

/// An item that knows itself.
#[derive(Default)]
struct Own {
    me: OnceLock<Weak<DelayedWork<Self>>>,
    runs: AtomicU32,
}

#[test]
fn i8_a_handler_that_flushes_itself_leaves_its_timer_alone() {
    fn body(cx: &ThreadCx<'_>) {
        let handler = |cx: &ThreadCx<'_>, run: &Run<'_, Own>| {
            run.runs.fetch_add(1, Ordering::Relaxed);
            let me = run.me.get().and_then(Weak::upgrade).expect("alive");
            let far = Duration::from_secs(100);
            assert_eq!(wq::percpu().queue_delayed(&me, far), Submitted::Queued);
            assert_eq!(me.flush(cx), Err(WaitError::SelfWait));
        };
        let item = Arc::new(<DelayedWork<Own>>::new(Own::default(), handler));
        let _ = item.me.set(Arc::downgrade(&item));
        assert_eq!(wq::percpu().queue_delayed(&item, us(5)), Submitted::Queued);
        sleep(cx, Duration::from_secs(1));
        let runs = item.runs.load(Ordering::Relaxed);
        assert_eq!(runs, 1, "the refused flush queued it");
        assert_eq!(item.cancel_sync(cx), Ok(true), "its timer is armed");
    }
    sweep(Scenario::new("flushes itself", 1, body), &CORES, 0..20);
}
