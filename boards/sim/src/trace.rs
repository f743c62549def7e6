//! What happened in a run: a hash over everything, the last events, and on demand all of them.
//!
//! Two runs are the same run exactly when their hashes agree: the kernel's own events are in the hash
//! too. So events name things by numbers that
//! depend on the run alone (core, coroutine, time), never by addresses.

use core::cell::{Cell, RefCell};
use core::fmt;

use machine::Instant;

/// Events of each core a run always keeps.
const TAIL: usize = 64;

/// A kind of event: the seam call, or what the engine did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[expect(missing_docs, reason = "named after the seam calls")]
pub enum What {
    SyncPoint,
    Relax,
    Now,
    IrqSave,
    IrqEnable,
    IrqDisable,
    ArmTimer,
    CancelTimer,
    SendIpi,
    IrqAck,
    IrqEnd,
    Idle,
    Switch,
    StartCpu,
    LeaveCpu,
    RouteIrq,
    Protect,
    AllocRefused,
    Entropy,
    /// The kernel touches a device.
    Device,
    /// A device raises its interrupt line.
    Line,
    /// The engine interrupts the core.
    Interrupt,
    /// The engine calls the preemption hook.
    Preempt,
    /// A fault strikes of itself.
    Fault,
    Panic,
    Shutdown,
}

/// One event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Interleaving points before it.
    pub step: u64,
    /// Virtual time.
    pub at: Instant,
    /// Core.
    pub cpu: u8,
    /// Kind.
    pub what: What,
    /// A number that belongs to the kind: core, deadline, coroutine, code.
    pub arg: u64,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            step,
            at,
            cpu,
            what,
            arg,
        } = self;
        write!(f, "{step:>8} {:>12} cpu{cpu} {what:?} {arg}", at.as_nanos())
    }
}

/// The trace of a finished run.
#[derive(Clone, PartialEq, Eq)]
pub struct Trace {
    /// Hash of every event.
    pub hash: u64,
    /// The last events of each core, oldest first, or all if the run was asked to keep them.
    pub events: Vec<Event>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({:016x}, {} events)", self.hash, self.events.len())
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for e in &self.events {
            writeln!(f, "{e:?}")?;
        }
        write!(f, "hash {:016x}", self.hash)
    }
}

/// Records while the run goes on.
pub(crate) struct Recorder {
    hash: Cell<u64>,
    keep_all: bool,
    /// Every event, if all are kept.
    events: RefCell<Vec<Event>>,
    /// Else the last ones of each core.
    tails: Box<[Tail]>,
}

/// The last events of one core.
struct Tail {
    events: [Cell<Event>; TAIL],
    /// Events so far.
    count: Cell<usize>,
}

impl Tail {
    fn new() -> Self {
        const NONE: Event = Event {
            step: 0,
            at: Instant::ZERO,
            cpu: 0,
            what: What::SyncPoint,
            arg: 0,
        };
        Self {
            events: [const { Cell::new(NONE) }; TAIL],
            count: Cell::new(0),
        }
    }

    /// Oldest first.
    fn iter(&self) -> impl Iterator<Item = Event> {
        let end = self.count.get();
        (end.saturating_sub(TAIL)..end).map(|n| self.events[n % TAIL].get())
    }
}

impl Recorder {
    pub(crate) fn new(keep_all: bool, cpus: usize) -> Self {
        Self {
            hash: Cell::new(0xcbf2_9ce4_8422_2325),
            keep_all,
            events: RefCell::default(),
            tails: (0..cpus).map(|_| Tail::new()).collect(),
        }
    }

    #[inline]
    pub(crate) fn record(&self, event: Event) {
        let head = event.step << 16 | u64::from(event.cpu) << 8 | event.what as u64;
        self.mix([head, event.at.as_nanos(), event.arg]);
        if self.keep_all {
            self.events.borrow_mut().push(event);
        } else {
            let tail = &self.tails[usize::from(event.cpu)];
            let n = tail.count.get();
            tail.events[n % TAIL].set(event);
            tail.count.set(n + 1);
        }
    }

    /// Adds `words`, which depend on the run alone, to its hash.
    #[inline]
    pub(crate) fn mix<const N: usize>(&self, words: [u64; N]) {
        let mut h = self.hash.get();
        for word in words {
            h = (h ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
            h ^= h >> 29;
        }
        self.hash.set(h);
    }

    pub(crate) fn finish(&self) -> Trace {
        let mut events = self.events.borrow().clone();
        if !self.keep_all {
            events.extend(self.tails.iter().flat_map(Tail::iter));
            // Each core's are in order already, and the sort keeps that.
            events.sort_by_key(|e| (e.step, e.at));
        }
        Trace {
            hash: self.hash.get(),
            events,
        }
    }
}
