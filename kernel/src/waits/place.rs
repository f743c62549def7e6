//! In what a thread sleeps, by kind.
//!
//! A wait of which nobody knows who ends it is in no graph. So that a report can name it all the same,
//! each thread says what it is about to sleep in. The outermost word counts: the end of a scope is a
//! completion too, and is called what it is. So what others may be built of (completions and semaphores) is
//! told with the sleep itself, by one store, and counts where nothing around it has said anything; the others
//! take their word back when they go on.

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

use crate::thread::current;

/// What a thread sleeps in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SleepsIn {
    /// Nothing that has a name: a worker without work, or a loop of its own.
    Nothing,
    /// A [`crate::mutex::Mutex`].
    Mutex,
    /// A [`crate::semaphore::Semaphore`].
    Semaphore,
    /// A [`crate::completion::Completion`].
    Completion,
    /// A [`crate::wait::WaitQueue`].
    WaitQueue,
    /// Until another thread has ended.
    Join,
    /// Until all is over that it spawned in a scope.
    Scope,
    /// Until an item is over.
    Item,
    /// Until the items of a queue are over.
    Queue,
    /// Until somebody calls `unpark`.
    Park,
    /// Until a set time.
    Time,
}

impl SleepsIn {
    const ALL: [Self; 11] = [
        Self::Nothing,
        Self::Mutex,
        Self::Semaphore,
        Self::Completion,
        Self::WaitQueue,
        Self::Join,
        Self::Scope,
        Self::Item,
        Self::Queue,
        Self::Park,
        Self::Time,
    ];
}

impl fmt::Display for SleepsIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "sleeps",
            Self::Mutex => "waits for a mutex",
            Self::Semaphore => "waits for a semaphore",
            Self::Completion => "waits for a completion",
            Self::WaitQueue => "waits in a wait queue",
            Self::Join => "waits for a thread to end",
            Self::Scope => "waits for the end of a scope",
            Self::Item => "waits for an item",
            Self::Queue => "waits for the items of a queue",
            Self::Park => "is parked",
            Self::Time => "sleeps until a set time",
        })
    }
}

/// A thread's words about what it sleeps in: written by itself, read by anybody. Advice.
#[derive(Debug)]
pub(crate) struct Label {
    outermost: AtomicU8,
    /// What it slept in last, or sleeps in.
    innermost: AtomicU8,
}

impl Label {
    pub(crate) const fn new() -> Self {
        Self {
            outermost: AtomicU8::new(SleepsIn::Nothing as u8),
            innermost: AtomicU8::new(SleepsIn::Nothing as u8),
        }
    }

    /// What counts, while it sleeps.
    pub(crate) fn get(&self) -> SleepsIn {
        let word = |of: &AtomicU8| SleepsIn::ALL[usize::from(of.load(Ordering::Relaxed))];
        match word(&self.outermost) {
            SleepsIn::Nothing => word(&self.innermost),
            outermost => outermost,
        }
    }

    /// It is about to sleep in `what`.
    #[inline(always)]
    pub(crate) fn sleeps(&self, what: SleepsIn) {
        self.innermost.store(what as u8, Ordering::Relaxed);
    }

    #[inline(always)]
    fn is_nothing(&self) -> bool {
        self.outermost.load(Ordering::Relaxed) == SleepsIn::Nothing as u8
    }

    #[inline(always)]
    fn set(&self, to: SleepsIn) {
        self.outermost.store(to as u8, Ordering::Relaxed);
    }
}

/// The word of the running thread; taken back when dropped.
#[must_use = "it holds until it is dropped"]
pub(crate) struct Said {
    first: bool,
}

/// The running thread is about to sleep in `what`, unless it has named something around that.
#[inline(always)]
pub(crate) fn sleeps_in(what: SleepsIn) -> Said {
    let label = &current().sleeps_in;
    let first = label.is_nothing();
    if first {
        label.set(what);
    }
    Said { first }
}

impl Drop for Said {
    #[inline(always)]
    fn drop(&mut self) {
        if self.first {
            current().sleeps_in.set(SleepsIn::Nothing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_number() {
        for (n, kind) in SleepsIn::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, n);
            let label = Label::new();
            label.set(kind);
            assert_eq!(label.get(), kind);
        }
    }

    #[test]
    fn the_outermost_word_counts() {
        let label = Label::new();
        label.sleeps(SleepsIn::Completion);
        assert_eq!(label.get(), SleepsIn::Completion);
        label.set(SleepsIn::Scope);
        assert_eq!(label.get(), SleepsIn::Scope);
        label.set(SleepsIn::Nothing);
        label.sleeps(SleepsIn::Nothing);
        assert_eq!(label.get(), SleepsIn::Nothing);
    }
}
