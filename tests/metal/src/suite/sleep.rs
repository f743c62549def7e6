//! Sleeping primitives on real cores.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::completion::Completion;
use kernel::mutex::Mutex;
use kernel::semaphore::Semaphore;
use kernel::thread::{Builder, ThreadCx, current, park, sleep};
use kernel::wait::{TimedOut, WaitQueue};
use machine::Duration;

/// A mutex hammered from several threads that sleep while holding it admits one at a time.
pub(crate) fn mutex_excludes(cx: &ThreadCx<'_>) {
    let m = Arc::new(Mutex::new(0_u64));
    let inside = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let (m, inside) = (Arc::clone(&m), Arc::clone(&inside));
            let body = move |cx: &ThreadCx<'_>| {
                for i in 0..50 {
                    let mut g = m.lock(cx).expect("not poisoned");
                    assert_eq!(inside.fetch_add(1, Ordering::AcqRel), 0, "two holders");
                    *g += 1;
                    if i % 10 == 0 {
                        sleep(cx, Duration::from_micros(50));
                    }
                    inside.fetch_sub(1, Ordering::AcqRel);
                }
            };
            Builder::new("locker").spawn(body).expect("memory")
        })
        .collect();
    for t in &threads {
        t.join(cx);
    }
    assert_eq!(*m.lock(cx).expect("not poisoned"), 300);
}

/// A timed lock gives up in time and the mutex stays usable.
pub(crate) fn mutex_times_out(cx: &ThreadCx<'_>) {
    let m = Arc::new(Mutex::new(()));
    let release = Arc::new(Completion::new());
    let held = Arc::new(Completion::new());
    let holder = {
        let (m, release, held) = (Arc::clone(&m), Arc::clone(&release), Arc::clone(&held));
        let body = move |cx: &ThreadCx<'_>| {
            let g = m.lock(cx).expect("not poisoned");
            held.complete();
            release.wait(cx);
            drop(g);
        };
        Builder::new("holder").spawn(body).expect("memory")
    };
    held.wait(cx);
    let t0 = machine::now();
    let r = m.lock_timeout(cx, Duration::from_millis(2));
    assert!(matches!(r, Err(TimedOut)));
    assert!(machine::now().since(t0) >= Duration::from_millis(2));
    assert!(m.try_lock(cx).is_none());
    release.complete();
    holder.join(cx);
    assert!(m.try_lock(cx).is_some());
}

/// Completions: before and after the waiter, counted, for all, with a timeout.
pub(crate) fn completions(cx: &ThreadCx<'_>) {
    let c = Arc::new(Completion::new());
    c.complete();
    c.complete();
    c.wait(cx);
    c.wait(cx);
    assert_eq!(c.wait_timeout(cx, Duration::from_millis(1)), Err(TimedOut));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let c = Arc::clone(&c);
            Builder::new("waiter").spawn(move |cx: &ThreadCx<'_>| c.wait(cx)).expect("memory")
        })
        .collect();
    sleep(cx, Duration::from_millis(1));
    assert!(threads.iter().all(|t| !t.has_exited()), "nobody goes before complete_all");
    c.complete_all();
    for t in &threads {
        t.join(cx);
    }
    c.wait(cx);
    c.reset();
    assert!(!c.is_done());
}

/// A semaphore of two admits two and hands units over in order.
pub(crate) fn semaphore_counts(cx: &ThreadCx<'_>) {
    let s = Arc::new(Semaphore::new(2));
    let inside = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = (0..5)
        .map(|_| {
            let (s, inside) = (Arc::clone(&s), Arc::clone(&inside));
            let body = move |cx: &ThreadCx<'_>| {
                for _ in 0..10 {
                    s.down(cx);
                    assert!(inside.fetch_add(1, Ordering::AcqRel) < 2, "three inside");
                    sleep(cx, Duration::from_micros(20));
                    inside.fetch_sub(1, Ordering::AcqRel);
                    s.up();
                }
            };
            Builder::new("counter").spawn(body).expect("memory")
        })
        .collect();
    for t in &threads {
        t.join(cx);
    }
    assert_eq!(s.free(), 2);
    s.down(cx);
    s.down(cx);
    assert_eq!(s.down_timeout(cx, Duration::from_millis(1)), Err(TimedOut));
}

/// A wait queue loses no wake-up between two threads that take turns 2,000 times.
pub(crate) fn ping_pong_loses_nothing(cx: &ThreadCx<'_>) {
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

/// Unpark before park is remembered; park returns once per token.
pub(crate) fn park_keeps_a_token(cx: &ThreadCx<'_>) {
    let parked = Arc::new(AtomicBool::new(false));
    current().unpark();
    park(cx);
    let t = {
        let parked = Arc::clone(&parked);
        let body = move |cx: &ThreadCx<'_>| {
            park(cx);
            parked.store(true, Ordering::Release);
        };
        Builder::new("parker").spawn(body).expect("memory")
    };
    sleep(cx, Duration::from_millis(1));
    assert!(!parked.load(Ordering::Acquire));
    t.unpark();
    t.join(cx);
    assert!(parked.load(Ordering::Acquire));
}
