//! The sleeping mutex: mutual exclusion across sleeps, with poisoning.
//!
//! Hand-over is direct and first come first served. A worker that panics is killed without
//! unwinding, so its guards never drop; therefore each thread keeps a list of the mutexes it holds
//! (`[P]`, a stack threaded through the mutexes), and its end poisons and releases them. Who takes
//! a poisoned mutex gets an error that still gives access, as with the standard library's.
#![expect(
    unsafe_code,
    reason = "the protected value, and the list of held mutexes"
)]

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use machine::{Duration, Instant};
use sync::{Rank, SpinLock};

use crate::thread::{Thread, ThreadCx, current};
use crate::trace::{Head, Kind, emit_unmasked, name};
use crate::wait::{TimedOut, WaitList, wait_in};

#[derive(Debug)]
struct Inner {
    locked: bool,
    poisoned: bool,
    waiters: WaitList,
}

fn waiters(s: &mut Inner) -> &mut WaitList {
    &mut s.waiters
}

/// The part of a mutex that does not depend on the value.
pub(crate) struct RawMutex {
    inner: SpinLock<Inner>,
    /// `[P]` of the owner: the mutex it took before this one.
    next_held: Cell<*const Self>,
}

/// Mutexes a thread holds, last taken first. `[P]`.
pub(crate) struct HeldMutexes(Cell<*const RawMutex>);

impl HeldMutexes {
    pub(crate) const fn new() -> Self {
        Self(Cell::new(core::ptr::null()))
    }
}

impl RawMutex {
    const fn new() -> Self {
        let inner = Inner {
            locked: false,
            poisoned: false,
            waiters: WaitList::new(),
        };
        Self {
            inner: SpinLock::new(Rank::WaitQueue, "mutex", inner),
            next_held: Cell::new(core::ptr::null()),
        }
    }

    /// Takes the mutex; `Ok(poisoned)`.
    fn lock(&self, cx: &ThreadCx<'_>, deadline: Option<Instant>) -> Result<bool, TimedOut> {
        crate::schedule::might_sleep();
        let mut s = self.inner.lock();
        if s.locked {
            let (again, result) = wait_in(&self.inner, s, waiters, cx, deadline);
            s = again;
            result?;
        }
        // Granted: the previous owner left `locked` set for us.
        s.locked = true;
        let poisoned = s.poisoned;
        emit_unmasked(Kind::LockAcquired, Head::of(0), name(&self.inner), 0);
        drop(s);
        self.push_held();
        Ok(poisoned)
    }

    fn try_lock(&self) -> Option<bool> {
        let mut s = self.inner.lock();
        if s.locked {
            return None;
        }
        s.locked = true;
        let poisoned = s.poisoned;
        emit_unmasked(Kind::LockAcquired, Head::of(0), name(&self.inner), 0);
        drop(s);
        self.push_held();
        Some(poisoned)
    }

    fn unlock(&self) {
        self.pop_held();
        self.release(false);
    }

    fn release(&self, poison: bool) {
        let mut s = self.inner.lock();
        s.poisoned |= poison;
        emit_unmasked(Kind::LockRelease, Head::of(0), name(&self.inner), 0);
        if !s.waiters.grant_one() {
            s.locked = false;
        }
    }

    fn push_held(&self) {
        let head = &current().held_mutexes.0;
        self.next_held.set(head.get());
        head.set(self);
    }

    fn pop_held(&self) {
        let mut at = &current().held_mutexes.0;
        while !at.get().is_null() {
            if core::ptr::eq(at.get(), self) {
                at.set(self.next_held.get());
                return;
            }
            // SAFETY: every mutex on the list is alive: it is locked and its guard borrows it.
            at = &unsafe { &*at.get() }.next_held;
        }
        panic!("a mutex was released by a thread that does not hold it");
    }
}

/// The thread dies in a panic: poisons and releases every mutex it holds. The number of them.
/// Called on the dying thread itself.
pub(crate) fn poison_held(thread: &Thread) -> usize {
    let head = &thread.held_mutexes.0;
    let mut n = 0;
    while !head.get().is_null() {
        // SAFETY: a held mutex is alive: its guard was leaked with the stack.
        let held = unsafe { &*head.get() };
        head.set(held.next_held.get());
        held.release(true);
        n += 1;
    }
    n
}

/// A mutual exclusion whose holder may sleep.
pub struct Mutex<T> {
    raw: RawMutex,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only through a guard, one at a time; `next_held` is `[P]`.
unsafe impl<T: Send> Sync for Mutex<T> {}
// SAFETY: a mutex that is moved is not held.
unsafe impl<T: Send> Send for Mutex<T> {}

/// Access to a locked mutex; releases it when dropped.
#[must_use = "the mutex is held only while the guard lives"]
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    not_send: PhantomData<*const ()>,
}

/// Somebody died while holding the mutex: the value may be half changed. The guard is inside.
#[must_use = "the mutex is held while the guard inside lives"]
pub struct Poisoned<'a, T>(pub MutexGuard<'a, T>);

impl<T> fmt::Debug for Poisoned<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Poisoned")
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Mutex<T> {
    /// A free mutex around `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            raw: RawMutex::new(),
            value: UnsafeCell::new(value),
        }
    }

    fn guard(&self, poisoned: bool) -> Result<MutexGuard<'_, T>, Poisoned<'_, T>> {
        let guard = MutexGuard {
            mutex: self,
            not_send: PhantomData,
        };
        if poisoned {
            Err(Poisoned(guard))
        } else {
            Ok(guard)
        }
    }

    /// Takes the mutex, sleeping while somebody else holds it.
    ///
    /// # Errors
    ///
    /// [`Poisoned`] when a holder died in a panic.
    pub fn lock(&self, cx: &ThreadCx<'_>) -> Result<MutexGuard<'_, T>, Poisoned<'_, T>> {
        let poisoned = self.raw.lock(cx, None).unwrap_or_default();
        self.guard(poisoned)
    }

    /// As [`Self::lock`], waiting for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] when it was not free in time; inside, [`Poisoned`] as for [`Self::lock`].
    pub fn lock_timeout(
        &self,
        cx: &ThreadCx<'_>,
        timeout: Duration,
    ) -> Result<Result<MutexGuard<'_, T>, Poisoned<'_, T>>, TimedOut> {
        let poisoned = self.raw.lock(cx, Some(machine::now() + timeout))?;
        Ok(self.guard(poisoned))
    }

    /// Takes the mutex if it is free. Needs the token, since only threads hold mutexes.
    pub fn try_lock(
        &self,
        _cx: &ThreadCx<'_>,
    ) -> Option<Result<MutexGuard<'_, T>, Poisoned<'_, T>>> {
        let poisoned = self.raw.try_lock()?;
        Some(self.guard(poisoned))
    }

    /// Declares the value sound again after a [`Poisoned`].
    pub fn clear_poison(&self) {
        self.raw.inner.lock().poisoned = false;
    }

    /// The value, without locking: the borrow proves that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard proves that this thread holds the mutex.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.raw.unlock();
    }
}
