//! Counting semaphores with direct hand-over: a unit given while somebody waits never becomes
//! free in between, so nobody overtakes.

use machine::{Duration, Instant};
use sync::{Rank, SpinLock};

use crate::thread::ThreadCx;
use crate::wait::{TimedOut, WaitList, wait_in};
use crate::waits::SleepsIn;

#[derive(Debug)]
struct Inner {
    free: usize,
    waiters: WaitList,
}

fn waiters(s: &mut Inner) -> &mut WaitList {
    &mut s.waiters
}

/// A number of units threads take and give back, first come first served.
#[derive(Debug)]
pub struct Semaphore {
    inner: SpinLock<Inner>,
}

impl Semaphore {
    /// A semaphore with `units` free.
    #[must_use]
    pub const fn new(units: usize) -> Self {
        let inner = Inner {
            free: units,
            waiters: WaitList::new(),
        };
        Self {
            inner: SpinLock::new(Rank::WaitQueue, "semaphore", inner),
        }
    }

    /// Takes a unit, waiting for one.
    pub fn down(&self, cx: &ThreadCx<'_>) {
        // Without a deadline it cannot time out.
        let _ = self.down_deadline(cx, None);
    }

    /// Takes a unit, waiting for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] when none was free in time.
    pub fn down_timeout(&self, cx: &ThreadCx<'_>, timeout: Duration) -> Result<(), TimedOut> {
        self.down_deadline(cx, Some(machine::now() + timeout))
    }

    /// Takes a unit if one is free. Any context.
    #[must_use]
    pub fn try_down(&self) -> bool {
        let mut s = self.inner.lock();
        let ok = s.free > 0;
        s.free -= usize::from(ok);
        ok
    }

    /// Gives a unit: to the thread that waits longest, else back. Any context.
    pub fn up(&self) {
        let mut s = self.inner.lock();
        if !s.waiters.grant_one() {
            s.free += 1;
        }
    }

    /// Free units; stale at once.
    pub fn free(&self) -> usize {
        self.inner.lock().free
    }

    fn down_deadline(&self, cx: &ThreadCx<'_>, at: Option<Instant>) -> Result<(), TimedOut> {
        crate::schedule::might_sleep("Semaphore::acquire");
        let mut s = self.inner.lock();
        if s.free > 0 {
            s.free -= 1;
            return Ok(());
        }
        let what = SleepsIn::Semaphore;
        wait_in(&self.inner, s, waiters, what, cx, at).1
    }
}
