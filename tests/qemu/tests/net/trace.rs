//! `/trace`: a recording that holds together, while the service goes on; and its limits.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use qemu_tests::http::{Answer, Client, get};
use qemu_tests::perfetto::{self, Reading};
use qemu_tests::service::Address;
use xtask::pftrace::schema::packet::Data;
use xtask::pftrace::{self, check, json, text};

use crate::Body;
use crate::Where::{self, Everywhere, Once, OnceAlone};
use crate::protocol::{check, json as document};

pub(crate) const TESTS: &[(&str, Where, Body)] = &[
    (
        "trace_holds_together_under_load",
        Everywhere,
        holds_together,
    ),
    ("trace_has_every_category", OnceAlone, every_category),
    ("trace_has_counters", OnceAlone, counters),
    ("trace_off_is_an_empty_trace", OnceAlone, off),
    (
        "trace_is_read_by_perfettos_own_schema",
        OnceAlone,
        own_schema,
    ),
    ("trace_says_what_it_expects", Once, refusals),
    ("trace_in_every_framing", Once, framings),
    ("trace_by_too_many_at_once_is_503", OnceAlone, too_many),
];

/// Asks for a trace while others use the service.
fn under_load(at: Address, ms: u32) -> Result<Vec<u8>, String> {
    let load = |target: &'static str, times: u32| {
        move || -> Result<(), String> {
            let mut client = Client::connect(at.http)?;
            for _ in 0..times {
                client.ask(get(target))?.expect(200)?;
            }
            Ok(())
        }
    };
    let others = [
        thread::spawn(load("/hello", 100)),
        thread::spawn(load("/demo/sleep?ms=20", 8)),
        thread::spawn(load("/demo/burn?ms=10", 4)),
    ];
    let answer = Client::connect(at.http)?.ask(get(&format!("/trace?ms={ms}")));
    for other in others {
        other.join().map_err(|_| "a client panicked")??;
    }
    let answer = answer?.expect(200)?;
    check(
        answer.header("content-type") == Some("application/octet-stream"),
        "the media type",
    )?;
    Ok(answer.body)
}

/// The names of what is in a trace.
fn kinds(bytes: &[u8]) -> Result<BTreeSet<String>, String> {
    let trace = pftrace::read(bytes).map_err(|f| f.message)?;
    let lines = trace.lines();
    let events = lines.iter().filter_map(|l| l.event.event.as_ref());
    Ok(events.map(|e| text::name(e).to_owned()).collect())
}

fn holds_together(at: Address) -> Result<(), String> {
    // On a loaded host the others may be late: once more, for longer.
    let mut bytes = under_load(at, 400)?;
    if check::check(&bytes)?.executed < 10 {
        bytes = under_load(at, 4_000)?;
    }
    let seen = check::check(&bytes)?;
    check(
        seen.switches > 10 && seen.executed >= 10 && seen.slices > 10 && seen.values > 10,
        &format!("{seen:?}"),
    )?;
    let trace = pftrace::read(&bytes).map_err(|f| f.message)?;
    let names = trace.thread_names();
    check(
        names.values().any(|n| n.starts_with("kworker/")),
        &format!("workers have names: {names:?}"),
    )?;
    let functions = trace.functions();
    check(
        functions.values().any(|f| f.contains("poll_item")),
        &format!("functions have names: {functions:?}"),
    )?;
    check(text::write(&trace).lines().count() > 50, "lines of text")?;
    let events = &json::write(&trace)["traceEvents"];
    check(events.as_array().is_some_and(|a| a.len() > 50), "JSON")
}

