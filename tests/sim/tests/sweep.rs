//! The bounded sweep: every scenario of the catalogue under many seeds, and every recording.
//!
//! One entry per scenario ([`sim_tests::campaign`]); together at least 2,000 worlds. `cargo xtask soak`
//! runs more.

use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use sim::{Faults, Options, Recording, Scenario, investigate, run};
use sim_tests::{campaign, kept, rows, scenarios};

/// What minimising a failure may cost, in interleaving points: a matter of seconds.
const POINTS: u64 = 10_000_000;

fn main() {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = scenarios::ALL
        .iter()
        .map(|s| Trial::test(entry(s), move || sweep(s)))
        .collect();
    trials.extend(kept().into_iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Trial::test(format!("recording::{name}"), move || again(&path))
    }));
    trials.push(Trial::test("names_differ", names_differ));
    libtest_mimic::run(&arguments, trials).exit();
}

/// `sweep::b4_c5::hammered-item`: the rows it stands for are a part of its name, by which
/// `cargo xtask conformance` finds it.
fn entry(scenario: &Scenario) -> String {
    let (name, rows) = (scenario.name(), rows(scenario));
    match rows.is_empty() {
        true => format!("sweep::{name}"),
        false => format!("sweep::{}::{name}", rows.join("_")),
    }
}

fn sweep(scenario: &'static Scenario) -> Result<(), Failed> {
    let totals = campaign(std::slice::from_ref(scenario)).run(|_| {});
    let Some(failing) = totals.failures.first() else {
        return Ok(());
    };
    let (outcome, recording) = investigate(scenario, failing, POINTS);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.replay", scenario.name()));
    std::fs::write(&file, recording.to_string())?;
    Err(outcome.report(file.to_str()).to_string().into())
}

/// A run that failed once, in this build: by its seed, and by its decisions if it still has some.
fn again(path: &Path) -> Result<(), Failed> {
    let recording: Recording = std::fs::read_to_string(path)?.parse()?;
    let scenario = scenarios::find(&recording.scenario)
        .ok_or_else(|| format!("no scenario is called `{}`", recording.scenario))?;
    let options = Options {
        strategy: recording.strategy,
        faults: Faults::of(recording.wanted),
        ..Options::default()
    };
    let by_seed = run(&scenario.on(recording.cpus), recording.seed, options);
    if by_seed.result.is_err() {
        return Err(by_seed.report(path.to_str()).to_string().into());
    }
    if recording.is_settled() {
        return Ok(());
    }
    let replayed = recording.replay(scenario);
    if replayed.outcome.result.is_err() {
        return Err(replayed.outcome.report(path.to_str()).to_string().into());
    }
    match recording.unfaithful(&replayed) {
        Some(why) => Err(format!(
            "{} {why}. If what it shows is mended, settle it with\n  cargo xtask sim --settle {}\n\
             which keeps the seed and drops the decisions",
            path.display(),
            path.display()
        )
        .into()),
        None => Ok(()),
    }
}

fn names_differ() -> Result<(), Failed> {
    for (i, s) in scenarios::ALL.iter().enumerate() {
        if scenarios::ALL[..i].iter().any(|t| t.name() == s.name()) {
            return Err(format!("two scenarios are called `{}`", s.name()).into());
        }
    }
    Ok(())
}
