//! The services in the simulator, against clients on a virtual wire.

use sim::{Options, run};
use sim_tests::scenarios::net;

#[test]
fn echo_returns_what_it_gets() {
    for seed in 0..50 {
        run(&net::ECHO, seed, Options::default()).expect_ok();
    }
}

#[test]
fn same_seed_same_trace_with_a_network() {
    for seed in 0..10 {
        let hash = || run(&net::ECHO, seed, Options::default()).trace.hash;
        assert_eq!(hash(), hash());
    }
}
