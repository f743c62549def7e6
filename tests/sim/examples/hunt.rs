//! The default sweep until its first failure, in words for a program: `cargo xtask bugs` reads it.
//!
//! Seed by seed over the whole catalogue, one world after the other, so that the number of worlds
//! needed is a fact about the bug and not about the machine. A line says which world begins, in
//! case it takes the process down.

use std::io::Write;

use sim::{Campaign, Faults, Kinds, Options, Strategy, run};
use sim_tests::scenarios;

fn main() {
    let seeds = std::env::args().nth(1).and_then(|n| n.parse().ok());
    // As in the bounded sweep.
    let campaign = Campaign {
        scenarios: scenarios::ALL,
        first_seed: 0,
        seeds: seeds.expect("usage: hunt SEEDS"),
        until: None,
        cpus: None,
        options: Options {
            strategy: Strategy::Mixed,
            faults: Faults::of(Kinds::ALL),
            ..Options::default()
        },
        calm_half: true,
        jobs: 1,
        failures: 1,
    };
    for n in 0..campaign.worlds() {
        let (scenario, seed, options) = campaign.world(n);
        say(&format!("world\t{}\t{}\t{seed}", n + 1, scenario.name()));
        let outcome = run(&scenario, seed, options);
        if outcome.result.is_err() {
            say(&format!("caught\t{}", outcome.verdict().replace('\t', " ")));
            return;
        }
    }
    say("clean");
}

/// A reader that has gone ends the hunt.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}
