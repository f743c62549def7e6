//! What is known of many items.

use super::Parts;
use super::histogram::{BOUNDS, Histogram};

/// Histograms of one [`Book`]: one for each part, and one for the total.
pub const TABLES: usize = Parts::COUNT + 1;
/// The total's.
const TOTAL: usize = TABLES - 1;

/// Items that are entered between one look at how full the counters are and the next.
const ROOM: u32 = 1 << 30;

/// What is known of many items. The histograms are kept elsewhere, since they are large; `N` names
/// an item. Durations are in any unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Book<N> {
    /// Of the parts that threads are on their core or have none: all durations there were are shorter than this. The last one is
    /// of the total.
    limits: [u64; 4],
    /// Of each part.
    sums: [u64; Parts::COUNT],
    /// Items until the next look.
    pub(super) room: u32,
    /// Items when there is no more room.
    pub(super) items: u64,
    /// As many items as the histograms stand for then: no counter is greater.
    pub(super) weight: u64,
    /// As `limits`, of the other parts.
    away: [u64; 2],
    slowest: Option<(N, Parts)>,
}

/// What a [`Book`] says about one part, or the total.
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

impl Summary {
    /// The same in another unit.
    #[must_use]
    pub fn map(&self, f: impl Fn(u64) -> u64) -> Self {
        Self {
            p50: f(self.p50),
            p99: f(self.p99),
            p99_9: f(self.p99_9),
            max: f(self.max),
        }
    }
}

/// How often what took how long: a histogram with few, cumulative buckets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Spread {
    /// How many took no longer than each of the bounds ([`super::bound`]).
    pub up_to: [u64; BOUNDS],
    /// How many there were. After more than 3,000 million all counters are halved, this too.
    pub count: u64,
    /// All of them together; never halved.
    pub sum: u64,
}

impl<N: Copy> Book<N> {
    /// Of no items.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            limits: [0; 4],
            sums: [0; Parts::COUNT],
            room: ROOM,
            items: ROOM as u64,
            weight: ROOM as u64,
            away: [0; 2],
            slowest: None,
        }
    }

    /// An item is over that is `whole` and whose thread was never away, and [`super::Course::straight`] is this. True: no part of
    /// it is longer than any before it, and it is entered. False: [`Self::enter`] it.
    #[inline(always)]
    #[must_use]
    pub fn enter_usual(
        &mut self,
        tables: &mut [Histogram; TABLES],
        [inactive, pool, run, total]: [u64; 4],
        whole: bool,
    ) -> bool {
        let [a, b, c, d] = self.limits;
        // One branch.
        let usual = whole & (inactive < a) & (pool < b) & (run < c) & (total < d);
        if usual {
            self.sums[0] += inactive;
            self.sums[1] += pool;
            self.sums[2] += run;
            // Mostly there is a slot at once.
            if inactive > 0 {
                tables[0].count(inactive);
            }
            tables[1].count(pool);
            tables[2].count(run);
            tables[TOTAL].count(total);
            self.room -= 1;
            if self.room == 0 {
                self.make_room(tables);
            }
        }
        usual
    }

    /// An item is over that took `parts`; `name` is asked if none took longer.
    #[inline(never)]
    pub fn enter(
        &mut self,
        tables: &mut [Histogram; TABLES],
        parts: &Parts,
        name: impl FnOnce() -> N,
    ) {
        let total = parts.total();
        if total >= self.limits[3] {
            self.slowest = Some((name(), *parts));
        }
        let all = parts.array();
        let limits = self.limits[..3].iter_mut().chain(&mut self.away);
        let parts = all.iter().zip(&mut self.sums).zip(limits);
        for ((&d, sum), limit) in parts {
            *sum += d;
            *limit = (*limit).max(d + 1);
        }
        self.limits[3] = self.limits[3].max(total + 1);
        let each = all.into_iter().chain([total]);
        for (table, d) in tables.iter_mut().zip(each) {
            if d > 0 {
                table.count(d);
            }
        }
        self.room -= 1;
        if self.room == 0 {
            self.make_room(tables);
        }
    }

    /// Before a counter overflows all are halved.
    #[cold]
    fn make_room(&mut self, tables: &mut [Histogram; TABLES]) {
        if self.weight > 1 << 31 {
            self.weight /= 2;
            tables.iter_mut().for_each(Histogram::halve);
        }
        self.weight += u64::from(ROOM - self.room);
        self.items += u64::from(ROOM - self.room);
        self.room = ROOM;
    }

    /// As many items as the histograms stand for.
    pub(super) const fn stands_for(&self) -> u64 {
        self.weight - self.room as u64
    }

    /// Adds what `other` says, whose histograms are `theirs`, for somebody to read: no item is entered afterwards.
    #[inline(never)]
    pub fn add(
        &mut self,
        tables: &mut [Histogram; TABLES],
        other: &Self,
        theirs: &[Histogram; TABLES],
    ) {
        let mut weight = self.stands_for() + other.stands_for();
        let halvings = u32::from(weight > u64::from(u32::MAX));
        if halvings > 0 {
            weight = self.stands_for() / 2 + other.stands_for() / 2;
            tables.iter_mut().for_each(Histogram::halve);
        }
        let items = self.items() + other.items();
        (self.room, self.weight, self.items) = (0, weight, items);
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            *sum += more;
        }
        for (table, more) in tables.iter_mut().zip(theirs) {
            table.add(more, halvings);
        }
        if other.limits[3] > self.limits[3] {
            self.slowest = other.slowest;
        }
        let theirs = other.limits.iter().chain(&other.away);
        let limits = self.limits.iter_mut().chain(&mut self.away);
        limits.zip(theirs).for_each(|(a, b)| *a = (*a).max(*b));
    }

    /// Items that are over.
    #[must_use]
    pub const fn items(&self) -> u64 {
        self.items - self.room as u64
    }

    /// The sum of their `run` parts (E17).
    #[must_use]
    pub const fn run(&self) -> u64 {
        self.sums[2]
    }

    /// Those of histogram `n` that took no time and were not counted.
    fn zeros(&self, tables: &[Histogram; TABLES], n: usize) -> u64 {
        self.stands_for().saturating_sub(tables[n].counted())
    }

    /// How many items of this book took how long, of one of its histograms, `at` being that of
    /// [`super::bound`].
    #[must_use]
    #[inline(never)]
    pub fn spread(&self, tables: &[Histogram; TABLES], n: usize, at: u32) -> Spread {
        let zeros = self.zeros(tables, n);
        let all = || self.sums.iter().sum();
        Spread {
            up_to: tables[n].up_to(at, zeros),
            count: tables[n].counted() + zeros,
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
        let limit = match n {
            TOTAL => self.limits[3],
            3 | 4 => self.away[n - 3],
            _ => self.limits[n],
        };
        let (max, zeros) = (limit.saturating_sub(1), self.zeros(tables, n));
        let at = |per_mille| tables[n].percentile(per_mille, zeros).min(max);
        Summary {
            p50: at(500),
            p99: at(990),
            p99_9: at(999),
            max,
        }
    }
}

impl<N: Copy> Default for Book<N> {
    fn default() -> Self {
        Self::new()
    }
}
