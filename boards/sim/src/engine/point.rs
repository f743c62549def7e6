//! Interleaving points: what passes between two steps of a core, and who goes on.
//!
//! When every core waits in `idle`, the clock jumps to the next event; if there is none, the world
//! is deadlocked. When the only core that can run spins for a second time, it jumps too, since nobody
//! else could release what it waits for.

use core::sync::atomic::Ordering;

use super::inject::Injector;
use super::way::{self, PATIENCE, Way};
use super::{Limits, Sim};
use crate::baseline::REST;
use crate::core::NEVER;
use crate::decision::{Choice, Decision};
use crate::options::Failure;
use crate::reclaim::outside;
use crate::trace::What;

/// Points a lone spinning core gets before the world counts as livelocked.
const MAX_LONE_SPINS: u64 = 100_000;
/// Events in a row that wake no core before the world counts as livelocked.
const MAX_IDLE_EVENTS: u32 = 1_000_000;
/// Spinning points in a row after which the clock jumps to the next event.
const SPIN_PATIENCE: u64 = 1_000;
/// Points between two looks at the kernel's data.
const GLANCES: u64 = 512;
/// Points that the rest after a scenario may take.
const REST_STEPS: u64 = 2_000_000;

impl Sim {
    /// An interleaving point of the running core: others may go on here, and interrupts come in.
    #[inline]
    pub(crate) fn point(&self, what: What, arg: u64) {
        if self.still.get() {
            return;
        }
        self.spins.set(0);
        self.record(what, arg);
        self.pass_time();
        let me = self.running.get();
        let next = self.choose(me);
        self.go_on_with(next);
        self.take_interrupts();
    }

    /// A point of a core that waits for another one.
    pub(crate) fn spin_point(&self) {
        self.record(What::Relax, 0);
        self.pass_time();
        let spins = self.spins.get() + 1;
        self.spins.set(spins);
        let me = self.running.get();
        let others = self.runnable.get() & !(1 << me);
        // What it waits for may have come since it looked, from a core that is at rest now: it looks once more.
        let turn = self.turn_began.get() + 1;
        let again = others == 0 && self.lone_in.replace(turn) == turn;
        if again || spins.is_multiple_of(SPIN_PATIENCE) {
            if self.next_event.get() != NEVER {
                self.jump();
            } else if spins > MAX_LONE_SPINS {
                self.end(Err(Failure::Livelock));
            }
        }
        if let Way::Pct(pct) = &self.way {
            // Whoever it waits for must be able to go on.
            pct.drop_last(me);
        }
        let others = self.runnable.get() & !(1 << me);
        let next = match others {
            0 => self.awake(me),
            _ if matches!(self.way, Way::Tree(_)) => way::after(others, me),
            _ => self.next_of(others, me),
        };
        self.go_on_with(next);
        self.take_interrupts();
    }

    /// Counts a step and lets time pass.
    #[inline]
    fn pass_time(&self) {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        self.pulse.store(steps, Ordering::Relaxed);
        let core = self.core();
        core.calls.set(core.calls.get() + 1);
        core.live(self.clock.get());
        if steps >= self.attention.get() {
            self.attend();
        }
        let cores = self.runnable.get().count_ones().max(1);
        let most = self.options.max_step_ns;
        let ns = if self.even_ticks {
            most / 2
        } else {
            self.world_rng.below(most)
        };
        self.clock.set(self.clock.get() + u64::from(ns / cores + 1));
        if self.clock.get() >= self.next_event.get() {
            self.happen();
        }
    }

    /// Something beside the choice of the next core may be due at this step.
    #[cold]
    fn attend(&self) {
        let (step, me) = (self.steps.get(), self.running.get());
        if step > self.limits.get().steps {
            self.end(Err(Failure::StepLimit));
        }
        if step >= self.glance_at.get() {
            self.glance_at.set(step + GLANCES);
            self.glance();
        }
        match &self.way {
            Way::Script(script) => {
                while let Some(d) = script.strike(me, self.core().calls.get()) {
                    self.note(d.what, d.value);
                    self.hit(d.what, d.value);
                }
                return;
            }
            Way::Pct(pct) if step >= pct.next.get() => pct.change(me),
            _ => {}
        }
        if step >= self.injector.next.get() {
            self.strike();
        }
        self.look_ahead();
    }

    /// Computes the step at which [`Self::attend`] is next wanted.
    pub(super) fn look_ahead(&self) {
        let change = match &self.way {
            // A list may have something to say at every point.
            Way::Script(_) => 0,
            Way::Pct(pct) => pct.next.get(),
            _ => u64::MAX,
        };
        let limit = self.limits.get().steps.saturating_add(1);
        let first = limit.min(change).min(self.glance_at.get());
        self.attention.set(first.min(self.injector.next.get()));
    }

    /// The body of the scenario begins: from here on there are faults and change points.
    pub(crate) fn begin(&self) {
        self.glance_at.set(self.steps.get() + GLANCES);
        self.learn_locks();
        self.span.set((self.choices.get(), None));
        match &self.way {
            Way::Script(_) => {}
            Way::Tree(tree) => tree.begin(),
            Way::Pct(pct) => {
                pct.begin(self.steps.get());
                self.injector.begin(self.steps.get());
            }
            _ => self.injector.begin(self.steps.get()),
        }
        self.look_ahead();
    }

    /// The body of the scenario is over: no more faults, and time for what it left to go away.
    pub(crate) fn over(&self) {
        self.span.set((self.span.get().0, Some(self.choices.get())));
        self.injector.end();
        self.limits.set(Limits {
            steps: self.steps.get().saturating_add(REST_STEPS),
            ns: self.clock.get().saturating_add(2 * REST.as_nanos()),
        });
        self.look_ahead();
    }

