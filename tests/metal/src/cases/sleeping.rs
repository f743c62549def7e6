//! 30: mutex, semaphore, completion and their timeouts.

use core::sync::atomic::{AtomicU64, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::completion::Completion;
use kernel::mutex::Mutex;
use kernel::semaphore::Semaphore;
use kernel::thread::{self, Builder, ThreadCx, ThreadRef};
use machine::{Duration, now};

use crate::ktest;
use crate::registry::Needs;

ktest!(
    "30_mutex_excludes_across_sleeps",
    mutex_excludes_across_sleeps
);
ktest!("31_mutex_times_out", mutex_times_out);
ktest!(
    "32_completion_wakes_each_waiter_once",
    completion_wakes_each_waiter_once
);
ktest!("33_completion_times_out", completion_times_out);
ktest!("34_semaphore_admits_its_count", semaphore_admits_its_count);
ktest!(
    "35_sleep_in_atomic_is_caught",
    sleep_in_atomic_is_caught,
    Needs::new().dies("kernel panic: sleep in atomic context")
);

fn spawn(body: impl FnOnce(&ThreadCx<'_>) + Send + 'static) -> ThreadRef {
    Builder::new("helper").spawn(body).expect("a thread")
}

fn mutex_excludes_across_sleeps(cx: &ThreadCx<'_>) {
    let shared = Arc::new(Mutex::new(0_u64));
    let work = |_| {
        let shared = Arc::clone(&shared);
        spawn(move |cx| {
            for round in 0..50 {
                let mut value = shared.lock(cx).expect("nobody died");
                let before = *value;
                if round % 10 == 0 {
                    thread::sleep(cx, Duration::from_micros(200));
                } else {
                    thread::yield_now(cx);
                }
                *value = before + 1;
            }
        })
    };
    let threads: Vec<_> = (0..8).map(work).collect();
    threads.iter().for_each(|t| t.join(cx));
    assert_eq!(*shared.lock(cx).expect("nobody died"), 400);
}

fn mutex_times_out(cx: &ThreadCx<'_>) {
    let mutex = Arc::new(Mutex::new(()));
    let (locked, release) = (Arc::new(Completion::new()), Arc::new(Completion::new()));
    let holder = {
        let (mutex, locked, release) = (
            Arc::clone(&mutex),
            Arc::clone(&locked),
            Arc::clone(&release),
        );
        spawn(move |cx| {
            let guard = mutex.lock(cx);
            locked.complete();
            release.wait(cx);
            drop(guard);
        })
    };
    locked.wait(cx);
    let (before, limit) = (now(), Duration::from_millis(20));
    assert!(mutex.lock_timeout(cx, limit).is_err());
    assert!(now().since(before) >= limit);
    assert!(mutex.try_lock(cx).is_none());
    release.complete();
    assert!(
        mutex
            .lock_timeout(cx, Duration::from_millis(10_000))
            .is_ok()
    );
    holder.join(cx);
}

fn completion_wakes_each_waiter_once(cx: &ThreadCx<'_>) {
    let (done, woken) = (Arc::new(Completion::new()), Arc::new(AtomicU64::new(0)));
    let waiter = |_| {
        let (done, woken) = (Arc::clone(&done), Arc::clone(&woken));
        spawn(move |cx| {
            done.wait(cx);
            woken.fetch_add(1, Ordering::Relaxed);
        })
    };
    let waiters: Vec<_> = (0..6).map(waiter).collect();
    thread::sleep(cx, Duration::from_millis(5));
    assert_eq!(woken.load(Ordering::Relaxed), 0);
    done.complete();
    done.complete();
    thread::sleep(cx, Duration::from_millis(50));
    assert_eq!(
        woken.load(Ordering::Relaxed),
        2,
        "one waiter for each complete()"
    );
    done.complete_all();
    waiters.iter().for_each(|w| w.join(cx));
    done.wait(cx);
}

fn completion_times_out(cx: &ThreadCx<'_>) {
    let never = Completion::new();
    let (before, limit) = (now(), Duration::from_millis(10));
    assert!(never.wait_timeout(cx, limit).is_err());
    assert!(now().since(before) >= limit);
    never.complete();
    assert!(never.wait_timeout(cx, limit).is_ok());
    assert!(
        never.wait_timeout(cx, limit).is_err(),
        "one complete() lets one waiter go"
    );
}

fn semaphore_admits_its_count(cx: &ThreadCx<'_>) {
    static INSIDE: AtomicU64 = AtomicU64::new(0);
    static MOST: AtomicU64 = AtomicU64::new(0);
    let gate = Arc::new(Semaphore::new(3));
    let guest = |_| {
        let gate = Arc::clone(&gate);
        spawn(move |cx| {
            gate.down(cx);
            let inside = INSIDE.fetch_add(1, Ordering::Relaxed) + 1;
            MOST.fetch_max(inside, Ordering::Relaxed);
            thread::sleep(cx, Duration::from_millis(3));
            INSIDE.fetch_sub(1, Ordering::Relaxed);
            gate.up();
        })
    };
    let guests: Vec<_> = (0..12).map(guest).collect();
    guests.iter().for_each(|g| g.join(cx));
    assert_eq!(MOST.load(Ordering::Relaxed), 3);
    assert_eq!(gate.free(), 3);
    assert!(gate.down_timeout(cx, Duration::from_millis(1)).is_ok());
}

fn sleep_in_atomic_is_caught(cx: &ThreadCx<'_>) {
    let irq = machine::irq_save();
    thread::sleep(cx, Duration::from_millis(1));
    machine::irq_restore(irq);
}
