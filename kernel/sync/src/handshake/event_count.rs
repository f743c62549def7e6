//! News that somebody may sleep for: a count, and the number of sleepers.

use crate::atomic::{AtomicU32, Ordering, fence_full};

/// Counts events, and knows whether telling anybody is worth a lock.
///
/// A reader notes the [`Self::count`], finds nothing to do, [`Self::enter`]s, and sleeps until
/// [`Self::moved`] (on a wait queue, which checks again); whoever has news [`Self::post`]s and wakes
/// if told to.
#[derive(Debug)]
pub struct EventCount {
    /// Wraps; nobody sleeps through 2^32 events, because the first one wakes.
    news: AtomicU32,
    sleepers: AtomicU32,
}

impl Default for EventCount {
    fn default() -> Self {
        Self::new()
    }
}

impl EventCount {
    /// No news, no sleepers.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            news: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
        }
    }

    /// The count now; what was done before a [`Self::post`] that it counts is visible.
    #[inline]
    pub fn count(&self) -> u32 {
        self.news.load(Ordering::Acquire)
    }

    /// Counts one more event. True when somebody may sleep: wake them.
    #[inline]
    #[must_use]
    pub fn post(&self) -> bool {
        self.news.fetch_add(1, Ordering::Release);
        fence_full();
        // Relaxed: the fences on both sides order it; only the value matters.
        self.sleepers.load(Ordering::Relaxed) != 0
    }

    /// Announces a sleeper, before its last look at the count.
    #[inline]
    pub fn enter(&self) {
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        fence_full();
    }

    /// The sleeper is back. Relaxed: seen late, it costs one needless wake-up.
    #[inline]
    pub fn leave(&self) {
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }

    /// True when something happened since the count was `seen`.
    #[inline]
    pub fn moved(&self, seen: u32) -> bool {
        self.count() != seen
    }

    /// No news, for the next user. The borrow proves that nobody sleeps.
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}
