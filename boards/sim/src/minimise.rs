//! Minimising: the simplest run that still fails in the same way.
//!
//! A failing run is recorded, and then run again and again with some of its decisions taken out:
//! whole kinds first, then halves, quarters, single ones (Zeller's ddmin). Since most bugs need one
//! preemption, at the right place, every place is tried for a single one before that. Simpler means
//! fewer preemptions and faults, then fewer decisions of any kind, then fewer points. What is left
//! are the switches and faults the failure needs.
//!
//! What it may spend is a number of interleaving points, not of seconds, so that the result is the
//! same however busy the host is. A run that is to be simpler ends when it has become much longer.

use std::sync::Arc;

use crate::boot::{Machine, Run, Subject};
use crate::decision::{Choice, Decision};
use crate::engine::Plan;
use crate::faults::Kinds;
use crate::options::{Failure, Outcome};
use crate::scenario::Scenario;

/// Runs without success after which it stops.
const PATIENCE: u32 = 4_000;
/// Places that are tried for a single preemption.
const PLACES: usize = 3_000;

/// The simplest run found with `points` interleaving points to spend that fails as `failing` did; `None` when not even the same run
/// fails again, which means that something beside the seed decides.
#[must_use]
pub fn minimise(scenario: &Scenario, failing: &Outcome, points: u64) -> Option<Outcome> {
    simplify(&scenario.on(failing.cpus), failing, points)
}

/// As [`minimise`], for a machine without a kernel.
#[must_use]
pub fn minimise_machine(machine: &Machine, failing: &Outcome, points: u64) -> Option<Outcome> {
    simplify(machine, failing, points)
}

fn simplify(subject: &dyn Subject, failing: &Outcome, points: u64) -> Option<Outcome> {
    let first = Run {
        keep_decisions: true,
        ..failing.run.clone()
    };
    let best = subject.run_with(&first);
    if best.signature() != failing.signature() {
        return None;
    }
    let mut search = Search {
        subject,
        left: points.saturating_sub(best.steps),
        best,
        failures: 0,
    };
    search.switch_off();
    search.kinds();
    search.singles();
    search.parts();
    Some(search.best)
}

struct Search<'a> {
    subject: &'a dyn Subject,
    best: Outcome,
    /// Points it may spend.
    left: u64,
    /// Runs without success.
    failures: u32,
}

/// How complicated a run is.
fn cost(outcome: &Outcome) -> (usize, usize, u64) {
    let weighs = |d: &&Decision| !matches!(d.what, Choice::Next | Choice::Ack);
    let heavy = outcome.decisions.iter().filter(weighs).count();
    (heavy, outcome.decisions.len(), outcome.steps)
}

impl Search<'_> {
    fn over(&self) -> bool {
        self.failures > PATIENCE || self.left == 0
    }

    /// Runs `run`; true when it fails in the same way and is simpler, or as simple if `even`.
    fn try_run(&mut self, run: &Run, even: bool) -> bool {
        if self.over() {
            return false;
        }
        let usual = run.options.max_steps;
        let mut short = run.clone();
        // One that fails by its length fails by the length it always had.
        if !matches!(self.best.result, Err(Failure::StepLimit)) {
            short.options.max_steps = Some(2 * self.best.steps + 10_000);
        }
        let mut outcome = self.subject.run_with(&short);
        outcome.run.options.max_steps = usual;
        self.left = self.left.saturating_sub(outcome.steps);
        let same = outcome.signature() == self.best.signature();
        let better = cost(&outcome) < cost(&self.best) || even;
        if same && better {
            self.best = outcome;
            return true;
        }
        self.failures += 1;
        false
    }

    /// The best run with other decisions.
    fn with(&self, decisions: Vec<Decision>) -> Run {
        Run {
            plan: Plan::List(Arc::from(decisions)),
            ..self.best.run.clone()
        }
    }

    /// Tries to do without random time and without faults of devices.
    fn switch_off(&mut self) {
        let same = self.best.decisions.clone();
        let mut run = self.with(same);
        run.even_ticks = true;
        self.try_run(&run, true);
        let mut run = self.with(self.best.decisions.clone());
        let kinds = run.options.faults.kinds;
        if kinds.has(Kinds::PACKETS) {
            run.options.faults.kinds = kinds.without(Kinds::PACKETS);
            self.try_run(&run, true);
        }
    }

    /// Tries to do without whole kinds of decisions, or without all.
    fn kinds(&mut self) {
        let none = self.with(Vec::new());
        self.try_run(&none, false);
        for what in Choice::all() {
            let rest: Vec<Decision> = self.best.decisions.clone();
            let rest: Vec<Decision> = rest.into_iter().filter(|d| d.what != what).collect();
            if !self.over() && rest.len() < self.best.decisions.len() {
                let run = self.with(rest);
                self.try_run(&run, false);
            }
        }
    }

    /// Tries to do with one preemption, the later places first.
    fn singles(&mut self) {
        let preempts = |d: &&Decision| d.what == Choice::Preempt;
        if self.best.decisions.iter().filter(preempts).count() < 2 {
            return;
        }
        let cpus = self.best.cpus as u8;
        let last = |cpu| {
            let of_cpu = self.best.decisions.iter().filter(|d| d.cpu == cpu);
            of_cpu.map(|d| d.at).max().unwrap_or(0)
        };
        let lasts: Vec<u64> = (0..cpus).map(last).collect();
        let longest = lasts.iter().copied().max().unwrap_or(0);
        let backwards = (0..longest).flat_map(|back| (0..cpus).map(move |cpu| (back, cpu)));
        let mut places = Vec::new();
        for (back, cpu) in backwards {
            if let Some(at) = lasts[usize::from(cpu)].checked_sub(back) {
                let others = (0..cpus).filter(|&to| to != cpu);
                places.extend(others.map(|to| (cpu, at, u32::from(to) + 1)));
            }
            if places.len() >= PLACES {
                break;
            }
        }
        // The rest belongs to the other way.
        let keep = self.left / 3 * 2;
        for (cpu, at, value) in places {
            if self.left <= keep {
                break;
            }
            let what = Choice::Preempt;
            let run = self.with(vec![Decision {
                cpu,
                at,
                what,
                value,
            }]);
            if self.try_run(&run, false) {
                break;
            }
        }
        self.failures = 0;
    }

    /// Tries to do without parts of the list, large ones first, until no single one can go.
    fn parts(&mut self) {
        let mut size = self.best.decisions.len().div_ceil(2);
        while size > 0 {
            let mut progress = false;
            let mut at = 0;
            while at < self.best.decisions.len() && !self.over() {
                let mut rest = self.best.decisions.clone();
                rest.drain(at..(at + size).min(rest.len()));
                let run = self.with(rest);
                if self.try_run(&run, false) {
                    progress = true;
                } else {
                    // Overlapping, since switches away and back belong together.
                    at += size.div_ceil(2);
                }
            }
            if self.over() {
                return;
            }
            size = match size {
                1 if progress => 1,
                n => n / 2,
            };
        }
    }
}