/// Where items stand in line, each counter has a value that says so.
fn counters(at: Address) -> Result<(), String> {
    let order = thread::spawn(move || {
        // Into the recording.
        thread::sleep(Duration::from_millis(100));
        post(at, "/api/v1/demo/burst?n=64&ms=5&cpu=1")?.expect(200)
    });
    let answer = Client::connect(at.http)?.ask(get("/trace?ms=1500"))?;
    order.join().map_err(|_| "the order panicked")??;
    let trace = pftrace::read(&answer.expect(200)?.body).map_err(|f| f.message)?;
    let (mut names, mut most) = (BTreeMap::new(), BTreeMap::new());
    for p in &trace.packet {
        match &p.data {
            Some(Data::TrackDescriptor(d)) if d.counter.is_some() => {
                names.insert(d.uuid(), d.name());
            }
            Some(Data::TrackEvent(e)) if e.counter_value.is_some() => {
                let name = *names.get(&e.track_uuid()).ok_or("a value of no counter")?;
                let most: &mut i64 = most.entry(name).or_default();
                *most = e.counter_value().max(*most);
            }
            _ => {}
        }
    }
    for (start, end, least) in [
        ("runqueue length", " cpu 1", 1),
        ("pool ", " cpu 1 nr_running", 1),
        ("pool ", " cpu 1 workers", 2),
        ("pool ", " cpu 1 idle workers", 1),
        ("pool ", " cpu 1 pending items", 10),
    ] {
        let fits = |name: &str| {
            let number = name.strip_prefix(start).and_then(|n| n.strip_suffix(end));
            number.is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        };
        let seen = most.iter().find(|(name, _)| fits(name));
        check(
            seen.is_some_and(|(_, &most)| (least..1_000).contains(&most)),
            &format!("\"{start}…{end}\", {least} or more, in {most:?}"),
        )?;
    }
    Ok(())
}

fn set(at: Address, list: &str) -> Result<Answer, String> {
    post(at, &format!("/api/v1/set?trace={list}"))
}

fn post(at: Address, target: &str) -> Result<Answer, String> {
    Client::connect(at.http)?.ask(format!(
        "POST {target} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n"
    ))
}

/// Does `f` while these categories are traced.
fn traced<T>(at: Address, list: &str, f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    set(at, list)?.expect(200)?;
    let result = f();
    set(at, "sched,workqueue")?.expect(200)?;
    result
}

/// The names of what is recorded while all is traced, and something is held back.
fn all_kinds(at: Address, ms: u32) -> Result<BTreeSet<String>, String> {
    let mut held_back = Ok(());
    let bytes = traced(at, "all", || {
        let order = thread::spawn(move || {
            // Into the recording.
            thread::sleep(Duration::from_millis(200));
            post(at, "/api/v1/demo/blocker?n=3&ms=100")?.expect(200)
        });
        let bytes = under_load(at, ms);
        held_back = order
            .join()
            .map_err(|_| "the order panicked".to_owned())
            .and_then(|r| r.map(drop));
        bytes
    })?;
    held_back?;
    check::check(&bytes)?;
    kinds(&bytes)
}

/// What a recording of everything has, where requests come and something is held back.
const ALL_KINDS: &[&str] = &[
    "sched_switch",
    "sched_waking",
    "sched_wakeup",
    "workqueue_queue_work",
    "workqueue_activate_work",
    "workqueue_execute_start",
    "workqueue_execute_end",
    "workqueue_worker_sleep",
    "workqueue_worker_wake",
    "irq_handler_entry",
    "irq_handler_exit",
    "softirq_raise",
    "softirq_entry",
    "softirq_exit",
    "ipi_raise",
    "ipi_entry",
    "ipi_exit",
    // Of a cancelled one nobody can be sure here: connections take the timer they have along.
    "timer_start",
    "timer_expire_entry",
    "timer_expire_exit",
    // Of a wait nobody can be sure here; the monitor's test has one.
    "lock_acquired",
    "lock_release",
    "netif_receive_skb",
    "net_dev_xmit",
    "http_request_start",
    "http_request_end",
    "workqueue_latency_total",
];

fn every_category(at: Address) -> Result<(), String> {
    // QEMU's user network makes a connection wait for a second now and then, and what a recording has of the
    // requests before that others may have written over: once more, for longer.
    let mut lacks = Vec::new();
    for ms in [1_000, 2_000, 4_000] {
        let seen = all_kinds(at, ms)?;
        lacks.push(ALL_KINDS.iter().filter(|&&k| !seen.contains(k)).collect());
        if lacks.last().is_some_and(Vec::is_empty) {
            break;
        }
    }
    check(
        lacks.last().is_some_and(Vec::is_empty),
        &format!("one after the other they lack {lacks:?}"),
    )?;
    let said = document(at, "/api/v1/trace")?;
    check(
        said["categories"] == serde_json::json!(["sched", "workqueue"]),
        &format!("back to the usual: {said}"),
    )?;
    let cores = said["cores"].as_array().ok_or("no cores")?;
    let events = cores.iter().filter_map(|c| c["events"].as_u64());
    check(events.sum::<u64>() > 100, &format!("events: {said}"))
}

