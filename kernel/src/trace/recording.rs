//! All rings together, from one moment on: each event once, in order of time, with its core and
//! thread.
//!
//! A recording keeps no events. Who records reads again and again, often enough for the rings not to
//! be overwritten meanwhile; what was is counted, and told in its place.
//!
//! Order: [`Recording::next`] is given a moment, takes the oldest event of all cores and nothing after that moment. An event is
//! in its ring some instructions after it took its stamp, so one of a core that the host of a virtual
//! machine stopped just there may come late, after younger ones of other cores. Each core's own events
//! are always in order.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::Ordering;

use machine::{CpuId, Instant};
use trace::{Categories, Event, Kind, Reader};

use super::EVENTS;
use crate::cpu::cpu;
use crate::{kernel, mem};

/// Recordings at a time.
const MOST: u32 = 4;

/// Why nothing is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Busy {
    /// Others record already, as many as may.
    TooMany,
    /// There is no memory; less is taken with fewer cores.
    NoMemory,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "{MOST} recordings go on already; try again later"),
            Self::NoMemory => f.write_str("no memory for a recording"),
        }
    }
}

/// What a recording tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// The core that wrote the event.
    pub cpu: CpuId,
    /// When.
    pub at: Instant,
    /// Number of the thread that ran there, 0 for the idle thread; `None` while the category `sched` is
    /// not traced.
    pub thread: Option<u32>,
    /// Events of this core that were lost right before this one.
    pub lost: u64,
    /// The event.
    pub event: Event,
}

/// Where a recording is in one core's ring.
#[derive(Debug)]
struct Place {
    id: CpuId,
    reader: Reader,
    /// Read and not told yet, and how many were lost before it.
    next: Option<(Event, u64)>,
    /// Events seen in the ring at the last look.
    seen: u64,
    thread: Option<u32>,
}

/// Counts as one of [`MOST`] while it lives.
#[derive(Debug)]
struct Ticket;

impl Ticket {
    fn take() -> Result<Self, Busy> {
        let more = |n| (n < MOST).then_some(n + 1);
        let count = &kernel().recordings;
        match count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Self),
            Err(_) => Err(Busy::TooMany),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        kernel().recordings.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A recording of what all cores trace. The categories stay as they are ([`super::want`]).
#[derive(Debug)]
pub struct Recording {
    places: Vec<Place>,
    _ticket: Ticket,
}

impl Recording {
    /// Begins with the events that come after the call.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub fn begin() -> Result<Self, Busy> {
        let ticket = Ticket::take()?;
        let cpus = kernel().cpus();
        let places = mem::try_vec_with_capacity(cpus.len());
        let mut places: Vec<Place> = places.map_err(|_| Busy::NoMemory)?;
        for c in cpus {
            places.push(Place {
                id: c.id(),
                reader: Reader::last(&c.trace, 0),
                next: None,
                seen: c.trace.count(),
                thread: None,
            });
        }
        Ok(Self {
            places,
            _ticket: ticket,
        })
    }

    /// The next event that was stamped at `until` ([`machine::stamp`]) or before; `None` when there is
    /// none yet.
    pub fn next(&mut self, until: u64) -> Option<Recorded> {
        for p in &mut self.places {
            p.fill();
        }
        let stamp = |p: &Place| p.next.map_or(u64::MAX, |(e, _)| e.stamp);
        let place = self.places.iter_mut().min_by_key(|p| stamp(p))?;
        if stamp(place) > until {
            return None;
        }
        place.take()
    }

    /// The fullest ring's share of events that are new since the last call, in hundredths: beyond 100,
    /// some are lost.
    pub fn pressure(&mut self) -> u64 {
        let news = self.places.iter_mut().map(|p| {
            let count = cpu(p.id).trace.count();
            count - core::mem::replace(&mut p.seen, count)
        });
        news.max().unwrap_or(0) * 100 / EVENTS as u64
    }
}

impl Place {
    /// Reads the next event, unless it is there.
    fn fill(&mut self) {
        if self.next.is_some() {
            return;
        }
        let c = cpu(self.id);
        let before = self.reader.lost();
        if let Some(event) = self.reader.read(&c.trace) {
            let lost = self.reader.lost() - before;
            c.trace_lost.fetch_add(lost, Ordering::Relaxed);
            self.next = Some((event, lost));
        }
    }

    fn take(&mut self) -> Option<Recorded> {
        let (event, lost) = self.next?;
        if lost > 0 || !cpu(self.id).trace.wants(Categories::SCHED) {
            // Switches are missing.
            self.thread = None;
        }
        if self.thread.is_none() {
            self.thread = self.running();
        }
        self.next = None;
        let thread = self.thread;
        if event.kind == Kind::SchedSwitch {
            self.thread = Some(event.head.arg);
        }
        Some(Recorded {
            cpu: self.id,
            at: machine::stamp_time(event.stamp),
            thread,
            lost,
            event,
        })
    }

    /// The thread that ran when `next` was written: the one that the next switch is away from. Without
    /// one up to now, it is the one that runs now.
    fn running(&self) -> Option<u32> {
        let c = cpu(self.id);
        if !c.trace.wants(Categories::SCHED) {
            return None;
        }
        let now = c.current_id();
        let mut ahead = self.reader;
        let later = core::iter::from_fn(|| ahead.read(&c.trace));
        let mut events = self.next.map(|(e, _)| e).into_iter().chain(later);
        let switch = events.find(|e| e.kind == Kind::SchedSwitch);
        Some(switch.map_or(now, |e| e.a as u32))
    }
}
