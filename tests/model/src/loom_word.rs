//! The model checker's atomic under the shipped word of an item.

use std::sync::atomic::Ordering;

use loom::sync::atomic::AtomicU64;
use workword::{Word, WorkWord};

/// Not weakened: where a model takes a property away, the word keeps it.
#[derive(Debug)]
pub struct LoomWord(AtomicU64);

impl LoomWord {
    /// Made from its first value.
    #[must_use]
    pub fn new(first: u64) -> Self {
        Self(AtomicU64::new(first))
    }
}

impl Word for LoomWord {
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }
    fn compare_exchange_weak(
        &self,
        old: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        // The strong form: spurious failures only repeat a loop the model need not unroll.
        self.0.compare_exchange(old, new, success, failure)
    }
    fn fetch_and(&self, mask: u64, order: Ordering) -> u64 {
        self.0.fetch_and(mask, order)
    }
}

/// The word of a fresh item.
#[must_use]
pub fn fresh_word() -> WorkWord<LoomWord> {
    WorkWord::with(LoomWord::new)
}
