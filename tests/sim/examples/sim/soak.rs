//! `soak`: all scenarios under ever new seeds for a given time, with everything that can go wrong.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use clap::Args;
use sim::{Campaign, Kinds, Strategy, Totals, host};

use crate::progress::Progress;
use crate::search::tell;
use crate::{Common, chosen, options};

/// Failures after which there is nothing to learn from going on.
const MOST_FAILURES: usize = 10;

/// Interleaving points to spend on minimising each.
const MINIMISE: u64 = 20_000_000;

/// Options of `cargo xtask soak`.
#[derive(Args, Debug)]
pub(crate) struct Soak {
    /// How long
    #[arg(long, value_name = "M")]
    minutes: f64,
    /// Only this scenario
    scenario: Option<String>,
    /// walk, turns, pct:DEPTH or mixed
    #[arg(long, value_name = "S", default_value = "mixed")]
    strategy: Strategy,
    /// Faults of every other seed, as in `sim`
    #[arg(long, value_name = "F", default_value = "all")]
    faults: Kinds,
    #[command(flatten)]
    common: Common,
}

impl Soak {
    /// True when nothing failed.
    pub(crate) fn run(&self) -> Result<bool, String> {
        if !(0.0..=100_000.0).contains(&self.minutes) {
            return Err(format!("{} minutes cannot be soaked", self.minutes));
        }
        let set = chosen(self.scenario.as_deref())?;
        let length = Duration::from_secs_f64(self.minutes * 60.0);
        let first_seed = self.common.first_seed.unwrap_or_else(drawn);
        println!("first seed           {first_seed}");
        let began = Instant::now();
        let campaign = Campaign {
            scenarios: set,
            first_seed,
            seeds: u64::MAX,
            until: Some(began + length),
            cpus: self.common.cpus(),
            options: options(self.strategy, self.faults),
            calm_half: true,
            jobs: self.common.jobs(),
            failures: MOST_FAILURES,
        };
        let mut progress = Progress::new();
        let totals = campaign
            .run(|t| progress.show(began.elapsed().as_secs_f64() / length.as_secs_f64(), t));
        progress.end();
        println!("{:<32} {:>10} {:>16}", "scenario", "seeds", "points a seed");
        for (scenario, (worlds, choices)) in set.iter().zip(&totals.each) {
            let mean = choices / (*worlds).max(1);
            println!("{:<32} {worlds:>10} {mean:>16}", scenario.name());
        }
        summary(&totals, began.elapsed());
        for failing in &totals.failures {
            tell(set, failing, MINIMISE, true);
        }
        Ok(totals.failures.is_empty())
    }
}

/// A seed that no soak began with before. Small enough to be typed, and far from those of the sweeps.
fn drawn() -> u64 {
    let noise = RandomState::new().hash_one("first seed");
    1_000_000 + noise % 1_000_000_000_000
}

fn summary(totals: &Totals, took: Duration) {
    println!("time                 {:.1} min", took.as_secs_f64() / 60.0);
    println!("seeds                {}", totals.worlds);
    println!("interleaving points  {}", totals.steps);
    println!("with a choice        {}", totals.choices);
    println!(
        "faults injected      {} ({})",
        totals.injected.total(),
        totals.injected
    );
    println!("peak memory          {} MiB", host::peak_bytes() >> 20);
    println!("violations           {}", totals.failures.len());
}
