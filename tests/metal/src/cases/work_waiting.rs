//! 80: flushing, cancelling and disabling an item in each of its states; delayed items (I, J rows).

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use alloc::sync::Arc;
use kernel::completion::Completion;
use kernel::cpu::CpuMask;
use kernel::thread::{self, ThreadCx};
use kernel::wq::{self, DelayedWork, PerCpu, Run, Submitted, WaitError, Work, Workqueue};
use machine::{CpuId, Duration, now};

use super::work_kit::{Gated, eventually, here, ms, on_core};
use crate::ktest;
use crate::registry::Needs;

ktest!(
    "80_i5_work_flush_says_what_it_found",
    flush_says_what_it_found
);
ktest!(
    "81_j1_work_cancel_says_what_it_found",
    cancel_says_what_it_found
);
ktest!("82_b9_j4_j5_disabled_work_refuses", disabled_work_refuses);
ktest!("83_j8_j10_delayed_work", delayed_work);
ktest!(
    "84_j8_delayed_work_is_exact",
    delayed_is_exact,
    Needs::new().icount()
);
ktest!(
    "85_i8_j10_armed_delayed_work_obeys",
    armed_delayed_work_obeys
);

ktest!(
    "86_i5_flush_of_all_there_is_to_do_waits",
    flush_of_all_there_is,
    Needs::new().icount()
);

/// An item that says when it runs and waits for permission to end.
#[derive(Default)]
struct Steps {
    runs: AtomicU32,
    ends: AtomicU32,
    permits: AtomicU32,
}

impl Steps {
    fn item() -> Arc<Work<Self>> {
        Arc::new(Work::new(
            Self::default(),
            |cx: &ThreadCx<'_>, run: &Run<'_, Self>| {
                let n = run.runs.fetch_add(1, Ordering::Relaxed);
                eventually(cx, "permission to end", || {
                    run.permits.load(Ordering::Relaxed) > n
                });
                run.ends.fetch_add(1, Ordering::Relaxed);
            },
        ))
    }

    fn permit(&self) {
        self.permits.fetch_add(1, Ordering::Relaxed);
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }

    fn ends(&self) -> u32 {
        self.ends.load(Ordering::Relaxed)
    }
}

/// Queues `item` on core 0 and waits until it runs for the `n`th time.
fn start(cx: &ThreadCx<'_>, item: &Arc<Work<Steps>>, n: u32) {
    assert_eq!(wq::percpu().queue_on(CpuId::BOOT, item), Submitted::Queued);
    eventually(cx, "the run", || item.runs() == n);
}

/// Long enough that a waiter waits by then, also where the host lets its core stand for a while.
const LATER: Duration = ms(30);

/// I5: false only for an idle item; else waits for the last queued instance.
fn flush_says_what_it_found(cx: &ThreadCx<'_>) {
    let item = Steps::item();
    assert_eq!(item.flush(cx), Ok(false), "never queued");
    let permit_later = |n: u32| {
        let item = Arc::clone(&item);
        on_core(here(), move |cx| {
            for _ in 0..n {
                thread::sleep(cx, LATER);
                item.permit();
            }
        })
    };
    // Running.
    start(cx, &item, 1);
    let helper = permit_later(1);
    assert_eq!(item.flush(cx), Ok(true), "running");
    assert_eq!(item.ends(), 1);
    helper.join(cx);
    assert_eq!(item.flush(cx), Ok(false), "idle again");
    // Running and queued again: both.
    start(cx, &item, 2);
    assert_eq!(wq::percpu().queue(&item), Submitted::Queued);
    let helper = permit_later(2);
    assert_eq!(item.flush(cx), Ok(true), "running and queued");
    assert_eq!(item.ends(), 3, "flush waits for the queued instance too");
    helper.join(cx);
    // Queued, behind an item that holds the only slot.
    let wq = Workqueue::<PerCpu>::builder("one").max_active(1);
    let wq = wq.build().expect("memory for a queue");
    let gated = Gated::new();
    let blocker = gated.items(1);
    assert_eq!(wq.queue_on(CpuId::BOOT, &blocker[0]), Submitted::Queued);
    let behind = Steps::item();
    behind.permit();
    assert_eq!(wq.queue_on(CpuId::BOOT, &behind), Submitted::Queued);
    let opener = on_core(here(), move |cx| {
        thread::sleep(cx, LATER);
        gated.open();
    });
    assert_eq!(behind.flush(cx), Ok(true), "queued");
    assert_eq!(behind.ends(), 1);
    opener.join(cx);
    wq.destroy(cx).expect("not one of its items");
}

