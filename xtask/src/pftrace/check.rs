//! Whether a trace is one that its reader can rely on.
//!
//! What is checked: nothing is in it that the schema here does not know; each core's events are in
//! order of time; each switch is away from the thread that the one before was to; every start of an item has
//! its end in the same thread, unless the trace ends before; every thread has a name; slices of tracks
//! begin and end on tracks that are described. Where events were lost, the books begin anew. A bundle is of one
//! core, so what a thread does on several is looked at in the order of time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use prost::Message;

use super::schema::ftrace::Event;
use super::schema::{FtraceEvent, Trace, packet};

/// What a trace that passed the checks has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Checked {
    /// Context switches.
    pub switches: usize,
    /// Items that began and ended.
    pub executed: usize,
    /// Slices of our own tracks that ended.
    pub slices: usize,
    /// Values of counters.
    pub values: usize,
}

/// Checks the trace in `bytes`.
pub fn check(bytes: &[u8]) -> Result<Checked, String> {
    let trace = Trace::decode(bytes).map_err(|e| e.to_string())?;
    let known = trace.encoded_len();
    if known != bytes.len() {
        return Err(format!(
            "{} bytes, of which {known} are in fields that are known",
            bytes.len()
        ));
    }
    let mut books = Books {
        names: trace.thread_names().into_keys().collect(),
        ..Books::default()
    };
    let mut events = Vec::new();
    for p in &trace.packet {
        if p.trusted_packet_sequence_id() == 0 {
            return Err(format!("a packet without a sequence: {p:?}"));
        }
        match &p.data {
            Some(packet::Data::FtraceEvents(bundle)) => {
                let cpu = bundle.cpu();
                if bundle.lost_events() {
                    let before = books.cores.remove(&cpu).map_or(0, |core| core.at);
                    let after = bundle
                        .event
                        .first()
                        .map_or(u64::MAX, FtraceEvent::timestamp);
                    books.lost.push(before..=after);
                }
                for event in &bundle.event {
                    books
                        .event(cpu, event)
                        .map_err(|why| format!("{why}: cpu {cpu} {event:?}"))?;
                    events.push((cpu, event));
                }
            }
            Some(packet::Data::TrackDescriptor(d)) => {
                let parent = d.parent_uuid.is_none_or(|p| books.tracks.contains_key(&p));
                if !parent || d.name().is_empty() {
                    return Err(format!("a track without name or parent: {d:?}"));
                }
                books.tracks.insert(d.uuid(), 0);
            }
            Some(packet::Data::TrackEvent(e)) => {
                books
                    .slice(e.track_uuid(), e.r#type())
                    .map_err(|why| format!("{why}: {e:?}"))?;
            }
            _ => {}
        }
    }
    // A worker goes from core to core, whose bundles are in no order.
    events.sort_by_key(|(_, event)| event.timestamp());
    for (cpu, event) in events {
        books
            .item(cpu, event)
            .map_err(|why| format!("{why}: cpu {cpu} {event:?}"))?;
    }
    Ok(books.checked)
}

/// What is known of one core.
#[derive(Default)]
struct Core {
    at: u64,
    running: Option<i32>,
}

#[derive(Default)]
struct Books {
    names: BTreeSet<i32>,
    cores: BTreeMap<u32, Core>,
    /// Items that each thread executes, of each core if it is the idle thread.
    executing: BTreeMap<(u32, u32), Vec<u64>>,
    /// Times in which events of some core were lost.
    lost: Vec<RangeInclusive<u64>>,
    /// Slices open on each track.
    tracks: BTreeMap<u64, u32>,
    checked: Checked,
}

fn ensure(good: bool, why: &str) -> Result<(), String> {
    if good { Ok(()) } else { Err(why.to_owned()) }
}

impl Books {
    fn event(&mut self, cpu: u32, event: &FtraceEvent) -> Result<(), String> {
        let core = self.cores.entry(cpu).or_default();
        ensure(event.timestamp() >= core.at, "back in time")?;
        core.at = event.timestamp();
        let e = event.event.as_ref().ok_or("an unknown event")?;
        let pid = event.pid.map(|p| p as i32);
        ensure(
            pid.is_none_or(|p| self.names.contains(&p)),
            "a nameless thread",
        )?;
        if let (Some(pid), Some(running)) = (pid, core.running) {
            ensure(pid == running, "another thread runs there")?;
        }
        let named = |pid: i32, comm: &str| {
            let known = self.names.contains(&pid) && !comm.is_empty();
            ensure(known, "a nameless thread")
        };
        match e {
            Event::SchedSwitch(s) => {
                named(s.prev_pid(), s.prev_comm())?;
                named(s.next_pid(), s.next_comm())?;
                let before = core.running.replace(s.next_pid());
                let fits = before.is_none_or(|before| before == s.prev_pid());
                ensure(fits, "a switch from a thread that did not run")?;
                self.checked.switches += 1;
            }
            Event::SchedWakeup(w) | Event::SchedWaking(w) | Event::SchedWakeupNew(w) => {
                named(w.pid(), w.comm())?;
            }
            Event::WorkqueueExecuteStart(w) => {
                ensure(w.function.is_some(), "an item without function")?;
            }
            Event::TimerStart(t) => ensure(t.function.is_some(), "a timer without function")?,
            Event::TimerExpireEntry(t) => {
                ensure(t.function.is_some(), "a timer without function")?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What an event, the next in time, says of items.
    fn item(&mut self, cpu: u32, event: &FtraceEvent) -> Result<(), String> {
        let at = event.timestamp();
        if self.lost.iter().any(|time| time.contains(&at)) {
            self.executing.clear();
        }
        match event.event.as_ref() {
            Some(Event::SchedSwitch(s)) => {
                // What runs in softirqs, on top of a thread's own item, is over by now.
                let open = self.open(cpu, s.prev_pid() as u32).len();
                ensure(open <= 1, "an item that never ended")?;
            }
            Some(Event::WorkqueueExecuteStart(w)) => {
                self.open(cpu, event.pid()).push(w.work());
            }
            Some(Event::WorkqueueExecuteEnd(w)) => {
                let open = self.open(cpu, event.pid());
                // Else it began before the trace did, or before events were lost.
                if let Some(last) = open.pop() {
                    ensure(last == w.work(), "the end of another item")?;
                    self.checked.executed += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, cpu: u32, pid: u32) -> &mut Vec<u64> {
        let core = if pid == 0 { cpu } else { 0 };
        self.executing.entry((pid, core)).or_default()
    }

    fn slice(&mut self, track: u64, kind: i32) -> Result<(), String> {
        let open = self.tracks.get_mut(&track).ok_or("an unknown track")?;
        match kind {
            1 => {
                *open += 1;
                ensure(*open == 1, "two slices at once in one lane")?;
            }
            2 => {
                *open = open.checked_sub(1).ok_or("an end without a begin")?;
                self.checked.slices += 1;
            }
            4 => self.checked.values += 1,
            _ => return Err("an unknown type".to_owned()),
        }
        Ok(())
    }
}
