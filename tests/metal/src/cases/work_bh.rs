//! 86: items in BH context: order, core, budget, and no sleep (K rows).

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::softirq::{self, BhCx, Vector};
use kernel::thread::{self, ThreadCx};
use kernel::wq::{self, Run, Softirq, Submitted, Work};
use machine::{CpuId, now};

use super::work_kit::{cores, eventually, here, ms, on_core, us};
use crate::ktest;
use crate::registry::Needs;

ktest!(
    "86_k2_bh_work_runs_in_order_on_its_core",
    in_order_on_its_core
);
ktest!("87_k4_s11_bh_work_has_a_budget", has_a_budget);
ktest!(
    "88_k2_work_sleeping_in_bh_is_caught",
    sleep_in_bh,
    Needs::new().dies("thread::sleep in BH work item metal_tests::cases::work_bh::Dozer")
);

struct Ordered {
    cpu: usize,
    nth: usize,
    next: Arc<AtomicUsize>,
}

/// K2, K3: first in, first out, on the core named, also from another core.
fn in_order_on_its_core(cx: &ThreadCx<'_>) {
    for cpu in 0..cores() {
        let next = Arc::new(AtomicUsize::new(0));
        let items: Vec<_> = (0..50)
            .map(|nth| {
                let next = Arc::clone(&next);
                Arc::new(Work::new(
                    Ordered { cpu, nth, next },
                    |_: &BhCx<'_>, run: &Run<'_, Ordered, Softirq>| {
                        assert_eq!(here().index(), run.cpu, "wrong core");
                        assert_eq!(run.next.fetch_add(1, Ordering::Relaxed), run.nth, "order");
                    },
                ))
            })
            .collect();
        for item in &items {
            assert_eq!(wq::bh().queue_on(CpuId::new(cpu), item), Submitted::Queued);
        }
        wq::bh().flush(cx).expect("not one of its items");
        assert_eq!(next.load(Ordering::Relaxed), items.len());
    }
}

static DONE: AtomicUsize = AtomicUsize::new(0);

/// K4: a long list of BH items is served in portions, between which threads and timers run.
fn has_a_budget(cx: &ThreadCx<'_>) {
    const N: usize = 200;
    let body = |_: &ThreadCx<'_>| {
        let items: Vec<_> = (0..N)
            .map(|_| {
                Arc::new(Work::new((), |_: &BhCx<'_>, _: &Run<'_, (), Softirq>| {
                    let end = now() + us(200);
                    while now() < end {
                        super::compute();
                    }
                    DONE.fetch_add(1, Ordering::Relaxed);
                }))
            })
            .collect();
        let entries = |cpu| softirq::counters(cpu).0[Vector::Tasklet as usize];
        let before = entries(CpuId::BOOT);
        let off = sync::bh_disable();
        for item in &items {
            assert_eq!(wq::bh().queue(item), Submitted::Queued);
        }
        assert_eq!(DONE.load(Ordering::Relaxed), 0, "BH is off");
        // Runs one entry's worth of them, and hands the rest to ksoftirqd.
        drop(off);
        let done = DONE.load(Ordering::Relaxed);
        assert!(done < N, "{done} items of 200 us in one entry");
        let end = now() + ms(5_000);
        while DONE.load(Ordering::Relaxed) < N {
            assert!(now() < end, "the rest never ran");
            super::compute();
        }
        let portions = entries(CpuId::BOOT) - before;
        assert!(portions >= N as u64 / 10, "{N} items in {portions} entries");
    };
    DONE.store(0, Ordering::Relaxed);
    let queuer = on_core(CpuId::BOOT, body);
    // Meanwhile another thread of that core gets its turns.
    let other = on_core(CpuId::BOOT, |cx| {
        let mut turns = 0;
        while DONE.load(Ordering::Relaxed) < N {
            turns += u32::from(DONE.load(Ordering::Relaxed) > 0);
            thread::sleep(cx, us(500));
        }
        assert!(turns > 0, "no thread ran beside the BH items");
    });
    queuer.join(cx);
    other.join(cx);
    eventually(cx, "all items", || DONE.load(Ordering::Relaxed) == N);
}

static SMUGGLED: AtomicPtr<ThreadCx<'static>> = AtomicPtr::new(ptr::null_mut());

/// The value of an item whose name the report must give.
struct Dozer;

/// A handler cannot sleep by its types; one that gets hold of a token all the same is caught.
#[expect(unsafe_code, reason = "takes a token where none can be had")]
fn sleep_in_bh(cx: &ThreadCx<'_>) {
    static SLEEPER: Work<Dozer, Softirq> = Work::new(Dozer, |_: &BhCx<'_>, _| {
        let cx = SMUGGLED.load(Ordering::Relaxed);
        // SAFETY: the thread that owns it waits below. It is not this context's, on purpose.
        thread::sleep(unsafe { &*cx }, ms(1));
    });
    SMUGGLED.store(ptr::from_ref(cx).cast_mut().cast(), Ordering::Relaxed);
    assert_eq!(wq::bh().queue(&SLEEPER), Submitted::Queued);
    thread::sleep(cx, ms(1_000));
}
