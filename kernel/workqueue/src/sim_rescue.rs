//! Rescuers in the simulated pool: the mayday timer and the rescuers' threads, one step at a time.

use links::{Arena, Handle, Slab};
use machine::Duration;

use crate::item::On;
use crate::sim::{Act, Sim};
use crate::{Call, Item, Maydays, Rescue, RescueStep, Worker};

/// The rescuer of one pwq's queue.
pub(crate) struct SimRescuer {
    /// Index of the pwq.
    pub(crate) p: usize,
    pub(crate) h: Handle<Worker>,
    pub(crate) act: Act,
    cursor: Handle<Item>,
    rescue: Option<Rescue>,
    pub(crate) maydays: Maydays,
    calls: Slab<Call>,
    pub(crate) call: Handle<Call>,
    /// Calls of pwqs in other pools: (how many wait).
    pub(crate) others: bool,
}

impl SimRescuer {
    pub(crate) fn is_listed(&self) -> bool {
        self.calls.get(self.call).is_listed()
    }
}

impl Sim {
    /// Gives the queue of pwq `p` a rescuer; its index.
    pub(crate) fn add_rescuer(&mut self, p: usize) -> usize {
        let mut calls = Slab::default();
        let call = calls.insert(Call::new());
        self.s.pwqs.get_mut(self.pwqs[p]).set_rescuer(true);
        self.rescuers.push(SimRescuer {
            p,
            h: self.s.workers.insert(Worker::new()),
            act: Act::Asleep,
            cursor: self.s.items.insert(Item::cursor()),
            rescue: None,
            maydays: Maydays::new(),
            calls,
            call,
            others: false,
        });
        self.rescuers.len() - 1
    }

    /// Lets time pass to the mayday timer, if it is armed, and lets it fire.
    pub(crate) fn mayday(&mut self) -> bool {
        let Some(at) = self.mayday_at else {
            return false;
        };
        self.pass(at.since(self.now.min(at)));
        self.mayday_at = self.fire_mayday();
        assert!(self.mayday_at.is_none_or(|at| at > self.now));
        self.check();
        true
    }

    pub(crate) fn fire_mayday(&mut self) -> Option<machine::Instant> {
        let (pwqs, rescuers) = (&self.pwqs, &mut self.rescuers);
        self.pool.mayday(&mut self.s, self.now, |p| {
            let r = rescuers.iter_mut().find(|r| pwqs[r.p] == p);
            let r = r.expect("a call without a rescuer");
            r.maydays.call(&mut r.calls, r.call)
        })
    }

    /// Rescuer `n` takes one step; false if it has nothing to do.
    pub(crate) fn rescue(&mut self, n: usize) -> bool {
        let r = &mut self.rescuers[n];
        let h = r.h;
        match r.act {
            Act::Asleep => {
                if r.maydays.answer(&mut r.calls).is_none() {
                    return false;
                }
                assert!(self.s.pwqs.get(self.pwqs[r.p]).is_pinned(), "H1");
                r.rescue = Some(Rescue::new(h, r.cursor, self.pwqs[r.p]));
            }
            Act::Running(i) => {
                self.ended(h, i);
                let f = self.finish(h);
                self.over(f);
            }
            Act::Barrier(b) => {
                self.reached(b);
                let f = self.finish(h);
                self.over(f);
            }
            Act::Awake | Act::Creating | Act::Gone => unreachable!("rescuers do not"),
        }
        self.next_rescue(n);
        self.check();
        true
    }

    fn next_rescue(&mut self, n: usize) {
        let r = &mut self.rescuers[n];
        let mut rescue = r.rescue.take().expect("it answers a call");
        let others = r.others || !r.maydays.is_empty();
        let (maydays, calls, call) = (&mut r.maydays, &mut r.calls, r.call);
        let step = self.pool.rescue(&mut self.s, &mut rescue, others, |_| {
            maydays.call(calls, call)
        });
        let act = match step {
            RescueStep::Run(crate::Begun { item, wake, .. }) => {
                self.wake(wake);
                self.rescuers[n].rescue = Some(rescue);
                self.begin(self.rescuers[n].h, item)
            }
            RescueStep::Yield(wake) => {
                self.wake(wake);
                Act::Asleep
            }
            RescueStep::Leave { wake, gone } => {
                self.wake(wake);
                self.conclude(None, gone);
                Act::Asleep
            }
        };
        self.rescuers[n].act = act;
    }

    /// The item of rescuer `n` panics; another thread takes its place.
    pub(crate) fn panic_rescuer(&mut self, n: usize) -> bool {
        let Act::Running(i) = self.rescuers[n].act else {
            return false;
        };
        self.ended(self.rescuers[n].h, i);
        self.goes_ahead(self.rescuers[n].h);
        let rescue = self.rescuers[n].rescue.take().expect("it runs an item");
        let (f, gone) = self.pool.abandon_rescue(&mut self.s, &rescue);
        let new = self.s.workers.insert(Worker::new());
        (self.rescuers[n].h, self.rescuers[n].act) = (new, Act::Asleep);
        self.wake(f.wake);
        self.flushed(f.flushed);
        self.conclude(f.hand, f.gone);
        self.left(f.freed);
        self.conclude(None, gone);
        self.check();
        true
    }

    /// `dead` dies: what was to follow its item goes to the front of the list (C6).
    pub(crate) fn goes_ahead(&mut self, dead: Handle<Worker>) {
        for (a, &h) in self.accounts.iter_mut().zip(&self.items) {
            a.ahead |= self.s.items.get(h).on() == On::Scheduled(dead);
        }
    }

    /// No worker can be made, and time passes: everybody who can goes on, rescuers included.
    pub(crate) fn starve(&mut self) {
        self.fail_creation = true;
        for _ in 0..100 {
            self.settle_starved();
            if self.mayday_at.is_none() {
                return;
            }
            self.mayday();
            while (0..self.rescuers.len()).filter(|&n| self.rescue(n)).count() > 0 {}
        }
    }

    /// As [`Self::settle`], but managers are left to pause.
    fn settle_starved(&mut self) {
        for _ in 0..10_000 {
            let moves = |sim: &Self, w: usize| sim.workers[w].act != Act::Creating;
            if (0..self.workers.len())
                .filter(|&w| moves(self, w) && self.step(w))
                .count()
                == 0
            {
                break;
            }
        }
        for w in 0..self.workers.len() {
            if self.workers[w].act == Act::Creating {
                self.step(w);
            }
        }
        self.pass(Duration::from_millis(1));
    }
}
