//! The catalogue itself: names and sentences, long enough runs, and every scenario under some seeds.

use std::collections::BTreeSet;

use sim::{Options, run, sweep};
use sim_tests::scenarios::{ALL, find};

#[test]
fn every_scenario_has_a_name_of_its_own_and_says_what_must_hold() {
    assert!(ALL.len() >= 36, "only {} scenarios", ALL.len());
    let names: BTreeSet<&str> = ALL.iter().map(|s| s.name()).collect();
    assert_eq!(names.len(), ALL.len(), "a name is given twice");
    for s in ALL {
        let (about, (fewest, most)) = (s.what(), s.bounds());
        assert!(about.len() > 30, "{} does not say what must hold", s.name());
        assert!(!about.ends_with('.'), "{}: one sentence, no stop", s.name());
        assert!(fewest <= s.cpus() && s.cpus() <= most, "{}", s.name());
        assert_eq!(find(s.name()).map(|s| s.what()), Some(about));
    }
}

/// A scenario that takes few decisions is swept quickly and finds little. What counts is where another core
/// could have gone on while the scenario ran: boot and rest are the same for all.
#[test]
fn the_median_run_is_long_enough() {
    let mut points: Vec<(u64, &str)> = ALL
        .iter()
        .map(|s| {
            let run = |seed| run(s, seed, Options::default()).expect_ok();
            let mut of: Vec<u64> = (0..5).map(|seed| run(seed).scenario_choices).collect();
            of.sort_unstable();
            (of[of.len() / 2], s.name())
        })
        .collect();
    points.sort_unstable();
    let (median, _) = points[points.len() / 2];
    assert!(median >= 1_000, "the median run has {median}: {points:?}");
    // One core has no choice, and beside a client on a wire most cores sleep.
    let short = points.iter().filter(|(n, _)| *n < 300).count();
    assert!(5 * short <= ALL.len(), "{short} are short: {points:?}");
}

/// What the documentation shows is what runs.
#[test]
fn the_scenarios_in_the_documentation_are_some() {
    let document = include_str!("../../../docs/testing.md");
    let files = [
        (
            "A scenario in ten lines",
            "one-unit",
            include_str!("../src/scenarios/one_unit.rs"),
        ),
        (
            "A scenario with a network",
            "net-hello",
            include_str!("../src/scenarios/net/hello.rs"),
        ),
    ];
    for (title, name, file) in files {
        let (_, section) = document
            .split_once(&format!("## {title}\n"))
            .expect("the section");
        let (_, code) = section.split_once("```rust\n").expect("its code");
        let (code, _) = code.split_once("```").expect("the end of it");
        assert!(file.contains(code), "docs/testing.md shows another {name}");
        assert!(find(name).is_some(), "{name} is in no list");
    }
}

/// Six seeds on every number of cores up to eight that it may have, two on every greater one; the big
/// sweeps are the tool's.
#[test]
fn every_scenario_holds_on_every_number_of_cores() {
    for s in ALL {
        let (few, many): (Vec<usize>, Vec<usize>) = s.core_counts().iter().partition(|n| **n <= 8);
        sweep(*s, &few, 0..6);
        sweep(*s, &many, 0..2);
    }
}

/// The executive is told of 64 cores; some worlds have as many.
#[test]
fn some_worlds_have_every_core_there_can_be() {
    for n in [16, 33, machine::MAX_CPUS] {
        let with = ALL.iter().filter(|s| s.core_counts().contains(&n)).count();
        assert!(with >= 4, "{with} scenarios run on {n} cores");
    }
}
