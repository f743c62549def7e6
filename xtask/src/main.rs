//! Command line of the host tool. Without a verb it runs the service.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::options::Options;
use xtask::{Outcome, verb};

/// Roundtable's host tool: builds the kernel, boots it in QEMU, checks the tree.
#[derive(Parser, Debug)]
#[command(name = "xtask", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    run: Options,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Build the service and boot it (the default)
    Run(Options),
    /// Boot a linked kernel (cargo's runner for the metal target)
    Qemu {
        /// The linked kernel
        elf: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// Install what run and test need
    Setup {
        /// Only check
        #[arg(long)]
        no_install: bool,
        /// Without asking
        #[arg(long)]
        yes: bool,
    },
    /// Formatting, clippy for host and metal, layers, file sizes, unsafe table, documentation
    Lint,
    /// Check and draw the layers
    Layers,
    /// Rewrite docs/unsafe.md; fails when it changed
    UnsafeAudit {
        /// Write nothing
        #[arg(long)]
        check: bool,
    },
    /// Run all tests and summarise them
    Test {
        /// Only tests whose name contains this
        #[arg(long, value_name = "FILTER")]
        only: Option<String>,
    },
    /// Look for failing seeds in the simulator: `sim [SCENARIO] [--seeds N] …`
    #[command(disable_help_flag = true)]
    Sim(verb::sim::Passed),
    /// Run all scenarios of the simulator for a time: `soak --minutes M …`
    #[command(disable_help_flag = true)]
    Soak(verb::sim::Passed),
    /// Measure: `bench [GROUP|ROW…]` counts instructions on target, `bench sim` interleaving points
    #[command(disable_help_flag = true)]
    Bench(verb::sim::Passed),
    /// Everything the build machine runs
    Ci,
    /// Build the image and print its sizes
    Size,
    /// Change the policy crates in small ways and see whether their tests notice (takes hours)
    Mutants(verb::mutants::Options),
    /// Apply each seeded bug to a copy of the tree and let the simulator's sweep find it
    Bugs(verb::bugs::Options),
    /// Run the tests of the rule table, row by row
    Conformance(verb::conformance::Options),
    /// Run an experiment on target: a table, and a plot and CSV in `target/experiments`
    Experiment(verb::experiment::Options),
    /// Take the pictures of the live page anew (docs/live-light.png, docs/live-dark.png); needs Chromium
    Screenshots(verb::screenshots::Options),
    /// Record what a guest does: `trace record --ms N -o FILE [--text|--json]`
    Trace(verb::trace::Options),
    /// Print a log of the guest with the source line of each address
    Decode(verb::decode::Options),
    /// Check that the hot calls of the machine seam are instructions in the image
    Seam,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(cli: Cli) -> Outcome<u8> {
    match cli.verb.unwrap_or(Verb::Run(cli.run)) {
        Verb::Run(options) => verb::run::run(&options),
        Verb::Qemu { elf, options } => verb::qemu::run(&elf, &options),
        Verb::Setup { no_install, yes } => verb::setup::run(no_install, yes),
        Verb::Lint => verb::lint::run(),
        Verb::Layers => verb::layers::run(),
        Verb::UnsafeAudit { check } => verb::unsafe_audit::run(check),
        Verb::Test { only } => verb::test::run(only.as_deref()),
        Verb::Sim(passed) => verb::sim::run("sim", &passed),
        Verb::Soak(passed) => verb::sim::run("soak", &passed),
        Verb::Bench(passed) => verb::bench::run(&passed),
        Verb::Ci => verb::ci::run(),
        Verb::Size => verb::size::run(),
        Verb::Bugs(options) => verb::bugs::run(&options),
        Verb::Mutants(options) => verb::mutants::run(&options),
        Verb::Conformance(options) => verb::conformance::run(&options),
        Verb::Experiment(options) => verb::experiment::run(&options),
        Verb::Screenshots(options) => verb::screenshots::run(&options),
        Verb::Trace(options) => verb::trace::run(&options),
        Verb::Decode(options) => verb::decode::run(&options),
        Verb::Seam => verb::seam::run(),
    }
}
