//! More clients than the service takes, and a service that comes and goes.

use kernel::thread::{ThreadCx, sleep};
use machine::Duration;
use sim::Scenario;
use sim::net::{Client, begin, tell, wait_for_clients};

use super::browser::{Browser, NoReply, greet};
use super::{serve_while, sound, stop};

/// Tries until it was served once.
fn insisting(client: &Client<'_>) {
    let rng = client.rng();
    for _ in 0..500 {
        client.sleep(Duration::from_micros(rng.below(20_000).into()));
        if let Ok(stream) = client.try_connect(80) {
            let mut browser = Browser::new(&stream);
            match browser.get("/demo/sleep?ms=2") {
                Ok(reply) if reply.status == 503 => {
                    assert!(reply.header("retry-after").is_some(), "{reply:?}");
                }
                Ok(reply) => {
                    assert_eq!((reply.status, &reply.body[..]), (200, &b"done\n"[..]));
                    return;
                }
                Err(NoReply::Gone(bytes) | NoReply::Ended(bytes)) => assert_eq!(bytes, []),
            }
        }
    }
    panic!("never served");
}

/// Watches that the limit holds while the clients come and go.
fn limited(cx: &ThreadCx<'_>) {
    serve_while(cx, |cx, services| {
        begin();
        for _ in 0..200 {
            let stats = kernel::net::stats();
            assert!(stats.connections <= stats.connection_limit + 64);
            sleep(cx, Duration::from_micros(500));
        }
        wait_for_clients(cx);
        services
    });
}

/// Forty clients for eight places.
pub(super) const LIMIT: Scenario = sound("net-limit", limited, |peer| {
    peer.clients(40, "insisting", insisting);
})
.about("beyond the limit clients are turned away, and each is served in the end")
.bootargs("ip=10.0.2.15/24,10.0.2.2 net.connections=8");

/// Asks for something long, and leaves at once.
fn leaving(client: &Client<'_>) {
    let rng = client.rng();
    for _ in 0..6 {
        if let Ok(stream) = client.try_connect(80) {
            let _ = stream.send(b"GET /demo/sleep?ms=10000 HTTP/1.1\r\nHost: a\r\n\r\n");
            client.sleep(Duration::from_micros(500 + u64::from(rng.below(500))));
            stream.reset();
        }
    }
}

/// Watches what the clients that left leave behind.
fn abandoned(cx: &ThreadCx<'_>) {
    serve_while(cx, |cx, services| {
        begin();
        let limit = 2 * kernel::net::stats().connection_limit;
        let mut most = 0;
        for _ in 0..400 {
            most = most.max(services.http.connections());
            sleep(cx, Duration::from_micros(250));
        }
        assert!(most <= limit, "{most} handlers for {limit} seats");
        wait_for_clients(cx);
        services
    });
}

/// Sixty long requests that nobody waits for, at eight places.
pub(super) const ABANDONED: Scenario = sound("net-abandoned", abandoned, |peer| {
    peer.clients(10, "leaving", leaving);
    peer.client("patient", |client| {
        client.sleep(Duration::from_secs(12));
        greet(client, 2);
    });
})
.about("who leaves while his handler sleeps cannot fill the memory with handlers")
.bootargs("ip=10.0.2.15/24,10.0.2.2 net.connections=8");

/// Signal: the service will stay.
const STAYS: u32 = 0;

/// Talks to a service that may go at any moment: what it says is right, if it says anything.
fn enduring(client: &Client<'_>) {
    let rng = client.rng();
    for _ in 0..12 {
        client.sleep(Duration::from_micros(rng.below(40_000).into()));
        let port = if rng.one_in(3) { 7 } else { 80 };
        let Ok(stream) = client.try_connect(port) else {
            continue;
        };
        if port == 7 {
            let data = client.random_bytes(2_000);
            if stream.send(&data).is_ok() {
                let back = stream.recv_exact(data.len());
                let back = back.unwrap_or_else(|part| part);
                assert!(data.starts_with(&back), "wrong bytes");
            }
            continue;
        }
        let mut browser = Browser::new(&stream);
        for _ in 0..4 {
            match browser.get("/hello") {
                Ok(reply) if reply.status == 503 => break,
                Ok(reply) => reply.expect_hello(),
                Err(NoReply::Gone(part) | NoReply::Ended(part)) => {
                    assert!(part.is_empty(), "half an answer: {part:?}");
                    break;
                }
            }
        }
    }
    client.wait_for(STAYS);
    greet(client, 2);
}

/// Stops and starts the services under load.
fn restarted(cx: &ThreadCx<'_>) {
    serve_while(cx, |cx, mut services| {
        begin();
        for n in 0..6 {
            sleep(cx, Duration::from_millis(7 * (n % 3) + 1));
            stop(cx, services);
            sleep(cx, Duration::from_millis(5 * (n % 2)));
            services = services::start(cx, &services::boot_args()).expect("memory");
        }
        tell(STAYS);
        wait_for_clients(cx);
        services
    });
}

/// Start and stop under load, in event mode.
pub(super) const RESTART: Scenario = sound("net-restart", restarted, |peer| {
    peer.clients(6, "enduring", enduring);
})
.about("a service that stops under load ends every connection and leaves nothing behind")
.bootargs("ip=10.0.2.15/24,10.0.2.2");

/// Start and stop under load, with threads.
pub(super) const RESTART_THREADS: Scenario = sound("net-restart-threads", restarted, |peer| {
    peer.clients(6, "enduring", enduring);
})
.about("a service of threads that stops under load waits for them and leaves nothing behind")
.bootargs("ip=10.0.2.15/24,10.0.2.2 http.mode=thread");
