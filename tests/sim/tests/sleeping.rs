//! Sleeping locks, completions, semaphores, parking: exclusion, no lost wake-up, honest timeouts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kernel::completion::Completion;
use kernel::mutex::Mutex;
use kernel::semaphore::Semaphore;
use kernel::thread::{ThreadCx, park, sleep, yield_now};
use machine::{Duration, now};
use sim::{Scenario, sweep};
use sim_tests::{crowd, join};

const CORES: [usize; 4] = [1, 2, 3, 8];
const SEEDS: std::ops::Range<u64> = 0..100;

/// An increment torn in two by a yield is lost unless the mutex excludes.
fn mutex_excludes(cx: &ThreadCx<'_>) {
    let count = Arc::new(Mutex::new(0));
    let shared = Arc::clone(&count);
    let threads = crowd(6, move |cx, i| {
        for round in 0..5 {
            let mut guard = shared.lock(cx).expect("nobody panics");
            let seen = *guard;
            match (i + round) % 3 {
                0 => yield_now(cx),
                1 => sleep(cx, Duration::from_micros(3)),
                _ => machine::sync_point(),
            }
            *guard = seen + 1;
        }
    });
    join(cx, &threads);
    assert_eq!(*count.lock(cx).expect("nobody panics"), 30);
}

#[test]
fn a_mutex_excludes() {
    sweep(
        Scenario::new("mutex excludes", 1, mutex_excludes),
        &CORES,
        SEEDS,
    );
}

/// Timed lockers give up in time or get the lock; either way nothing is lost.
fn mutex_timeouts(cx: &ThreadCx<'_>) {
    let lock = Arc::new(Mutex::new(0usize));
    let taken = Arc::new(AtomicUsize::new(0));
    let threads = {
        let (lock, taken) = (Arc::clone(&lock), Arc::clone(&taken));
        crowd(5, move |cx, i| {
            for _ in 0..4 {
                let patience = Duration::from_micros(5 * i as u64);
                let start = now();
                match lock.lock_timeout(cx, patience) {
                    Ok(guard) => {
                        let mut guard = guard.expect("nobody panics");
                        *guard += 1;
                        taken.fetch_add(1, Ordering::Relaxed);
                        sleep(cx, Duration::from_micros(7));
                    }
                    Err(_) => assert!(now().since(start) >= patience, "gave up too early"),
                }
            }
        })
    };
    join(cx, &threads);
    assert_eq!(
        *lock.lock(cx).expect("nobody panics"),
        taken.load(Ordering::Relaxed)
    );
}

#[test]
fn a_timed_lock_gives_up_in_time_or_holds() {
    sweep(
        Scenario::new("mutex timeouts", 1, mutex_timeouts),
        &CORES,
        SEEDS,
    );
}

/// Each completion lets exactly one waiter through, those that gave up included in no count.
fn completions(cx: &ThreadCx<'_>) {
    let done = Arc::new(Completion::new());
    let through = Arc::new(AtomicUsize::new(0));
    let waiters = {
        let (done, through) = (Arc::clone(&done), Arc::clone(&through));
        crowd(4, move |cx, i| {
            let patience = Duration::from_micros(20);
            while i % 2 == 1 && done.wait_timeout(cx, patience).is_err() {}
            if i % 2 == 0 {
                done.wait(cx);
            }
            through.fetch_add(1, Ordering::Relaxed);
        })
    };
    for n in 0..4 {
        assert!(through.load(Ordering::Relaxed) <= n);
        sleep(cx, Duration::from_micros(15));
        done.complete();
    }
    join(cx, &waiters);
    assert!(
        done.wait_timeout(cx, Duration::from_micros(1)).is_err(),
        "one completion too many"
    );
}

#[test]
fn a_completion_lets_one_waiter_through() {
    sweep(Scenario::new("completions", 1, completions), &CORES, SEEDS);
}

/// Never more than three inside, and everybody gets in.
fn semaphore(cx: &ThreadCx<'_>) {
    let units = Arc::new(Semaphore::new(3));
    let inside = Arc::new(AtomicUsize::new(0));
    let threads = {
        let units = Arc::clone(&units);
        crowd(8, move |cx, i| {
            for _ in 0..3 {
                units.down(cx);
                assert!(
                    inside.fetch_add(1, Ordering::Relaxed) < 3,
                    "too many inside"
                );
                sleep(cx, Duration::from_micros(i as u64));
                inside.fetch_sub(1, Ordering::Relaxed);
                units.up();
            }
        })
    };
    join(cx, &threads);
    assert_eq!(units.free(), 3);
}

#[test]
fn a_semaphore_admits_its_units() {
    sweep(Scenario::new("semaphore", 1, semaphore), &CORES, SEEDS);
}

/// A ring of threads hands one token round by park and unpark: a lost wake-up is a deadlock.
fn token_ring(cx: &ThreadCx<'_>) {
    const N: usize = 5;
    const LAPS: usize = 10;
    let turn = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&turn);
    let next = Arc::new(Mutex::new(Vec::new()));
    let ring = Arc::clone(&next);
    let threads = crowd(N, move |cx, i| {
        for lap in 0..LAPS {
            while seen.load(Ordering::Acquire) != lap * N + i {
                park(cx);
            }
            seen.fetch_add(1, Ordering::AcqRel);
            let ring = ring.lock(cx).expect("nobody panics");
            if let Some(next) = ring.get((i + 1) % N) {
                let next: &kernel::thread::ThreadRef = next;
                next.unpark();
            }
        }
    });
    *next.lock(cx).expect("nobody panics") = threads.clone();
    // Whoever ran before the ring was complete has woken nobody.
    threads.iter().for_each(|t| t.unpark());
    join(cx, &threads);
    assert_eq!(turn.load(Ordering::Relaxed), N * LAPS);
    next.lock(cx).expect("nobody panics").clear();
}

#[test]
fn parking_loses_no_wakeup() {
    sweep(Scenario::new("token ring", 1, token_ring), &CORES, SEEDS);
}

/// Twelve sleepers on one completion, woken at once, over and over.
fn storm(cx: &ThreadCx<'_>) {
    let gates: Arc<Vec<Completion>> = Arc::new((0..4).map(|_| Completion::new()).collect());
    let arrived = Arc::new(Semaphore::new(0));
    let threads = {
        let (gates, arrived) = (Arc::clone(&gates), Arc::clone(&arrived));
        crowd(12, move |cx, _| {
            for gate in gates.iter() {
                arrived.up();
                gate.wait(cx);
            }
        })
    };
    for gate in gates.iter() {
        (0..12).for_each(|_| arrived.down(cx));
        gate.complete_all();
    }
    join(cx, &threads);
}

#[test]
fn a_storm_of_wakeups_wakes_everybody() {
    sweep(Scenario::new("wake storm", 1, storm), &CORES, SEEDS);
}
