//! What the watchdog found, as a value and in words.

use core::fmt;

use machine::{CpuId, Duration};

use super::super::QueueName;
use crate::panic::tell_frames;
use crate::waits::Chain;

/// Most frames of a stuck item's thread that are told.
pub const MOST_FRAMES: usize = 12;

/// Return addresses of a thread that sleeps.
pub type Frames = heapless::Vec<usize, MOST_FRAMES>;

/// What kind of stall it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StallKind {
    /// Items wait in a pool and none is started (N7).
    Pool,
    /// Items of a queue wait for slots, and those that have them do not end (N8 a).
    Slots,
    /// An item neither ends nor moves (N8 b).
    Item,
    /// A core's timers are late (N8 d).
    Timers,
}

/// Something that had not moved on for too long when the watchdog looked.
#[derive(Clone, Debug)]
pub struct Stall {
    /// What it is.
    pub kind: StallKind,
    /// The pool's number; the core's for [`StallKind::Timers`].
    pub place: usize,
    /// The queue, if it is one queue's matter.
    pub queue: QueueName,
    /// Type of the value of the item that is stuck.
    pub item: Option<&'static str>,
    /// The thread that executes it.
    pub thread: Option<u32>,
    /// The core that the thread had when the watchdog looked; `None` if it slept.
    pub running: Option<CpuId>,
    /// Where it sleeps: return addresses, innermost first. Empty if it runs, and in the simulator.
    pub frames: Frames,
    /// Items that wait behind it.
    pub waiting: u32,
    /// For how long, as far as looks can tell.
    pub lasted: Duration,
    /// Stalls are numbered from 1, as they are told.
    pub number: u64,
}

impl Stall {
    pub(super) fn new(kind: StallKind, lasted: Duration) -> Self {
        Self {
            kind,
            place: 0,
            queue: QueueName::new(),
            item: None,
            thread: None,
            running: None,
            frames: Frames::new(),
            waiting: 0,
            lasted,
            number: 0,
        }
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, waiting, ms) = (self.place, self.waiting, self.lasted.as_millis());
        match self.kind {
            StallKind::Pool => write!(
                f,
                "BUG: workqueue lockup: pool {n} has started none of {waiting} items for {ms} ms"
            ),
            StallKind::Slots => write!(
                f,
                "BUG: workqueue lockup: {waiting} items of {} have waited for a slot in pool {n} for {ms} ms",
                self.queue
            ),
            StallKind::Item => write!(
                f,
                "BUG: workqueue lockup: an item of {} (of {}) has been stuck in pool {n} for {ms} ms, in thread {}",
                self.item.unwrap_or("?"),
                self.queue,
                self.thread.unwrap_or(0)
            ),
            StallKind::Timers => write!(f, "BUG: the timers of core {n} are {ms} ms late"),
        }
    }
}

impl Stall {
    /// Who waits for whom, from the stuck item, one that has a slot, or one that a worker of the stuck pool
    /// sleeps in on, in words: through items, queues, slots and mutexes to somebody who runs, or sleeps in something
    /// of which nobody knows who ends it. `None` for other stalls, until it is known (shortly after the stall; later
    /// if a core keeps the locks that are needed), and after several more stalls.
    #[must_use]
    pub fn chain(&self) -> Option<Chain> {
        super::chains::of(self.number)
    }

    /// What the thread of a stuck item does: where it sleeps, or that it runs. To the console.
    pub(super) fn tell_thread(&self) {
        if let Some(core) = self.running {
            crate::log!("  its thread runs on core {core}");
        }
        tell_frames(&self.frames);
    }
}
