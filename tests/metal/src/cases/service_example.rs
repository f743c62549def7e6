//! The example TCP service, with clients on the host.

use kernel::net;
use kernel::thread::{ThreadCx, sleep};
use machine::Duration;

use crate::ktest;
use crate::registry::Needs;

ktest!(
    "95_services_example_answers",
    services_example_answers,
    Needs::new().net().timeout(60)
);

/// Clients the host sends; each sees its answer before it leaves.
const CLIENTS: u64 = 8;
/// How long they may take together.
const PATIENCE: Duration = Duration::from_secs(30);

fn services_example_answers(cx: &ThreadCx<'_>) {
    let listener = examples::tcp_service::start().expect("a network and a free port");
    let before = net::stats().stack.tcp_established;
    kernel::println!("SERVING");
    let end = machine::now() + PATIENCE;
    while net::stats().stack.tcp_established < before + CLIENTS || listener.connections() > 0 {
        assert!(machine::now() < end, "clients missing, or not let go");
        sleep(cx, Duration::from_millis(5));
    }
    drop(listener);
    // The port is free again.
    drop(examples::tcp_service::start().expect("the port just closed"));
}
