//! Boot and topology, and the facts of the machine the kernel relies on.

use core::sync::atomic::{AtomicU64, Ordering};

use alloc::sync::Arc;
use kernel::cpu::{CpuMask, cpu, online, this_cpu};
use kernel::thread::{Builder, ThreadCx};
use machine::Duration;

use super::busy_wait;

/// Every core the device tree names is online and runs a thread pinned to it.
pub(crate) fn every_core_runs_threads(cx: &ThreadCx<'_>) {
    let cores = kernel::kernel().cpus().len();
    assert_eq!(online().count(), cores, "cores online");
    assert_eq!(kernel::kernel().info().mpidrs.len(), cores);
    let seen = Arc::new(AtomicU64::new(0));
    for id in online().iter() {
        let seen = Arc::clone(&seen);
        let body = move |_: &ThreadCx<'_>| {
            let _pin = sync::preempt_disable();
            seen.fetch_or(CpuMask::single(this_cpu().id()).0, Ordering::Relaxed);
        };
        let t = Builder::new("pinned").affinity(CpuMask::single(id)).spawn(body).expect("memory");
        t.join(cx);
    }
    assert_eq!(seen.load(Ordering::Relaxed), online().0, "cores that ran their thread");
}

/// The hardware ids of the cores are distinct and the clock advances on each of them.
pub(crate) fn mpidrs_and_clock(cx: &ThreadCx<'_>) {
    let ids = kernel::kernel().info().mpidrs;
    for (i, a) in ids.iter().enumerate() {
        assert!(!ids[i + 1..].contains(a), "two cores with MPIDR {a:#x}");
    }
    for id in online().iter() {
        let body = |_: &ThreadCx<'_>| {
            let t0 = machine::now();
            busy_wait(Duration::from_micros(50));
            assert!(machine::now() > t0);
        };
        Builder::new("clock").affinity(CpuMask::single(id)).spawn(body).expect("memory").join(cx);
    }
}

/// A remote function call reaches every other core and runs in interrupt context there.
pub(crate) fn call_on_every_core(cx: &ThreadCx<'_>) {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    SEEN.store(0, Ordering::Relaxed);
    for id in online().iter() {
        kernel::ipi::call_on(id, |bit| { SEEN.fetch_or(bit as u64, Ordering::AcqRel); }, 1 << id.index())
            .expect("an empty mailbox");
    }
    let end = machine::now() + Duration::from_secs(5);
    while SEEN.load(Ordering::Acquire) != online().0 {
        assert!(machine::now() < end, "cores called: {:#x}", SEEN.load(Ordering::Relaxed));
        kernel::thread::yield_now(cx);
    }
}

/// Idle cores take no timer interrupts: nothing wakes a machine with nothing to do.
pub(crate) fn idle_cores_do_not_tick(cx: &ThreadCx<'_>) {
    kernel::thread::sleep(cx, Duration::from_millis(20));
    let before: u64 = online().iter().map(|c| cpu(c).switches()).sum();
    kernel::thread::sleep(cx, Duration::from_millis(200));
    let switches = online().iter().map(|c| cpu(c).switches()).sum::<u64>() - before;
    assert!(switches <= 12, "{switches} context switches in 200 ms of idling");
}