fn off(at: Address) -> Result<(), String> {
    let bytes = traced(at, "off", || {
        let answer = Client::connect(at.http)?.ask(get("/trace?ms=50"))?;
        Ok(answer.expect(200)?.body)
    })?;
    check::check(&bytes)?;
    check(kinds(&bytes)?.is_empty(), "no events")?;
    for wrong in ["nonsense", "sched,", "", "sched,nonsense"] {
        let fine = wrong == "sched,";
        let answer = set(at, wrong)?;
        if fine {
            answer.expect(200)?;
            continue;
        }
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        check(
            answer.status == 400 && body.contains("all, off, or some of sched"),
            &format!("{wrong:?}: {} {body}", answer.status),
        )?;
    }
    set(at, "sched,workqueue")?.expect(200).map(drop)
}

fn own_schema(at: Address) -> Result<(), String> {
    let bytes = traced(at, "all", || under_load(at, 500))?;
    match perfetto::read(&bytes)? {
        Reading::Fine(line) => println!("perfetto's schema: {line}"),
        Reading::Skipped(why) => println!("skipped: perfetto's own schema: {why}"),
    }
    Ok(())
}

fn refusals(at: Address) -> Result<(), String> {
    for query in [
        "ms=0",
        "ms=10001",
        "ms=",
        "ms=-1",
        "ms=x",
        "x=1",
        "ms=1&ms=2",
    ] {
        let answer = Client::connect(at.http)?.ask(get(&format!("/trace?{query}")))?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        check(
            answer.status == 400 && body.contains("N from 1 to 10000 milliseconds"),
            &format!("{query}: {} {body}", answer.status),
        )?;
    }
    let post = "POST /trace?ms=1 HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n";
    let answer = Client::connect(at.http)?.ask(post)?;
    check(
        answer.status == 405 && answer.header("allow") == Some("GET, HEAD"),
        "only reading",
    )
}

/// Kept and pipelined, HEAD, HTTP/1.0.
fn framings(at: Address) -> Result<(), String> {
    let mut client = Client::connect(at.http)?;
    client.send([get("/trace?ms=20"), get("/hello"), get("/trace?ms=1")].concat())?;
    let first = client.answer()?.expect(200)?;
    check(
        first.header("transfer-encoding") == Some("chunked"),
        "chunks of a kept connection",
    )?;
    check::check(&first.body)?;
    check(client.answer()?.body == b"Hello World!", "the next in turn")?;
    check::check(&client.answer()?.expect(200)?.body)?;
    client.send("HEAD /trace?ms=10000 HTTP/1.1\r\nHost: t\r\n\r\n")?;
    let head = client.answer_to(false)?.expect(200)?;
    check(head.header("transfer-encoding") == Some("chunked"), "HEAD")?;
    client.ask(get("/hello"))?.expect(200)?;
    let mut old = Client::connect(at.http)?;
    let answer = old.ask("GET /trace?ms=20 HTTP/1.0\r\n\r\n")?.expect(200)?;
    check(
        answer.header("transfer-encoding").is_none(),
        "HTTP/1.0 knows no chunks",
    )?;
    check::check(&answer.body).map(drop)
}

/// As many recordings as may be go on, each after its head has come, and one more is refused. When they are over
/// there is room again, whether or not their clients have waited for it.
fn too_many(at: Address) -> Result<(), String> {
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(at.http)?;
        client.send(get("/trace?ms=10000"))?;
        client.answer_to(false)?.expect(200)?;
        clients.push(client);
    }
    let answer = Client::connect(at.http)?.ask(get("/trace?ms=1"))?;
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    check(
        answer.status == 503 && body.contains("4 recordings go on already"),
        &format!("{}: {body}", answer.status),
    )?;
    Client::connect(at.http)?.ask(get("/hello"))?.expect(200)?;
    drop(clients);
    for _ in 0..600 {
        let answer = Client::connect(at.http)?.ask(get("/trace?ms=1"))?;
        if answer.status == 200 {
            return check::check(&answer.body).map(drop);
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err("no room after a minute".to_owned())
}
