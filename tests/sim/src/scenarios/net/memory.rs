//! A machine whose memory may run out at any allocation, whose threads may not be made.

use kernel::thread::{ThreadCx, sleep};
use machine::Duration;
use sim::net::{Client, STATIC, wait_for_clients};
use sim::{Kinds, Scenario};

use super::browser::{Browser, NoReply};
use super::{Footprint, sound, stop};

/// Without any hope of a thread a pool's last worker waits for one for ever: these queues have no
/// rescuer, so that is theirs to suffer.
const ENDURES: Kinds = Kinds::ALL.without(Kinds::PACKETS.or(Kinds::FOREVER));

/// Asks a few times; takes a refusal, a 503 and an early end for an answer, but no wrong byte.
fn modest(client: &Client<'_>) {
    let rng = client.rng();
    for _ in 0..6 {
        client.sleep(Duration::from_micros(rng.below(4_000).into()));
        let port = if rng.one_in(3) { 7 } else { 80 };
        let Ok(stream) = client.try_connect(port) else {
            continue;
        };
        stream.give_up_after(Duration::from_secs(200));
        if port == 7 {
            let data = client.random_bytes(3_000);
            let _ = stream.send(&data);
            stream.finish();
            let back = stream.recv_to_end().unwrap_or_else(|part| part);
            assert!(data.starts_with(&back), "wrong bytes");
            continue;
        }
        let path = if rng.one_in(2) {
            "/hello"
        } else {
            "/api/v1/net"
        };
        match Browser::new(&stream).get(path) {
            Ok(reply) if reply.status == 503 => {}
            Ok(reply) if path == "/hello" => reply.expect_hello(),
            Ok(reply) => assert_eq!(reply.status, 200),
            Err(NoReply::Ended(part) | NoReply::Gone(part)) => assert_eq!(part, []),
        }
    }
}

/// Serves if there is memory to start with, and gives everything back.
fn starved(cx: &ThreadCx<'_>) {
    let before = Footprint::take(cx);
    let args = services::boot_args();
    let started = (0..20).find_map(|_| {
        sleep(cx, Duration::from_millis(1));
        services::start(cx, &args).ok()
    });
    if let Some(services) = started {
        wait_for_clients(cx);
        stop(cx, services);
    }
    assert_eq!(kernel::net::stats().connections, 0);
    Footprint::take(cx).is_as(before);
}

/// The services without memory.
pub(super) const MEMORY: Scenario = sound("net-memory", starved, |peer| {
    peer.clients(5, "modest", modest);
})
.about("an allocation that fails costs a connection or an answer, and nothing else")
.bootargs(STATIC)
.endures(ENDURES);

/// The same with a thread per connection.
pub(super) const MEMORY_THREADS: Scenario = sound("net-memory-threads", starved, |peer| {
    peer.clients(5, "modest", modest);
})
.about("a thread that cannot be made costs a connection, and nothing else")
.bootargs("ip=10.0.2.15/24,10.0.2.2 http.mode=thread")
.endures(ENDURES);