/// I5: whoever flushes an item that is all there is to do on its core, and so mostly lets the worker go first, has waited for it,
/// also where the item sleeps meanwhile.
fn flush_of_all_there_is(cx: &ThreadCx<'_>) {
    const TIMES: u32 = 50;
    thread::current().set_affinity(CpuMask::single(CpuId::BOOT));
    let count = |nap: Duration| {
        Arc::new(Work::new(
            (AtomicU32::new(0), nap),
            |cx: &ThreadCx<'_>, run: &Run<'_, (AtomicU32, Duration)>| {
                if run.1 > Duration::ZERO {
                    thread::sleep(cx, run.1);
                }
                run.0.fetch_add(1, Ordering::Relaxed);
            },
        ))
    };
    for item in [count(Duration::ZERO), count(ms(1))] {
        let mut waited = 0;
        for n in 1..=TIMES {
            assert_eq!(wq::percpu().queue(&item), Submitted::Queued);
            // The worker may preempt this thread before it asks: then there is nothing to wait for.
            let said = item.flush(cx).expect("no panic");
            assert_eq!(item.0.load(Ordering::Relaxed), n, "it is over");
            waited += u32::from(said);
        }
        assert!(
            waited > TIMES / 2,
            "{waited}: mostly the worker is not that quick"
        );
    }
    thread::current().set_affinity(CpuMask::ALL);
}

/// J1, J2: true exactly when the item was pending; only the sync form waits for a run.
fn cancel_says_what_it_found(cx: &ThreadCx<'_>) {
    let item = Steps::item();
    assert!(!item.cancel(), "idle");
    assert_eq!(item.cancel_sync(cx), Ok(false), "idle");
    start(cx, &item, 1);
    assert!(!item.cancel(), "running is not pending");
    assert_eq!(wq::percpu().queue(&item), Submitted::Queued);
    assert!(item.cancel(), "running and pending");
    assert_eq!(item.ends(), 0, "cancel does not wait");
    assert_eq!(wq::percpu().queue(&item), Submitted::Queued);
    let waiting = Arc::clone(&item);
    let helper = on_core(here(), move |cx| {
        thread::sleep(cx, ms(3));
        // A queue attempt during cancel_sync is refused.
        assert_eq!(wq::percpu().queue(&waiting), Submitted::Disabled);
        waiting.permit();
    });
    assert_eq!(item.cancel_sync(cx), Ok(true), "running and pending");
    assert_eq!((item.runs(), item.ends()), (1, 1), "it waits for the run");
    helper.join(cx);
    // Queued for a slot: it never runs, and the slot's owner is not disturbed.
    let wq = Workqueue::<PerCpu>::builder("one").max_active(1);
    let wq = wq.build().expect("memory for a queue");
    let gated = Gated::new();
    let blocker = gated.items(1);
    assert_eq!(wq.queue_on(CpuId::BOOT, &blocker[0]), Submitted::Queued);
    let behind = Steps::item();
    for sync in [false, true] {
        assert_eq!(wq.queue_on(CpuId::BOOT, &behind), Submitted::Queued);
        let was = if sync {
            behind.cancel_sync(cx).expect("it did not panic")
        } else {
            behind.cancel()
        };
        assert!(was, "queued");
    }
    gated.open();
    wq.destroy(cx).expect("not one of its items");
    assert_eq!(behind.runs(), 0);
    // An item cannot wait for itself.
    let own = Arc::new(Work::new((), |cx: &ThreadCx<'_>, run: &Run<'_, ()>| {
        assert_eq!(run.work().cancel_sync(cx), Err(WaitError::SelfWait));
        assert_eq!(run.work().flush(cx), Err(WaitError::SelfWait));
    }));
    assert_eq!(wq::percpu().queue(&own), Submitted::Queued);
    assert!(own.flush(cx).is_ok());
}

/// B9, J4, J5: depth counts; what is submitted meanwhile is lost.
fn disabled_work_refuses(cx: &ThreadCx<'_>) {
    let item = Steps::item();
    item.permit();
    for _ in 0..3 {
        assert_eq!(item.disable(), Ok(false));
    }
    assert_eq!(wq::percpu().queue(&item), Submitted::Disabled);
    assert!(!item.enable());
    assert!(!item.enable());
    assert_eq!(wq::percpu().queue(&item), Submitted::Disabled);
    assert!(item.enable(), "the third undoes the last");
    assert_eq!(item.flush(cx), Ok(false), "lost, not remembered");
    start(cx, &item, 1);
    assert!(item.flush(cx).is_ok());
    start(cx, &item, 2);
    assert_eq!(item.disable(), Ok(false), "running, not pending");
    assert_eq!(item.ends(), 1, "disable does not wait");
    item.permit();
    assert_eq!(item.disable_sync(cx), Ok(false));
    assert_eq!(item.ends(), 2, "disable_sync does");
    assert!(!item.enable());
    assert!(item.enable());
}

