//! `/api/v1/demo/…`: work for show is real work, and ends.

use std::thread::sleep;
use std::time::{Duration, Instant};

use qemu_tests::http::{Answer, Client, get};
use qemu_tests::service::Address;
use serde_json::Value;

use crate::Body;
use crate::Where::{self, EverywhereAlone, Hasty, Once, OnceAlone};
use crate::protocol::{check, json};

pub(crate) const TESTS: &[(&str, Where, Body)] = &[
    ("demo_sleepers_sit_at_the_tables", EverywhereAlone, sleepers),
    ("demo_hogs_leave_concurrency_management", OnceAlone, hogs),
    ("demo_burst_lines_up", OnceAlone, burst),
    ("demo_bh_items_are_executed", OnceAlone, bh),
    (
        "demo_blocker_holds_an_ordered_line_only",
        OnceAlone,
        blocker,
    ),
    ("demo_refusals_say_what_is_expected", Once, refusals),
    ("demo_items_are_limited", OnceAlone, limited),
    ("demo_can_be_turned_off", Hasty, off),
];

/// How long a loaded host may take for what should take moments.
const LATE: Duration = Duration::from_secs(60);

fn post(at: Address, order: &str, fields: &str) -> Result<Answer, String> {
    let request = format!(
        "POST /api/v1/demo/{order} HTTP/1.1\r\nHost: roundtable\r\n{fields}Content-Length: 0\r\n\r\n"
    );
    Client::connect(at.http)?.ask(request)
}

fn order(at: Address, order: &str) -> Result<Value, String> {
    let answer = post(at, order, "")?.expect(200)?;
    let said: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
    check(said["result"] == "queued", &said.to_string())?;
    Ok(said)
}

/// Started, over, active and held back of a queue of the demonstrations, which may not be there yet.
fn queue(at: Address, name: &str) -> Result<[u64; 4], String> {
    let queues = json(at, "/api/v1/queues")?;
    let list = queues.as_array().ok_or("not a list")?;
    let found = list.iter().find(|q| q["name"] == name);
    let of = |key: &str| found.and_then(|q| q[key].as_u64()).unwrap_or(0);
    Ok(["started", "completed", "active", "inactive"].map(of))
}

