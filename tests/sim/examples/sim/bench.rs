//! `bench sim`: interleaving points per second of one host core, everything that is always on on.
//!
//! Only points between a scenario's beginning and its end count, at which at least two cores could
//! go on. Each scenario gets its share of the
//! time; the rate of a batch is its points over the CPU time it took, boot and end of each world
//! included.

use std::time::{Duration, Instant};

use clap::Args;
use sim::{Strategy, host, run};
use sim_tests::scenarios;

use crate::{Common, Kinds, options};

/// Points per second that are wanted.
const TARGET: f64 = 1e6;
/// Seeds in a batch.
const BATCH: u64 = 8;

/// Options of `cargo xtask bench sim`.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// What to measure; there is only the simulator here
    #[arg(value_parser = ["sim"])]
    what: String,
    /// Seconds for all scenarios together
    #[arg(long, value_name = "S", default_value_t = 30)]
    seconds: u64,
    #[command(flatten)]
    common: Common,
}

impl Bench {
    /// True when the target is reached.
    pub(crate) fn run(&self) -> Result<bool, String> {
        println!(
            "{:<32} {:>8} {:>14} {:>14}",
            self.what, "seeds", "points a seed", "points/s"
        );
        // One core has no choice.
        let set = || scenarios::ALL.iter().filter(|s| s.bounds().1 > 1);
        let first_seed = self.common.first_seed.unwrap_or(0);
        let share = Duration::from_secs(self.seconds) / set().count() as u32;
        let (mut points, mut time, mut rates) = (0, 0.0, Vec::new());
        for scenario in set() {
            let (fewest, most) = scenario.bounds();
            let cpus = self.common.cpus().unwrap_or(most).clamp(fewest, most);
            let (mut seed, mut mine, mut spent) = (first_seed, 0, 0.0);
            let end = Instant::now() + share;
            while seed == first_seed || Instant::now() < end {
                let (before, mut batch) = (host::cpu_time(), 0);
                for s in seed..seed + BATCH {
                    let all = options(Strategy::RandomWalk, Kinds::NONE);
                    batch += run(&scenario.on(cpus), s, all).expect_ok().scenario_choices;
                }
                let took = (host::cpu_time() - before).as_secs_f64();
                rates.push(batch as f64 / took);
                seed += BATCH;
                mine += batch;
                spent += took;
            }
            let seeds = seed - first_seed;
            let rate = mine as f64 / spent;
            println!(
                "{:<32} {seeds:>8} {:>14} {rate:>14.0}",
                scenario.name(),
                mine / seeds
            );
            points += mine;
            time += spent;
        }
        let rate = points as f64 / time;
        rates.sort_by(f64::total_cmp);
        let at = |part: usize| rates[(rates.len() - 1) * part / 100];
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        println!(
            "{{\"row\":\"sim.choices\",\"unit\":\"points/s\",\"n\":{},\"min\":{:.0},\"p50\":{:.0},\"p99\":{:.0},\"max\":{:.0},\"mean\":{mean:.0}}}",
            rates.len(),
            at(0),
            at(50),
            at(99),
            at(100)
        );
        println!(
            "all: {rate:.0} points with a choice per second and host core (target {TARGET:.0})"
        );
        Ok(rate >= TARGET)
    }
}
