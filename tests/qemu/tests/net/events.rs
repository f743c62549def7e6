//! `/api/v1/events`: snapshots several times a second, for as long as the client wants them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use qemu_tests::http::{Client, get};
use qemu_tests::service::Address;
use serde_json::Value;

use crate::Body;
use crate::Where::{self, Everywhere, EverywhereAlone, Hasty, Once};
use crate::protocol::{check, json};

pub(crate) const TESTS: &[(&str, Where, Body)] = &[
    ("events_follow_each_other", Everywhere, follow),
    ("events_show_the_tables", Once, tables),
    ("events_take_a_rate", Once, rates),
    ("events_leave_the_others_alone", Everywhere, others),
    ("events_are_limited", EverywhereAlone, limited),
    ("events_end_with_their_client", EverywhereAlone, ended),
    ("events_outlive_idle_limits", Hasty, outlive),
];

/// Streams at once.
const MOST: usize = 16;
/// How long a loaded host may take for what should take milliseconds.
const LATE: Duration = Duration::from_secs(60);

/// A stream, after its head.
pub(crate) fn open(at: Address, query: &str) -> Result<Client, String> {
    let mut client = Client::connect(at.http)?;
    let head = client
        .begin(get(&format!("/api/v1/events{query}")))?
        .expect(200)?;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("connection", "close"),
    ] {
        check(head.header(name) == Some(value), name)?;
    }
    check(head.header("content-length").is_none(), "no length")?;
    Ok(client)
}

/// The next snapshot, and its id.
pub(crate) fn next(client: &mut Client) -> Result<(u64, Value), String> {
    let (id, data) = client.event()?;
    let id = id.parse().map_err(|_| format!("id {id:?}"))?;
    let data = serde_json::from_str(&data).map_err(|e| format!("{e} in {data}"))?;
    Ok((id, data))
}

fn follow(at: Address) -> Result<(), String> {
    let before = json(at, "/api/v1/system")?["uptime_ns"].as_u64();
    let before = before.ok_or("uptime_ns")?;
    let mut client = open(at, "?hz=20")?;
    let mut last = before;
    for n in 1..=5 {
        let (id, snapshot) = next(&mut client)?;
        check(
            id == n && snapshot["sequence"] == n,
            &format!("number {id} is {n}"),
        )?;
        let up = snapshot["uptime_ns"].as_u64().unwrap_or(0);
        check(up > last, "time goes on")?;
        // In step with the opening, or later.
        check(
            up - before >= (n - 1) * 50_000_000,
            "no faster than asked for",
        )?;
        last = up;
        check(snapshot["skipped"].is_u64(), "skipped")?;
    }
    Ok(())
}

fn tables(at: Address) -> Result<(), String> {
    let (_, snapshot) = next(&mut open(at, "")?)?;
    let list = |key: &str| snapshot[key].as_array().cloned().unwrap_or_default();
    check(list("cores").len() == 4, "four cores")?;
    let pools = list("pools");
    for core in 0..4 {
        for (kind, highpri) in [
            ("thread", false),
            ("thread", true),
            ("bh", false),
            ("bh", true),
        ] {
            let is = |p: &&Value| p["cpu"] == core && p["kind"] == kind && p["highpri"] == highpri;
            let pool = pools.iter().find(is);
            let pool = pool.ok_or_else(|| format!("no {kind} pool of core {core}"))?;
            let seats = pool["seats"].as_array().cloned().unwrap_or_default();
            check(!seats.is_empty(), "somebody sits there")?;
            for seat in &seats {
                check(seat["thread"].is_u64() == (kind == "thread"), "its thread")?;
                check(seat["state"].is_string(), "its state")?;
            }
        }
    }
    // The item that writes this runs, on its own table, and says so.
    let seats = pools.iter().filter_map(|p| p["seats"].as_array()).flatten();
    let mut own = seats.filter(|s| s["queue"] == "http");
    let own = own.next().ok_or("nobody writes this")?;
    check(own["state"] == "running", "who writes runs")?;
    check(
        own["item"].as_str().is_some_and(|i| i.contains("visit")),
        "its item",
    )?;
    check(own["lasts_ns"].is_u64(), "since when")?;
    check(
        list("queues").iter().any(|q| q["name"] == "http"),
        "the queues",
    )?;
    let counts = snapshot["http"]["duration_counts"].as_array().map(Vec::len);
    check(counts == Some(18), "the histogram of durations")
}

