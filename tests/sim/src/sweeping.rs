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

/// The rows of `docs/rules.md` that a scenario stands for, in lower case: those in brackets at the end
/// of its sentence. One may be followed by the part of it that is meant, as in `N8 a`.
#[must_use]
pub fn rows(scenario: &Scenario) -> Vec<String> {
    let list = scenario
        .what()
        .rsplit_once('(')
        .map_or("", |(_, list)| list);
    let words = list.trim_end_matches(')').split(", ");
    let is_row = |w: &&str| {
        let number = w.strip_prefix(|c: char| c.is_ascii_uppercase());
        number.is_some_and(|n| n.parse::<u8>().is_ok())
    };
    let words = words.filter_map(|w| w.split(' ').next()).filter(is_row);
    let mut rows: Vec<String> = words.map(str::to_lowercase).collect();
    rows.dedup();
    rows
}
