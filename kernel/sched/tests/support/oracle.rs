//! The slow runqueue: everything recomputed from scratch by the definitions, over all entities, in
//! 128-bit integers that never wrap.

use sched::{Decision, Dequeue, Dequeued, Enqueue, Loan, Nice};

/// One entity; virtual times do not wrap here.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) v: i128,
    pub(crate) d: i128,
    pub(crate) protected: i128,
    pub(crate) vlag: i128,
    pub(crate) fraction: i128,
    pub(crate) nice: Nice,
    pub(crate) slice: i128,
    pub(crate) own: Loan,
    pub(crate) lent: Loan,
    /// The slice from the next time on that it is queued.
    next_slice: i128,
    pub(crate) queued: bool,
    pub(crate) delayed: bool,
    pub(crate) relative: bool,
    /// Order of entering the tree, for ties.
    pub(crate) order: u64,
    pub(crate) sum_exec: u64,
}

pub(crate) struct Oracle {
    pub(crate) all: Vec<Model>,
    pub(crate) current: Option<usize>,
    start: u64,
    tick: u64,
    /// The average of nobody.
    pub(crate) zero: i128,
}

fn inverse(nice: Nice) -> i128 {
    let w = i128::from(nice.weight());
    ((1 << 32) + w / 2) / w
}

impl Model {
    pub(crate) fn new(nice: Nice, slice: i128) -> Self {
        Self {
            v: 0,
            d: 0,
            protected: 0,
            vlag: 0,
            fraction: 0,
            nice,
            slice,
            own: Loan::new(nice, machine::Duration::from_nanos(slice as u64)),
            lent: Loan::NONE,
            next_slice: slice,
            queued: false,
            delayed: false,
            relative: false,
            order: 0,
            sum_exec: 0,
        }
    }
    pub(crate) fn w(&self) -> i128 {
        i128::from(self.nice.weight())
    }
    fn virt(&self, ns: i128) -> i128 {
        (ns * inverse(self.nice)) >> 22
    }
    pub(crate) fn limit(&self) -> i128 {
        self.virt((2 * self.slice).max(1_000_000))
    }
}

impl Oracle {
    pub(crate) fn new(all: Vec<Model>, zero: i128) -> Self {
        Self {
            all,
            current: None,
            start: 0,
            tick: 0,
            zero,
        }
    }

    pub(crate) fn queued(&self) -> impl Iterator<Item = (usize, &Model)> {
        self.all.iter().enumerate().filter(|(_, m)| m.queued)
    }
    pub(crate) fn load(&self) -> i128 {
        self.queued().map(|(_, m)| m.w()).sum()
    }
    pub(crate) fn average(&self) -> i128 {
        match self.load() {
            0 => self.zero,
            load => self
                .queued()
                .map(|(_, m)| m.w() * m.v)
                .sum::<i128>()
                .div_euclid(load),
        }
    }
    pub(crate) fn eligible(&self, i: usize) -> bool {
        self.queued()
            .map(|(_, m)| m.w() * (m.v - self.all[i].v))
            .sum::<i128>()
            >= 0
    }
    pub(crate) fn others(&self) -> usize {
        self.queued()
            .filter(|&(i, _)| Some(i) != self.current)
            .count()
    }
    pub(crate) fn nr_runnable(&self) -> usize {
        self.queued().filter(|(_, m)| !m.delayed).count()
    }

    pub(crate) fn charge(&mut self, now: u64) {
        let ns = now - self.start;
        let Some(i) = self.current else { return };
        self.start = now;
        let alone = self.others() == 0;
        let m = &mut self.all[i];
        let scaled = i128::from(ns) * inverse(m.nice) + m.fraction;
        m.v += scaled >> 22;
        m.fraction = scaled & ((1 << 22) - 1);
        m.sum_exec += ns;
        if m.v >= m.d {
            let slice = m.virt(m.slice);
            m.d = if alone {
                m.d + ((m.v - m.d) / slice + 1) * slice
            } else {
                m.v + slice
            };
        }
    }

    fn stamp(&mut self, i: usize) {
        self.tick += 1;
        self.all[i].order = self.tick;
    }

    pub(crate) fn pick(&self) -> Option<usize> {
        if let Some(c) = self.current {
            let m = &self.all[c];
            if self.others() == 0 || (self.eligible(c) && m.v < m.protected) {
                return self.current;
            }
        }
        let rank = |i: usize| {
            let m = &self.all[i];
            (m.d, Some(i) == self.current, m.order)
        };
        self.queued()
            .map(|(i, _)| i)
            .filter(|&i| self.eligible(i))
            .min_by_key(|&i| rank(i))
    }

    fn place(&mut self, i: usize, half: bool) {
        let (load, average) = (self.load(), self.average());
        let m = &mut self.all[i];
        let lag = if load == 0 {
            0
        } else {
            m.vlag * (load + m.w()) / load
        };
        m.v = average - lag;
        if m.relative {
            m.relative = false;
            m.d += m.v;
        } else {
            let slice = m.virt(m.slice);
            m.d = m.v + if half { slice / 2 } else { slice };
        }
    }