fn rates(at: Address) -> Result<(), String> {
    for bad in ["?hz=0", "?hz=21", "?hz=", "?hz=x", "?hz=4&hz=4", "?rate=4"] {
        let answer = Client::connect(at.http)?.ask(get(&format!("/api/v1/events{bad}")))?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        check(answer.status == 400 && text.contains("hz=1..20"), bad)?;
    }
    let head = "HEAD /api/v1/events HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut client = Client::connect(at.http)?;
    client.send(head)?;
    let answer = client.answer_to(false)?;
    check(
        answer.status == 200 && client.is_closed(),
        "HEAD has no events",
    )?;
    let post = "POST /api/v1/events HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
    let answer = Client::connect(at.http)?.ask(post)?.expect(405)?;
    check(answer.header("allow") == Some("GET, HEAD"), "Allow")
}

/// A stream is no worker that others wait for.
fn others(at: Address) -> Result<(), String> {
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(open(at, "?hz=20")?);
    }
    for _ in 0..10 {
        Client::connect(at.http)?.ask(get("/hello"))?.expect(200)?;
    }
    for stream in &mut streams {
        // What a client says meanwhile is of no interest.
        stream.send("GET /hello HTTP/1.1\r\n\r\nand so on")?;
        for _ in 0..3 {
            next(stream)?;
        }
    }
    Ok(())
}

fn streams(at: Address) -> Result<u64, String> {
    let http = json(at, "/api/v1/http")?;
    http["event_streams"]
        .as_u64()
        .ok_or("event_streams".to_owned())
}

/// Waits until as many streams are open.
fn settle(at: Address, n: u64) -> Result<(), String> {
    let end = Instant::now() + LATE;
    while streams(at)? != n {
        check(
            Instant::now() < end,
            &format!("{} streams, not {n}", streams(at)?),
        )?;
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn limited(at: Address) -> Result<(), String> {
    settle(at, 0)?;
    let mut open_ones = Vec::new();
    for _ in 0..MOST {
        open_ones.push(open(at, "?hz=1")?);
    }
    let refused = Client::connect(at.http)?
        .ask(get("/api/v1/events"))?
        .expect(503)?;
    let text = String::from_utf8_lossy(&refused.body).into_owned();
    check(text.contains("16 event streams"), &text)?;
    check(refused.header("retry-after").is_some(), "Retry-After")?;
    for stream in &mut open_ones {
        next(stream)?;
    }
    drop(open_ones.pop());
    settle(at, MOST as u64 - 1)?;
    next(&mut open(at, "")?)?;
    drop(open_ones);
    settle(at, 0)
}

fn ended(at: Address) -> Result<(), String> {
    settle(at, 0)?;
    let mut gone = open(at, "?hz=20")?;
    next(&mut gone)?;
    let mut finished = open(at, "?hz=20")?;
    next(&mut finished)?;
    settle(at, 2)?;
    drop(gone);
    settle(at, 1)?;
    finished.finish()?;
    finished.until_end()?;
    settle(at, 0)
}

/// The configuration lets an idle connection go after three seconds of its own time.
fn outlive(at: Address) -> Result<(), String> {
    let mut client = open(at, "?hz=2")?;
    let up = |s: &Value| s["uptime_ns"].as_u64().unwrap_or(0);
    let begin = up(&next(&mut client)?.1);
    while up(&next(&mut client)?.1) < begin + 7_000_000_000 {}
    Ok(())
}
