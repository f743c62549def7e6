//! The example programs in the simulator, on several numbers of cores under many seeds.

use kernel::thread::ThreadCx;
use sim::{Scenario, sweep};

fn check(name: &'static str, init: fn(&ThreadCx<'_>)) {
    let scenario = Scenario::new(name, 1, init);
    sweep(scenario, &[1, 2, 4], 0..30);
}

#[test]
fn own_queue() {
    check("own queue", examples::own_queue::main);
}

#[test]
fn delayed_work() {
    check("delayed work", examples::delayed_work::main);
}

#[test]
fn bh_item() {
    check("BH item", examples::bh_item::main);
}

#[test]
fn fan_out_flush() {
    check("fan out and flush", examples::fan_out_flush::main);
}

#[test]
fn tcp_service() {
    check("TCP service", examples::tcp_service::main);
}
