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

mod histogram;

pub use histogram::{BOUNDS, BUCKETS, Histogram};

/// For how long a thread was off its core, and why; only grows.
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
    away: (u64, u64),
}

impl Course {
    /// Nothing is executed.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            stamps: Stamps::new(),
            started: 0,
            away: (0, 0),
        }
    }

    /// The item with `stamps` starts on a thread that was `away` so long. In a softirq that is always
    /// the same: an interrupt's time is the item's.
    #[inline(always)]
    #[must_use]
    pub const fn start(stamps: Stamps, now: u64, away: &Away) -> Self {
        Self {
            stamps,
            started: now,
            away: (away.blocked, away.preempted),
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

    /// The item is over.
    #[inline(always)]
    #[must_use]
    pub fn end(&self, now: u64, away: &Away) -> Parts {
        let queued = self.stamps.queued;
        let active = self.stamps.active.max(queued);
        let started = self.started.max(active);
        let over = now.max(started);
        let blocked = (away.blocked - self.away.0).min(over - started);
        let preempted = (away.preempted - self.away.1).min(over - started - blocked);
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

    /// Each in another unit.
    #[inline(always)]
    #[must_use]
    pub fn map(&self, f: impl Fn(u64) -> u64) -> Self {
        Self {
            inactive: f(self.inactive),
            pool: f(self.pool),
            run: f(self.run),
            blocked: f(self.blocked),
            preempted: f(self.preempted),
        }
    }
}

/// Histograms of one [`Book`]: one for each part, and one for the total.
pub const TABLES: usize = Parts::COUNT + 1;

/// What is known of many items. The histograms are kept elsewhere, since they are large; `N` names
/// an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Book<N> {
    items: u64,
    /// As many of them as the histograms stand for: no counter is greater.
    weight: u32,
    /// Of each part, in nanoseconds.
    sums: [u64; Parts::COUNT],
    slowest: Option<(N, Parts)>,
}

/// What a [`Book`] says about one part, or the total. In nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Summary {
    /// Half of the items take no longer.
    pub p50: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1000.
    pub p99_9: u64,
    /// The longest.
    pub max: u64,
}

/// How often what took how long: a histogram with few, cumulative buckets. In nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Spread {
    /// How many took no longer than each of [`BOUNDS`].
    pub up_to: [u64; BOUNDS.len()],
    /// How many there were. After more than `u32::MAX` all counters are halved, this too.
    pub count: u64,
    /// All of them together; never halved.
    pub sum: u64,
}

impl<N: Copy> Book<N> {
    /// Of no items.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            items: 0,
            weight: 0,
            sums: [0; Parts::COUNT],
            slowest: None,
        }
    }

    /// An item is over, whose `parts` are in nanoseconds; `name` is asked if none took longer.
    #[inline(always)]
    pub fn enter(
        &mut self,
        tables: &mut [Histogram; TABLES],
        parts: &Parts,
        name: impl FnOnce() -> N,
    ) {
        if self.weight == u32::MAX {
            self.halve(tables);
        }
        self.weight += 1;
        self.items += 1;
        let total = parts.total();
        let slower = total > tables[TABLES - 1].max() || self.slowest.is_none();
        let sums = self.sums.iter_mut();
        for ((table, sum), ns) in tables.iter_mut().zip(sums).zip(parts.array()) {
            if ns > 0 {
                *sum += ns;
                table.count(ns);
            }
        }
        if total > 0 {
            tables[TABLES - 1].count(total);
        }
        if slower {
            self.slowest = Some((name(), *parts));
        }
    }

    /// Before a counter overflows all are halved.
    #[cold]
    fn halve(&mut self, tables: &mut [Histogram; TABLES]) {
        self.weight /= 2;
        tables.iter_mut().for_each(Histogram::halve);
    }

    /// Adds what `other` says, whose histograms are `theirs`.
    #[inline(never)]
    pub fn add(
        &mut self,
        tables: &mut [Histogram; TABLES],
        other: &Self,
        theirs: &[Histogram; TABLES],
    ) {
        let halvings = u32::from(self.weight.checked_add(other.weight).is_none());
        if halvings > 0 {
            self.halve(tables);
        }
        self.weight += other.weight >> halvings;
        self.items += other.items;
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            *sum += more;
        }
        for (table, more) in tables.iter_mut().zip(theirs) {
            table.add(more, halvings);
        }
        let total = |slowest: &Option<(N, Parts)>| slowest.as_ref().map(|s| s.1.total());
        if total(&other.slowest) > total(&self.slowest) {
            self.slowest = other.slowest;
        }
    }

    /// Items that were entered.
    #[must_use]
    pub const fn items(&self) -> u64 {
        self.items
    }

    /// The sum of their `run` parts (E17).
    #[must_use]
    pub const fn run(&self) -> u64 {
        self.sums[2]
    }

    /// How many items of this book took how long, of one of its histograms.
    #[must_use]
    #[inline(never)]
    pub fn spread(&self, tables: &[Histogram; TABLES], n: usize) -> Spread {
        let table = &tables[n];
        let zeros = u64::from(self.weight).saturating_sub(table.counted());
        let all = || self.sums.iter().sum();
        Spread {
            up_to: table.up_to(zeros),
            count: table.counted() + zeros,
            sum: self.sums.get(n).copied().unwrap_or_else(all),
        }
    }

    /// The item that took longest in all.
    #[must_use]
    pub const fn slowest(&self) -> Option<&(N, Parts)> {
        self.slowest.as_ref()
    }

    /// What there is to say about one of this book's histograms.
    #[must_use]
    #[inline(never)]
    pub fn summary(&self, tables: &[Histogram; TABLES], n: usize) -> Summary {
        let table = &tables[n];
        let zeros = u64::from(self.weight).saturating_sub(table.counted());
        let at = |per_mille| table.percentile(per_mille, zeros);
        Summary {
            p50: at(500),
            p99: at(990),
            p99_9: at(999),
            max: table.max(),
        }
    }
}

impl<N: Copy> Default for Book<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
