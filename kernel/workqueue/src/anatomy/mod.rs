//! Latency anatomy: where the time of an item goes, from its queueing to its end.
//!
//! ```text
//!   queued     active      started                                        over
//!     │ inactive │   pool    │  run  │ blocked │ preempted │  run  │  ...    │
//!     └──────────┴───────────┴───────┴─────────┴───────────┴───────┴─────────┘
//!                                 off the core: asleep, then runnable
//! ```
//!
//! The parts of one item add up to its whole time, exactly: its life is cut at moments, and what a
//! thread did while it was off its core is cut at the wake-up. Moments are readings of the machine's
//! counter, handed in; two of them from different cores may be out of order by as much as the cores
//! read ahead, and are put in order here.

mod book;
mod histogram;
mod pace;

pub use book::{Book, Spread, Summary, TABLES};
pub use histogram::{BOUNDS, BUCKETS, Histogram, bound};
pub use pace::Pace;

/// For how long a thread was off its core since its item began, and why.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Away {
    left: u64,
    woken: u64,
    blocked: u64,
    preempted: u64,
}

impl Away {
    /// A thread that has not been away.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            left: 0,
            woken: 0,
            blocked: 0,
            preempted: 0,
        }
    }

    /// The thread, which runs, begins an item: it has not been away.
    #[inline(always)]
    pub const fn begin(&mut self) {
        self.blocked = 0;
        self.preempted = 0;
    }

    /// Whether it has not been away since then, or in no time.
    #[inline(always)]
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.blocked | self.preempted == 0
    }

    /// How long it has been away since then.
    #[inline(always)]
    #[must_use]
    pub const fn ticks(&self) -> u64 {
        self.blocked + self.preempted
    }

    /// The thread leaves its core: `asleep`, or it wants it back.
    #[inline(always)]
    pub const fn leave(&mut self, now: u64, asleep: bool) {
        self.left = now;
        self.woken = if asleep { u64::MAX } else { now };
    }

    /// Somebody wakes the thread, which left asleep.
    #[inline(always)]
    pub const fn wake(&mut self, now: u64) {
        self.woken = now;
    }

    /// The thread has a core again.
    #[inline(always)]
    pub fn back(&mut self, now: u64) {
        let now = now.max(self.left);
        let woken = self.woken.clamp(self.left, now);
        self.blocked += woken - self.left;
        self.preempted += now - woken;
    }
}

/// When an item was queued and when it got its max_active slot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stamps {
    queued: u64,
    active: u64,
}

impl Stamps {
    /// It was not queued yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            queued: 0,
            active: 0,
        }
    }

    /// Queued now. What is read of the slot is that it has one, unless [`Self::activate`] follows.
    #[inline(always)]
    #[must_use]
    pub const fn queued(now: u64) -> Self {
        Self {
            queued: now,
            active: now,
        }
    }

    /// It gets its slot.
    #[inline(always)]
    pub const fn activate(&mut self, now: u64) {
        self.active = now;
    }
}

/// An execution that goes on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Course {
    stamps: Stamps,
    started: u64,
}

impl Course {
    /// Nothing is executed.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            stamps: Stamps::new(),
            started: 0,
        }
    }

    /// The item with `stamps` starts.
    #[inline(always)]
    #[must_use]
    pub const fn start(stamps: Stamps, now: u64) -> Self {
        Self {
            stamps,
            started: now,
        }
    }

    /// When the item started.
    #[must_use]
    pub const fn started(&self) -> u64 {
        self.started
    }

    /// Whether all moments of it were noted since `since`.
    #[inline(always)]
    #[must_use]
    pub const fn is_whole(&self, since: u64) -> bool {
        self.stamps.queued >= since
    }

    /// The item is over, whose thread was never away: its parts up to `run`, and the total. If a moment is before the
    /// one that it follows, one of them is longer than any other.
    #[inline(always)]
    #[must_use]
    pub const fn straight(&self, now: u64) -> [u64; 4] {
        let (Stamps { queued, active }, started) = (self.stamps, self.started);
        [
            active.wrapping_sub(queued),
            started.wrapping_sub(active),
            now.wrapping_sub(started),
            now.wrapping_sub(queued),
        ]
    }

    /// The item is over, whose thread was `away` since it began. In a softirq it never is: an interrupt's time is the
    /// item's.
    #[must_use]
    pub fn end(&self, now: u64, away: &Away) -> Parts {
        let queued = self.stamps.queued;
        let active = self.stamps.active.max(queued);
        let started = self.started.max(active);
        let over = now.max(started);
        let blocked = away.blocked.min(over - started);
        let preempted = away.preempted.min(over - started - blocked);
        Parts {
            inactive: active - queued,
            pool: started - active,
            run: over - started - blocked - preempted,
            blocked,
            preempted,
        }
    }
}

/// Where an item's time went.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Parts {
    /// From its queueing until it got its max_active slot.
    pub inactive: u64,
    /// From there to its start: it waited for a worker.
    pub pool: u64,
    /// It had a core, interrupts included.
    pub run: u64,
    /// Its thread slept.
    pub blocked: u64,
    /// Its thread could have run and did not: preempted, or woken and not on its core yet.
    pub preempted: u64,
}

impl Parts {
    /// How many there are.
    pub const COUNT: usize = 5;

    /// All parts together: from the queueing to the end.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.inactive + self.pool + self.run + self.blocked + self.preempted
    }

    /// In the order in which they are declared.
    #[inline(always)]
    #[must_use]
    pub const fn array(&self) -> [u64; Self::COUNT] {
        [
            self.inactive,
            self.pool,
            self.run,
            self.blocked,
            self.preempted,
        ]
    }

    /// The same in another unit, which `f` makes of a moment: the whole is `f` of the whole, and the parts add up to it.
    #[must_use]
    pub fn map(&self, f: impl Fn(u64) -> u64) -> Self {
        let mut at = 0;
        let mut cut = |part| {
            let from = f(at);
            at += part;
            f(at) - from
        };
        Self {
            inactive: cut(self.inactive),
            pool: cut(self.pool),
            run: cut(self.run),
            blocked: cut(self.blocked),
            preempted: cut(self.preempted),
        }
    }
}

#[cfg(test)]
mod tests;
