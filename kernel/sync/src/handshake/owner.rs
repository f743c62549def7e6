//! Which of many locks protects an object that moves between them.

use crate::atomic::{AtomicU32, Ordering};

/// The number of the lock that owns an object (a thread's runqueue, a timer's base). It changes
/// only under the lock it names, so whoever holds that lock and finds it unchanged can rely on it.
#[derive(Debug)]
pub struct Owner(AtomicU32);

impl Owner {
    /// No lock owns it yet.
    pub const NONE: u32 = u32::MAX;

    /// Owned by lock `n`, or by [`Self::NONE`].
    #[must_use]
    pub const fn new(n: u32) -> Self {
        Self(AtomicU32::new(n))
    }

    /// The owner; a hint unless its lock is held. Who finds an owner finds the object as it was
    /// given to it: the one who gave it held another lock.
    #[inline(always)]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Takes the lock that owns the object, following it if it moves; `None` if nobody owns it.
    #[inline]
    pub fn lock<G>(&self, mut take: impl FnMut(u32) -> G) -> Option<(u32, G)> {
        loop {
            let n = self.get();
            if n == Self::NONE {
                return None;
            }
            let guard = take(n);
            // Not the value read before: the object may have left and come back meanwhile.
            if self.get() == n {
                return Some((n, guard));
            }
        }
    }

    /// As [`Self::lock`], which `take` may refuse: then `Some(None)`.
    #[inline]
    pub fn try_lock<G>(&self, mut take: impl FnMut(u32) -> Option<G>) -> Option<Option<(u32, G)>> {
        loop {
            let n = self.get();
            if n == Self::NONE {
                return None;
            }
            let Some(guard) = take(n) else {
                return Some(None);
            };
            if self.get() == n {
                return Some(Some((n, guard)));
            }
        }
    }

    /// Gives the object to lock `n`; under the lock that owned it.
    #[inline(always)]
    pub fn give(&self, n: u32) {
        self.0.store(n, Ordering::Release);
    }

    /// Gives an object without owner to lock `n`; false if somebody was faster.
    #[inline]
    pub fn claim(&self, n: u32) -> bool {
        self.0
            .compare_exchange(Self::NONE, n, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}
