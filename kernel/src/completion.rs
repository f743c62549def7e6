//! Completions: "wait until it is done", for one event or a count of them.

use machine::Duration;
use sync::{Rank, SpinLock};

use crate::thread::ThreadCx;
use crate::wait::{TimedOut, WaitList, wait_in};
use crate::waits::SleepsIn;

/// Done for every present and future waiter.
const ALL: u32 = u32::MAX;

#[derive(Debug)]
struct Inner {
    done: u32,
    waiters: WaitList,
}

fn waiters(s: &mut Inner) -> &mut WaitList {
    &mut s.waiters
}

/// Something that will be done. Each [`Self::complete`] lets one waiter go, before or after it
/// comes.
#[derive(Debug)]
pub struct Completion {
    inner: SpinLock<Inner>,
}

impl Default for Completion {
    fn default() -> Self {
        Self::new()
    }
}

impl Completion {
    /// Not done.
    #[must_use]
    pub const fn new() -> Self {
        let inner = Inner {
            done: 0,
            waiters: WaitList::new(),
        };
        Self {
            inner: SpinLock::new(Rank::WaitQueue, "completion", inner),
        }
    }

    /// Done once: lets one waiter go. Any context.
    pub fn complete(&self) {
        let mut s = self.inner.lock();
        if !s.waiters.grant_one() && s.done != ALL {
            s.done += 1;
        }
    }

    /// Done for good: lets every waiter go, also those still to come. Any context.
    pub fn complete_all(&self) {
        let mut s = self.inner.lock();
        s.done = ALL;
        s.waiters.grant_all();
    }

    /// Not done again.
    pub fn reset(&self) {
        self.inner.lock().done = 0;
    }

    /// True when a waiter would not wait.
    pub fn is_done(&self) -> bool {
        self.inner.lock().done != 0
    }

    /// Waits until it is done.
    pub fn wait(&self, cx: &ThreadCx<'_>) {
        // Without a deadline it cannot time out.
        let _ = self.wait_deadline(cx, None);
    }

    /// Waits until it is done, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] when it was not done in time.
    pub fn wait_timeout(&self, cx: &ThreadCx<'_>, timeout: Duration) -> Result<(), TimedOut> {
        self.wait_deadline(cx, Some(machine::now() + timeout))
    }

    fn wait_deadline(
        &self,
        cx: &ThreadCx<'_>,
        deadline: Option<machine::Instant>,
    ) -> Result<(), TimedOut> {
        crate::schedule::might_sleep("Completion::wait");
        let mut s = self.inner.lock();
        if s.done != 0 {
            if s.done != ALL {
                s.done -= 1;
            }
            return Ok(());
        }
        let what = SleepsIn::Completion;
        let (s, waited) = wait_in(&self.inner, s, waiters, what, cx, deadline);
        // It was just given the core, and has woken nobody since.
        s.release_quietly();
        waited
    }
}