    pub(crate) fn enqueue(&mut self, i: usize, why: Enqueue, now: u64) -> Decision {
        self.charge(now);
        if self.all[i].delayed {
            if self.average() > self.all[i].v {
                self.all[i].queued = false;
                self.all[i].vlag = 0;
                self.place(i, false);
                self.all[i].queued = true;
                self.stamp(i);
            }
            self.all[i].delayed = false;
        } else {
            self.all[i].slice = self.all[i].next_slice;
            self.place(i, why == Enqueue::New);
            self.all[i].queued = true;
            self.stamp(i);
        }
        let Some(c) = self.current else {
            return Decision::Resched;
        };
        if self.all[i].slice < self.all[c].slice
            && self.eligible(i)
            && (self.all[i].d < self.all[c].d || !self.eligible(c))
        {
            self.all[c].protected = self.all[c].v;
        }
        if self.pick() == self.current {
            if self.all[c].v >= self.all[c].protected {
                self.protect(c);
            }
            Decision::Keep
        } else {
            Decision::Resched
        }
    }

    fn leave(&mut self, i: usize, keep_deadline: bool) {
        let average = self.average();
        let m = &mut self.all[i];
        let limit = m.limit();
        m.vlag = (average - m.v).clamp(-limit, if m.delayed { 0 } else { limit });
        m.queued = false;
        m.delayed = false;
        if keep_deadline {
            m.d -= m.v;
            m.relative = true;
        }
        if self.current == Some(i) {
            self.current = None;
        }
    }

    pub(crate) fn dequeue(&mut self, i: usize, why: Dequeue, now: u64) -> Dequeued {
        self.charge(now);
        if why == Dequeue::Sleep && !self.all[i].delayed && !self.eligible(i) {
            self.all[i].delayed = true;
            if self.current == Some(i) {
                self.current = None;
                self.stamp(i);
            }
            return Dequeued::Delayed;
        }
        self.leave(i, why == Dequeue::Migrate);
        Dequeued::Gone
    }

    pub(crate) fn pick_next(&mut self, now: u64) -> Option<usize> {
        self.charge(now);
        if self.others() == 0 {
            return self.current;
        }
        loop {
            let best = self.pick()?;
            if self.all[best].delayed {
                self.leave(best, false);
                continue;
            }
            let switch = self.current != Some(best);
            if switch {
                if let Some(prev) = self.current {
                    self.stamp(prev);
                }
                self.current = Some(best);
                self.start = now;
            }
            if switch || self.all[best].v >= self.all[best].protected {
                self.protect(best);
            }
            return self.current;
        }
    }

    fn protect(&mut self, i: usize) {
        let slices = self.queued().map(|(_, m)| m.slice);
        let shortest = slices.min().unwrap_or(i128::MAX);
        let m = &mut self.all[i];
        m.protected = m.d;
        if shortest < m.slice {
            m.protected = m.d.min(m.v + m.virt(shortest));
        }
    }

    pub(crate) fn update(&mut self, now: u64) -> Decision {
        self.charge(now);
        match self.current {
            Some(c) if self.others() > 0 && self.all[c].v >= self.all[c].protected => {
                Decision::Resched
            }
            _ => Decision::Keep,
        }
    }

    pub(crate) fn waive(&mut self, now: u64) {
        self.charge(now);
        if let Some(c) = self.current {
            self.all[c].protected = self.all[c].v;
        }
    }

    pub(crate) fn yield_current(&mut self, now: u64) {
        let Some(c) = self.current else { return };
        if self.nr_runnable() <= 1 {
            return;
        }
        self.charge(now);
        if self.eligible(c) {
            let m = &mut self.all[c];
            m.v = m.d;
            m.d += m.virt(m.slice);
        }
    }

    pub(crate) fn set_nice(&mut self, i: usize, nice: Nice, now: u64) -> Decision {
        let own = &mut self.all[i].own;
        *own = Loan::new(nice, own.slice());
        self.reweight(i, now)
    }

    pub(crate) fn lend(&mut self, i: usize, loan: Loan, now: u64) -> Decision {
        self.all[i].lent = loan;
        self.reweight(i, now)
    }

    fn reweight(&mut self, i: usize, now: u64) -> Decision {
        self.charge(now);
        let average = self.average();
        let m = &mut self.all[i];
        let nice = m.own.nice().min(m.lent.nice());
        let slice = i128::from(m.own.slice().min(m.lent.slice()).as_nanos());
        let (from, to) = (m.w(), i128::from(nice.weight()));
        if m.queued {
            for at in [&mut m.v, &mut m.d, &mut m.protected] {
                *at = average + (*at - average) * from / to;
            }
        } else {
            m.vlag = m.vlag * from / to;
            if m.relative {
                m.d = m.d * from / to;
            }
        }
        if m.nice != nice {
            (m.nice, m.fraction) = (nice, 0);
        }
        let shorter = slice < m.slice;
        m.next_slice = slice;
        if m.queued {
            m.slice = slice;
        }
        // No request is longer than a slice.
        let most = m.virt(slice);
        if shorter && m.queued {
            m.d = m.d.min(m.v + most);
            m.protected = m.protected.min(m.d);
        } else if shorter && m.relative {
            m.d = m.d.min(most);
        }
        let (queued, delayed) = (m.queued, m.delayed);
        if queued && self.current != Some(i) {
            self.stamp(i);
        }
        if !queued || self.others() == 0 || (self.current.is_none() && delayed) {
            return Decision::Keep;
        }
        if self.pick() == self.current {
            Decision::Keep
        } else {
            Decision::Resched
        }
    }

    /// The time from `now` after which the current entity's protection is over.
    pub(crate) fn slice_left(&self) -> Option<u64> {
        let m = &self.all[self.current?];
        if self.others() == 0 {
            return None;
        }
        let missing = ((m.protected - m.v) << 22) - m.fraction;
        let ns = if m.protected <= m.v {
            0
        } else {
            (missing + inverse(m.nice) - 1) / inverse(m.nice)
        };
        Some(ns as u64)
    }
}