/// An item that notes when it ran last, and how often.
#[derive(Default)]
struct Stamp {
    at: AtomicU64,
    runs: AtomicU32,
    done: Completion,
}

impl Stamp {
    fn item() -> Arc<DelayedWork<Self>> {
        Arc::new(DelayedWork::new(
            Self {
                done: Completion::new(),
                ..Self::default()
            },
            |_, run: &Run<'_, Self>| {
                run.at.store(now().as_nanos(), Ordering::Relaxed);
                run.runs.fetch_add(1, Ordering::Relaxed);
                run.done.complete();
            },
        ))
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }
}

/// J8-J10: never early, on the core asked for, movable, cancellable.
fn delayed_work(cx: &ThreadCx<'_>) {
    let wq = wq::percpu();
    for (delay, cpu) in [(0, 0), (1, 0), (20, super::work_kit::cores() - 1)] {
        let item = Stamp::item();
        let began = now();
        let queued = wq.queue_delayed_on(CpuId::new(cpu), &item, ms(delay));
        assert_eq!(queued, Submitted::Queued);
        item.done.wait(cx);
        let ran = item.at.load(Ordering::Relaxed) - began.as_nanos();
        assert!(ran >= delay * 1_000_000, "{delay} ms: {ran} ns");
    }
    let item = Stamp::item();
    let began = now();
    assert_eq!(wq.queue_delayed(&item, ms(30_000)), Submitted::Queued);
    assert!(item.is_pending());
    let again = wq.queue_delayed(&item, ms(1));
    assert_eq!(again, Submitted::AlreadyPending(2), "the delay stays");
    let moved = wq.mod_delayed(&item, ms(40));
    assert!(matches!(moved, Submitted::AlreadyPending(_)), "{moved:?}");
    item.done.wait(cx);
    assert!(now().since(began) >= ms(40));
    assert_eq!(wq.queue_delayed(&item, ms(30_000)), Submitted::Queued);
    assert!(item.cancel());
    assert!(!item.cancel());
    assert_eq!(wq.mod_delayed(&item, ms(30_000)), Submitted::Queued, "idle");
    let again = wq.queue_delayed(&item, ms(1));
    assert_eq!(again, Submitted::AlreadyPending(2), "behind a moved one");
    assert_eq!(item.cancel_sync(cx), Ok(true));
    assert_eq!(item.runs(), 1);
}

/// J8 in exact time.
fn delayed_is_exact(cx: &ThreadCx<'_>) {
    for delay in [1, 10, 100, 1_000] {
        let item = Stamp::item();
        let began = now();
        assert_eq!(
            wq::percpu().queue_delayed(&item, ms(delay)),
            Submitted::Queued
        );
        item.done.wait(cx);
        let late = item.at.load(Ordering::Relaxed) - began.as_nanos() - delay * 1_000_000;
        assert!(late < 100_000, "{delay} ms: {late} ns late");
    }
}

/// Disabling and flushing (I8) while the timer is armed, also through the item inside.
fn armed_delayed_work_obeys(cx: &ThreadCx<'_>) {
    const LONG: Duration = ms(60_000);
    let wq = wq::percpu();
    let item = Stamp::item();
    let arm = || assert_eq!(wq.queue_delayed(&item, LONG), Submitted::Queued);
    arm();
    assert_eq!(item.disable_sync(cx), Ok(true));
    assert_eq!(wq.queue_delayed(&item, LONG), Submitted::Disabled);
    assert!(item.enable());
    arm();
    assert_eq!(item.disable(), Ok(true));
    assert!(item.enable());
    let inside: &Work<Stamp> = &item;
    arm();
    assert!(inside.cancel());
    arm();
    assert_eq!(inside.cancel_sync(cx), Ok(true));
    assert_eq!(item.runs(), 0);
    arm();
    let began = now();
    assert_eq!(
        item.flush(cx),
        Ok(true),
        "flush does not wait for the timer"
    );
    assert!(now().since(began) < ms(30_000));
    assert_eq!(item.runs(), 1);
    assert_eq!(item.flush(cx), Ok(false));
}
