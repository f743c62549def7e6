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
    /// Every other seed runs without faults.
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
    /// Faults.
    pub injected: Injected,
    /// Failing runs, in the order they were found.
    pub failures: Vec<Outcome>,
    /// Worlds and points with a choice of each scenario.
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
        if self.calm_half && seed.is_multiple_of(2) {
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
        self.injected.add(&outcome.injected);
        let each = &mut self.each[scenario];
        *each = (each.0 + 1, each.1 + outcome.choices);
        if outcome.result.is_err() {
            self.failures.push(outcome);
        }
    }
}

impl Scenario {
    /// The number of cores that `seed` chooses between the bounds.
    #[must_use]
    pub fn cpus_of(&self, seed: u64) -> usize {
        let (fewest, most) = self.bounds();
        let spread = (most - fewest + 1) as u64;
        // Not the seed itself, whose low bits choose the strategy.
        fewest + (crate::rng::Rng::new(seed).next() % spread) as usize
    }
}

/// Looks closer at a failing run: its simplest form found in `time` and that form's recording, or,
/// when it does not fail again, the run as it was.
#[must_use]
pub fn investigate(scenario: &Scenario, failing: &Outcome, time: Duration) -> (Outcome, Recording) {
    let outcome = minimise(scenario, failing, time).unwrap_or_else(|| {
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