    /// Moves the clock to the next event.
    fn jump(&self) {
        self.clock.set(self.clock.get().max(self.next_event.get()));
        if self.clock.get() > self.limits.get().ns {
            self.end(Err(Failure::TimeLimit));
        }
        self.happen();
    }

    /// Chooses who goes on after core `me`, which can unless it stands still.
    #[inline]
    fn choose(&self, me: usize) -> usize {
        let runnable = self.runnable.get();
        if runnable == 1 << me {
            return me;
        }
        if runnable & 1 << me == 0 {
            return self.awake(me);
        }
        self.choices.set(self.choices.get() + 1);
        let tired = || self.steps.get() - self.turn_began.get() > PATIENCE;
        let next = match &self.way {
            Way::Walk { stickiness: 0 } => way::any(&self.rng, runnable),
            Way::Walk { stickiness } if !self.rng.one_in(stickiness + 1) => me,
            Way::Walk { .. } => way::any(&self.rng, runnable & !(1 << me)),
            Way::Turns => way::after(runnable, me),
            Way::Pct(pct) => {
                if tired() {
                    pct.drop_last(me);
                }
                pct.highest(runnable)
            }
            Way::Script(script) => {
                let default = if tired() {
                    way::after(runnable, me)
                } else {
                    me
                };
                let place = (me, self.core().calls.get());
                way::scripted(script, place, Choice::Preempt, runnable, default)
            }
            Way::Tree(_) if tired() => way::after(runnable, me),
            Way::Tree(tree) => tree.choose(runnable, me, true),
        };
        if next != me {
            self.note(Choice::Preempt, next as u32 + 1);
        }
        next
    }

    /// Waits until some core can go on although `me` cannot, and chooses one.
    #[cold]
    fn awake(&self, me: usize) -> usize {
        let mut events = 0;
        while self.runnable.get() == 0 {
            events += 1;
            if events > MAX_IDLE_EVENTS {
                self.end(Err(Failure::Livelock));
            }
            self.look_for_forgotten();
            if self.next_event.get() == NEVER {
                self.deadlocked();
            }
            self.jump();
        }
        self.next_of(self.runnable.get(), me)
    }

    /// Chooses one of `set` (not empty) because core `me` does not go on.
    fn next_of(&self, set: u64, me: usize) -> usize {
        let default = way::after(set, me);
        if set & (set - 1) == 0 {
            return default;
        }
        self.choices.set(self.choices.get() + 1);
        let next = match &self.way {
            Way::Walk { .. } => way::any(&self.rng, set),
            Way::Turns => default,
            Way::Pct(pct) => pct.highest(set),
            Way::Script(script) => {
                let place = (me, self.cores[me].calls.get());
                way::scripted(script, place, Choice::Next, set, default)
            }
            Way::Tree(tree) => tree.choose(set, default, false),
        };
        if next != default {
            self.note(Choice::Next, next as u32 + 1);
        }
        next
    }

    /// Decides `what`, by the seed with `draw`, or by the list; 0 is the default.
    pub(crate) fn decide(&self, what: Choice, draw: impl FnOnce(&Injector) -> u32) -> u32 {
        let calls = self.core().calls.get() + 1;
        self.core().calls.set(calls);
        let value = match &self.way {
            Way::Script(script) => script.take(self.running.get(), calls, what),
            Way::Tree(_) => 0,
            _ => draw(&self.injector),
        };
        if value != 0 {
            self.note(what, value);
        }
        value
    }

    /// Keeps a decision that was not the default.
    #[inline]
    pub(super) fn note(&self, what: Choice, value: u32) {
        if self.keep_decisions {
            let decision = Decision {
                cpu: self.running.get() as u8,
                at: self.core().calls.get(),
                what,
                value,
            };
            outside(|| self.decisions.borrow_mut().push(decision));
        }
    }

    /// Gives the turn to core `next`; returns when the calling flow has it again, maybe on another
    /// core.
    #[inline]
    fn go_on_with(&self, next: usize) {
        if next != self.running.get() {
            let flow = self.core().flow.get();
            self.running.set(next);
            self.turn_began.set(self.steps.get());
            self.flows.suspend(flow);
        }
    }

    /// The running core is switched off: its flow never goes on.
    pub(crate) fn switch_off(&self) -> ! {
        let me = self.running.get();
        let core = &self.cores[me];
        assert!(core.masked.get(), "a core leaves with interrupts unmasked");
        let mut to = self.cores.iter().enumerate();
        let to = to.position(|(i, c)| i != me && c.started.get());
        self.reroute_lines(me, to.expect("the last core leaves"));
        core.power_off();
        self.refresh();
        // Devices may be served before somebody can go on: until then the flow is needed.
        let next = self.awake(me);
        self.gone.set(Some(core.flow.get()));
        self.go_on_with(next);
        unreachable!("a core that was switched off goes on")
    }

    /// The running core waits for an interrupt; returns when one is pending.
    pub(crate) fn wait_for_interrupt(&self) {
        let me = self.running.get();
        let core = &self.cores[me];
        while core.pending.get() == 0 {
            core.waiting.set(true);
            // Two waits in a row are two places for decisions.
            core.calls.set(core.calls.get() + 1);
            self.refresh();
            let next = self.awake(me);
            self.go_on_with(next);
            core.waiting.set(false);
        }
        self.refresh();
    }
}
