//! Tracks of our own: the way of each work item and of each HTTP request, as slices.
//!
//! Items of one queue (requests) form a group, a track with lanes under it. What begins takes the lowest lane that is
//! free, so that slices of a lane never overlap, and there are as many lanes as were needed at once. An item's slices follow
//! each other: it waits for a `max_active` slot ("inactive"), then for a worker ("pending"), then it
//! runs. One that is queued again while it runs is a second one in another lane.

use alloc::vec::Vec;

use trace::{Event, Kind};

use crate::names::{Known, Names};
use crate::schema::{event, packet, track};
use crate::wire::Wire;
use crate::{NoMemory, PROCESS};

/// Things on their way at once; more are not shown.
const ENTRIES: usize = 256;
/// Groups; items of more queues are not shown.
const GROUPS: usize = 128;
/// The sequence all packets belong to.
pub(crate) const SEQUENCE: u64 = 1;
/// Track of the process.
pub(crate) const PROCESS_TRACK: u64 = 1;
/// First track of a group, and how far those of groups are apart; lanes follow.
const FIRST: u64 = 1 << 20;
/// The group of requests; queues have addresses.
const REQUESTS: u64 = 1;

/// How far something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Inactive,
    Pending,
    Running,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    group: u16,
    lane: u16,
    thing: u64,
    stage: Stage,
}

#[derive(Debug)]
struct Group {
    id: u64,
    /// Lanes that have a description.
    lanes: u16,
}

/// What is on its way.
#[derive(Debug)]
pub(crate) struct Tracks {
    entries: Vec<Entry>,
    groups: Vec<Group>,
    /// Things that were not shown.
    pub(crate) hidden: u64,
}

/// An annotation of a slice.
enum Note {
    Pointer(&'static str, u64),
    Number(&'static str, u64),
    Text(&'static str, &'static str),
}

/// A packet of our sequence at this time.
pub(crate) fn packet_at(w: &mut Wire, at_ns: u64, f: impl FnOnce(&mut Wire)) {
    w.message(crate::schema::trace::PACKET, |w| {
        w.number(packet::TIMESTAMP, at_ns);
        w.number(packet::SEQUENCE, SEQUENCE);
        f(w);
    });
}

/// Describes a track.
pub(crate) fn describe(w: &mut Wire, at_ns: u64, uuid: u64, name: &str, f: impl FnOnce(&mut Wire)) {
    packet_at(w, at_ns, |w| {
        w.message(packet::TRACK_DESCRIPTOR, |w| {
            w.number(track::UUID, uuid);
            w.text(track::NAME, name);
            f(w);
        });
    });
}

impl Tracks {
    pub(crate) fn new() -> Result<Self, NoMemory> {
        let mut tracks = Self {
            entries: Vec::new(),
            groups: Vec::new(),
            hidden: 0,
        };
        let entries = tracks.entries.try_reserve_exact(ENTRIES);
        let groups = tracks.groups.try_reserve_exact(GROUPS);
        entries.and(groups).map_err(|_| NoMemory)?;
        Ok(tracks)
    }

    /// Draws what `e` says about an item or a request.
    pub(crate) fn event<N: Names>(
        &mut self,
        w: &mut Wire,
        known: &mut Known<N>,
        at: u64,
        e: &Event,
        function: u64,
    ) {
        let pool = Note::Number("pool", u64::from(e.head.arg));
        let item = Note::Pointer("work", e.a);
        match e.kind {
            Kind::QueueWork => {
                let active = e.head.flags & Kind::ACTIVE != 0;
                let stage = if active {
                    Stage::Pending
                } else {
                    Stage::Inactive
                };
                if let Some(i) = self.enter(w, known, at, (e.b, e.a), stage) {
                    self.begin(w, at, i, stage_name(stage), &[item, pool]);
                }
            }
            Kind::ActivateWork => {
                if let Some(i) = self.find(e.a, |s| s == Stage::Inactive) {
                    self.advance(w, at, i, Stage::Pending);
                    self.begin(w, at, i, stage_name(Stage::Pending), &[item, pool]);
                }
            }
            Kind::ExecuteStart => {
                let found = self.find(e.a, |s| s != Stage::Running);
                let i = if let Some(i) = found {
                    self.advance(w, at, i, Stage::Running);
                    Some(i)
                } else {
                    // It was queued before the recording began.
                    self.enter(w, known, at, (e.b, e.a), Stage::Running)
                };
                if let Some(i) = i {
                    let name = known
                        .function(function)
                        .unwrap_or(stage_name(Stage::Running));
                    self.begin(w, at, i, name, &[item, pool]);
                }
            }
            Kind::ExecuteEnd => {
                if let Some(i) = self.find(e.a, |s| s == Stage::Running) {
                    let notes: &[Note] = match e.head.flags & Kind::PANICKED {
                        0 => &[],
                        _ => &[Note::Text("end", "panicked")],
                    };
                    self.leave(w, at, i, notes);
                }
            }
            Kind::CancelWork => {
                if let Some(i) = self.find(e.a, |s| s != Stage::Running) {
                    self.leave(w, at, i, &[Note::Text("end", "cancelled")]);
                }
            }
            Kind::HttpRequestStart => {
                let request = (REQUESTS, e.a);
                if let Some(i) = self.enter(w, known, at, request, Stage::Running) {
                    self.begin(w, at, i, "request", &[Note::Pointer("connection", e.a)]);
                }
            }
            Kind::HttpRequestEnd => {
                if let Some(i) = self.find(e.a, |s| s == Stage::Running) {
                    let status = Note::Number("status", u64::from(e.head.arg));
                    self.leave(w, at, i, &[status]);
                }
            }
            _ => {}
        }
    }

    /// Events were lost: nobody knows how far anything is.
    pub(crate) fn lose(&mut self, w: &mut Wire, at: u64) {
        while let Some(i) = self.entries.len().checked_sub(1) {
            self.leave(w, at, i, &[Note::Text("end", "events were lost")]);
        }
    }

    fn find(&self, thing: u64, stage: impl Fn(Stage) -> bool) -> Option<usize> {
        let mut entries = self.entries.iter();
        entries.position(|e| e.thing == thing && stage(e.stage))
    }

    /// Takes a lane of a group for something.
    fn enter<N: Names>(
        &mut self,
        w: &mut Wire,
        known: &mut Known<N>,
        at: u64,
        (id, thing): (u64, u64),
        stage: Stage,
    ) -> Option<usize> {
        let group = self
            .group(w, known, at, id)
            .filter(|_| self.entries.len() < ENTRIES);
        let Some(group) = group else {
            self.hidden += 1;
            return None;
        };
        let taken = |lane| {
            let mut entries = self.entries.iter();
            entries.any(|e| e.group == group && e.lane == lane)
        };
        let lane = (0..ENTRIES as u16).find(|&l| !taken(l))?;
        let lanes = &mut self.groups.get_mut(usize::from(group))?.lanes;
        if lane >= *lanes {
            *lanes = lane + 1;
            let name = group_name(known, id);
            describe(w, at, uuid(group, Some(lane)), name.as_str(), |w| {
                w.number(track::PARENT, uuid(group, None));
            });
        }
        self.entries.push(Entry {
            group,
            lane,
            thing,
            stage,
        });
        Some(self.entries.len() - 1)
    }

    /// The place of the group `id`, described.
    fn group<N: Names>(
        &mut self,
        w: &mut Wire,
        known: &mut Known<N>,
        at: u64,
        id: u64,
    ) -> Option<u16> {
        if let Some(i) = self.groups.iter().position(|g| g.id == id) {
            return Some(i as u16);
        }
        if self.groups.len() >= GROUPS {
            return None;
        }
        self.groups.push(Group { id, lanes: 0 });
        let place = (self.groups.len() - 1) as u16;
        let name = group_name(known, id);
        describe(w, at, uuid(place, None), name.as_str(), |w| {
            w.number(track::PARENT, PROCESS_TRACK);
        });
        Some(place)
    }

    /// The slice of entry `i` ends, and it is in `stage` now.
    fn advance(&mut self, w: &mut Wire, at: u64, i: usize, stage: Stage) {
        if let Some(e) = self.entries.get_mut(i) {
            e.stage = stage;
            slice(w, at, e, event::END, None, &[]);
        }
    }

    fn begin(&self, w: &mut Wire, at: u64, i: usize, name: &str, notes: &[Note]) {
        if let Some(e) = self.entries.get(i) {
            slice(w, at, e, event::BEGIN, Some(name), notes);
        }
    }

    fn leave(&mut self, w: &mut Wire, at: u64, i: usize, notes: &[Note]) {
        if i < self.entries.len() {
            let e = self.entries.swap_remove(i);
            slice(w, at, &e, event::END, None, notes);
        }
    }
}

const fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Inactive => "inactive",
        Stage::Pending => "pending",
        Stage::Running => "running",
    }
}

