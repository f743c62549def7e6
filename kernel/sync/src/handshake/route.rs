//! The way to an object that lives as long as its readers, and which lock it is found under.

use crate::atomic::{AtomicPtr, Ordering};

/// A pointer that one side changes and any number follow without a lock. What it led to before stays
/// alive: who followed it late finds out under that object's lock, and looks again.
#[derive(Debug)]
pub struct Route<T>(AtomicPtr<T>);

impl<T> Route<T> {
    /// Leads nowhere.
    #[must_use]
    pub const fn nowhere() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Leads to `to` from now on, or with null nowhere. Who follows it sees what was stored there
    /// before.
    #[inline(always)]
    pub fn set(&self, to: *mut T) {
        self.0.store(to, Ordering::Release);
    }

    /// Where it leads; stale at once.
    #[inline(always)]
    pub fn get(&self) -> *mut T {
        self.0.load(Ordering::Acquire)
    }
}

/// What an object belongs to (a queue's share to a pool, a timer to a core), by address.
/// It changes only under the lock of what it names, so whoever holds that lock and finds it
/// unchanged can rely on it.
#[derive(Debug)]
pub struct Home<T>(AtomicPtr<T>);

impl<T> Home<T> {
    /// At home in `first`.
    #[must_use]
    pub const fn new(first: *mut T) -> Self {
        Self(AtomicPtr::new(first))
    }

    /// The home; a hint unless its lock is held, or something keeps the object there.
    #[inline(always)]
    pub fn get(&self) -> *mut T {
        self.0.load(Ordering::Acquire)
    }

    /// Whether `to` is the home; a hint unless the lock of `to` is held, by which what whoever moved it there did
    /// before is visible.
    #[inline(always)]
    pub fn is(&self, to: *const T) -> bool {
        core::ptr::eq(self.0.load(Ordering::Relaxed), to)
    }

    /// Gives an object that has no home yet, null, to `to`; false if somebody was faster.
    #[inline]
    pub fn claim(&self, to: *mut T) -> bool {
        let none = core::ptr::null_mut();
        self.0
            .compare_exchange(none, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes the lock of the home by `take`, following the object if it moves.
    #[inline(always)]
    pub fn lock<G>(&self, mut take: impl FnMut(*mut T) -> G) -> (*mut T, G) {
        loop {
            let home = self.get();
            let guard = take(home);
            // Not the value read before: the object may have left and come back meanwhile.
            if self.get() == home {
                return (home, guard);
            }
        }
    }

    /// As [`Self::lock`]; `None` as soon as `take` gets no lock.
    #[inline(always)]
    pub fn try_lock<G>(&self, mut take: impl FnMut(*mut T) -> Option<G>) -> Option<(*mut T, G)> {
        loop {
            let home = self.get();
            let guard = take(home)?;
            if self.get() == home {
                return Some((home, guard));
            }
        }
    }

    /// The object is at home in `to` from now on; under the lock of the home it had. Who finds it
    /// there finds it as it was when it left: the one who moved it held another lock.
    #[inline(always)]
    pub fn move_to(&self, to: *mut T) {
        self.0.store(to, Ordering::Release);
    }
}
