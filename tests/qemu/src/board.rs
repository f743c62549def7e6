//! Where test entries wait for the results that boots produce.
//!
//! The harness starts entries in its own order on its own threads, while one boot produces many
//! results. Letting the first entry run the boot would leave all other entries of that machine
//! blocked on it and the second machine idle; so boots run on threads of their own, and an entry
//! only waits.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};

/// `Err` holds what to show.
pub type Verdict = Result<(), String>;

/// Results by entry name.
#[derive(Debug, Default)]
pub struct Board {
    results: Mutex<HashMap<String, Verdict>>,
    changed: Condvar,
}

impl Board {
    /// Posts a result; the first one counts.
    pub fn post(&self, name: &str, verdict: Verdict) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.entry(name.to_owned()).or_insert(verdict);
        drop(results);
        self.changed.notify_all();
    }

    /// Waits for a result.
    pub fn wait(&self, name: &str) -> Verdict {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(verdict) = results.get(name) {
                return verdict.clone();
            }
            results = self
                .changed
                .wait(results)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