fn group_name<N: Names>(known: &mut Known<N>, id: u64) -> crate::names::Label {
    use crate::names::Label;
    match id {
        REQUESTS => Label::of(format_args!("HTTP requests")),
        _ => Label::of(format_args!("workqueue {}", known.queue(id).as_str())),
    }
}

/// Track of a group, or of one of its lanes.
fn uuid(group: u16, lane: Option<u16>) -> u64 {
    let lane = lane.map_or(0, |l| 1 + u64::from(l));
    FIRST * (1 + u64::from(group)) + lane
}

fn slice(w: &mut Wire, at: u64, e: &Entry, kind: u64, name: Option<&str>, notes: &[Note]) {
    packet_at(w, at, |w| {
        w.message(packet::TRACK_EVENT, |w| {
            for note in notes {
                w.message(event::ANNOTATIONS, |w| annotation(w, note));
            }
            w.number(event::TYPE, kind);
            w.number(event::TRACK, uuid(e.group, Some(e.lane)));
            if let Some(name) = name {
                w.text(event::CATEGORIES, "workqueue");
                w.text(event::NAME, name);
            }
        });
    });
}

fn annotation(w: &mut Wire, note: &Note) {
    match *note {
        Note::Number(name, n) => {
            w.number(event::ANNOTATION_UINT, n);
            w.text(event::ANNOTATION_NAME, name);
        }
        Note::Pointer(name, at) => {
            w.number(event::ANNOTATION_POINTER, at);
            w.text(event::ANNOTATION_NAME, name);
        }
        Note::Text(name, text) => {
            w.text(event::ANNOTATION_STRING, text);
            w.text(event::ANNOTATION_NAME, name);
        }
    }
}

/// Track of a counter. Above those of all lanes.
pub(crate) fn counter_uuid(id: u32) -> u64 {
    FIRST * (1 << 20) + u64::from(id)
}

/// Pid of the one process.
pub(crate) fn process(w: &mut Wire) {
    w.number(track::PROCESS_PID, u64::from(PROCESS));
    w.text(track::PROCESS_NAME, "roundtable");
}
