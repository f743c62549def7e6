//! Echo: what goes in comes out, in every mode of the service and over any wire.

use kernel::thread::ThreadCx;
use machine::Duration;
use sim::net::{Client, Peer, STATIC};
use sim::{Kinds, Packets, Scenario};

use super::browser::greet;
use super::{serve, sound};

/// Sends random data in random pieces, finishes, and reads what comes back, which must be the same.
fn talk(client: &Client<'_>) {
    let rng = client.rng();
    let data = client.random_bytes(rng.below(30_000) as usize);
    let stream = client.connect(7);
    let (mut sent, mut back) = (0, Vec::new());
    while sent < data.len() {
        let piece = (1 + rng.below(4_000) as usize).min(data.len() - sent);
        sent += match stream.send_some(&data[sent..sent + piece]) {
            Ok(0) => {
                // Both directions are full: only reading helps.
                back.extend(stream.recv(1 << 20).expect("a live connection"));
                0
            }
            Ok(n) => n,
            Err(gone) => panic!("{gone:?} after {sent} bytes"),
        };
        if rng.one_in(8) {
            client.sleep(Duration::from_micros(rng.below(2_000).into()));
        }
    }
    stream.finish();
    match stream.recv_to_end() {
        Ok(rest) => back.extend(rest),
        Err(rest) => panic!("reset after {} bytes", back.len() + rest.len()),
    }
    assert!(back == data, "{} bytes became {}", data.len(), back.len());
    client.say(&format!("echoed {}: {:?}", data.len(), data.first()));
}

/// As [`talk`], but the connection may break: what came back must still be the beginning of what was
/// sent.
fn talk_on_a_bad_wire(client: &Client<'_>) {
    let data = client.random_bytes(client.rng().below(15_000) as usize);
    let Ok(stream) = client.try_connect(7) else {
        return;
    };
    // The client's TCP never repeats a lost FIN once duplicate acknowledgments made it try at once
    // (smoltcp 0.14: an empty send buffer leaves no timer), so the echo may lack its end.
    stream.give_up_after(Duration::from_secs(120));
    if stream.send(&data).is_err() {
        return;
    }
    stream.finish();
    match stream.recv_to_end() {
        Ok(back) => assert!(back == data, "{} bytes became {}", data.len(), back.len()),
        Err(back) => assert!(data.starts_with(&back), "a reset after wrong bytes"),
    }
}

fn talkers(peer: &mut Peer) {
    peer.clients(3, "talker", talk);
}

fn talkers_and_browsers(peer: &mut Peer) {
    peer.clients(3, "talker", talk);
    peer.clients(3, "browser", |client| greet(client, 5));
}

fn all_are_served(cx: &ThreadCx<'_>) {
    let stats = serve(cx).stack;
    assert_eq!(stats.tcp_established, stats.tcp_opened);
    assert_eq!((stats.tcp_timed_out, stats.tcp_syn_expired), (0, 0));
}

/// Random data, echoed.
pub(super) const ECHO: Scenario = sound("net-echo", all_are_served, talkers)
    .about("every byte sent to the echo service comes back, the end of the stream last")
    .bootargs(STATIC);

/// The same through one kernel thread per connection.
pub(super) const THREADS: Scenario = sound("net-threads", all_are_served, talkers_and_browsers)
    .about("the services give the same answers with a thread per connection")
    .bootargs("ip=10.0.2.15/24,10.0.2.2 http.mode=thread");

/// The same through items that sleep.
pub(super) const BLOCKING: Scenario = sound("net-blocking", all_are_served, talkers_and_browsers)
    .about("the services give the same answers with an item that sleeps per connection")
    .bootargs("ip=10.0.2.15/24,10.0.2.2 http.mode=blocking");

/// The same on an unbound queue.
pub(super) const UNBOUND: Scenario = sound("net-unbound", all_are_served, talkers_and_browsers)
    .about("the services give the same answers on an unbound queue")
    .bootargs("ip=10.0.2.15/24,10.0.2.2 http.wq=unbound");

/// A wire on which one frame in ten suffers something.
pub(super) const LOSSY: Scenario = sound(
    "net-lossy",
    |cx| {
        serve(cx);
        let wire = sim::net::stats();
        assert!(wire.to_kernel.sent + wire.to_peer.sent < 50_000, "a storm");
    },
    |peer| {
        peer.wire(Packets::LOSSY);
        peer.clients(5, "talker", talk_on_a_bad_wire);
    },
)
.about("whatever a wire does to frames, no wrong byte is delivered")
.bootargs(STATIC)
.endures(Kinds::DELAYS);
