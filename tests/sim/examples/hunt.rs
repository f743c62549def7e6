//! The default sweep until its first failure, in words for a program: `cargo xtask bugs` reads it.
//!
//! Seed by seed over the whole catalogue, one world after the other, so that the number of worlds
//! needed is a fact about the bug and not about the machine. A line says which world begins, in
//! case it takes the process down.

use std::io::Write;

use sim::run;
use sim_tests::{campaign, scenarios};

fn main() {
    let mut campaign = campaign(scenarios::ALL);
    if let Some(seeds) = std::env::args().nth(1) {
        campaign.seeds = seeds.parse().expect("usage: hunt [SEEDS]");
    }
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
