//! Bits that other cores post to a core, with one interrupt for as many as come together.

use crate::atomic::{AtomicU32, Ordering};

/// The word of a core's mailbox. The receiver empties it with an update, so a bit posted after that
/// finds the word empty and sends a new interrupt.
#[derive(Debug)]
pub struct Mail(AtomicU32);

impl Default for Mail {
    fn default() -> Self {
        Self::new()
    }
}

impl Mail {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Posts `bits`. True when the receiver must be interrupted; otherwise an interrupt that it has
    /// not answered yet serves this post too, with everything stored before it.
    #[inline]
    #[must_use]
    pub fn post(&self, bits: u32) -> bool {
        self.0.fetch_or(bits, Ordering::Release) == 0
    }

    /// Takes everything posted; by the receiver, in its interrupt.
    #[inline]
    pub fn take(&self) -> u32 {
        self.0.swap(0, Ordering::AcqRel)
    }
}
