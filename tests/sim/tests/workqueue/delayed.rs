//! Delayed items (I8, J8-J10).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{self, DelayedWork, Submitted};
use machine::{Duration, now};
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
