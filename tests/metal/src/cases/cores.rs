//! Cores among themselves: calls, wake-ups across cores, quiet idling, turns.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use alloc::sync::Arc;
use kernel::cpu::{CpuMask, cpu, online};
use kernel::thread::{Builder, Nice, ThreadCx, sleep, yield_now};
use kernel::wait::WaitQueue;
use machine::{CpuId, Duration};

use crate::ktest;
use crate::registry::Needs;

ktest!("50_call_on_every_core", call_on_every_core);
ktest!(
    "51_idle_cores_do_not_tick",
    idle_cores_do_not_tick,
    Needs::new().icount().cpus(2)
);
ktest!("52_yield_alternates", yield_alternates);
ktest!("53_wakeup_preempts_by_ipi", wakeup_preempts_by_ipi);
ktest!("54_ping_pong_loses_nothing", ping_pong_loses_nothing);

/// A remote function call reaches every other core and runs in interrupt context there.
fn call_on_every_core(cx: &ThreadCx<'_>) {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    SEEN.store(0, Ordering::Relaxed);
    for id in online().iter() {
        kernel::ipi::call_on(
            id,
            |bit| {
                SEEN.fetch_or(bit as u64, Ordering::AcqRel);
            },
            1 << id.index(),
        )
        .expect("an empty mailbox");
    }
    let end = machine::now() + Duration::from_secs(5);
    while SEEN.load(Ordering::Acquire) != online().0 {
        assert!(
            machine::now() < end,
            "cores called: {:#x}",
            SEEN.load(Ordering::Relaxed)
        );
        kernel::thread::yield_now(cx);
    }
}

/// Idle cores take no timer interrupts: nothing wakes a machine with nothing to do.
fn idle_cores_do_not_tick(cx: &ThreadCx<'_>) {
    kernel::thread::sleep(cx, Duration::from_millis(20));
    let before: u64 = online().iter().map(|c| cpu(c).switches()).sum();
    kernel::thread::sleep(cx, Duration::from_millis(200));
    let switches = online().iter().map(|c| cpu(c).switches()).sum::<u64>() - before;
    assert!(
        switches <= 12,
        "{switches} context switches in 200 ms of idling"
    );
}

/// Two yielding threads alternate.
fn yield_alternates(cx: &ThreadCx<'_>) {
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
        Builder::new("yielder")
            .affinity(on)
            .spawn(body)
            .expect("memory")
    };
    let (a, b) = (mk(0), mk(1));
    a.join(cx);
    b.join(cx);
    assert_eq!(turn.load(Ordering::Relaxed), 200);
}

/// A thread woken from another core preempts a busy core within a bounded time, by IPI.
fn wakeup_preempts_by_ipi(cx: &ThreadCx<'_>) {
    let last = online().iter().last().expect("a core");
    let until = machine::now() + Duration::from_millis(40);
    let burn = move |_: &ThreadCx<'_>| {
        while machine::now() < until {
            machine::relax();
        }
    };
    let hog = Builder::new("hog")
        .nice(Nice::new(10).expect("a nice level"))
        .affinity(CpuMask::single(last))
        .spawn(burn)
        .expect("memory");
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
    assert!(
        !hog.has_exited(),
        "the probe finished while the hog still ran"
    );
    hog.join(cx);
}

/// A wait queue loses no wake-up between two threads that take turns 2,000 times.
fn ping_pong_loses_nothing(cx: &ThreadCx<'_>) {
    let q = Arc::new(WaitQueue::new());
    let ball = Arc::new(AtomicU32::new(0));
    let other = {
        let (q, ball) = (Arc::clone(&q), Arc::clone(&ball));
        let body = move |cx: &ThreadCx<'_>| {
            for i in 0..1_000 {
                q.wait_until(cx, || ball.load(Ordering::Acquire) == 2 * i + 1);
                ball.store(2 * i + 2, Ordering::Release);
                q.wake_all();
            }
        };
        Builder::new("pong").spawn(body).expect("memory")
    };
    for i in 0..1_000 {
        ball.store(2 * i + 1, Ordering::Release);
        q.wake_all();
        let r = q.wait_timeout(cx, Duration::from_secs(10), || {
            ball.load(Ordering::Acquire) == 2 * i + 2
        });
        assert_eq!(r, Ok(()), "round {i}: a wake-up was lost");
    }
    other.join(cx);
}
