//! Decisions: what the engine chose where something else was possible.
//!
//! A run is a function of (build, scenario, seed, options, decisions), and the decisions themselves
//! come from the seed or from a list. A list has only the decisions that differ from the default
//! (stay on the core, no fault, no delay), so a short list is a simple run.
//!
//! A decision is named by a core and the number of seam calls that core had made. That name keeps
//! its meaning when an unrelated decision is taken out of the list, which is what the minimiser
//! does all the time; a count of all points would not.

use core::cell::Cell;
use core::fmt;
use std::sync::Arc;

/// What was decided. Decisions at one place are made in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Choice {
    /// An interrupt without a cause: core + 1, and in bits 8.. whether it names a device.
    Spurious,
    /// A core stands still: core + 1, and in bits 8.. for how many units of time.
    Stall,
    /// Interrupts without a cause, one after the other: core + 1, in bits 8.. how many.
    Storm,
    /// Another core goes on although this one could: its number + 1.
    Preempt,
    /// This core waits; the core that goes on is not the next one in turn: its number + 1.
    Next,
    /// The later of two pending interrupts is taken first.
    Ack,
    /// An IPI takes so many nanoseconds.
    Ipi,
    /// The timer is so many nanoseconds late.
    Timer,
    /// A thread is not made.
    Thread,
    /// A heap allocation is refused.
    Heap,
    /// A page allocation is refused.
    Pages,
}

impl Choice {
    const ALL: [(Self, &'static str); 11] = [
        (Self::Spurious, "spurious"),
        (Self::Stall, "stall"),
        (Self::Storm, "storm"),
        (Self::Preempt, "preempt"),
        (Self::Next, "next"),
        (Self::Ack, "ack"),
        (Self::Ipi, "ipi"),
        (Self::Timer, "timer"),
        (Self::Thread, "thread"),
        (Self::Heap, "heap"),
        (Self::Pages, "pages"),
    ];

    /// Every kind of decision.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::ALL.iter().map(|(choice, _)| *choice)
    }

    /// Its word in a replay file.
    pub(crate) fn word(self) -> &'static str {
        let entry = Self::ALL.iter().find(|(c, _)| *c == self);
        entry.map_or("?", |(_, word)| word)
    }

    /// The choice a replay file calls `word`.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        let entry = Self::ALL.iter().find(|(_, w)| *w == word);
        entry.map(|(c, _)| *c)
    }

    /// True for what the engine tries of itself at a point, not at the kernel's asking.
    pub(crate) const fn strikes(self) -> bool {
        matches!(self, Self::Spurious | Self::Stall | Self::Storm)
    }
}

/// One decision that was not the default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The core that ran.
    pub cpu: u8,
    /// Seam calls it had made.
    pub at: u64,
    /// What was decided. Decisions at one place are made in this order.
    pub what: Choice,
    /// What it was decided to be; not 0.
    pub value: u32,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            at,
            what,
            value,
        } = self;
        write!(f, "{cpu}:{at} {} {value}", what.word())
    }
}

/// A list of decisions that is being followed.
#[derive(Debug)]
pub(crate) struct Script {
    /// By core, in order.
    lists: Vec<Vec<Decision>>,
    cursors: Vec<Cell<usize>>,
    /// Decisions that could not be followed.
    missed: Cell<u64>,
}

impl Script {
    pub(crate) fn new(cpus: usize, decisions: &Arc<[Decision]>) -> Self {
        let mut lists = vec![Vec::new(); cpus];
        for d in decisions.iter() {
            // A decision of a core that does not exist is never asked for.
            if let Some(list) = lists.get_mut(usize::from(d.cpu)) {
                list.push(*d);
            }
        }
        lists
            .iter_mut()
            .for_each(|l| l.sort_by_key(|d| (d.at, d.what)));
        Self {
            cursors: vec![Cell::new(0); cpus],
            lists,
            missed: Cell::new(0),
        }
    }

    /// The decision about `what` at this place; 0 if the list has none.
    pub(crate) fn take(&self, cpu: usize, at: u64, what: Choice) -> u32 {
        let (list, cursor) = (&self.lists[cpu], &self.cursors[cpu]);
        while let Some(d) = list.get(cursor.get()) {
            if (d.at, d.what) > (at, what) {
                break;
            }
            cursor.set(cursor.get() + 1);
            if (d.at, d.what) == (at, what) {
                return d.value;
            }
            self.missed.set(self.missed.get() + 1);
        }
        0
    }

    /// The next decision of core `cpu` if it is a strike at this place.
    pub(crate) fn strike(&self, cpu: usize, at: u64) -> Option<Decision> {
        let (list, cursor) = (&self.lists[cpu], &self.cursors[cpu]);
        let d = *list.get(cursor.get())?;
        let due = d.at == at && d.what.strikes();
        if due {
            cursor.set(cursor.get() + 1);
        }
        due.then_some(d)
    }

    /// The decision cannot be followed here.
    pub(crate) fn miss(&self) {
        self.missed.set(self.missed.get() + 1);
    }

    /// Decisions that had no place in the run.
    pub(crate) fn missed(&self) -> u64 {
        let left = |(list, cursor): (&Vec<Decision>, &Cell<usize>)| list.len() - cursor.get();
        let left: usize = self.lists.iter().zip(&self.cursors).map(left).sum();
        self.missed.get() + left as u64
    }
}
