//! `/api/v1/latency`: where the time of each queue's items goes.
//!
//! ```text
//! [{"name":"http","items":1000,
//!   "inactive":{"p50_ns":0,"p99_ns":0,"p99_9_ns":0,"max_ns":0},
//!   "pool":{"p50_ns":10239,...},"run":{...},"blocked":{...},"preempted":{...},"total":{...},
//!   "slowest":{"item":"services::server::Task","function":"services::server::serve","total_ns":812345,
//!              "inactive_ns":0,"pool_ns":10100,"run_ns":2245,"blocked_ns":800000,"preempted_ns":0}},
//!  ...]
//! ```
//!
//! The parts of the slowest item add up to its total exactly. A queue of which no item is over yet has
//! `"slowest":null`.

use kernel::{kernel, wq};

use super::json::Json;

pub(super) fn latency(j: &mut Json<'_>) {
    let mut told = Ok(());
    j.array("", |j| {
        told = wq::for_each_latency(|q| queue(j, &q));
    });
    if told.is_err() {
        j.give_up();
    }
}

fn queue(j: &mut Json<'_>, q: &wq::QueueLatency) {
    j.object("", |j| {
        j.string("name", &q.name);
        j.number("items", q.items);
        for (name, part) in [
            ("inactive", &q.inactive),
            ("pool", &q.pool),
            ("run", &q.run),
            ("blocked", &q.blocked),
            ("preempted", &q.preempted),
            ("total", &q.total),
        ] {
            j.object(name, |j| {
                j.number("p50_ns", part.p50);
                j.number("p99_ns", part.p99);
                j.number("p99_9_ns", part.p99_9);
                j.number("max_ns", part.max);
            });
        }
        match &q.slowest {
            Some(slowest) => j.object("slowest", |j| item(j, slowest)),
            None => j.null("slowest"),
        }
    });
}

fn item(j: &mut Json<'_>, slowest: &wq::SlowestItem) {
    let parts = &slowest.parts;
    j.string("item", slowest.value);
    match (kernel().info().symbolize)(slowest.function) {
        Some((name, _)) => j.string("function", name),
        None => j.null("function"),
    }
    j.number("total_ns", parts.total());
    j.number("inactive_ns", parts.inactive);
    j.number("pool_ns", parts.pool);
    j.number("run_ns", parts.run);
    j.number("blocked_ns", parts.blocked);
    j.number("preempted_ns", parts.preempted);
}
