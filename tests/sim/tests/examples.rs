//! The example programs in the simulator, on several numbers of cores under many seeds.

use examples::tcp_service;
use kernel::thread::ThreadCx;
use sim::net::{Client, Peer, STATIC, wait_for_clients};
use sim::{Scenario, sweep};

fn check(name: &'static str, init: fn(&ThreadCx<'_>)) {
    check_all(Scenario::new(name, 1, init));
}

fn check_all(scenario: Scenario) {
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
fn borrowing() {
    check("borrowing", examples::borrowing::main);
}

#[test]
fn tcp_service_without_a_network() {
    check("TCP service, no network", tcp_service::main);
}

/// Opens the port for the clients, and once more after them.
fn serve(cx: &ThreadCx<'_>) {
    let listener = tcp_service::start().expect("a network and a free port");
    wait_for_clients(cx);
    assert_eq!(kernel::net::stats().stack.tcp_established, 4);
    drop(listener);
    tcp_service::main(cx);
}

fn talk(client: &Client<'_>) {
    let stream = client.connect(7);
    let (mut asked, mut heard) = (Vec::new(), Vec::new());
    for length in [1, 256, 1_000] {
        let words = client.random_bytes(length);
        stream.send(&words).expect("a live connection");
        asked.extend(words);
        while heard.len() < asked.len() {
            heard.extend(stream.recv(1 << 10).expect("an answer"));
        }
    }
    stream.finish();
    heard.extend(stream.recv_to_end().expect("an orderly end"));
    assert_eq!(heard, asked.to_ascii_uppercase());
}

#[test]
fn tcp_service() {
    let scenario = Scenario::new("TCP service", 1, serve)
        .virtual_ms(12_000_000)
        .max_steps(20_000_000)
        .peer(|peer: &mut Peer| peer.clients(4, "shouter", talk))
        .bootargs(STATIC);
    check_all(scenario);
}
