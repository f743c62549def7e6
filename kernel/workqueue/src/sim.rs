//! A pool with simulated workers: the executive's part, one step at a time, with a slow oracle.
//!
//! Workers advance only when a test says so, so every order of steps can be had. After each step
//! [`Sim::check`] recounts everything from scratch and compares (docs/rules.md 7, 1-8).

use std::collections::VecDeque;
use std::vec::Vec;

use links::{Arena, Handle};
use machine::Instant;
use workword::{Place, WorkWord};

use crate::item::On;
use crate::sim_rescue::SimRescuer;
use crate::sim_store::Slabs;
use crate::{Begun, Finished, Flush, Flusher, Item, Kind, Pool, Pwq, Step, Tuning, Worker};

pub(crate) const HERE: Place = Place::new(0);

/// What a simulated worker thread is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    Asleep,
    Awake,
    Creating,
    Running(usize),
    Barrier(usize),
    Gone,
}

pub(crate) struct SimWorker {
    pub(crate) h: Handle<Worker>,
    pub(crate) act: Act,
    pub(crate) blocked: bool,
    /// It waits for its core in its item.
    pub(crate) off: bool,
    /// And has done so for long: the pool was told, and counts it no more.
    pub(crate) for_long: bool,
}

impl SimWorker {
    const fn asleep(h: Handle<Worker>) -> Self {
        Self {
            h,
            act: Act::Asleep,
            blocked: false,
            off: false,
            for_long: false,
        }
    }

    /// It executes an item, and has the core.
    pub(crate) const fn computes(&self) -> bool {
        matches!(self.act, Act::Running(_)) && !self.blocked && !self.off
    }
}

/// The oracle's view of one item.
#[derive(Default, Debug)]
pub(crate) struct Account {
    pub(crate) queued: u32,
    pub(crate) runs: u32,
    pub(crate) cancelled: u32,
    pub(crate) executing: u32,
    /// Which submission started last.
    pub(crate) current: u32,
    pub(crate) pending: bool,
    pub(crate) depth: u16,
    /// It was to follow its own run on a worker that died, and went to the front of the list.
    pub(crate) ahead: bool,
}

/// A waiting flush: its pwq, its node, what it must outlive, whether it returned.
pub(crate) type Flushing = (usize, Handle<Flusher>, Vec<(usize, u32)>, bool);

pub(crate) struct Sim {
    pub(crate) s: Slabs,
    pub(crate) pool: Pool,
    pub(crate) now: Instant,
    pub(crate) words: Vec<WorkWord>,
    pub(crate) items: Vec<Handle<Item>>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) pwqs: Vec<Handle<Pwq>>,
    pub(crate) workers: Vec<SimWorker>,
    pub(crate) barriers: Vec<(Handle<Item>, bool)>,
    /// Of each barrier: its item, and which submission of it must be over.
    pub(crate) outlives: Vec<(usize, u32)>,
    /// Started items, in order, and by whom.
    pub(crate) starts: Vec<(usize, Handle<Worker>)>,
    /// The oracle's queue of each pwq: items in queueing order that have not started.
    pub(crate) fifo: Vec<VecDeque<usize>>,
    pub(crate) flushes: Vec<Flush>,
    /// Submissions of each item on each pwq, and how many of them are over.
    pub(crate) on_pwq: Vec<Vec<(u32, u32)>>,
    /// A flush: its pwq, its node, what it must outlive, whether it returned.
    pub(crate) flushing: Vec<Flushing>,
    pub(crate) first: Vec<Option<usize>>,
    pub(crate) reap_at: Option<Instant>,
    /// When the mayday timer fires.
    pub(crate) mayday_at: Option<Instant>,
    pub(crate) rescuers: Vec<SimRescuer>,
    pub(crate) fail_creation: bool,
}

