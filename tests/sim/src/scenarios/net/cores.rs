//! Clients of a machine whose cores go and come.

use kernel::thread::ThreadCx;
use machine::Duration;
use sim::Scenario;
use sim::net::{Client, begin, wait_for_clients};

use super::super::hotplug::plugger;
use super::browser::greet;
use super::{serve_while, sound};

/// Comes back again and again, to either service.
fn regular(client: &Client<'_>) {
    let rng = client.rng();
    for _ in 0..3 {
        client.sleep(Duration::from_micros(rng.below(5_000).into()));
        greet(client, 1 + rng.below(3) as usize);
        let stream = client.connect(7);
        let data = client.random_bytes(1 + rng.below(4_000) as usize);
        stream.send(&data).expect("a live connection");
        stream.finish();
        assert_eq!(stream.recv_to_end(), Ok(data));
    }
}

fn come_and_go(cx: &ThreadCx<'_>) {
    serve_while(cx, |cx, services| {
        begin();
        plugger(12).join(cx);
        wait_for_clients(cx);
        services
    });
}

/// Cores that go and come under load, the one that the card interrupts among them.
pub(super) const CORES: Scenario = sound("net-hotplug", come_and_go, |peer| {
    peer.clients(6, "regular", regular);
})
.cpus_range(2, 4)
.about(
    "while cores go and come, also the one that the card interrupts, every client gets every byte",
)
.bootargs("ip=10.0.2.15/24,10.0.2.2");
