//! The scheduler on real cores: preemption, shares, placement, balancing.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::cpu::{CpuMask, online};
use kernel::thread::{Builder, ThreadCx, ThreadRef, sleep, yield_now};
use machine::{CpuId, Duration};
use sched::Nice;

use super::busy_wait;

/// A thread that never yields is preempted by its equal on the same core.
pub(crate) fn spinning_thread_is_preempted(cx: &ThreadCx<'_>) {
    let stop = Arc::new(AtomicBool::new(false));
    let beats = Arc::new(AtomicU64::new(0));
    let here = CpuMask::single(CpuId::BOOT);
    let spin = {
        let stop = Arc::clone(&stop);
        let body = move |_: &ThreadCx<'_>| {
            while !stop.load(Ordering::Relaxed) {
                machine::relax();
            }
        };
        Builder::new("spinner").affinity(here).spawn(body).expect("memory")
    };
    let other = {
        let beats = Arc::clone(&beats);
        let body = move |cx: &ThreadCx<'_>| {
            for _ in 0..10 {
                beats.fetch_add(1, Ordering::Relaxed);
                sleep(cx, Duration::from_millis(1));
            }
        };
        Builder::new("beater").affinity(here).spawn(body).expect("memory")
    };
    other.join(cx);
    assert_eq!(beats.load(Ordering::Relaxed), 10);
    assert!(!spin.has_exited(), "the spinner never stopped by itself");
    stop.store(true, Ordering::Relaxed);
    spin.join(cx);
}

fn spinner(name: &str, nice: i8, until: machine::Instant, on: CpuMask) -> ThreadRef {
    let body = move |_: &ThreadCx<'_>| {
        while machine::now() < until {
            machine::relax();
        }
    };
    Builder::new(name)
        .nice(Nice::new(nice).expect("a nice level"))
        .affinity(on)
        .spawn(body)
        .expect("memory")
}

/// CPU time on one core is shared as the weights of nice -5, 0 and 5 (V3), within one slice.
pub(crate) fn shares_follow_weights(cx: &ThreadCx<'_>) {
    const RUN_NS: u64 = 200_000_000;
    let on = CpuMask::single(CpuId::BOOT);
    let t0 = machine::now();
    let until = t0 + Duration::from_nanos(RUN_NS);
    let nices = [-5, 0, 5];
    let threads: Vec<_> = nices.iter().map(|&n| spinner("share", n, until, on)).collect();
    // Take the figures while all three still compete: each stops at the same time.
    for t in &threads {
        t.join(cx);
    }
    let weights: Vec<u64> =
        nices.iter().map(|&n| u64::from(Nice::new(n).expect("a nice level").weight())).collect();
    let sum: u64 = weights.iter().sum();
    let cores = kernel::kernel().cpus().len();
    let slice = 700_000 * (1 + u64::from(cores.min(8).ilog2()));
    for (t, w) in threads.iter().zip(&weights) {
        let fair = RUN_NS * w / sum;
        let got = t.cpu_time_ns();
        assert!(
            got.abs_diff(fair) <= slice + 200_000,
            "{}: nice {:?} got {got} ns, fair {fair} ns, slice {slice} ns",
            t.name(),
            t.nice(),
        );
    }
}

/// An idle core pulls a waiting thread from a busy one: two spinners started on one core end up on
/// two.
pub(crate) fn idle_core_pulls(cx: &ThreadCx<'_>) {
    let until = machine::now() + Duration::from_millis(50);
    let a = spinner("a", 0, until, CpuMask::single(CpuId::BOOT));
    let b = spinner("b", 0, until, CpuMask::single(CpuId::BOOT));
    a.set_affinity(CpuMask::ALL);
    b.set_affinity(CpuMask::ALL);
    sleep(cx, Duration::from_millis(1));
    // Whatever starts next on any core makes the idle ones look.
    let c = spinner("c", 0, until, CpuMask::ALL);
    for t in [&a, &b, &c] {
        t.join(cx);
    }
    let total = a.cpu_time_ns() + b.cpu_time_ns() + c.cpu_time_ns();
    let cores = online().count() as u64;
    assert!(
        total > 50_000_000 * cores.min(3) * 7 / 10,
        "three spinners on {cores} cores got {total} ns of CPU time in 50 ms"
    );
}

/// Two yielding threads alternate.
pub(crate) fn yield_alternates(cx: &ThreadCx<'_>) {
    let on = CpuMask::single(CpuId::BOOT);
    let turn = Arc::new(AtomicU64::new(0));
    let mk = |me: u64| {
        let turn = Arc::clone(&turn);
        let body = move |cx: &ThreadCx<'_>| {
            for round in 0..100 {
                while turn.load(Ordering::Relaxed) != round * 2 + me {
                    yield_now(cx);
                }
                turn.fetch_add(1, Ordering::Relaxed);
            }
        };
        Builder::new("yielder").affinity(on).spawn(body).expect("memory")
    };
    let (a, b) = (mk(0), mk(1));
    a.join(cx);
    b.join(cx);
    assert_eq!(turn.load(Ordering::Relaxed), 200);
}

/// A thread woken from another core preempts a busy core within a bounded time, by IPI.
pub(crate) fn wakeup_preempts_by_ipi(cx: &ThreadCx<'_>) {
    let last = online().iter().last().expect("a core");
    let until = machine::now() + Duration::from_millis(40);
    let hog = spinner("hog", 10, until, CpuMask::single(last));
    let body = |cx: &ThreadCx<'_>| {
        for _ in 0..10 {
            sleep(cx, Duration::from_millis(1));
        }
    };
    let probe = Builder::new("probe")
        .affinity(CpuMask::single(last))
        .nice(Nice::new(-10).expect("a nice level"))
        .spawn(body)
        .expect("memory");
    probe.join(cx);
    assert!(!hog.has_exited(), "the probe finished while the hog still ran");
    hog.join(cx);
    busy_wait(Duration::from_micros(1));
}

/// 1,000 threads come and go; their memory comes back.
pub(crate) fn thread_churn_returns_memory(cx: &ThreadCx<'_>) {
    let round = |cx: &ThreadCx<'_>| {
        for _ in 0..50 {
            let batch: Vec<ThreadRef> = (0..20)
                .map(|_| Builder::new("churn").spawn(yield_now).expect("memory"))
                .collect();
            for t in &batch {
                t.join(cx);
            }
        }
        sleep(cx, Duration::from_millis(2));
    };
    round(cx);
    let before = kernel::mem::stats().used_bytes();
    round(cx);
    let after = kernel::mem::stats().used_bytes();
    assert!(after <= before + 64 * 1024, "used {before} bytes before, {after} after");
}
