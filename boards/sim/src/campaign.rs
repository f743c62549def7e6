//! Many worlds: scenarios under a range of seeds, on all host threads, with a running total.
//!
//! Worlds are numbered: number `n` is scenario `n % len` under seed `first + n / len`. A campaign
//! ends after so many seeds, at a time, or at the first failures.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::boot::run;
use crate::faults::{Faults, Injected, Kinds};
use crate::minimise::minimise;
use crate::options::{Options, Outcome};
use crate::recording::{Recording, record};
use crate::rng::Rng;
use crate::scenario::Scenario;

/// What to run how often.
#[derive(Clone, Debug)]
pub struct Campaign<'a> {
    /// The scenarios.
    pub scenarios: &'a [Scenario],
    /// First seed.
    pub first_seed: u64,
    /// Seeds for each scenario.
    pub seeds: u64,
    /// No world is begun after this.
    pub until: Option<Instant>,
    /// Cores, within each scenario's bounds; else the seed chooses between them.
    pub cpus: Option<usize>,
    /// Options of each run.
    pub options: Options,
    /// Half of the seeds run without faults ([`is_calm`]).
    pub calm_half: bool,
    /// Host threads.
    pub jobs: usize,
    /// Failures after which it ends.
    pub failures: usize,
}

/// Sums over the worlds of a campaign.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Worlds run.
    pub worlds: u64,
    /// Interleaving points.
    pub steps: u64,
    /// Points with a choice.
    pub choices: u64,
    /// Those between a scenario's beginning and its end.
    pub scenario_choices: u64,
    /// Faults.
    pub injected: Injected,
    /// Failing runs, in the order they were found.
    pub failures: Vec<Outcome>,
    /// Worlds of each scenario, and the points with a choice between its beginning and its end.
    pub each: Vec<(u64, u64)>,
}

impl Campaign<'_> {
    /// Worlds it has if nothing ends it early.
    #[must_use]
    pub fn worlds(&self) -> u64 {
        self.seeds.saturating_mul(self.scenarios.len() as u64)
    }

    /// World number `n`: scenario, seed, options.
    pub fn world(&self, n: u64) -> (Scenario, u64, Options) {
        let len = self.scenarios.len() as u64;
        let seed = self.first_seed.wrapping_add(n / len);
        let scenario = &self.scenarios[(n % len) as usize];
        let (fewest, most) = scenario.bounds();
        let cpus = match self.cpus {
            Some(cpus) => cpus.clamp(fewest, most),
            None => scenario.cpus_of(seed),
        };
        let mut options = self.options;
        if self.calm_half && is_calm(seed) {
            options.faults = Faults::of(Kinds::NONE);
        }
        (scenario.on(cpus), seed, options)
    }

    /// Runs all worlds; `progress` is called now and then on the calling thread.
    pub fn run(&self, mut progress: impl FnMut(&Totals)) -> Totals {
        let each = vec![(0, 0); self.scenarios.len()];
        let totals = Mutex::new(Totals {
            each,
            ..Totals::default()
        });
        let next = AtomicU64::new(0);
        let lock = || totals.lock().unwrap_or_else(|p| p.into_inner());
        let work = || {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let late = self.until.is_some_and(|end| Instant::now() >= end);
                if n >= self.worlds() || late || lock().failures.len() >= self.failures {
                    return;
                }
                let (scenario, seed, options) = self.world(n);
                let outcome = run(&scenario, seed, options);
                lock().add((n % self.scenarios.len() as u64) as usize, outcome);
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            while !threads
                .iter()
                .all(std::thread::ScopedJoinHandle::is_finished)
            {
                std::thread::sleep(Duration::from_millis(50));
                let now = lock().clone();
                progress(&now);
            }
        });
        totals.into_inner().unwrap_or_else(|p| p.into_inner())
    }
}

impl Totals {
    fn add(&mut self, scenario: usize, outcome: Outcome) {
        self.worlds += 1;
        self.steps += outcome.steps;
        self.choices += outcome.choices;
        self.scenario_choices += outcome.scenario_choices;
        self.injected.add(&outcome.injected);
        let each = &mut self.each[scenario];
        *each = (each.0 + 1, each.1 + outcome.scenario_choices);
        if outcome.result.is_err() {
            self.failures.push(outcome);
        }
    }
}

/// True for half of the seeds: of any sixteen that begin at a multiple, each strategy (chosen by the
/// seed's low three bits) runs once calm and once not, and which comes first is drawn.
#[must_use]
pub fn is_calm(seed: u64) -> bool {
    let first = Rng::new(seed / 16).next() >> (32 + seed % 8) & 1 == 1;
    first == (seed / 8).is_multiple_of(2)
}

impl Scenario {
    /// The number of cores that `seed` chooses between the bounds.
    #[must_use]
    pub fn cpus_of(&self, seed: u64) -> usize {
        let counts = self.core_counts();
        // Not the seed itself, whose low bits choose the strategy.
        counts[(Rng::new(seed).next() % counts.len() as u64) as usize]
    }
}

/// Looks closer at a failing run: its simplest form found with `points` interleaving
/// points to spend and that form's recording, or,
/// when it does not fail again, the run as it was.
#[must_use]
pub fn investigate(scenario: &Scenario, failing: &Outcome, points: u64) -> (Outcome, Recording) {
    let outcome = minimise(scenario, failing, points).unwrap_or_else(|| {
        let options = failing.options();
        let again = record(&scenario.on(failing.cpus), failing.seed(), options);
        if again.result.is_err() {
            again
        } else {
            failing.clone()
        }
    });
    let recording = Recording::of(&outcome);
    (outcome, recording)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::strategy::Strategy;

    #[test]
    fn every_strategy_runs_calm_and_not() {
        for block in 0..100 {
            let worlds: BTreeSet<(String, bool)> = (16 * block..16 * (block + 1))
                .map(|seed| {
                    (
                        Strategy::Mixed.resolve(seed, false).to_string(),
                        is_calm(seed),
                    )
                })
                .collect();
            for strategy in ["walk", "turns", "pct:2", "pct:3", "pct:4"] {
                for calm in [false, true] {
                    let world = (strategy.to_owned(), calm);
                    assert!(worlds.contains(&world), "{world:?} is not in block {block}");
                }
            }
        }
    }

    #[test]
    fn which_seeds_are_calm_does_not_repeat_itself() {
        let blocks: BTreeSet<Vec<bool>> = (0..100)
            .map(|block| (16 * block..16 * (block + 1)).map(is_calm).collect())
            .collect();
        assert!(blocks.len() > 60, "only {} patterns in 100", blocks.len());
    }
}
