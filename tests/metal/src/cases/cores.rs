//! Cores among themselves: calls, wake-ups across cores, quiet idling, turns.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

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
ktest!(
    "53_wakeup_preempts_at_once",
    wakeup_preempts_at_once,
    Needs::new().icount().cpus(2).timeout(120)
);
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

/// Wakes a thread ten times on a core whose only other thread never sleeps, and measures how long after
/// each wake-up it runs; the longest.
fn wakeups_beside_a_hog(cx: &ThreadCx<'_>, limit: Duration) -> Duration {
    const ROUNDS: u32 = 10;
    let last = online().iter().last().expect("a core");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let hog = Builder::new("hog")
        .nice(Nice::new(10).expect("a nice level"))
        .affinity(CpuMask::single(last))
        .spawn(move |_: &ThreadCx<'_>| {
            // Where QEMU counts instructions, nothing but a `yield` gives the other cores a turn.
            while !stopped.load(Ordering::Relaxed) {
                super::compute();
                machine::relax();
            }
        })
        .expect("memory");
    let bell = Arc::new((WaitQueue::new(), AtomicU32::new(0), AtomicU64::new(0)));
    let heard = Arc::clone(&bell);
    let probe = Builder::new("probe")
        .affinity(CpuMask::single(last))
        .nice(Nice::new(-10).expect("a nice level"))
        .spawn(move |cx: &ThreadCx<'_>| {
            let (q, turn, ran) = &*heard;
            for round in 0..ROUNDS {
                q.wait_until(cx, || turn.load(Ordering::Acquire) == 2 * round + 1);
                ran.store(machine::now().as_nanos(), Ordering::Relaxed);
                turn.store(2 * round + 2, Ordering::Release);
                q.wake_all();
            }
        })
        .expect("memory");
    let (q, turn, ran) = &*bell;
    let mut longest = Duration::ZERO;
    for round in 0..ROUNDS {
        // The probe sleeps by then, and the hog has its core.
        sleep(cx, Duration::from_millis(1));
        let rung = machine::now().as_nanos();
        turn.store(2 * round + 1, Ordering::Release);
        q.wake_all();
        let done = q.wait_timeout(cx, limit, || turn.load(Ordering::Acquire) == 2 * round + 2);
        assert_eq!(
            done,
            Ok(()),
            "round {round}: the busy core was not preempted"
        );
        let took = ran.load(Ordering::Relaxed).saturating_sub(rung);
        longest = longest.max(Duration::from_nanos(took));
    }
    probe.join(cx);
    assert!(!hog.has_exited(), "it spins until it is told to stop");
    stop.store(true, Ordering::Relaxed);
    hog.join(cx);
    longest
}

/// A thread woken from another core preempts a busy core, however long that would stay busy.
fn wakeup_preempts_by_ipi(cx: &ThreadCx<'_>) {
    let _ = wakeups_beside_a_hog(cx, Duration::from_secs(5));
}

/// And at once: long before the running thread's slice ends, which is what a lost IPI would cost.
fn wakeup_preempts_at_once(cx: &ThreadCx<'_>) {
    let longest = wakeups_beside_a_hog(cx, Duration::from_secs(5));
    assert!(longest < Duration::from_micros(200), "{longest:?}");
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
