//! The default sweep: what `cargo test` runs, and what `cargo xtask bugs` lets loose on seeded bugs.
//!
//! One definition for both, so that a bug counts as caught only if `cargo test` would have seen it.

use sim::{Campaign, Faults, Kinds, Options, Scenario, Strategy};

use crate::scenarios;

/// Worlds of all scenarios together, at least.
const WORLDS: u64 = 2_000;
/// Seeds of each scenario, at least.
const FEWEST: u64 = 40;

/// Seeds of each scenario.
#[must_use]
pub const fn seeds() -> u64 {
    let each = WORLDS.div_ceil(scenarios::ALL.len() as u64);
    if each > FEWEST { each } else { FEWEST }
}

/// Strategies by the seed, cores by the seed, every fault the scenario endures under half of the seeds;
/// until the first failure.
#[must_use]
pub fn campaign(scenarios: &[Scenario]) -> Campaign<'_> {
    Campaign {
        scenarios,
        first_seed: 0,
        seeds: seeds(),
        until: None,
        cpus: None,
        options: Options {
            strategy: Strategy::Mixed,
            faults: Faults::of(Kinds::EVERY),
            ..Options::default()
        },
        calm_half: true,
        // The entries of `cargo test` run side by side already.
        jobs: 1,
        failures: 1,
    }
}
