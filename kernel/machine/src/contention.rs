//! How often a core had to wait for which spin lock.
//!
//! Counted on the way that waits only, so a lock that is free costs nothing. Locks are told apart by
//! their names: all runqueues count together.

use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// Names that one core tells apart; what comes later is counted together.
const NAMES: usize = 32;

#[derive(Debug)]
struct Entry {
    /// Start of the name, null while the entry is free.
    name: AtomicPtr<u8>,
    /// Its length, 0 until it is written.
    len: AtomicUsize,
    count: AtomicU64,
}

impl Entry {
    const fn new() -> Self {
        Self {
            name: AtomicPtr::new(core::ptr::null_mut()),
            len: AtomicUsize::new(0),
            count: AtomicU64::new(0),
        }
    }
}

/// A core's counts. Written by that core, in any context; read by anybody.
#[derive(Debug)]
pub struct Contention {
    entries: [Entry; NAMES],
    others: AtomicU64,
}

impl Default for Contention {
    fn default() -> Self {
        Self::new()
    }
}

impl Contention {
    /// Nothing was waited for.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: [const { Entry::new() }; NAMES],
            others: AtomicU64::new(0),
        }
    }

    /// The lock called `name` was not free.
    #[cold]
    pub fn count(&self, name: &'static str) {
        let start = name.as_ptr().cast_mut();
        for entry in &self.entries {
            let mut found = entry.name.load(Ordering::Relaxed);
            if found.is_null() {
                let free = core::ptr::null_mut();
                // An interrupt may come in between and take it.
                let taken =
                    entry
                        .name
                        .compare_exchange(free, start, Ordering::Relaxed, Ordering::Relaxed);
                match taken {
                    Ok(_) => {
                        entry.len.store(name.len(), Ordering::Release);
                        found = start;
                    }
                    Err(other) => found = other,
                }
            }
            if found == start {
                entry.count.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.others.fetch_add(1, Ordering::Relaxed);
    }

    /// Every name with its count through `f`; `None` for what found no room. A name may come more than
    /// once, from different parts of the image.
    #[expect(unsafe_code, reason = "puts a name together again")]
    pub fn for_each(&self, mut f: impl FnMut(Option<&'static str>, u64)) {
        for entry in &self.entries {
            let len = entry.len.load(Ordering::Acquire);
            if len == 0 {
                continue;
            }
            let start = entry.name.load(Ordering::Relaxed);
            // SAFETY: start and length of one `&'static str`: the length is stored once, by whoever
            // stored the start before.
            let bytes = unsafe { core::slice::from_raw_parts(start, len) };
            // It came from a `str`.
            let name = core::str::from_utf8(bytes).unwrap_or("?");
            f(Some(name), entry.count.load(Ordering::Relaxed));
        }
        let others = self.others.load(Ordering::Relaxed);
        if others > 0 {
            f(None, others);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::string::String;

    #[test]
    fn names_are_told_apart_and_the_rest_is_counted() {
        let c = Contention::new();
        for _ in 0..3 {
            c.count("pool");
        }
        c.count("runqueue");
        for n in 0..NAMES {
            let name: &'static str = String::leak(std::format!("lock {n}"));
            c.count(name);
        }
        let mut all = BTreeMap::new();
        c.for_each(|name, n| *all.entry(name).or_insert(0) += n);
        assert_eq!((all[&Some("pool")], all[&Some("runqueue")]), (3, 1));
        assert_eq!(all[&None], 2, "two found no room");
        assert_eq!(all.values().sum::<u64>(), 4 + NAMES as u64);
    }
}
