//! A seed is a run with a network, too, and the network's choices are its own.

use sim::{Options, Scenario, Strategy, run};
use sim_tests::scenarios::{ALL, find};

fn with_network() -> impl Iterator<Item = &'static Scenario> {
    ALL.iter().filter(|s| s.name().starts_with("net-"))
}

#[test]
fn same_seed_same_trace() {
    assert!(with_network().count() >= 15);
    for scenario in with_network() {
        let outcome = || run(scenario, 3, Options::default()).expect_ok();
        let (first, again) = (outcome(), outcome());
        assert_eq!(first.trace.hash, again.trace.hash, "{}", scenario.name());
        assert_eq!(first.console, again.console, "{}", scenario.name());
    }
}

#[test]
fn another_strategy_is_another_run_that_holds() {
    for scenario in with_network() {
        let walk = run(scenario, 4, Options::default()).expect_ok();
        let turns = Options {
            strategy: Strategy::RoundRobin,
            ..Options::default()
        };
        let turns = run(&scenario.on(3), 4, turns).expect_ok();
        assert_ne!(walk.trace.hash, turns.trace.hash, "{}", scenario.name());
    }
}

/// What clients send does not depend on how the kernel is interleaved.
#[test]
fn clients_do_the_same_under_every_strategy() {
    let scenario = find("net-echo").expect("it is in the catalogue");
    for seed in 0..10 {
        let lines = |strategy| {
            let options = Options {
                strategy,
                ..Options::default()
            };
            let console = run(scenario, seed, options).expect_ok().console;
            let said = console.lines().filter(|l| l.starts_with("echoed "));
            let mut lines: Vec<String> = said.map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        let walk = lines(Strategy::RandomWalk);
        assert_eq!(walk.len(), 3);
        assert_eq!(walk, lines(Strategy::RoundRobin));
    }
}

/// What a wire does is among the faults a run reports, and nothing is on a sound wire.
#[test]
fn faults_of_packets_are_counted() {
    let faults = |name| {
        let scenario = find(name).expect("it is in the catalogue");
        let outcome = run(scenario, 1, Options::default()).expect_ok();
        outcome.injected.of(sim::Kinds::PACKETS)
    };
    assert_ne!(faults("net-lossy"), 0);
    assert_eq!(faults("net-echo"), 0);
}
