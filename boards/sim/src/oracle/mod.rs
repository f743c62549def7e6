//! Oracles: what judges the executive while it runs.
//!
//! A scenario asserts what it can see. The oracles see every event of the kernel's trace, of all
//! cores, in the one order in which they happened, and hold each against the rules that the
//! workqueues and the scheduler promise (row IDs of the rule table). Those of events know nothing of the
//! executive's data but which core and priority a BH pool serves and how far an idle core looks, so a bug
//! can hardly hide in both. `audit`, `release` and `share` look at its data; by how much a lag may exceed
//! its steady bound (V3, V4) they take from the scheduler's own ledger, which its unit tests check.
//! One file judges one thing:
//!
//! | File | Rules |
//! | --- | --- |
//! | `item` | every item is queued, activated, started, ended or cancelled in that order (7.14, B4), never runs twice at once (C5), starts in order (C9), within `max_active` (7.3); none is left of a queue that is gone (I10) |
//! | `limit` | the slots that pools of a memory node share (7.3, D3) |
//! | `pool` | a worker starts an item only if another one is in reserve (7.7); nobody sleeps on pending work (7.5), rescuers come in time (7.12) |
//! | `bh` | BH items: in softirq, on their core, in order, the urgent ones first, not too many at a time nor for too long (7.13) |
//! | `disable` | a disabled item is refused and an enabled one is not (B9, 7.10) |
//! | `wait` | what a flush or a synchronous cancel promises when it returns (7.10, 7.11, I5) |
//! | `scope` | nothing that was spawned in a scope is left when it ends |
//! | `thread` | a thread runs on one core, only when runnable; no core idles while another has a thread for it |
//! | `knot` | threads that wait for each other for ever, named; mutexes have one owner at a time |
//! | `lending` | nobody has a loan from nobody: while nothing happens, whoever counts for more than his own nice value is waited for by a thread that counts for no less, and nobody ends with a loan |
//! | `anatomy` | the parts told of an item's time are those it had, and add up to its whole time |
//! | `audit` | the executive's own data: when all is quiet, and in between wherever nobody has it locked; lag (V4), ends of slices (V5) |
//! | `release` | a runqueue or a pool where its lock is released (7.6, V1, V2); of pools with threads of their own only what `audit` sees |
//! | `share` | threads get of their core what their weights say while nobody comes or goes (V3) |
//!
//! A violation ends the world with the rule's ID, what happened in words, and the last events. Items,
//! queues and locks are named by numbers in order of appearance, since addresses differ from run to
//! run; a name is forgotten when the thing may have been freed.

mod anatomy;
mod audit;
mod bh;
mod disable;
mod item;
mod knot;
mod lending;
mod limit;
mod names;
mod pool;
mod release;
mod scope;
mod share;
mod thread;
mod wait;

#[cfg(test)]
mod tests;

use trace::{Event, Kind};

use self::names::{Names, Tail};
pub(crate) use self::release::Locks;
pub(crate) use self::share::Shares;
use crate::core::NEVER;
use crate::engine::Sim;
use crate::options::Failure;
use crate::reclaim::outside;

/// A rule that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Violation {
    pub(crate) rule: &'static str,
    pub(crate) text: String,
}

pub(crate) type Verdict = Result<(), Violation>;

/// `Err` with a rule and words, unless a condition holds.
macro_rules! ensure {
    ($holds:expr, $rule:literal, $($words:tt)*) => {
        if !$holds {
            return Err($crate::oracle::Violation { rule: $rule, text: format!($($words)*) });
        }
    };
}
pub(crate) use ensure;

/// An event as the oracles see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) event: Event,
    pub(crate) cpu: usize,
    /// Cores that wait for an interrupt while none is pending or on its way.
    pub(crate) asleep: u64,
    /// How long core `cpu` has lived.
    pub(crate) lived: u64,
}

/// All oracles of a world.
#[derive(Default, Debug)]
pub(crate) struct Oracles {
    names: Names,
    tail: Tail,
    threads: thread::Threads,
    items: item::Items,
    pools: pool::Pools,
    bh: bh::Softirqs,
    disables: disable::Disables,
    waits: wait::Waits,
    scopes: scope::Scopes,
    knots: knot::Knots,
    anatomy: anatomy::Anatomy,
    lending: lending::Lending,
}

