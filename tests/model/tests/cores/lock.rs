//! The spin lock: exclusion, publication, and the section around it.

use loom::cell::UnsafeCell;

use loom::thread;
use model_tests::shipped::spin_lock::{IrqOff, SpinLock};
use model_tests::{Rank, Weak, breaks, holds};
use std::sync::Arc;

type Shared = Arc<SpinLock<UnsafeCell<usize>, IrqOff>>;

fn shared() -> Shared {
    let lock = SpinLock::new(Rank::Leaf, "model", UnsafeCell::new(0));
    // The first look creates the lock word.
    assert!(!lock.is_locked());
    Arc::new(lock)
}

#[expect(unsafe_code, reason = "loom's cell reports every race")]
fn add_one(lock: &Shared) {
    let guard = lock.lock();
    // SAFETY: the lock is held; where a model breaks it, loom reports the race before it happens.
    guard.with_mut(|p| unsafe { *p += 1 });
}

#[expect(unsafe_code, reason = "loom's cell reports every race")]
fn value(lock: &Shared) -> usize {
    // SAFETY: as above.
    lock.lock().with(|p| unsafe { *p })
}

fn exclusion() {
    let lock = shared();
    let other = {
        let lock = lock.clone();
        thread::spawn(move || add_one(&lock))
    };
    add_one(&lock);
    other.join().expect("the other core ends");
    assert_eq!(value(&lock), 2);
}

fn trying() {
    let lock = shared();
    let other = {
        let lock = lock.clone();
        thread::spawn(move || add_one(&lock))
    };
    let tried = lock.try_lock().map(|guard| {
        #[expect(unsafe_code, reason = "loom's cell reports every race")]
        // SAFETY: the lock is held, as in `add_one`.
        guard.with_mut(|p| unsafe { *p += 1 });
    });
    other.join().expect("the other core ends");
    assert_eq!(value(&lock), 1 + usize::from(tried.is_some()));
}

#[test]
fn a_spin_lock_excludes_and_publishes() {
    holds(exclusion);
    breaks(Weak::Lock, exclusion);
    breaks(Weak::Acquire, exclusion);
    breaks(Weak::Release, exclusion);
    breaks(Weak::Update, exclusion);
}

#[test]
fn a_try_lock_excludes_and_publishes() {
    holds(trying);
    breaks(Weak::Lock, trying);
    breaks(Weak::Acquire, trying);
    breaks(Weak::Release, trying);
}

#[expect(unsafe_code, reason = "loom's cell reports every race")]
fn add_one_and_forget(lock: &Shared) {
    let guard = lock.lock();
    // SAFETY: the lock is held, as in `add_one`.
    guard.with_mut(|p| unsafe { *p += 1 });
    std::mem::forget(guard);
}

/// The runqueue lock changes hands within a context switch: locked by one flow, its guard forgotten,
/// and released by the next flow of the same core.
fn handed_over() {
    let lock = shared();
    let other = {
        let lock = lock.clone();
        thread::spawn(move || add_one(&lock))
    };
    add_one_and_forget(&lock);
    #[expect(unsafe_code, reason = "loom's cell reports every race")]
    // SAFETY: locked above, guard forgotten.
    unsafe {
        lock.force_unlock();
    }
    other.join().expect("the other core ends");
    assert_eq!(value(&lock), 2);
}

#[test]
fn a_lock_can_be_released_without_its_guard() {
    holds(handed_over);
    breaks(Weak::Release, handed_over);
}
