//! The sleeping mutex: mutual exclusion across sleeps, with poisoning.
//!
//! Hand-over is direct and first come first served. A worker that panics is killed without
//! unwinding, so its guards never drop. Therefore a locked mutex names its holder: when a thread
//! ends while it holds mutexes, whoever waits for one of them is woken, sees that the holder is
//! gone, and takes it over, poisoned. Who takes a poisoned mutex gets an error that still gives
//! access, as with the standard library's.
//!
//! The naive way, a list of the held mutexes in each thread, needs their addresses, and a guard
//! that is forgotten leaves one there that may be moved or freed. Here nothing points to a mutex.
//! What a mutex points to is kept: a thread that ends with mutexes unreleased is never freed.
#![expect(unsafe_code, reason = "the protected value, and the holder's thread")]

use core::cell::{Cell, UnsafeCell};
use core::fmt::{self, Write as _};
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use machine::{Duration, Instant};
use sync::atomic::{AtomicBool, Ordering};
use sync::{Rank, SpinGuard, SpinLock};

use crate::kernel;
use crate::lend::{self, Party};
use crate::schedule::{might_sleep, wake};
use crate::thread::{Thread, ThreadCx, current};
use crate::trace::{Head, Kind, emit_unmasked, name};
use crate::wait::{TimedOut, WaitList, Waited, wait_in_or};
use crate::waits::{Awaited, Chain, Deadlock, Found, SleepsIn, Wait, sleeps_in};

mod errors;

pub use errors::{LockError, Poisoned};

/// The thread that holds a mutex.
#[derive(Debug)]
struct Holder(*const Thread);

// SAFETY: it is only asked whether it is gone, which is atomic.
unsafe impl Send for Holder {}

impl Holder {
    fn party(&self) -> &Party {
        // SAFETY: a thread that holds a mutex, or was just given one, lives, or is kept for ever.
        let holder = unsafe { &*self.0 };
        holder.party()
    }