impl Sim {
    /// A pool with one idle worker, pwqs with these limits, and so many items.
    pub(crate) fn new(kind: Kind, limits: &[(u32, bool)], nr_items: usize) -> Self {
        let mut s = Slabs::default();
        let pwqs = limits
            .iter()
            .map(|&(m, heavy)| {
                s.pwqs.insert(if kind == Kind::Bh {
                    Pwq::unlimited()
                } else {
                    Pwq::new(m, heavy)
                })
            })
            .collect();
        let items = (0..nr_items).map(|_| s.items.insert(Item::new())).collect();
        let mut sim = Self {
            s,
            pool: Pool::new(kind, Tuning::LINUX),
            now: Instant::ZERO,
            words: (0..nr_items).map(|_| WorkWord::new()).collect(),
            items,
            accounts: (0..nr_items).map(|_| Account::default()).collect(),
            pwqs,
            workers: Vec::new(),
            barriers: Vec::new(),
            outlives: Vec::new(),
            starts: Vec::new(),
            fifo: limits.iter().map(|_| VecDeque::new()).collect(),
            flushes: limits.iter().map(|_| Flush::new()).collect(),
            flushing: Vec::new(),
            on_pwq: limits.iter().map(|_| std::vec![(0, 0); nr_items]).collect(),
            first: limits.iter().map(|_| None).collect(),
            reap_at: None,
            mayday_at: None,
            rescuers: Vec::new(),
            fail_creation: false,
        };
        let h = sim.s.workers.insert(Worker::new());
        sim.workers.push(SimWorker::asleep(h));
        let (wake, reap) = sim.pool.attach(&mut sim.s, h, sim.now);
        assert_eq!((wake, reap), (None, None));
        sim
    }

    pub(crate) fn index(&self, h: Handle<Worker>) -> usize {
        self.workers
            .iter()
            .position(|w| w.h == h)
            .expect("unknown worker")
    }

    pub(crate) fn wake(&mut self, w: Option<Handle<Worker>>) {
        if let Some(w) = w.map(|h| self.index(h))
            && self.workers[w].act == Act::Asleep
        {
            self.workers[w].act = Act::Awake;
        }
    }

    /// The core of a bound pool goes, or comes back.
    pub(crate) fn hotplug(&mut self) {
        let wake = match self.pool.kind {
            Kind::Bound if self.pool.has_core() => self.pool.disassociate(&mut self.s),
            Kind::Bound => self.pool.associate(&mut self.s),
            _ => None,
        };
        self.wake(wake);
        self.check();
    }

    /// Worker `w` takes one step of its loop; false if it cannot.
    pub(crate) fn step(&mut self, w: usize) -> bool {
        let h = self.workers[w].h;
        match self.workers[w].act {
            Act::Asleep | Act::Gone => return false,
            _ if self.workers[w].blocked || self.workers[w].off => return false,
            Act::Awake => {}
            Act::Creating if self.fail_creation => {
                if !self.pool.keep_creating() {
                    self.mayday_at = None;
                    self.next(w);
                }
                self.check();
                return true;
            }
            Act::Creating => {
                let new = self.s.workers.insert(Worker::new());
                self.workers.push(SimWorker::asleep(new));
                assert!(self.workers.len() < 1_000, "workers without end");
                let (wake, reap) = self.pool.created(&mut self.s, new, self.now);
                self.reap_at = reap.or(self.reap_at);
                self.mayday_at = None;
                self.wake(wake);
                // The worker that panicked in a pool of one has made its successor.
                self.workers[w].act = match self.pool.kind {
                    Kind::Dedicated => Act::Gone,
                    _ => Act::Awake,
                };
                self.check();
                return true;
            }
            Act::Running(i) => {
                self.ended(h, i);
                let f = self.finish(h);
                self.over(f);
                self.pass_barriers(h);
            }
            Act::Barrier(b) => {
                self.reached(b);
                let f = self.finish(h);
                self.over(f);
            }
        }
        self.next(w);
        self.check();
        true
    }

    pub(crate) fn over(&mut self, f: Finished) {
        self.wake(f.wake);
        self.flushed(f.flushed);
        self.conclude(f.hand, f.gone);
        self.left(f.freed);
    }

    /// Barrier `b` lets its waiter go.
    pub(crate) fn reached(&mut self, b: usize) {
        let (i, nth) = self.outlives[b];
        let a = &self.accounts[i];
        assert!(
            !(a.executing > 0 && a.current == nth || a.pending && a.queued == nth),
            "I5: a barrier overtook item {i}"
        );
        self.barriers[b].1 = true;
    }

