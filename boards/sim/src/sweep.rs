//! Many worlds: a scenario under a range of seeds and core counts, on all host threads.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::boot::run;
use crate::options::{Options, Outcome};
use crate::scenario::Scenario;
use crate::strategy::Strategy;

/// Sums over the runs of a sweep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sweep {
    /// Worlds run.
    pub worlds: u64,
    /// Interleaving points.
    pub steps: u64,
    /// Points with a choice.
    pub choices: u64,
}

/// Runs `scenario` under every seed of `seeds`, on each number of `cores`, by the random walk and
/// every eighth time by taking turns; `Err` with the failure of the lowest seed.
///
/// # Errors
///
/// The outcome of a failing run.
pub fn try_sweep(
    scenario: Scenario,
    cores: &[usize],
    seeds: Range<u64>,
    options: Options,
) -> Result<Sweep, Box<Outcome>> {
    let next = AtomicU64::new(seeds.start);
    let sums = Mutex::new(Sweep::default());
    let failed: Mutex<Option<Box<Outcome>>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || failed.lock().is_ok_and(|f| f.is_some()) {
                return;
            }
            for &cpus in cores {
                let mut options = options;
                if seed % 8 == 7 {
                    options.strategy = Strategy::RoundRobin;
                }
                let outcome = run(&scenario.on(cpus), seed, options);
                if let Ok(mut sums) = sums.lock() {
                    sums.worlds += 1;
                    sums.steps += outcome.steps;
                    sums.choices += outcome.choices;
                }
                if outcome.result.is_err()
                    && let Ok(mut failed) = failed.lock()
                    && failed.as_ref().is_none_or(|f| f.seed() > seed)
                {
                    *failed = Some(Box::new(outcome));
                    return;
                }
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    match failed.into_inner() {
        Ok(Some(outcome)) => Err(outcome),
        _ => Ok(sums.into_inner().unwrap_or_default()),
    }
}

/// As [`try_sweep`] with the default options, for tests.
///
/// # Panics
///
/// With the report of the failing run.
#[track_caller]
pub fn sweep(scenario: Scenario, cores: &[usize], seeds: Range<u64>) -> Sweep {
    match try_sweep(scenario, cores, seeds, Options::default()) {
        Ok(sums) => sums,
        Err(outcome) => panic!("{outcome}"),
    }
}
