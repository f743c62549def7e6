//! The spin lock: a mutual exclusion that says what it disables and where it stands in the order.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use machine::HeldLock;
use spin::RelaxStrategy;
use spin::mutex::SpinMutex;

use crate::Rank;
use crate::preempt::{BhGuard, IrqGuard, PreemptGuard, bh_disable, preempt_disable};

/// What a lock disables on its core while held.
pub trait Mode {
    /// Ends the section when dropped.
    type Guard;
    /// Starts the section.
    fn enter() -> Self::Guard;
}

/// Masks interrupts: for data that interrupt handlers touch.
#[derive(Debug)]
pub enum IrqOff {}

/// Turns BH off: for data that softirqs and BH work touch, but no interrupt handler.
#[derive(Debug)]
pub enum BhOff {}

/// Turns preemption off: for data of threads only.
#[derive(Debug)]
pub enum PreemptOff {}

impl Mode for IrqOff {
    type Guard = IrqGuard;
    #[inline(always)]
    fn enter() -> IrqGuard {
        IrqGuard::new()
    }
}

impl Mode for BhOff {
    type Guard = BhGuard;
    #[inline(always)]
    fn enter() -> BhGuard {
        bh_disable()
    }
}

impl Mode for PreemptOff {
    type Guard = PreemptGuard;
    #[inline(always)]
    fn enter() -> PreemptGuard {
        preempt_disable()
    }
}

/// Spins through [`machine::relax`].
struct Relax;

impl RelaxStrategy for Relax {
    #[inline(always)]
    fn relax() {
        machine::relax();
    }
}

/// A spin lock around `T`. `M` says what holding it disables.
#[repr(C)]
pub struct SpinLock<T, M: Mode = IrqOff> {
    // First, so that what begins with a lock has the word that is taken at its own address: AArch64's exclusive
    // accesses know no offsets.
    inner: SpinMutex<T, Relax>,
    rank: Rank,
    name: &'static str,
    mode: PhantomData<fn() -> M>,
}

/// Proof that the lock is held; releases it when dropped.
#[must_use = "the lock is held only while the guard lives"]
pub struct SpinGuard<'a, T, M: Mode = IrqOff> {
    // Its own `drop` releases the lock, then the section ends. Not the inner guard as well: that is
    // two words more, which callers keep on their stacks. Sections are neither `Send` nor `Sync`.
    lock: &'a SpinLock<T, M>,
    _section: M::Guard,
}

impl<T, M: Mode> SpinLock<T, M> {
    /// A free lock. `name` appears in reports.
    pub const fn new(rank: Rank, name: &'static str, value: T) -> Self {
        Self {
            rank,
            name,
            mode: PhantomData,
            inner: SpinMutex::new(value),
        }
    }
}

impl<T, M: Mode> SpinLock<T, M> {
    /// Takes the lock, spinning while another core holds it.
    ///
    /// # Panics
    ///
    /// In debug and test builds, when a lock of the same or a higher rank is held in this context.
    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, T, M> {
        let section = M::enter();
        machine::sync_point();
        self.check(false);
        self.take();
        self.guard(section)
    }

    /// Takes the lock of the same rank as one already held; the caller states the order rule
    /// (runqueues: lower core first).
    #[inline]
    pub fn lock_same_rank(&self) -> SpinGuard<'_, T, M> {
        let section = M::enter();
        machine::sync_point();
        self.check(true);
        self.take();
        self.guard(section)
    }

    /// Takes the lock if it is free. Allowed at any rank: it cannot wait.
    #[inline]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T, M>> {
        let section = M::enter();
        machine::sync_point();
        core::mem::forget(self.inner.try_lock()?);
        Some(self.guard(section))
    }

    /// The lock's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What [`machine::lock_released`] is told when this lock is released.
    pub fn address(&self) -> usize {
        core::ptr::from_ref(self).cast::<()>().addr()
    }

    /// True while somebody holds it; a hint.
    pub fn is_locked(&self) -> bool {
        self.inner.is_locked()
    }

    /// Releases a lock whose guard was forgotten, leaving its section open: the context switch
    /// takes the runqueue lock on one stack and releases it on another.
    ///
    /// # Safety
    ///
    /// This core holds the lock and its guard was passed to `core::mem::forget`.
    #[inline(always)]
    #[expect(
        unsafe_code,
        reason = "the context switch hands a held lock to the next thread"
    )]
    pub unsafe fn force_unlock(&self) {
        if cfg!(debug_assertions) {
            machine::percpu()
                .held
                .pop(core::ptr::from_ref(self).cast::<()>().addr());
        }
        // SAFETY: promised by the caller.
        unsafe { self.inner.force_unlock() };
        machine::lock_released(core::ptr::from_ref(self).cast::<()>().addr());
    }

    /// The value, without locking: the borrow proves that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    /// Takes the inner lock, waiting for it if need be, which is counted.
    #[inline(always)]
    fn take(&self) {
        loop {
            // It may fail without a reason.
            if let Some(inner) = self.inner.try_lock_weak() {
                core::mem::forget(inner);
                return;
            }
            self.wait();
        }
    }

    /// Returns when the lock was free.
    #[cold]
    #[inline(never)]
    fn wait(&self) {
        let mut counted = false;
        while self.inner.is_locked() {
            if !core::mem::replace(&mut counted, true) {
                machine::percpu().contention.count(self.name);
            }
            machine::relax();
        }
    }

    /// The guard of the lock, which was just taken.
    #[inline(always)]
    fn guard(&self, section: M::Guard) -> SpinGuard<'_, T, M> {
        if cfg!(debug_assertions) {
            machine::percpu().held.push(HeldLock {
                rank: self.rank as u8,
                name: self.name,
                address: self.address(),
            });
        }
        SpinGuard {
            lock: self,
            _section: section,
        }
    }

    #[inline(always)]
    fn check(&self, same: bool) {
        if cfg!(debug_assertions)
            && let Some(held) = machine::percpu().held.highest()
        {
            let rank = self.rank as u8;
            assert!(
                held.rank < rank || (same && held.rank == rank),
                "lock order: taking \"{}\" (rank {rank}) while holding \"{}\" (rank {})",
                self.name,
                held.name,
                held.rank,
            );
        }
    }
}