    /// It ended without releasing the mutex.
    fn is_gone(&self) -> bool {
        // SAFETY: a thread that holds a mutex runs, or is kept for ever (`abandon`).
        let holder = unsafe { &*self.0 };
        // Acquire: nobody unlocked, so this alone shows the next holder what the last one left.
        holder.mutexes.gone.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
struct Inner {
    holder: Option<Holder>,
    poisoned: bool,
    waiters: WaitList,
}

impl Inner {
    fn waiters(&mut self) -> &mut WaitList {
        &mut self.waiters
    }

    fn is_free(&self) -> bool {
        self.holder.as_ref().is_none_or(Holder::is_gone)
    }

    /// The running thread takes the free mutex.
    fn take(&mut self) {
        self.poisoned |= self.holder.is_some();
        self.holder = Some(Holder(current()));
    }
}

/// What a thread has to do with mutexes.
pub(crate) struct HeldMutexes {
    /// `[P]` how many it holds, those with forgotten guards included.
    count: Cell<usize>,
    /// `[A]` it waits for one.
    waits: AtomicBool,
    /// `[A]` it ended holding some.
    gone: AtomicBool,
}

impl HeldMutexes {
    pub(crate) const fn new() -> Self {
        Self {
            count: Cell::new(0),
            waits: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    /// The running thread holds some, forgotten ones included.
    pub(crate) fn holds_any(&self) -> bool {
        self.count.get() > 0
    }

    fn add(&self, n: isize) {
        self.count.set(self.count.get().wrapping_add_signed(n));
    }
}

/// The running thread ends: the mutexes it still holds become poisoned and free. How many.
///
/// The caller keeps the thread for ever if there were any: they go on naming it.
pub(crate) fn abandon(thread: &Thread) -> usize {
    let n = thread.mutexes.count.take();
    if n > 0 {
        emit_unmasked(Kind::LockAbandon, Head::of(n as u32), 0, 0);
        thread.mutexes.gone.store(true, Ordering::Release);
        // Pairs with the fence in `prepare_to_sleep`: a waiter announces itself and then looks
        // whether the holder is gone, this does it the other way round.
        machine::fence_full();
        kernel().threads.for_each_of(
            |t| t.mutexes.waits.load(Ordering::Relaxed),
            |t| {
                wake(t);
            },
        );
    }
    n
}

/// The part of a mutex that does not depend on the value.
struct RawMutex {
    inner: SpinLock<Inner>,
    /// What its waiters lend goes to the holder; changed under `inner`.
    party: Party,
}

impl RawMutex {
    const fn new() -> Self {
        let inner = Inner {
            holder: None,
            poisoned: false,
            waiters: WaitList::new(),
        };
        Self {
            inner: SpinLock::new(Rank::WaitQueue, "mutex", inner),
            party: Party::knot(),
        }
    }

    /// Takes the mutex, unless it would wait for ever for it; `Ok(poisoned)`.
    fn lock(&self, cx: &ThreadCx<'_>) -> Result<bool, Deadlock> {
        might_sleep("Mutex::lock");
        let mut s = self.inner.lock();
        if s.is_free() {
            s.take();
            return Ok(self.taken(&s));
        }
        let wait = Wait::of_current(self);
        if let Some(wait) = &wait {
            drop(s);
            wait.begin(|| ())?;
            s = self.inner.lock();
        }
        // Without a deadline it cannot time out.
        Ok(self.wait(cx, s, None).unwrap_or_default())
    }

    /// As [`Self::lock`], until `deadline`. Whoever gives up in time closes no circle.
    fn lock_until(&self, cx: &ThreadCx<'_>, deadline: Instant) -> Result<bool, TimedOut> {
        might_sleep("Mutex::lock_timeout");
        let mut s = self.inner.lock();
        if s.is_free() {
            s.take();
            return Ok(self.taken(&s));
        }
        self.wait(cx, s, Some(deadline))
    }

    /// Sleeps until the mutex is this thread's.
    fn wait(
        &self,
        cx: &ThreadCx<'_>,
        s: SpinGuard<'_, Inner>,
        deadline: Option<Instant>,
    ) -> Result<bool, TimedOut> {
        let _said = sleeps_in(SleepsIn::Mutex);
        let (mine, me) = (current().party(), &current().mutexes);
        me.waits.store(true, Ordering::Relaxed);
        if let Some(holder) = &s.holder {
            lend::lend_through(mine, &self.party, holder.party());
        }
        let (mut s, waited) = wait_in_or(
            &self.inner,
            s,
            Inner::waiters,
            Some(Inner::is_free),
            SleepsIn::Mutex,
            cx,
            deadline,
        );
        me.waits.store(false, Ordering::Relaxed);
        match waited {
            // The holder before made this thread the next one.
            Waited::Granted => {}
            Waited::Ready => {
                lend::got(mine, &self.party);
                s.take();
            }
            Waited::TimedOut => {
                lend::end(mine);
                return Err(TimedOut);
            }
        }
        Ok(self.taken(&s))
    }

    fn try_lock(&self) -> Option<bool> {
        let mut s = self.inner.lock();
        if !s.is_free() {
            return None;
        }
        s.take();
        Some(self.taken(&s))
    }

    /// The running thread holds the mutex now; whether it is poisoned.
    fn taken(&self, s: &Inner) -> bool {
        emit_unmasked(Kind::LockAcquired, Head::of(0), name(&self.inner), 0);
        current().mutexes.add(1);
        s.poisoned
    }

    fn unlock(&self) {
        current().mutexes.add(-1);
        let mut s = self.inner.lock();
        emit_unmasked(Kind::LockRelease, Head::of(0), name(&self.inner), 0);
        s.holder = s.waiters.grant_next().map(|next| {
            let next = Holder(next);
            lend::got(next.party(), &self.party);
            next
        });
    }
}

impl Awaited for RawMutex {
    fn look(&self, found: &mut Found<'_>) {
        let inner = &self.inner;
        let Some(s) = found.lock(|| inner.lock(), |p| p.lock(|| inner.try_lock())) else {
            return;
        };
        let Some(holder) = s.holder.as_ref().filter(|h| !h.is_gone()) else {
            return;
        };
        // SAFETY: a thread that holds a mutex lives.
        let holder = unsafe { &*holder.0 };
        // It was handed over, and the wait is over.
        if !found.waiter().is_some_and(|w| core::ptr::eq(w, holder)) {
            found.add(holder, || None);
        }
    }

    fn tell(&self, to: &mut Chain) -> fmt::Result {
        to.write_str("a mutex held by")
    }
}

/// A mutual exclusion whose holder may sleep.
pub struct Mutex<T> {
    raw: RawMutex,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only through a guard, one at a time.
unsafe impl<T: Send> Sync for Mutex<T> {}
// SAFETY: a mutex that is moved has no guard that will be used again.
unsafe impl<T: Send> Send for Mutex<T> {}

/// Access to a locked mutex; releases it when dropped.
#[must_use = "the mutex is held only while the guard lives"]
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    not_send: PhantomData<*const ()>,
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
    /// [`LockError::Poisoned`] when a holder died in a panic; [`LockError::Deadlock`] when the caller
    /// would wait for ever, and the mutex is not taken.
    pub fn lock(&self, cx: &ThreadCx<'_>) -> Result<MutexGuard<'_, T>, LockError<'_, T>> {
        let poisoned = self.raw.lock(cx).map_err(LockError::Deadlock)?;
        Ok(self.guard(poisoned)?)
    }

    /// [`Self::lock`] for the executive's own mutexes that order its slow operations: poisoned or not,
    /// and never refused.
    pub(crate) fn lock_anyway(&self, cx: &ThreadCx<'_>) -> MutexGuard<'_, T> {
        might_sleep("Mutex::lock");
        let mut s = self.raw.inner.lock();
        if s.is_free() {
            s.take();
            let _poisoned = self.raw.taken(&s);
        } else {
            // Without a deadline it cannot time out.
            let _poisoned = self.raw.wait(cx, s, None);
        }
        self.guard(false).unwrap_or_else(|Poisoned(guard)| guard)
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
        let poisoned = self.raw.lock_until(cx, machine::now() + timeout)?;
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
