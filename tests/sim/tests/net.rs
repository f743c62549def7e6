//! The services in the simulator, against clients on a virtual wire.

use sim::{Options, run};
use sim_tests::scenarios::net;

#[test]
fn every_scenario_holds() {
    for scenario in net::ALL {
        for seed in 0..8 {
            run(scenario, seed, Options::default()).expect_ok();
        }
    }
}

#[test]
fn same_seed_same_trace_with_a_network() {
    for scenario in net::ALL {
        let hash = || run(scenario, 3, Options::default()).expect_ok().trace.hash;
        assert_eq!(hash(), hash(), "{}", scenario.name());
    }
}
