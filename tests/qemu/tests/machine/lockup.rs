//! What stands on the console when a core or the service locks up.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use qemu_tests::service;
use xtask::guest::{Guest, Terminal};
use xtask::options::Options;

use crate::fault::run;
use crate::{Body, check};

pub(crate) const TESTS: &[(&str, Body)] = &[
    ("soft_lockup_is_told_with_frames", soft),
    ("hard_lockup_is_told_with_events", hard),
    ("stall_shows_a_worker_on_another_core", elsewhere),
    ("stall_shows_sleepers_and_who_waits", sleepers),
    ("service_lockup_dumps_the_machine", service_lockup),
];

/// The lines behind the one that begins with `start`, where other cores may speak between.
fn report<'a>(said: &'a str, start: &str) -> Result<Vec<&'a str>, String> {
    let from = said.find(start).ok_or_else(|| format!("no \"{start}\""))?;
    Ok(said[from..].lines().skip(1).collect())
}

fn with_console(name: &str, judge: fn(&str) -> Result<(), String>) -> Result<(), String> {
    let (said, code) = run(name)?;
    let right = || {
        check(said.contains(&format!("PASS {name}")), "it passed")?;
        check(code == 0, format!("exit code {code}"))?;
        judge(&said)
    };
    right().map_err(|why: String| format!("{why}; the console:\n{said}"))
}

fn soft() -> Result<(), String> {
    with_console("97_soft_lockup_tells_where", |said| {
        // A busy host may make the other core late, or this one before the test begins: of that is told, too.
        let who = said.lines().find(|l| {
            l.contains("BUG: soft lockup: core 1 ") && l.contains("in thread \"helper\"")
        });
        let lines = report(said, who.ok_or("the core, and the thread")?)?;
        let innermost = |l: &&&str| l.trim().starts_with("#0 ");
        let mut innermost = lines.iter().filter(innermost);
        check(
            innermost.any(|l| l.contains("compute_in_here+0x")),
            "the innermost frame",
        )
    })
}

fn hard() -> Result<(), String> {
    with_console("97_hard_lockup_is_told_by_another_core", |said| {
        let lines = report(said, "BUG: hard lockup: core 1 ")?;
        let event = |l: &&str| {
            let time = l.split_whitespace().next().unwrap_or_default();
            l.starts_with("    ") && time.contains('.') && time.parse::<f64>().is_ok()
        };
        check(lines.iter().any(event), "its events")
    })
}

fn elsewhere() -> Result<(), String> {
    with_console("97_busy_worker_elsewhere_is_told", |said| {
        let lines = report(said, ": core 1 is in thread \"kworker")?;
        let mut frames = lines.iter().filter(|l| l.trim().starts_with('#'));
        check(
            frames.any(|l| l.contains("compute_in_here+0x")),
            "the function among the frames",
        )
    })
}

/// A blocker at the head of an ordered queue, told after a second: where it sleeps, and who waits for it.
fn sleepers() -> Result<(), String> {
    let order = "POST /api/v1/demo/blocker?n=3&ms=9000 HTTP/1.1\r\nHost: guest\r\nContent-Length: 0\r\n\r\n";
    watched(
        order,
        &[
            "BUG: workqueue lockup: 3 items of demo_ordered have waited for a slot in pool",
            "one of the slots: items of queue demo_ordered wait for a slot that is held by item",
            " sleeps in an item of ",
            "#0 ",
            "::blocker+0x",
            "workqueue demo_ordered: flags=ordered",
            "inactive: 3*",
        ],
    )
}

/// A request that takes longer than the watchdog's limit, and nobody else is served meanwhile.
fn service_lockup() -> Result<(), String> {
    watched(
        "GET /demo/sleep?ms=9000 HTTP/1.1\r\nHost: guest\r\n\r\n",
        &[
            "BUG: service lockup: http has answered nobody for",
            "cpu0: ",
            "threads that wait:",
            "pools that have",
            "workqueue http: ",
        ],
    )
}

/// Boots the service with a watchdog of one second, sends it a request, and waits for lines with these words, one
/// after the other.
fn watched(request: &str, words: &[&str]) -> Result<(), String> {
    let options = Options {
        smp: 2,
        append: "watchdog=1".to_owned(),
        http_port: 0,
        echo_port: 0,
        yes: true,
        ..Options::default()
    };
    let image = service::image()?;
    let mut guest = Guest::start(&options, &image, Terminal::Captured).map_err(|f| f.message)?;
    let end = Instant::now() + Duration::from_secs(90);
    check(guest.wait_ready(end), "it boots")?;
    let mut stream = TcpStream::connect(guest.http()).map_err(|e| e.to_string())?;
    let sent = stream.write_all(request.as_bytes());
    sent.map_err(|e| e.to_string())?;
    let mut cursor = 0;
    for part in words {
        let found = guest.console().wait_for(part, &mut cursor, end);
        check(found, format!("\"{part}\"\n{}", guest.console().since(0)))?;
    }
    drop(stream);
    guest.stop();
    Ok(())
}