impl<T> SpinLock<T, IrqOff> {
    /// As [`Self::lock`], where interrupts are masked already and stay so until the guard is dropped.
    ///
    /// # Panics
    ///
    /// As [`Self::lock`], and in such builds where interrupts are not masked.
    #[inline(always)]
    pub fn lock_masked(&self) -> SpinGuard<'_, T> {
        self.lock_in(IrqGuard::within())
    }

    /// As [`Self::lock`], where interrupts are on: what the guard puts back is known.
    ///
    /// # Panics
    ///
    /// As [`Self::lock`], and in such builds where interrupts are masked.
    #[inline(always)]
    pub fn lock_enabled(&self) -> SpinGuard<'_, T> {
        self.lock_in(IrqGuard::of_enabled())
    }

    /// The guard `g` of this very lock, which was taken where interrupts were on, as [`Self::lock_enabled`] makes one: so the
    /// compiler knows both.
    ///
    /// # Panics
    ///
    /// If it is another lock's.
    #[inline(always)]
    pub fn adopt_enabled<'a>(&'a self, g: SpinGuard<'_, T>) -> SpinGuard<'a, T> {
        assert!(core::ptr::eq(self, g.lock), "another lock's guard");
        let guard = ManuallyDrop::new(g);
        debug_assert!(guard._section.began_enabled(), "interrupts were masked");
        SpinGuard {
            lock: self,
            _section: IrqGuard::known(),
        }
    }

    /// As [`Self::lock`], in a section that masks interrupts already, which ends with the guard.
    ///
    /// # Panics
    ///
    /// As [`Self::lock`].
    #[inline(always)]
    pub fn lock_in(&self, section: IrqGuard) -> SpinGuard<'_, T> {
        machine::sync_point();
        self.check(false);
        self.take();
        self.guard(section)
    }

    /// As [`Self::lock_masked`], if the lock is free: for who has another way, in which it waits.
    #[inline(always)]
    pub fn try_lock_masked(&self) -> Option<SpinGuard<'_, T>> {
        let section = IrqGuard::within();
        machine::sync_point();
        core::mem::forget(self.inner.try_lock()?);
        Some(self.guard(section))
    }
}

impl<T> SpinGuard<'_, T, IrqOff> {
    /// Releases the lock; interrupts stay masked.
    #[inline(always)]
    #[expect(unsafe_code, reason = "the guard holds the lock")]
    pub fn release(self) -> IrqGuard {
        let guard = ManuallyDrop::new(self);
        // SAFETY: this context holds the lock, and nobody else releases it: the guard is not dropped.
        unsafe { guard.lock.force_unlock() };
        // SAFETY: taken out once: the guard is not dropped.
        unsafe { core::ptr::read(&raw const guard._section) }
    }
}

impl<T> SpinGuard<'_, T, IrqOff> {
    /// Releases the lock under which nobody was woken, and ends its section: see [`IrqGuard::end_quietly`].
    #[inline(always)]
    pub fn release_quietly(self) {
        self.release().end_quietly();
    }
}

impl<T: fmt::Debug, M: Mode> fmt::Debug for SpinLock<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinLock")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<T, M: Mode> Deref for SpinGuard<'_, T, M> {
    type Target = T;
    #[inline(always)]
    #[expect(unsafe_code, reason = "the lock's value")]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the proof that this context holds the lock.
        unsafe { &*self.lock.inner.as_mut_ptr() }
    }
}

impl<T, M: Mode> DerefMut for SpinGuard<'_, T, M> {
    #[inline(always)]
    #[expect(unsafe_code, reason = "the lock's value")]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and it is borrowed mutably.
        unsafe { &mut *self.lock.inner.as_mut_ptr() }
    }
}

impl<T, M: Mode> Drop for SpinGuard<'_, T, M> {
    #[inline(always)]
    #[expect(unsafe_code, reason = "the guard holds the lock")]
    fn drop(&mut self) {
        // SAFETY: this context holds the lock, and nobody else releases it: the inner guard was forgotten.
        unsafe { self.lock.force_unlock() };
    }
}

impl<T: fmt::Debug, M: Mode> fmt::Debug for SpinGuard<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
