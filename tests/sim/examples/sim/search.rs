//! `sim`: looks for a failing seed, minimises what it finds and keeps it as a recording.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use sim::{Campaign, Kinds, Outcome, Recording, Scenario, Strategy, explore, investigate, run};
use sim_tests::{keep, scenarios, settle};

use crate::progress::Progress;
use crate::{Common, chosen, options};

/// Schedules after which an exhaustive search gives up.
const MOST_SCHEDULES: u64 = 1_000_000;

/// Options of `cargo xtask sim`.
#[derive(Args, Debug)]
pub(crate) struct Search {
    /// The scenario; all of them if none is named
    scenario: Option<String>,
    /// Seeds for each scenario
    #[arg(long, value_name = "N", default_value_t = 100)]
    seeds: u64,
    /// walk, turns, pct:DEPTH, mixed, or exhaustive:PREEMPTIONS for one small scenario
    #[arg(long, value_name = "S", default_value = "mixed")]
    strategy: String,
    /// none, all, or a list of thread, heap, pages, ipi, timer, spurious, stall, storm, packets,
    /// forever; each scenario has those it endures
    #[arg(long, value_name = "F", default_value = "none")]
    faults: Kinds,
    /// Run this recording again
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "seeds", "strategy", "faults"])]
    replay: Option<PathBuf>,
    /// Keep only the seed of this recording, whose failure is mended
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    settle: Option<PathBuf>,
    /// Print the scenarios and end
    #[arg(long)]
    list: bool,
    /// Do not write recordings of failures into tests/sim/seeds
    #[arg(long)]
    no_keep: bool,
    /// Millions of interleaving points to spend on minimising a failure, each about a second
    #[arg(long, value_name = "M", default_value_t = 20)]
    minimise: u64,
    #[command(flatten)]
    common: Common,
}

impl Search {
    /// True when nothing failed.
    pub(crate) fn run(&self) -> Result<bool, String> {
        if self.list {
            scenarios::ALL.iter().for_each(describe);
            return Ok(true);
        }
        if let Some(file) = &self.replay {
            return replay(file);
        }
        if let Some(file) = &self.settle {
            return settle(file).map(|()| true);
        }
        let set = chosen(self.scenario.as_deref())?;
        if let Some(bound) = exhaustive(&self.strategy)? {
            return self.explore(set, bound);
        }
        let strategy: Strategy = self.strategy.parse()?;
        let set = &able(set, strategy)?;
        let campaign = Campaign {
            scenarios: set,
            first_seed: self.common.first_seed.unwrap_or(0),
            seeds: self.seeds,
            until: None,
            cpus: self.common.cpus(),
            options: options(strategy, self.faults),
            calm_half: false,
            jobs: self.common.jobs(),
            failures: 1,
        };
        let (began, whole) = (Instant::now(), campaign.worlds() as f64);
        let mut progress = Progress::new();
        let totals = campaign.run(|t| progress.show(t.worlds as f64 / whole, t));
        progress.end();
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{} scenarios, {} seeds in {seconds:.1} s: {} points, {} with a choice; faults: {}; {} failures",
            set.len(),
            totals.worlds,
            totals.steps,
            totals.choices,
            totals.injected,
            totals.failures.len()
        );
        let points = self.minimise.saturating_mul(1_000_000);
        for failing in &totals.failures {
            tell(set, failing, points, !self.no_keep);
        }
        Ok(totals.failures.is_empty())
    }

    fn explore(&self, set: &[Scenario], bound: u32) -> Result<bool, String> {
        let [scenario] = set else {
            return Err("an exhaustive search is for one scenario; name it".to_owned());
        };
        let (fewest, most) = scenario.bounds();
        let cpus = self.common.cpus().unwrap_or(scenario.cpus());
        let cpus = cpus.clamp(fewest, most);
        let began = Instant::now();
        let found = explore(&scenario.on(cpus), bound, MOST_SCHEDULES);
        println!(
            "{}: {} schedules with at most {bound} preemptions on {cpus} cores in {:.1} s, {}",
            scenario.name(),
            found.schedules,
            began.elapsed().as_secs_f64(),
            if found.complete {
                "complete"
            } else {
                "not complete"
            }
        );
        if let Some(failure) = &found.failure {
            let points = self.minimise.saturating_mul(1_000_000);
            tell(set, failure, points, !self.no_keep);
        }
        Ok(found.failure.is_none())
    }
}

/// The scenarios of `set` that `strategy` can run; says how many it leaves out.
fn able(set: &[Scenario], strategy: Strategy) -> Result<Vec<Scenario>, String> {
    let able: Vec<_> = set
        .iter()
        .copied()
        .filter(|s| s.can_run_by(strategy))
        .collect();
    if able.is_empty() {
        return Err(format!(
            "{strategy} starves cores, which `{}` does not endure (no `stall` among its faults); \
             use walk, turns or mixed",
            set.first().map_or("", Scenario::name)
        ));
    }
    if able.len() < set.len() {
        eprintln!(
            "{strategy} leaves out {} scenarios that do not endure a starved core",
            set.len() - able.len()
        );
    }
    Ok(able)
}

/// The bound in `exhaustive:BOUND`.
fn exhaustive(strategy: &str) -> Result<Option<u32>, String> {
    let (word, bound) = strategy.split_once(':').unwrap_or((strategy, "2"));
    if word != "exhaustive" {
        return Ok(None);
    }
    let bound = bound.parse();
    bound
        .map(Some)
        .map_err(|_| format!("`{strategy}`: the bound is a number of preemptions"))
}

fn describe(s: &Scenario) {
    let (fewest, most) = s.bounds();
    println!("{:<32} {fewest}..{most} cores  {}", s.name(), s.what());
}

/// Prints the report of a failing run, and keeps its recording.
pub(crate) fn tell(set: &[Scenario], failing: &Outcome, points: u64, kept: bool) {
    let Some(scenario) = set.iter().find(|s| s.name() == failing.scenario) else {
        return;
    };
    eprintln!(
        "{} failed under seed {}; minimising",
        failing.scenario,
        failing.seed()
    );
    let (outcome, recording) = investigate(scenario, failing, points);
    let file = kept.then(|| keep(&recording));
    let file = match file {
        Some(Err(e)) => {
            eprintln!("cannot keep the recording: {e}");
            None
        }
        Some(Ok(path)) => Some(path.display().to_string()),
        None => None,
    };
    println!("{}", outcome.report(file.as_deref()));
}

fn replay(file: &Path) -> Result<bool, String> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|e| format!("{name}: {e}"))?;
    let recording: Recording = text.parse().map_err(|e| format!("{name}, {e}"))?;
    let set = chosen(Some(&recording.scenario))?;
    if recording.is_settled() {
        let options = options(recording.strategy, recording.faults);
        let outcome = run(&set[0].on(recording.cpus), recording.seed, options);
        println!(
            "{name} is settled: only its seed is left\n{}",
            outcome.report(None)
        );
        return Ok(outcome.result.is_ok());
    }
    let replayed = recording.replay(&set[0]);
    let outcome = &replayed.outcome;
    println!("{}", outcome.report(Some(&name.to_string())));
    if let Some(why) = recording.unfaithful(&replayed) {
        return Err(format!(
            "{name} {why}. What you see is the nearest run; look for a new seed with\n  \
             cargo xtask sim '{}' --cpus {} --faults {}",
            recording.scenario, recording.cpus, recording.faults
        ));
    }
    Ok(outcome.result.is_ok())
}
