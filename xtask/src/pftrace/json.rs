//! The trace as Chrome's viewer reads it (the Trace Event Format): an array of small objects.
//!
//! Rows are threads of processes there, so: process 0 has a thread for each core, with what ran on it;
//! process 1 the threads, with what they executed; process 2 a thread for each core, with its interrupts and
//! softirqs; process 3 the tracks of items and requests; counters belong to process 1.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::schema::ftrace::Event;
use super::schema::{Trace, TrackEvent, packet};
use super::{Line, text};

const CORES: u32 = 0;
const THREADS: u32 = 1;
const INTERRUPTS: u32 = 2;
const TRACKS: u32 = 3;
/// Types of a track event.
const BEGIN: i32 = 1;
const END: i32 = 2;
const COUNTER: i32 = 4;

/// The trace as one JSON value.
#[must_use]
pub fn write(trace: &Trace) -> Value {
    let mut out = Out {
        events: Vec::new(),
        functions: trace.functions(),
    };
    for (pid, name) in [
        (CORES, "cores"),
        (THREADS, "threads"),
        (INTERRUPTS, "interrupts"),
        (TRACKS, "work items and requests"),
    ] {
        out.name("process_name", pid, 0, name);
        out.events
            .push(json!({"ph": "M", "name": "process_sort_index", "pid": pid, "args": {"sort_index": pid}}));
    }
    for (tid, name) in trace.thread_names() {
        out.name("thread_name", THREADS, i64::from(tid), &name);
    }
    for cpu in 0..trace.counts().len() {
        out.name("thread_name", CORES, cpu as i64, &format!("cpu {cpu}"));
        out.name("thread_name", INTERRUPTS, cpu as i64, &format!("cpu {cpu}"));
    }
    out.running(&trace.lines());
    for line in trace.lines() {
        out.event(&line);
    }
    out.tracks(trace);
    json!({
        "displayTimeUnit": "ns",
        "otherData": {"summary": trace.summary()},
        "traceEvents": out.events,
    })
}

struct Out {
    events: Vec<Value>,
    functions: BTreeMap<u64, String>,
}

/// Microseconds, the format's unit.
fn micros(ns: u64) -> f64 {
    ns as f64 / 1e3
}

impl Out {
    fn name(&mut self, what: &str, pid: u32, tid: i64, name: &str) {
        self.events
            .push(json!({"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}));
    }

    fn put(&mut self, ph: &str, row: (u32, i64), at: u64, name: &str, args: Value) {
        let mut event = json!({
            "ph": ph, "pid": row.0, "tid": row.1, "ts": micros(at), "name": name, "args": args,
        });
        if ph == "i" {
            event["s"] = json!("t");
        }
        self.events.push(event);
    }

    /// What ran on each core: from one switch to the next.
    fn running(&mut self, lines: &[Line<'_>]) {
        let mut since: BTreeMap<u32, (u64, String, i32)> = BTreeMap::new();
        for line in lines {
            let Some(Event::SchedSwitch(e)) = &line.event.event else {
                continue;
            };
            let at = line.event.timestamp();
            let next = (at, e.next_comm().to_owned(), e.next_pid());
            let before = since.insert(line.cpu, next);
            if let Some((begin, name, pid)) = before.filter(|b| b.2 != 0) {
                self.events.push(json!({
                    "ph": "X", "pid": CORES, "tid": line.cpu, "ts": micros(begin),
                    "dur": micros(at - begin), "name": name,
                    "args": {"pid": pid, "end_state": text::state(e.prev_state())},
                }));
            }
        }
    }

    fn event(&mut self, line: &Line<'_>) {
        let (at, cpu) = (line.event.timestamp(), i64::from(line.cpu));
        let thread = (THREADS, i64::from(line.event.pid()));
        let interrupts = (INTERRUPTS, cpu);
        let Some(event) = &line.event.event else {
            return;
        };
        let name = text::name(event);
        let none = || json!({});
        match event {
            Event::SchedSwitch(_) | Event::SchedWakeup(_) => {}
            Event::WorkqueueExecuteStart(e) => {
                let address = format!("{:#x}", e.function());
                let function = self.functions.get(&e.function()).cloned();
                let args = json!({"work": format!("{:#x}", e.work())});
                self.put("B", thread, at, &function.unwrap_or(address), args);
            }
            Event::WorkqueueExecuteEnd(_) => self.put("E", thread, at, "", none()),
            Event::IrqHandlerEntry(e) => self.put("B", interrupts, at, e.name(), none()),
            Event::SoftirqEntry(e) => {
                self.put("B", interrupts, at, text::softirq(e.vec()), none());
            }
            Event::IpiEntry(e) => self.put("B", interrupts, at, e.reason(), none()),
            Event::IrqHandlerExit(_) | Event::SoftirqExit(_) | Event::IpiExit(_) => {
                self.put("E", interrupts, at, "", none());
            }
            Event::SchedWaking(e) | Event::SchedWakeupNew(e) => {
                let args = json!({"pid": e.pid(), "comm": e.comm(), "cpu": e.target_cpu()});
                self.put("i", thread, at, name, args);
            }
            Event::Generic(e) => {
                let fields = e.field.iter();
                let args: serde_json::Map<String, Value> = fields
                    .map(|f| (f.name().to_owned(), text::value(f).into()))
                    .collect();
                self.put("i", thread, at, name, args.into());
            }
            _ => self.put("i", thread, at, name, json!({"cpu": cpu})),
        }
    }

    fn tracks(&mut self, trace: &Trace) {
        let mut rows: BTreeMap<u64, (i64, String)> = BTreeMap::new();
        for p in &trace.packet {
            match &p.data {
                Some(packet::Data::TrackDescriptor(d)) => {
                    let row = rows.len() as i64;
                    rows.insert(d.uuid(), (row, d.name().to_owned()));
                    if d.counter.is_none() && d.process.is_none() {
                        self.name("thread_name", TRACKS, row, d.name());
                    }
                }
                Some(packet::Data::TrackEvent(e)) => {
                    if let Some((row, track)) = rows.get(&e.track_uuid()) {
                        self.track_event(p.timestamp(), *row, track, e);
                    }
                }
                _ => {}
            }
        }
    }

    fn track_event(&mut self, at: u64, row: i64, track: &str, e: &TrackEvent) {
        let notes = e.debug_annotations.iter().map(|a| {
            let value = match (&a.string_value, a.uint_value, a.pointer_value) {
                (Some(text), ..) => json!(text),
                (None, Some(n), _) => json!(n),
                (None, None, at) => json!(format!("{:#x}", at.unwrap_or(0))),
            };
            (a.name().to_owned(), value)
        });
        let args: serde_json::Map<String, Value> = notes.collect();
        match e.r#type() {
            BEGIN => self.put("B", (TRACKS, row), at, e.name(), args.into()),
            END => self.put("E", (TRACKS, row), at, "", args.into()),
            COUNTER => {
                let args = json!({"value": e.counter_value()});
                self.put("C", (THREADS, 0), at, track, args);
            }
            _ => {}
        }
    }
}
