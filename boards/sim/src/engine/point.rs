//! Interleaving points: what passes between two steps of a core, and who goes on.
//!
//! When every core waits in `idle`, the clock jumps to the next event; if there is none, the world
//! is deadlocked. When the only core that can run spins, it jumps too, since nobody else could
//! release what it waits for.

use super::Sim;
use crate::core::NEVER;
use crate::options::{Failure, Strategy};
use crate::trace::What;

/// Points a lone spinning core gets before the world counts as livelocked.
const MAX_LONE_SPINS: u64 = 100_000;
/// Spinning points in a row after which the clock jumps to the next event.
const SPIN_PATIENCE: u64 = 1_000;

impl Sim {
    /// An interleaving point of the running core: others may go on here, and interrupts come in.
    #[inline]
    pub(crate) fn point(&self, what: What, arg: u64) {
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
        if others == 0 || spins.is_multiple_of(SPIN_PATIENCE) {
            if self.next_event.get() != NEVER {
                self.jump();
            } else if spins > MAX_LONE_SPINS {
                self.end(Err(Failure::Livelock));
            }
        }
        let others = self.runnable.get() & !(1 << me);
        let next = if others == 0 {
            me
        } else {
            self.pick(others, me)
        };
        self.go_on_with(next);
        self.take_interrupts();
    }

    /// Counts a step and lets time pass.
    #[inline]
    fn pass_time(&self) {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps > self.limits.steps {
            self.end(Err(Failure::StepLimit));
        }
        let cores = self.runnable.get().count_ones().max(1);
        let ns = u64::from(self.world_rng.below(self.options.max_step_ns) / cores + 1);
        self.clock.set(self.clock.get() + ns);
        if self.clock.get() >= self.next_event.get() {
            self.happen();
        }
    }

    /// Moves the clock to the next event.
    fn jump(&self) {
        self.clock.set(self.clock.get().max(self.next_event.get()));
        if self.clock.get() > self.limits.ns {
            self.end(Err(Failure::TimeLimit));
        }
        self.happen();
    }

    /// Chooses who goes on after core `me`, which can.
    #[inline]
    fn choose(&self, me: usize) -> usize {
        let runnable = self.runnable.get();
        if runnable & (runnable - 1) == 0 {
            return me;
        }
        self.choices.set(self.choices.get() + 1);
        match self.options.strategy {
            Strategy::RandomWalk if self.stickiness == 0 => self.pick(runnable, me),
            Strategy::RandomWalk if !self.rng.one_in(self.stickiness + 1) => me,
            _ => self.pick(runnable & !(1 << me), me),
        }
    }

    /// Picks one of `set` (not empty) by the strategy.
    #[inline]
    fn pick(&self, set: u64, me: usize) -> usize {
        match self.options.strategy {
            Strategy::RandomWalk => {
                let mut rest = set;
                for _ in 0..self.rng.below(set.count_ones()) {
                    rest &= rest - 1;
                }
                rest.trailing_zeros() as usize
            }
            Strategy::RoundRobin => {
                let after = set & (u64::MAX << me) & !(1 << me);
                (if after == 0 { set } else { after }).trailing_zeros() as usize
            }
        }
    }

    /// Gives the turn to core `next`; returns when the calling flow has it again, maybe on another
    /// core.
    #[inline]
    fn go_on_with(&self, next: usize) {
        if next != self.running.get() {
            let flow = self.core().flow.get();
            self.running.set(next);
            self.flows.suspend(flow);
        }
    }

    /// The running core waits for an interrupt; returns when one is pending.
    pub(crate) fn wait_for_interrupt(&self) {
        let me = self.running.get();
        let core = &self.cores[me];
        while core.pending.get() == 0 {
            core.waiting.set(true);
            self.refresh();
            while self.runnable.get() == 0 {
                if self.next_event.get() == NEVER {
                    self.end(Err(Failure::Deadlock));
                }
                self.jump();
            }
            let next = self.pick(self.runnable.get(), me);
            self.go_on_with(next);
            core.waiting.set(false);
        }
        self.refresh();
    }
}
