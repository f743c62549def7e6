//! Which cores have nothing to run.

use crate::atomic::{AtomicU64, Ordering, fence_full};

/// A set of idle cores, one bit each.
///
/// A core that runs dry calls [`Self::enter`] and then looks for work at the others' published
/// loads; a core with more work than it can run publishes its load and then calls
/// [`Self::look`]. Everything is relaxed but the fences: the bits carry no data, and a core that
/// was found idle in error is interrupted for nothing.
#[derive(Debug)]
pub struct IdleMask(AtomicU64);

impl Default for IdleMask {
    fn default() -> Self {
        Self::new()
    }
}

impl IdleMask {
    /// Nobody is idle.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// These cores are idle; what they look at next, they see as it is after this.
    #[inline]
    pub fn enter(&self, cores: u64) {
        self.0.fetch_or(cores, Ordering::Relaxed);
        fence_full();
    }

    /// These cores have something to run.
    #[inline]
    pub fn leave(&self, cores: u64) {
        self.0.fetch_and(!cores, Ordering::Relaxed);
    }

    /// Who is idle, after the caller has published that it has work to give away.
    #[inline]
    pub fn look(&self) -> u64 {
        fence_full();
        self.hint()
    }

    /// Who is idle, roughly.
    #[inline]
    pub fn hint(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
