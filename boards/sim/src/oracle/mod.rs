//! Oracles: what judges the executive while it runs.
use crate::engine::Sim;

impl Sim {
    /// An event of the kernel's trace, at the moment it happens.
    pub(crate) fn observed(&self, words: &[u64; 4]) {
        debug_assert!(trace::Event::unpack(words).is_some(), "an event of no kind");
    }
}