/// Looks again until it sees what it wants.
fn until(what: &str, mut look: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let end = Instant::now() + LATE;
    while !look()? {
        check(Instant::now() < end, what)?;
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Seats of all pools that execute an item whose name ends like this.
fn seats(at: Address, item: &str) -> Result<Vec<Value>, String> {
    let pools = json(at, "/api/v1/pools")?;
    let pools = pools.as_array().ok_or("not a list")?.iter();
    let seats = pools.filter_map(|p| p["seats"].as_array()).flatten();
    let named = |s: &&Value| s["item"].as_str().is_some_and(|name| name.ends_with(item));
    Ok(seats.filter(named).cloned().collect())
}

fn sleepers(at: Address) -> Result<(), String> {
    let before = queue(at, "demo")?;
    let said = order(at, "sleepers?n=8&ms=7500")?;
    check(
        said["items"] == 8 && said["queue"] == "demo",
        &said.to_string(),
    )?;
    until("eight sleep in their items", || {
        let seats = seats(at, "demos::sleeper")?;
        let asleep = seats.iter().filter(|s| s["state"] == "blocked");
        Ok(asleep.filter(|s| s["queue"] == "demo").count() == 8)
    })?;
    let pools = json(at, "/api/v1/pools")?;
    for core in 0..4 {
        let pools = pools.as_array().ok_or("not a list")?.iter();
        let mut own = pools.filter(|p| p["cpu"] == core && p["kind"] == "thread");
        let blocked = own.next().and_then(|p| p["workers"]["blocked"].as_u64());
        check(
            blocked >= Some(2),
            &format!("core {core} has its share: {blocked:?}"),
        )?;
    }
    until("they end", || {
        Ok(queue(at, "demo")? == [before[0] + 8, before[1] + 8, 0, 0])
    })?;
    check(
        seats(at, "demos::sleeper")?.is_empty(),
        "nobody sleeps any more",
    )
}

fn hogs(at: Address) -> Result<(), String> {
    let count = |at| {
        let queues = json(at, "/api/v1/queues")?;
        let list = queues.as_array().ok_or("not a list")?;
        let found = list.iter().find(|q| q["name"] == "demo");
        Ok::<_, String>(found.and_then(|q| q["cpu_intensive"].as_u64()).unwrap_or(0))
    };
    let before = count(at)?;
    order(at, "hog?n=2&ms=3000&cpu=2")?;
    until("a seat says that it is a hog", || {
        Ok(seats(at, "demos::hog")?
            .iter()
            .any(|s| s["cpu_intensive"] == true))
    })?;
    // The next one starts beside it, as soon as the first counts no more.
    until("both have left", || Ok(count(at)? == before + 2))?;
    until("they end", || Ok(queue(at, "demo")?[2] == 0))
}

fn burst(at: Address) -> Result<(), String> {
    let before = queue(at, "demo")?;
    order(at, "burst?n=300&ms=20&cpu=1")?;
    until("a line in front of core 1", || {
        let pools = json(at, "/api/v1/pools")?;
        let pools = pools.as_array().ok_or("not a list")?.iter();
        let mut lines = pools
            .filter(|p| p["cpu"] == 1)
            .filter_map(|p| p["waiting"].as_array());
        Ok(lines.any(|line| {
            let first = line.first();
            first.is_some_and(|w| w["queue"] == "demo" && w["count"].as_u64() > Some(10))
        }))
    })?;
    until("it ends", || {
        Ok(queue(at, "demo")? == [before[0] + 300, before[1] + 300, 0, 0])
    })
}

fn bh(at: Address) -> Result<(), String> {
    let before = queue(at, "demo_bh")?;
    let said = order(at, "burst?n=40&queue=bh")?;
    check(
        said["queue"] == "demo_bh" && said["ms"] == 1,
        &said.to_string(),
    )?;
    until("they are executed", || {
        Ok(queue(at, "demo_bh")?[1] == before[1] + 40)
    })
}

fn blocker(at: Address) -> Result<(), String> {
    let (line, managed) = (queue(at, "demo_ordered")?, queue(at, "demo")?);
    order(at, "blocker?n=5&ms=8000")?;
    order(at, "blocker?n=5&ms=8000&queue=percpu")?;
    until("five pass the sleeper of the managed queue", || {
        let [started, completed, active, _] = queue(at, "demo")?;
        Ok([started, completed, active] == [managed[0] + 6, managed[1] + 5, 1])
    })?;
    let [started, completed, _, inactive] = queue(at, "demo_ordered")?;
    check(
        [started, completed, inactive] == [line[0] + 1, line[1], 5],
        "five wait behind the sleeper of the ordered queue",
    )?;
    until("they end", || {
        Ok(queue(at, "demo_ordered")?[1] == line[1] + 6 && queue(at, "demo")?[2] == 0)
    })
}

/// The error that an order earns, under `status`.
fn refused(at: Address, order: &str, fields: &str, status: u16) -> Result<String, String> {
    let answer = post(at, order, fields)?.expect(status)?;
    let said: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
    Ok(said["error"]
        .as_str()
        .ok_or("no error in the answer")?
        .to_owned())
}

fn refusals(at: Address) -> Result<(), String> {
    for (query, word) in [
        ("sleepers?n=65", "1 to 64"),
        ("sleepers?ms=0", "1 to 10000"),
        ("sleepers?queue=bh", "percpu, highpri, unbound, ordered"),
        ("sleepers?n=64&ms=10000", "60000"),
        ("hog?n=1&n=2", "at most once"),
        ("hog?seconds=1", "?n=N&ms=N"),
        ("burst?queue=bh&ms=5", "BH"),
        ("blocker?cpu=1", "choose the core themselves"),
        ("hog?cpu=4", "online"),
    ] {
        let error = refused(at, query, "", 400)?;
        check(error.contains(word), &format!("{query}: {error}"))?;
    }
    let error = refused(at, "hog?ms=1&n=1", "Origin: http://elsewhere\r\n", 403)?;
    check(error.contains("origin"), &error)?;
    let error = refused(at, "hog?ms=1&n=1", "Sec-Fetch-Site: cross-site\r\n", 403)?;
    check(error.contains("origin"), &error)?;
    for demo in ["sleepers", "hog", "burst", "blocker"] {
        let answer = Client::connect(at.http)?.ask(get(&format!("/api/v1/demo/{demo}")))?;
        check(
            answer.status == 405 && answer.header("allow") == Some("POST"),
            demo,
        )?;
    }
    post(at, "nothing", "")?.expect(404).map(drop)
}

fn limited(at: Address) -> Result<(), String> {
    // A line that does not move, so that nothing ends meanwhile.
    order(at, "blocker?n=1&ms=10000")?;
    let mut error = None;
    for _ in 0..3 {
        let answer = post(at, "burst?n=511&ms=1&queue=ordered", "")?;
        if answer.status != 200 {
            error = Some(answer.expect(503)?);
            break;
        }
    }
    let error = error.ok_or("more than 1024 items are on their way")?;
    let text = String::from_utf8_lossy(&error.body).into_owned();
    check(text.contains("1024"), &text)?;
    check(error.header("retry-after").is_some(), "Retry-After")?;
    until("they end", || Ok(queue(at, "demo_ordered")?[2..] == [0, 0]))?;
    // The places are free again.
    until("another fits", || {
        Ok(post(at, "burst?n=512&ms=1", "")?.status == 200)
    })?;
    until("it ends", || Ok(queue(at, "demo")?[2] == 0))
}

fn off(at: Address) -> Result<(), String> {
    let error = refused(at, "burst?n=1", "", 403)?;
    check(error.contains("control=off"), &error)?;
    check(queue(at, "demo")? == [0; 4], "nothing was queued")
}