impl Oracles {
    /// Judges one event.
    pub(crate) fn see(&mut self, s: &Seen) -> Verdict {
        self.tail.push(s);
        self.threads.see(s)?;
        let thread = self.threads.current(s.cpu);
        self.anatomy.see(s, thread)?;
        self.lending.see(s, thread)?;
        match s.event.kind {
            // Before the items' books forget what is over.
            Kind::ExecuteStart => {
                self.bh.see(s, &self.items)?;
                self.items.see(s, thread, &mut self.names)?;
                self.pools.see(s, thread, &self.items)?;
            }
            _ => {
                self.waits.see(s, thread, &self.items)?;
                self.scopes.see(s, &self.items)?;
                self.disables.see(s, &self.items)?;
                self.items.see(s, thread, &mut self.names)?;
                self.pools.see(s, thread, &self.items)?;
                self.bh.see(s, &self.items)?;
            }
        }
        self.knots.see(s, thread, &mut self.names)
    }

    /// Judges that the block of `bytes` at `address` is given back.
    pub(crate) fn freed(&mut self, address: u64, bytes: u64) -> Verdict {
        self.disables.freed(address, bytes);
        self.scopes.freed(address, bytes);
        self.items.freed(address, bytes)
    }

    /// Judges a moment (`now`, in ns) in which every core waits for an interrupt and none is on its way.
    pub(crate) fn quiescent(&self, now: u64) -> Verdict {
        self.threads.quiescent()?;
        self.lending.quiescent()?;
        self.pools.quiescent(&self.items, now)?;
        self.knots
            .quiescent(&self.threads, &self.items, &self.waits)
    }

    /// Nothing will ever happen again: who waits for what.
    pub(crate) fn deadlock(&self) -> Option<Violation> {
        let text = self.knots.describe(&self.threads, &self.items, &self.waits);
        (!text.is_empty()).then_some(Violation {
            rule: "deadlock",
            text,
        })
    }
}

impl Sim {
    /// An event of the kernel's trace, at the moment it happens.
    pub(crate) fn observed(&self, words: &[u64; 4]) {
        let Some(event) = Event::unpack(words) else {
            return;
        };
        let changes = [Kind::SchedSwitch, Kind::SchedWakeup, Kind::SchedWakeupNew];
        let asleep = if changes.contains(&event.kind) || self.oracles.borrow().owes() {
            self.asleep()
        } else {
            0
        };
        let seen = Seen {
            event,
            cpu: self.running.get(),
            asleep,
            lived: self.core().lived.get(),
        };
        // Their books are no memory of the world's.
        let (verdict, words) = outside(|| {
            let mut oracles = self.oracles.borrow_mut();
            let verdict = oracles.see(&seen);
            (verdict, Names::words(&event))
        });
        self.recorder.mix(words);
        self.judge(verdict);
    }

    /// The running flow gives back the block of `bytes` at `address`.
    pub(crate) fn freed(&self, address: usize, bytes: usize) {
        let freed = |o: &mut Oracles| o.freed(address as u64, bytes as u64);
        let verdict = outside(|| freed(&mut self.oracles.borrow_mut()));
        self.judge(verdict);
    }

    /// The running core waits, and so may all others: a moment to look for what was forgotten.
    pub(crate) fn look_for_forgotten(&self) {
        let started = self.cores.iter().filter(|c| c.started.get()).count() as u32;
        if self.asleep().count_ones() == started {
            let now = self.clock.get();
            let verdict = outside(|| self.oracles.borrow().quiescent(now));
            self.judge(verdict);
            self.at_rest(|| self.look_at_rest());
        }
    }

    /// Every core waits and nothing will ever happen.
    pub(crate) fn deadlocked(&self) -> ! {
        let violation = outside(|| self.oracles.borrow().deadlock());
        self.judge(violation.map_or(Ok(()), Err));
        self.end(Err(Failure::Deadlock))
    }

    pub(crate) fn judge(&self, verdict: Verdict) {
        if let Err(v) = verdict {
            let text = outside(|| {
                let tail = self.oracles.borrow().tail();
                format!("{}\nlast events:\n{tail}", v.text)
            });
            self.end(Err(Failure::Violation { rule: v.rule, text }));
        }
    }

    /// Cores that wait while nothing is pending or on its way to them.
    fn asleep(&self) -> u64 {
        let quiet = |c: &crate::core::Core| {
            c.started.get()
                && c.waiting.get()
                && c.pending.get() == 0
                && c.ipi_at.get() == NEVER
                && c.stalled_until.get() == NEVER
        };
        let each = self.cores.iter().enumerate();
        each.fold(0, |set, (i, c)| set | u64::from(quiet(c)) << i)
    }
}

impl Oracles {
    /// Somebody may still have to tell an idle core of a thread that he woke.
    fn owes(&self) -> bool {
        self.threads.owes()
    }

    fn tail(&self) -> String {
        self.tail.words(&self.names)
    }
}
