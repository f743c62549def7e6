//! The bounded sweep: every scenario of the catalogue under many seeds, and every recording.
//!
//! One entry per scenario. Strategies alternate by the seed, the number of cores comes from it, and
//! every other seed has faults (those the scenario endures). Together at least 2,000 worlds;
//! `cargo xtask soak` runs more.

use std::path::Path;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use sim::{Campaign, Faults, Kinds, Options, Recording, Scenario, Strategy, investigate, run};
use sim_tests::{kept, scenarios};

/// Worlds of all scenarios together, at least.
const WORLDS: u64 = 2_000;
/// Seeds of each scenario, at least.
const FEWEST: u64 = 40;

fn main() {
    let arguments = Arguments::from_args();
    let seeds = WORLDS.div_ceil(scenarios::ALL.len() as u64).max(FEWEST);
    let mut trials: Vec<Trial> = scenarios::ALL
        .iter()
        .map(|s| Trial::test(format!("sweep::{}", s.name()), move || sweep(s, seeds)))
        .collect();
    trials.extend(kept().into_iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Trial::test(format!("recording::{name}"), move || again(&path))
    }));
    trials.push(Trial::test("names_differ", names_differ));
    libtest_mimic::run(&arguments, trials).exit();
}

fn sweep(scenario: &'static Scenario, seeds: u64) -> Result<(), Failed> {
    let campaign = Campaign {
        scenarios: std::slice::from_ref(scenario),
        first_seed: 0,
        seeds,
        until: None,
        cpus: None,
        options: Options {
            strategy: Strategy::Mixed,
            faults: Faults::of(Kinds::EVERY),
            ..Options::default()
        },
        calm_half: true,
        // The entries run side by side already.
        jobs: 1,
        failures: 1,
    };
    let totals = campaign.run(|_| {});
    let Some(failing) = totals.failures.first() else {
        return Ok(());
    };
    let (outcome, recording) = investigate(scenario, failing, Duration::from_secs(10));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.replay", scenario.name()));
    std::fs::write(&file, recording.to_string())?;
    Err(outcome.report(file.to_str()).to_string().into())
}

/// A run that failed once, in this build.
fn again(path: &Path) -> Result<(), Failed> {
    let recording: Recording = std::fs::read_to_string(path)?.parse()?;
    let scenario = scenarios::find(&recording.scenario)
        .ok_or_else(|| format!("no scenario is called `{}`", recording.scenario))?;
    let options = Options {
        strategy: recording.strategy,
        faults: Faults::of(recording.faults),
        ..Options::default()
    };
    let by_seed = run(&scenario.on(recording.cpus), recording.seed, options);
    for outcome in [by_seed, recording.replay(scenario).outcome] {
        if outcome.result.is_err() {
            return Err(outcome.report(path.to_str()).to_string().into());
        }
    }
    Ok(())
}

fn names_differ() -> Result<(), Failed> {
    for (i, s) in scenarios::ALL.iter().enumerate() {
        if scenarios::ALL[..i].iter().any(|t| t.name() == s.name()) {
            return Err(format!("two scenarios are called `{}`", s.name()).into());
        }
    }
    Ok(())
}