    pub(crate) fn ended(&mut self, h: Handle<Worker>, i: usize) {
        self.accounts[i].executing -= 1;
        let on = self.s.workers.get(h).current_pwq;
        let p = self
            .pwqs
            .iter()
            .position(|&h| Some(h) == on)
            .expect("unknown pwq");
        self.on_pwq[p][i].1 += 1;
    }

    fn next(&mut self, w: usize) {
        let h = self.workers[w].h;
        if self.pool.kind == Kind::Bh {
            self.workers[w].act = self.turn(h);
            return;
        }
        self.workers[w].act = match self.pool.next(&mut self.s, h, || self.now) {
            Step::Sleep { reap_at } => {
                self.reap_at = reap_at.or(self.reap_at);
                Act::Asleep
            }
            Step::Exit => Act::Gone,
            Step::Create { mayday_at } => {
                self.mayday_at = Some(mayday_at);
                Act::Creating
            }
            Step::Run(Begun { item, wake, .. }) => {
                self.wake(wake);
                assert!(
                    !self.pool.kind.grows() || self.pool.nr_idle > 0 || self.pool.manager,
                    "invariant 7: an item starts without a reserve worker"
                );
                self.begin(h, item)
            }
        };
    }

    /// Worker or rescuer `w` executes `item` from now on.
    pub(crate) fn begin(&mut self, w: Handle<Worker>, item: Handle<Item>) -> Act {
        if let Some(b) = self.barriers.iter().position(|x| x.0 == item) {
            return Act::Barrier(b);
        }
        let i = self
            .items
            .iter()
            .position(|&x| x == item)
            .expect("unknown item");
        assert!(self.words[i].take().submissions() >= 1);
        let a = &mut self.accounts[i];
        a.pending = false;
        a.runs += 1;
        a.executing += 1;
        a.current = a.queued;
        let ahead = core::mem::take(&mut a.ahead);
        assert_eq!(a.executing, 1, "invariant 2: item {i} runs twice at once");
        let collided = self.starts.iter().any(|&(x, y)| x == i && y == w);
        for f in &self.fifo {
            // C1, C9: queueing order, but for items that waited for their own earlier run (C6).
            if let Some(at) = f.iter().position(|&x| x == i) {
                assert!(
                    at == 0 || collided || ahead || self.overtaken(at, i),
                    "item {i} overtook"
                );
            }
        }
        self.fifo.iter_mut().for_each(|f| f.retain(|&x| x != i));
        self.starts.push((i, w));
        Act::Running(i)
    }

    /// Everything in front of position `at` is waiting for its own earlier run.
    fn overtaken(&self, at: usize, i: usize) -> bool {
        let Some(f) = self.fifo.iter().find(|f| f.get(at) == Some(&i)) else {
            return false;
        };
        f.iter().take(at).all(|&x| {
            self.accounts[x].executing > 0
                || matches!(self.s.items.get(self.items[x]).on(), On::Scheduled(_))
        })
    }

    /// The item of worker `w` blocks.
    pub(crate) fn block(&mut self, w: usize) -> bool {
        if !self.workers[w].computes() {
            return false;
        }
        self.workers[w].blocked = true;
        let wake = self.pool.block(&mut self.s, self.workers[w].h);
        self.wake(wake);
        self.check();
        true
    }

    pub(crate) fn resume(&mut self, w: usize) -> bool {
        if !core::mem::take(&mut self.workers[w].blocked) {
            return false;
        }
        self.pool.resume(&mut self.s, self.workers[w].h);
        self.check();
        true
    }

    pub(crate) fn budget(&mut self, w: usize) {
        if let Some(over) = self.pool.budget(&mut self.s, self.workers[w].h) {
            self.wake(over.wake);
        }
        self.check();
    }

    /// The item of worker `w` panics.
    pub(crate) fn panic(&mut self, w: usize) -> bool {
        let Act::Running(i) = self.workers[w].act else {
            return false;
        };
        if !self.workers[w].computes() {
            return false;
        }
        self.ended(self.workers[w].h, i);
        self.goes_ahead(self.workers[w].h);
        let f = self.pool.abandon(&mut self.s, self.workers[w].h);
        self.workers[w].act = match self.pool.kind {
            Kind::Dedicated => Act::Creating,
            _ => Act::Gone,
        };
        self.over(f);
        self.check();
        true
    }
}
