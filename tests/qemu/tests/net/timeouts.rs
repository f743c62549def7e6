//! What the service does with clients that say nothing.
//!
//! The limits of ten and sixty seconds would cost a test that long, so the limits are boot arguments:
//! one configuration has short ones and is watched closing, and the service reports the limits in force,
//! which are the long ones unless told otherwise.

use std::thread::sleep;
use std::time::{Duration, Instant};

use qemu_tests::http::{Client, get};
use qemu_tests::service::Address;

use crate::Body;
use crate::Where::{self, Hasty, Once};
use crate::protocol::{check, json};

pub(crate) const TESTS: &[(&str, Where, Body)] = &[
    ("limits_are_10_and_60_seconds", Once, long_limits),
    ("limits_follow_the_boot_arguments", Hasty, short_limits),
    ("status_408", Hasty, status_408),
    (
        "idle_connection_is_closed",
        Hasty,
        idle_connection_is_closed,
    ),
    ("slow_body_is_legal", Hasty, slow_body_is_legal),
];

/// `http.head_ms=` and `http.idle_ms=` of the configuration with little patience.
const HEAD: Duration = Duration::from_millis(1_000);
const IDLE: Duration = Duration::from_millis(3_000);
/// How much later than asked for a loaded host may be.
const LATE: Duration = Duration::from_secs(8);

fn limits(at: Address) -> Result<(Option<u64>, Option<u64>), String> {
    let system = json(at, "/api/v1/system")?;
    let of = |key: &str| system["http"][key].as_u64();
    Ok((of("head_ms"), of("idle_ms")))
}

fn long_limits(at: Address) -> Result<(), String> {
    let limits = limits(at)?;
    check(
        limits == (Some(10_000), Some(60_000)),
        &format!("the limits, {limits:?}"),
    )
}

fn short_limits(at: Address) -> Result<(), String> {
    let limits = limits(at)?;
    check(
        limits == (Some(1_000), Some(3_000)),
        &format!("the limits, {limits:?}"),
    )
}

/// Fails unless `limit` has passed since `begin`, and not much more.
fn in_time(begin: Instant, limit: Duration) -> Result<(), String> {
    let waited = begin.elapsed();
    // The guest's clock started a moment before ours.
    let right = (limit - limit / 10..limit + LATE).contains(&waited);
    check(right, &format!("{limit:?} of patience, not {waited:?}"))
}

fn status_408(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    let begin = Instant::now();
    client.send("GET /hello HTTP/1.1\r\nHos")?;
    // A byte now and then does not prolong it.
    sleep(HEAD / 2);
    client.send("t")?;
    client.answer()?.expect(408)?;
    in_time(begin, HEAD)?;
    check(client.is_closed(), "the connection is closed")
}

/// A kept connection is closed when it has been idle for so long, without a word.
fn idle_connection_is_closed(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    client.ask(get("/hello"))?.expect(200)?;
    sleep(IDLE / 2);
    client.ask(get("/hello"))?.expect(200)?;
    let begin = Instant::now();
    let rest = client.until_end()?;
    check(rest.is_empty(), "nothing is said to an idle client")?;
    in_time(begin, IDLE)
}

/// The time of a head is for heads ([`status_408`]); a body may be idle for as long as a connection.
fn slow_body_is_legal(at: Address) -> Result<(), String> {
    let head = "GET /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\n";
    // Bodies begin with the head, after it, and behind an earlier request.
    let starts = [
        format!("{head}a"),
        head.to_owned(),
        format!("{}{head}a", get("/hello")),
    ];
    let mut clients = Vec::new();
    for start in &starts {
        let mut client = Client::connect(at.http)?;
        client.send(start)?;
        clients.push(client);
    }
    clients[2].answer()?.expect(200)?;
    // The second client's first piece comes when a head's time is over.
    sleep(HEAD * 6 / 10);
    clients[0].send("bc")?;
    clients[2].send("bc")?;
    sleep(HEAD * 6 / 10);
    for (client, rest) in clients.iter_mut().zip(["def", "abcdef", "def"]) {
        client.ask(rest)?.expect(200)?;
        client.ask(get("/hello"))?.expect(200)?;
    }
    Ok(())
}
