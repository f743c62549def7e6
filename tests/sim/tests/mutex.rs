//! Mutexes whose guards are never dropped: nobody waits for ever, and nothing points to freed memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kernel::completion::Completion;
use kernel::mutex::{LockError, Mutex};
use kernel::thread::{Builder, ThreadCx, sleep};
use kernel::wq::{self, Run, Submitted, WaitError, Work};
use machine::Duration;
use sim::{Scenario, sweep};
use sim_tests::{crowd, join};

const CORES: [usize; 3] = [1, 2, 4];

/// A guard is forgotten, and its mutex moved, freed and overwritten. The thread then dies in a
/// panic, which releases what it holds.
fn freed_while_held(cx: &ThreadCx<'_>) {
    let other = Arc::new(Mutex::new(()));
    let item = Arc::new(Work::new(
        Arc::clone(&other),
        |cx: &ThreadCx<'_>, run: &Run<'_, Arc<Mutex<()>>>| {
            let moved = {
                let mutex = Mutex::new([0_u64; 8]);
                std::mem::forget(mutex.lock(cx));
                Box::new(mutex)
            };
            assert!(moved.try_lock(cx).is_none(), "a moved mutex is still held");
            drop(moved);
            let _rubbish = vec![0x5a_u8; 4096];
            let _held = run.lock(cx).expect("nobody died yet");
            panic!("with a mutex held and another one gone");
        },
    ));
    assert_eq!(wq::percpu().queue(&item), Submitted::Queued);
    assert_eq!(item.flush(cx), Err(WaitError::Poisoned));
    assert!(other.lock(cx).is_err(), "the mutex is not poisoned");
}

#[test]
fn a_mutex_may_be_freed_with_its_guard_forgotten() {
    sweep(
        Scenario::new("freed while held", 1, freed_while_held),
        &CORES,
        0..40,
    );
}

/// Threads end, one in order with a forgotten guard, one in a panic, while others wait, with and
/// without a time limit.
fn ended_while_held(cx: &ThreadCx<'_>) {
    for panics in [false, true] {
        let mutex = Arc::new(Mutex::new(0_u32));
        let (taken, go) = (Arc::new(Completion::new()), Arc::new(Completion::new()));
        let take = {
            let (mutex, taken, go) = (mutex.clone(), taken.clone(), go.clone());
            move |cx: &ThreadCx<'_>| {
                std::mem::forget(mutex.lock(cx));
                taken.complete_all();
                go.wait(cx);
            }
        };
        if panics {
            type Take = Box<dyn Fn(&ThreadCx<'_>) + Send + Sync>;
            let take: Take = Box::new(take);
            let item = Arc::new(Work::new(take, |cx: &ThreadCx<'_>, run: &Run<'_, Take>| {
                run(cx);
                panic!("with a mutex held");
            }));
            assert_eq!(wq::unbound().queue(&item), Submitted::Queued);
        } else {
            let _ends = Builder::new("forgetful").spawn(take).expect("memory");
        }
        taken.wait(cx);
        let errors = Arc::new(AtomicUsize::new(0));
        let waiters = {
            let (mutex, errors) = (mutex.clone(), errors.clone());
            crowd(4, move |cx, i| {
                let result = if i % 2 == 0 {
                    mutex.lock(cx)
                } else {
                    mutex
                        .lock_timeout(cx, Duration::from_secs(10))
                        .expect("the holder is gone long before")
                        .map_err(LockError::Poisoned)
                };
                errors.fetch_add(usize::from(result.is_err()), Ordering::Relaxed);
                let mut value = result.unwrap_or_else(|e| e.into_guard().expect("no deadlock"));
                let before = *value;
                sleep(cx, Duration::from_micros(3));
                *value = before + 1;
            })
        };
        sleep(cx, Duration::from_micros(20));
        go.complete_all();
        join(cx, &waiters);
        assert_eq!(errors.load(Ordering::Relaxed), 4, "somebody saw no poison");
        mutex.clear_poison();
        assert_eq!(*mutex.lock(cx).expect("it is clean again"), 4);
    }
}

#[test]
fn who_waits_for_a_mutex_outlives_its_holder() {
    sweep(
        Scenario::new("ended while held", 1, ended_while_held),
        &CORES,
        0..60,
    );
}
