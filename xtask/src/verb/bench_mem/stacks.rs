//! How much of each kind of stack is used by the service under a load of every kind.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;

use serde_json::Value;

use super::{PATIENCE, ask, machine, number, start_with};
use crate::image::Image;
use crate::options::Options as Machine;
use crate::{Failure, Outcome};

/// Cores of the machine.
const SMP: u32 = 4;
/// Clients at a time.
const CLIENTS: usize = 4;
/// Rounds of each.
const ROUNDS: usize = 8;
/// What they ask for: pages, items that sleep and compute, text of every kind, a recording.
const GETS: [&str; 12] = [
    "/",
    "/hello",
    "/demo/sleep?ms=20",
    "/demo/burn?ms=20",
    "/api/v1/queues",
    "/api/v1/threads",
    "/api/v1/memory",
    "/api/v1/net",
    "/api/v1/latency",
    "/api/v1/trace",
    "/metrics",
    "/trace?ms=20",
];
/// What they have done.
const POSTS: [&str; 2] = [
    "/api/v1/demo/burst?n=64&ms=1",
    "/api/v1/demo/blocker?n=3&ms=20",
];

/// Kinds of stacks: what for, its size, and most bytes of one that were in use.
pub(super) type Marks = Vec<(String, u64, u64)>;

/// Boots the service with marks, and has it do a little of everything.
pub(super) fn measure(image: &Image) -> Outcome<Marks> {
    let machine = Machine {
        append: "stack_marks trace=all watchdog=1".to_owned(),
        ..machine(SMP, "256M")
    };
    let mut guest = start_with(image, &machine)?;
    let asked = under_load(guest.http());
    guest.stop();
    let (threads, memory) = asked?;
    let marks = marks(&threads, &memory);
    match marks.is_empty() {
        true => Err(Failure::failed(format!("no marks in\n{threads}\n{memory}"))),
        false => Ok(marks),
    }
}

fn under_load(address: SocketAddr) -> Outcome<(Value, Value)> {
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(move || (0..ROUNDS).for_each(|_| once(address)));
        }
    });
    Ok((
        ask(address, "/api/v1/threads")?,
        ask(address, "/api/v1/memory")?,
    ))
}

/// Each request once. What is answered does not matter: a refusal is an answer, too.
fn once(address: SocketAddr) {
    let send = |request: minreq::Request| {
        let _answer = request.with_timeout(PATIENCE.as_secs()).send();
    };
    for path in GETS {
        send(minreq::get(format!("http://{address}{path}")));
    }
    for path in POSTS {
        send(minreq::post(format!("http://{address}{path}")));
    }
}

/// The largest marks by kind.
fn marks(threads: &Value, memory: &Value) -> Marks {
    let mut most: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut note = |what: &str, of: &Value| {
        if of["stack_mark"].is_u64() {
            let seen = most.entry(what.to_owned()).or_default();
            seen.0 = seen.0.max(number(of, "stack_bytes"));
            seen.1 = seen.1.max(number(of, "stack_mark"));
        }
    };
    for t in threads.as_array().into_iter().flatten() {
        note(kind(t["name"].as_str().unwrap_or_default()), t);
    }
    for s in memory["core_stacks"].as_array().into_iter().flatten() {
        let what = s["what"].as_str().unwrap_or_default();
        note(&format!("of a core: {what}"), s);
    }
    let rows = most.into_iter();
    rows.map(|(what, (size, used))| (what, size, used))
        .collect()
}

/// The part of a thread's name that its like have in common.
fn kind(name: &str) -> &str {
    let kind = name.split('/').next().unwrap_or_default();
    kind.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_largest_of_each_kind_counts() {
        let stack = |name: &str, mark: Value| json!({ "name": name, "what": name, "stack_bytes": 32_768, "stack_mark": mark });
        let threads = json!([
            stack("kworker/0:1", json!(800)),
            stack("kworker/u0:0", json!(4_000)),
            stack("idle/3", json!(1_000)),
            stack("init", Value::Null),
        ]);
        let memory = json!({ "core_stacks": [stack("interrupt", json!(900))] });
        assert_eq!(
            marks(&threads, &memory),
            [
                ("idle".to_owned(), 32_768, 1_000),
                ("kworker".to_owned(), 32_768, 4_000),
                ("of a core: interrupt".to_owned(), 32_768, 900),
            ]
        );
        assert!(marks(&json!([]), &json!({})).is_empty());
    }
}
