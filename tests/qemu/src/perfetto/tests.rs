//! The script finds what is wrong with a trace.

use prost::Message;
use xtask::pftrace::schema::ftrace::{Event, SchedSwitch, Softirq, Work};
use xtask::pftrace::schema::{
    FtraceEvent, FtraceEventBundle, InternedData, InternedString, ProcessTree, Thread, Trace,
    TracePacket, TrackDescriptor, TrackEvent, packet::Data,
};

use super::{Reading, pypi, read};

const WORKER: u32 = 5;

fn start(work: u64) -> Event {
    Event::WorkqueueExecuteStart(Work {
        work: Some(work),
        function: Some(1),
    })
}

fn end(work: u64) -> Event {
    Event::WorkqueueExecuteEnd(Work {
        work: Some(work),
        function: None,
    })
}

/// The worker leaves its core.
fn leaves(prev_state: i64) -> Event {
    Event::SchedSwitch(SchedSwitch {
        prev_comm: Some("worker".into()),
        prev_pid: Some(WORKER as i32),
        prev_state: Some(prev_state),
        next_comm: Some("swapper".into()),
        next_pid: Some(0),
        ..SchedSwitch::default()
    })
}

fn softirq(event: fn(Softirq) -> Event) -> Event {
    event(Softirq { vec: Some(6) })
}

/// A packet with these events of the worker, one a nanosecond from `from` on.
fn bundle(from: u64, lost: bool, events: Vec<Event>) -> Data {
    let event = |(at, event)| FtraceEvent {
        timestamp: Some(at),
        pid: Some(WORKER),
        event: Some(event),
    };
    Data::FtraceEvents(FtraceEventBundle {
        cpu: Some(0),
        event: (from..).zip(events).map(event).collect(),
        lost_events: lost.then_some(true),
    })
}

/// Names, and a track with a slice and a value.
fn surroundings() -> Vec<Data> {
    let track = |kind, value| {
        Data::TrackEvent(TrackEvent {
            r#type: Some(kind),
            track_uuid: Some(1),
            counter_value: value,
            ..TrackEvent::default()
        })
    };
    vec![
        Data::ProcessTree(ProcessTree {
            processes: Vec::new(),
            threads: vec![Thread {
                tid: Some(WORKER as i32),
                name: Some("worker".into()),
                tgid: Some(1),
            }],
        }),
        Data::TrackDescriptor(TrackDescriptor {
            uuid: Some(1),
            name: Some("track".into()),
            ..TrackDescriptor::default()
        }),
        track(1, None),
        track(2, None),
        track(4, Some(7)),
    ]
}

fn judged(data: Vec<Data>) -> Result<Reading, String> {
    let mut packet: Vec<TracePacket> = data
        .into_iter()
        .map(|data| TracePacket {
            data: Some(data),
            ..TracePacket::default()
        })
        .collect();
    packet.push(TracePacket {
        interned_data: Some(InternedData {
            kernel_symbols: vec![InternedString {
                iid: Some(1),
                str: Some(b"function".to_vec()),
            }],
        }),
        ..TracePacket::default()
    });
    read(&Trace { packet }.encode_to_vec())
}

fn with(bundles: Vec<Data>) -> Result<Reading, String> {
    judged(surroundings().into_iter().chain(bundles).collect())
}

#[test]
fn only_a_trace_of_something_that_fits_is_fine() {
    // It was within an item when the recording began; softirqs run items on top.
    let good = || {
        let (entry, exit) = (Event::SoftirqEntry, Event::SoftirqExit);
        let mut events = vec![end(7), start(8), softirq(entry), start(9)];
        events.extend([end(9), softirq(exit), end(8), leaves(2)]);
        vec![bundle(1, false, events)]
    };
    match with(good()) {
        Ok(Reading::Fine(line)) => assert!(line.starts_with("1 switches, 2 items"), "{line}"),
        Ok(Reading::Skipped(why)) => return eprintln!("skipped: {why}"),
        Err(why) => panic!("{why}"),
    }
    let wrong = |said: Result<Reading, String>, why: &str| {
        let said = said.expect_err(why);
        assert!(said.contains(why), "{said} instead of {why}");
    };
    wrong(judged(Vec::new()), "not: switches");
    wrong(judged(surroundings()), "not: switches");
    wrong(with(vec![bundle(1, false, vec![leaves(1)])]), "not: exec");
    for (kept, missing) in [(1, "not: slices"), (4, "not: values")] {
        let some = surroundings().into_iter().take(kept);
        wrong(judged(some.chain(good()).collect()), missing);
    }
    let events = |more: Vec<Event>| {
        let all = [start(1), end(1)]
            .into_iter()
            .chain(more)
            .chain([leaves(1)]);
        with(vec![bundle(1, false, all.collect())])
    };
    wrong(events(vec![end(2)]), "an end without a start");
    wrong(events(vec![start(2), end(3)]), "the end of another item");
    wrong(events(vec![start(2), start(3)]), "another item is executed");
    wrong(
        events(vec![
            softirq(Event::SoftirqEntry),
            start(2),
            softirq(Event::SoftirqExit),
        ]),
        "within an item",
    );
    // Where events were lost, nothing is known.
    let after = |lost, event| {
        let before = bundle(1, false, vec![start(1), end(1), start(2), leaves(1)]);
        with(vec![before, bundle(9, lost, vec![event])])
    };
    wrong(after(false, end(3)), "the end of another item");
    assert!(after(true, end(3)).is_ok());
    assert!(after(true, start(3)).is_ok());
    let ends = vec![start(1), end(1), start(2), leaves(2)];
    wrong(with(vec![bundle(1, false, ends)]), "a thread ends within");
    // The last one that was wrong.
    let left = format!("check-{}.pftrace", std::process::id());
    std::fs::remove_file(pypi::directory().unwrap().join(left)).unwrap();
}
