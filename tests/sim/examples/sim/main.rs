//! The program behind `cargo xtask sim`, `soak` and `bench sim`.
//!
//! It is a program of its own because xtask must not link the kernel, and an example rather than a
//! binary so that `cargo run` in the workspace keeps meaning the host tool.

mod bench;
mod progress;
mod search;
mod soak;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use sim::{Faults, Kinds, Options, Scenario, Strategy};
use sim_tests::scenarios;

/// Exit code: a scenario failed.
const FAILED: u8 = 4;
/// Exit code: the command line makes no sense.
const USAGE: u8 = 2;

/// Runs scenarios in the deterministic simulator.
#[derive(Parser, Debug)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Run one scenario, or all, under many seeds
    Sim(search::Search),
    /// Run all scenarios under new seeds for a given time
    Soak(soak::Soak),
    /// Measure interleaving points per second
    Bench(bench::Bench),
}

/// What all verbs understand.
#[derive(Args, Clone, Debug)]
struct Common {
    /// Number of cores, within each scenario's bounds; else the seed chooses
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    cpus: Option<u8>,
    /// First seed; 0 unless given, and drawn for a soak
    #[arg(long, value_name = "S")]
    first_seed: Option<u64>,
    /// Host threads; one per host core unless given
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

impl Common {
    fn jobs(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.unwrap_or_else(all)
    }

    fn cpus(&self) -> Option<usize> {
        self.cpus.map(usize::from)
    }
}

fn options(strategy: Strategy, faults: Kinds) -> Options {
    Options {
        strategy,
        faults: Faults::of(faults),
        ..Options::default()
    }
}

/// The scenario of this name, or all of them.
fn chosen(name: Option<&str>) -> Result<&'static [Scenario], String> {
    let Some(name) = name else {
        return Ok(scenarios::ALL);
    };
    if let Some(scenario) = scenarios::find(name) {
        return Ok(std::slice::from_ref(scenario));
    }
    let names: Vec<String> = scenarios::ALL
        .iter()
        .map(|s| format!("  {:<28} {}", s.name(), s.what()))
        .collect();
    Err(format!(
        "no scenario is called `{name}`; there are\n{}",
        names.join("\n")
    ))
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Sim(search) => search.run(),
        Verb::Soak(soak) => soak.run(),
        Verb::Bench(bench) => bench.run(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(USAGE)
        }
    }
}
