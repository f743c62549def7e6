//! One core, its threads and a clock: drives a runqueue as the executive does.

use links::{Arena, Handle, Slab};
use machine::{Duration, Instant};
use sched::{Decision, Dequeue, Dequeued, Enqueue, Entity, Nice, RunQueue};

/// How the end of a slice is noticed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Timer {
    /// A one-shot timer at the exact time.
    Exact,
    /// A periodic tick of this many ns.
    Tick(u64),
}

pub(crate) struct Sim {
    pub(crate) rq: RunQueue<Slab<Entity>>,
    pub(crate) all: Vec<Handle<Entity>>,
    pub(crate) now: u64,
    timer: Timer,
    /// Looks at the runqueue so far.
    events: u64,
    /// CPU time of threads that were replaced by `forget`.
    forgotten: Vec<u64>,
    /// Largest lag in either direction of each thread, ns.
    pub(crate) worst_lag: Vec<i64>,
    /// When each thread that waits began to.
    waiting_since: Vec<Option<u64>>,
    pub(crate) waits: Vec<Vec<u64>>,
}

impl Sim {
    /// Threads by nice value and slice in us (0: the base slice), all runnable at time zero.
    pub(crate) fn new(cores: usize, timer: Timer, threads: &[(i8, u64)]) -> Self {
        let mut slab = Slab::new();
        let all: Vec<_> = threads
            .iter()
            .map(|&(nice, slice)| {
                let slice = (slice > 0).then(|| Duration::from_micros(slice));
                slab.insert(Entity::new(Nice::new(nice).expect("a nice value"), slice))
            })
            .collect();
        let n = all.len();
        let mut sim = Self {
            rq: RunQueue::new(slab, cores),
            all,
            now: 0,
            timer,
            events: 0,
            forgotten: vec![0; n],
            worst_lag: vec![0; n],
            waiting_since: vec![Some(0); n],
            waits: vec![Vec::new(); n],
        };
        for i in 0..n {
            let _ = sim.rq.enqueue(sim.all[i], Enqueue::New, sim.at());
        }
        sim.pick();
        sim
    }

    pub(crate) fn at(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    pub(crate) fn running(&self) -> Option<usize> {
        self.rq.current().map(|h| self.index(h))
    }

    fn index(&self, h: Handle<Entity>) -> usize {
        self.all
            .iter()
            .position(|&o| o == h)
            .expect("a thread of this core")
    }

    fn pick(&mut self) {
        let before = self.running();
        self.rq.pick_next(self.at());
        let after = self.running();
        if before == after {
            return;
        }
        if let Some(i) = before {
            self.waiting_since[i] = Some(self.now);
        }
        if let Some(i) = after
            && let Some(since) = self.waiting_since[i].take()
        {
            self.waits[i].push(self.now - since);
        }
    }

    fn note_lags(&mut self) {
        for (i, &h) in self.all.iter().enumerate() {
            if self.rq.entity(h).is_queued() {
                self.worst_lag[i] = self.worst_lag[i].max(self.rq.lag_ns(h).abs());
            }
        }
    }

    /// Lets time pass up to `until`, with everything that happens on the core before.
    pub(crate) fn run_until(&mut self, until: u64) {
        while self.now < until {
            let event = match self.timer {
                Timer::Exact => self.rq.slice_end(self.at()).map(Instant::as_nanos),
                Timer::Tick(period) => Some((self.now / period + 1) * period),
            };
            let at = event.unwrap_or(until);
            self.now = at.min(until);
            self.events += 1;
            // No slice is shorter than 100 us, but wake-ups cut some short.
            assert!(
                self.events < 100_000 + self.now / 5_000,
                "the slice timer fires for ever"
            );
            let decision = self.rq.update(self.at());
            self.note_lags();
            if at <= until && decision == Decision::Resched {
                self.pick();
                self.note_lags();
            }
        }
    }

    /// The current thread blocks; whether it has left at once.
    pub(crate) fn block(&mut self) -> Dequeued {
        let h = self.rq.current().expect("somebody runs");
        let gone = self.rq.dequeue(h, Dequeue::Sleep, self.at());
        self.pick();
        gone
    }

    /// The current thread leaves for good; the next wake-up of it is placed without its lag.
    pub(crate) fn forget(&mut self) {
        let h = self.rq.current().expect("somebody runs");
        let gone = self.rq.dequeue(h, Dequeue::Exit, self.at());
        assert_eq!(gone, Dequeued::Gone);
        let i = self.index(h);
        self.forgotten[i] += self.rq.entity(h).sum_exec().as_nanos();
        let slice = self.rq.entity(h).slice();
        *self.rq.arena_mut().get_mut(h) = Entity::new(Nice::ZERO, Some(slice));
        self.pick();
    }

    pub(crate) fn wake(&mut self, i: usize) -> Decision {
        self.waiting_since[i] = Some(self.now);
        let decision = self.rq.enqueue(self.all[i], Enqueue::Wakeup, self.at());
        if decision == Decision::Resched {
            self.pick();
        }
        self.note_lags();
        decision
    }

    /// Share of CPU time of each thread in percent.
    pub(crate) fn shares(&self) -> Vec<f64> {
        let total: u64 = self.exec().iter().sum();
        self.exec()
            .iter()
            .map(|&t| t as f64 * 100.0 / total as f64)
            .collect()
    }

    pub(crate) fn exec(&self) -> Vec<u64> {
        let exec = |&h: &Handle<Entity>| self.rq.entity(h).sum_exec().as_nanos();
        self.all
            .iter()
            .zip(&self.forgotten)
            .map(|(h, forgotten)| exec(h) + forgotten)
            .collect()
    }

    /// The wait that 99 of 100 were shorter than.
    pub(crate) fn wait_p99(&self, i: usize) -> u64 {
        let mut waits = self.waits[i].clone();
        waits.sort_unstable();
        waits[waits.len() * 99 / 100]
    }
}
