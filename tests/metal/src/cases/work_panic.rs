//! 90: a panic in a work item ends its worker, and nothing else; what cannot be ended so is fatal.

use core::sync::atomic::{AtomicBool, Ordering};

use alloc::sync::Arc;
use kernel::mutex::Mutex;
use kernel::thread::{self, ThreadCx};
use kernel::wq::{self, PerCpu, Run, ScopeError, Submitted, WaitError, Work, Workqueue};
use machine::CpuId;
use sync::{Rank, SpinLock};

use super::work_kit::{eventually, here, ms, on_core, pool_of};
use crate::ktest;
use crate::registry::Needs;

ktest!("90_panicking_work_is_isolated", panicking_work_is_isolated);
ktest!("90_panic_in_a_scope", panic_in_a_scope);
ktest!(
    "91_work_panic_halt_is_fatal",
    panic_halt,
    Needs::new().dies("with panic=halt")
);
ktest!(
    "92_work_panic_with_a_spin_lock_is_fatal",
    panic_with_a_spin_lock,
    Needs::new().dies("while holding a spin lock")
);

/// An item that panics within a scope is over when what it spawned is, which borrows from here.
fn panic_in_a_scope(cx: &ThreadCx<'_>) {
    let done = &AtomicBool::new(false);
    let spawned = "memory for a task";
    let outer = wq::unbound().scope(cx, |s| {
        let dies = |cx: &ThreadCx<'_>| {
            let _never = wq::unbound().scope(cx, |s| {
                let borrows = |cx: &ThreadCx<'_>| {
                    thread::sleep(cx, ms(20));
                    done.store(true, Ordering::Relaxed);
                };
                s.try_spawn(borrows).expect(spawned);
                panic!("on purpose");
            });
        };
        s.try_spawn(dies).expect(spawned);
    });
    assert_eq!(outer, Err(ScopeError::Panicked(1)));
    assert!(
        done.load(Ordering::Relaxed),
        "the scope left an item behind"
    );
}

struct Victim {
    value: Mutex<u32>,
    panics: AtomicBool,
    locked: AtomicBool,
}

/// The worker is replaced, its slot released, its mutex poisoned, its item poisoned, its flusher
/// told; afterwards everything can be used again.
fn panicking_work_is_isolated(cx: &ThreadCx<'_>) {
    let wq = Workqueue::<PerCpu>::builder("fragile").max_active(1);
    let wq = wq.build().expect("memory for a queue");
    let item = Arc::new(Work::new(
        Victim {
            value: Mutex::new(1),
            panics: AtomicBool::new(true),
            locked: AtomicBool::new(false),
        },
        |cx: &ThreadCx<'_>, run: &Run<'_, Victim>| {
            let value = run.value.lock(cx);
            run.locked.store(true, Ordering::Relaxed);
            thread::sleep(cx, ms(5));
            assert!(!run.panics.load(Ordering::Relaxed), "on purpose");
            drop(value);
        },
    ));
    let quarantined = thread::quarantined_stack_bytes();
    assert_eq!(wq.queue_on(CpuId::BOOT, &item), Submitted::Queued);
    // Waits for the only slot.
    let next = Arc::new(Work::new(AtomicBool::new(false), |_, run| {
        run.store(true, Ordering::Relaxed);
    }));
    assert_eq!(wq.queue_on(CpuId::BOOT, &next), Submitted::Queued);
    let shared = Arc::clone(&item);
    let waiter = on_core(here(), move |cx| {
        // Waits for the mutex, or comes when its holder has died.
        eventually(cx, "the lock", || shared.locked.load(Ordering::Relaxed));
        assert!(shared.value.lock(cx).is_err(), "not poisoned");
    });
    assert_eq!(item.flush(cx), Err(WaitError::Poisoned));
    assert!(item.is_poisoned());
    assert_eq!(wq.queue(&item), Submitted::Poisoned);
    waiter.join(cx);
    next.flush(cx).expect("it did not panic");
    assert!(next.load(Ordering::Relaxed), "the slot was not released");
    eventually(cx, "the stack's quarantine", || {
        thread::quarantined_stack_bytes() > quarantined
    });
    eventually(cx, "a worker in reserve", || {
        pool_of(CpuId::BOOT, false).workers.idle >= 1
    });
    let p = pool_of(CpuId::BOOT, false);
    assert_eq!((p.nr_running, p.pending), (0, 0), "{p:?}");
    // The owner puts things in order, and the item works again.
    item.panics.store(false, Ordering::Relaxed);
    item.value.clear_poison();
    item.clear_poison();
    assert_eq!(wq.queue_on(CpuId::BOOT, &item), Submitted::Queued);
    assert!(item.flush(cx).is_ok());
    wq.destroy(cx).expect("not one of its items");
}

fn panic_halt(cx: &ThreadCx<'_>) {
    static ITEM: Work<()> = Work::new((), |_, _| panic!("on purpose"));
    kernel::kernel().set_panic_policy(kernel::PanicPolicy::Halt);
    assert_eq!(wq::percpu().queue(&ITEM), Submitted::Queued);
    thread::sleep(cx, ms(1_000));
}

fn panic_with_a_spin_lock(cx: &ThreadCx<'_>) {
    static LOCK: SpinLock<()> = SpinLock::new(Rank::Leaf, "held", ());
    static ITEM: Work<()> = Work::new((), |_, _| {
        let _held = LOCK.lock();
        panic!("on purpose");
    });
    assert_eq!(wq::percpu().queue(&ITEM), Submitted::Queued);
    thread::sleep(cx, ms(1_000));
}
