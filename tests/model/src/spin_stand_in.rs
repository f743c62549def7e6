//! The lock word below the shipped lock: the same compare-and-swap loop, over loom's atomics.
//!
//! `spin` itself cannot be run by loom. This stands in for its `SpinMutex`, with the orderings that
//! crate documents: acquire to enter, release to leave.
#![expect(unsafe_code, reason = "the protected value")]

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use crate::atomic::{AtomicBool, Ordering};
use crate::weak::{Weak, is};

/// Stands in for `spin::RelaxStrategy`.
pub trait RelaxStrategy {
    /// One turn of waiting.
    fn relax();
}

loom::thread_local! {
    static HELD: Cell<usize> = Cell::new(0);
}

/// How many locks the running thread holds.
pub(crate) fn held_here() -> usize {
    HELD.with(Cell::get)
}

/// A mutual exclusion by spinning.
pub struct SpinMutex<T: ?Sized, R> {
    locked: AtomicBool,
    relax: PhantomData<fn() -> R>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through the guard only. (A model may break the lock on purpose; what
// it protects there is loom's own cell, which reports the race.)
unsafe impl<T: ?Sized + Send, R> Sync for SpinMutex<T, R> {}

/// Access to what the lock protects.
pub struct SpinMutexGuard<'a, T: ?Sized, R>(&'a SpinMutex<T, R>);

impl<T, R> SpinMutex<T, R> {
    /// A free lock.
    pub const fn new(value: T) -> Self {
        Self {
            locked: AtomicBool::new(false),
            relax: PhantomData,
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized, R: RelaxStrategy> SpinMutex<T, R> {
    /// Takes the lock.
    pub fn lock(&self) -> SpinMutexGuard<'_, T, R> {
        loop {
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            R::relax();
        }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<SpinMutexGuard<'_, T, R>> {
        let free = self
            .locked
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if !free && !is(Weak::Lock) {
            return None;
        }
        HELD.with(|n| n.set(n.get() + 1));
        Some(SpinMutexGuard(self))
    }

    /// As [`Self::try_lock`]: loom's atomics do not fail without a reason.
    pub fn try_lock_weak(&self) -> Option<SpinMutexGuard<'_, T, R>> {
        self.try_lock()
    }

    /// Whether somebody holds it.
    pub fn is_locked(&self) -> bool {
        self.locked.load(Ordering::Relaxed)
    }

    /// The value; whoever follows the pointer holds the lock.
    pub const fn as_mut_ptr(&self) -> *mut T {
        self.value.get()
    }

    /// Releases it.
    ///
    /// # Safety
    ///
    /// The caller holds it and has forgotten the guard.
    pub unsafe fn force_unlock(&self) {
        HELD.with(|n| n.set(n.get() - 1));
        self.locked.store(false, Ordering::Release);
    }

    /// The value, by an exclusive borrow.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: ?Sized, R> fmt::Debug for SpinMutex<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.locked.fmt(f)
    }
}

impl<T: ?Sized, R> Deref for SpinMutexGuard<'_, T, R> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard is the proof that the lock is held.
        unsafe { &*self.0.value.get() }
    }
}

impl<T: ?Sized, R> DerefMut for SpinMutexGuard<'_, T, R> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T: ?Sized, R> Drop for SpinMutexGuard<'_, T, R> {
    fn drop(&mut self) {
        HELD.with(|n| n.set(n.get() - 1));
        self.0.locked.store(false, Ordering::Release);
    }
}
