//! The default sweep until its first failure, in words for a program: `cargo xtask bugs` reads it.
//!
//! Seed by seed over the whole catalogue, one world after the other, so that the number of worlds
//! needed is a fact about the bug and not about the machine. A line says which world begins, in
//! case it takes the process down. With a row of `docs/rules.md` only the scenarios of that row hunt.

use std::io::Write;

use sim::run;
use sim_tests::{campaign, rows, scenarios};

fn main() {
    let (mut seeds, mut hunters) = (None, scenarios::ALL.to_vec());
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(n) => seeds = Some(n),
            Err(_) => hunters.retain(|s| rows(s).contains(&argument.to_lowercase())),
        }
    }
    let mut campaign = campaign(&hunters);
    campaign.seeds = seeds.unwrap_or(campaign.seeds);
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
