//! What a core does at this moment, in its own words.
//!
//! Nobody can read the frames of a thread that runs on another core: they change while one reads. So
//! that core is asked, by an inter-processor interrupt, and its handler writes down what it interrupted.
//! Who asked looks for the answer later; a core that takes no interrupts gives none.
#![expect(unsafe_code, reason = "names the thread that runs on another core")]

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use machine::{CpuId, Duration, Instant};
use sync::{IrqGuard, Rank, SpinLock};

use crate::cpu::{CpuLocal, cpu, online, this_cpu};
use crate::panic::symbol_of;
use crate::thread::{self, Name, ThreadCx, current, cut};
use crate::{ipi, wq};

/// Most frames that are told.
pub const MOST_FRAMES: usize = 24;
/// Frames of the handler that looks, in front of them.
const OWN_FRAMES: usize = 16;
/// From one look for an answer to the next.
const LOOK: Duration = Duration::from_millis(1);

/// Return addresses, innermost first.
pub type Frames = heapless::Vec<usize, MOST_FRAMES>;

/// What a core did.
#[derive(Clone, Debug)]
pub struct Glimpse {
    /// The core.
    pub core: CpuId,
    /// When.
    pub at: Instant,
    /// Number of its running thread.
    pub thread: u32,
    /// The thread's name.
    pub name: Name,
    /// Type of the value of the work item that it executes, if it does; `None` also if only somebody else
    /// looked.
    pub item: Option<&'static str>,
    /// In a softirq, on top of the thread.
    pub in_softirq: bool,
    /// Where: return addresses, innermost first; the first is one byte behind the begin of the instruction
    /// that was interrupted, so that of all the one before tells the function. Empty if only somebody else looked,
    /// and in the simulator.
    pub frames: Frames,
}

impl fmt::Display for Glimpse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in thread \"{}\" (id {})", self.name, self.thread)?;
        if self.in_softirq {
            f.write_str(", in a softirq")?;
        }
        match self.item {
            Some(item) => write!(f, ", work item {item}"),
            None => Ok(()),
        }
    }
}

impl Glimpse {
    /// What the running core does, or did when it was interrupted.
    pub(super) fn here(now: Instant) -> Self {
        let me = current();
        // Else it is this look that runs in a softirq.
        let in_softirq = sync::in_hardirq() && sync::serving_softirq();
        let item = if in_softirq {
            wq::bh::current_item()
        } else {
            wq::current_item(me)
        };
        Self {
            core: this_cpu().id(),
            at: now,
            thread: me.id(),
            name: cut(me.name()),
            item,
            in_softirq,
            frames: interrupted_frames(),
        }
    }

    /// What can be seen of core `c` by another one.
    pub(super) fn from_outside(c: &CpuLocal, now: Instant) -> Self {
        let (thread, name) = current_of(c).unwrap_or_default();
        Self {
            core: c.id(),
            at: now,
            thread,
            name,
            item: None,
            in_softirq: false,
            frames: Frames::new(),
        }
    }
}

/// Number and name of the thread that runs on core `c`; `None` while its runqueue is locked.
fn current_of(c: &CpuLocal) -> Option<(u32, Name)> {
    let rq = c.rq.try_lock()?;
    // SAFETY: a core's running thread changes, and the one before is freed, only after this lock was taken
    // for the switch.
    let t = unsafe { c.current.load(Ordering::Relaxed).as_ref() };
    let found = t.map(|t| (t.id(), cut(t.name())));
    drop(rq);
    found
}

/// The frames of what this core's outermost interrupt interrupted last, without those of the handler; all
/// frames in thread context.
fn interrupted_frames() -> Frames {
    let mut all = [0; MOST_FRAMES + OWN_FRAMES];
    let n = machine::backtrace(0, &mut all);
    let all = &all[..n];
    let entry = |&pc: &usize| symbol_of(pc).is_some_and(|(name, _)| name.contains("irq_entry"));
    // The return address into the interrupt's entry, and behind it the interrupted address.
    let begin = all.iter().position(entry).map_or(0, |at| at + 1);
    let mut frames = Frames::new();
    for &pc in all[begin..].iter().take(MOST_FRAMES) {
        let _fits = frames.push(pc);
    }
    if begin > 0
        && let Some(interrupted) = frames.first_mut()
    {
        // Like a return address it stands behind what it tells of.
        *interrupted += 1;
    }
    frames
}

/// A core's answers: the number of the last question, that of the last answer, and the answer.
pub(super) struct Portrait {
    wanted: AtomicU64,
    made: AtomicU64,
    last: SpinLock<Option<Glimpse>>,
}

impl fmt::Debug for Portrait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portrait").finish_non_exhaustive()
    }
}

impl Portrait {
    pub(super) const fn new() -> Self {
        Self {
            wanted: AtomicU64::new(0),
            made: AtomicU64::new(0),
            last: SpinLock::new(Rank::Leaf, "what a core does", None),
        }
    }
}

/// A question to a core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    core: CpuId,
    number: u64,
}

impl Asked {
    pub(crate) fn core(self) -> CpuId {
        self.core
    }

    /// The answer, once it is there, or a later one.
    pub(crate) fn answer(self) -> Option<Glimpse> {
        let portrait = &cpu(self.core).pulse.portrait;
        let there = portrait.made.load(Ordering::Acquire) >= self.number;
        there.then(|| portrait.last.lock().clone()).flatten()
    }
}

/// Asks core `core` what it does. Any context without a lock of rank mailbox or above.
pub(crate) fn ask(core: CpuId) -> Asked {
    let irq = IrqGuard::new();
    let c = cpu(core);
    let number = c.pulse.portrait.wanted.fetch_add(1, Ordering::Relaxed) + 1;
    if core == this_cpu().id() {
        pose(c, machine::now());
    } else {
        ipi::ask_for_pulse(core);
    }
    drop(irq);
    Asked { core, number }
}

/// Answers on the running core, `c`, if somebody asked. Interrupts are masked.
pub(super) fn pose(c: &CpuLocal, now: Instant) {
    let portrait = &c.pulse.portrait;
    let wanted = portrait.wanted.load(Ordering::Relaxed);
    if portrait.made.load(Ordering::Relaxed) != wanted {
        *portrait.last.lock() = Some(Glimpse::here(now));
        portrait.made.store(wanted, Ordering::Release);
    }
}

/// What core `core` does: asks it, and waits for its answer for at most `patience`. `None` if it is
/// offline, there is no such core, or it takes no interrupts. Asked for the running core, the caller sees
/// itself.
pub fn glimpse_of(cx: &ThreadCx<'_>, core: CpuId, patience: Duration) -> Option<Glimpse> {
    if !online().contains(core) {
        return None;
    }
    let asked = ask(core);
    let end = machine::now() + patience;
    loop {
        let answer = asked.answer();
        if answer.is_some() || machine::now() >= end {
            return answer;
        }
        thread::sleep(cx, LOOK);
    }
}
