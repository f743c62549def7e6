//! Softirqs: work an interrupt leaves for "right after", with interrupts enabled.
//!
//! Rows S1-S6 and S9 of the rule table. Ten vectors, lowest number first (S1). They run at the
//! outermost interrupt exit, at the outermost end of a BH-off section, or in the core's `ksoftirqd`
//! thread (S2). Raising from thread context wakes ksoftirqd, raising from anywhere else only sets
//! the bit, because the exit of that context runs it (S3).
//!
//! One entry makes at most 10 passes over the pending bits and stops early after 2 ms or when a
//! reschedule is due (S4); what is left goes to ksoftirqd, a thread of nice 0, so BH load cannot
//! starve threads (S6). The 2 ms are measured by the counter, not in ticks (S5).

mod vector;

use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering};

use machine::{CpuId, Duration};
use spin::Once;
use sync::{SoftirqGuard, bh_disable, holds_softirqs_up};

pub use self::vector::{VECTORS, Vector};
use crate::cpu::{CpuLocal, CpuMask, cpu, this_cpu};
use crate::thread::{Builder, SpawnError, ThreadCx, ThreadRef, yield_now};
use crate::trace::{Head, Kind, record_shown, shown_on};
use crate::{ipi, schedule, timer, wq};

/// Most passes over the pending vectors in one entry (S4).
const MAX_PASSES: u32 = 10;
/// Longest one entry may take (S4, S5), and go on starting BH items (A3, K4).
const MAX_TIME: Duration = Duration::from_millis(2);

/// Proof of BH context: the holder runs in a softirq and may not sleep.
pub struct BhCx<'a> {
    scope: PhantomData<(&'a (), *const ())>,
    /// The preempt word, where no section is open that a handler began.
    word: u32,
}

impl fmt::Debug for BhCx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BhCx")
    }
}

/// One entry into the softirqs of a core.
pub(crate) struct Entry {
    /// When it is over, by the raw counter.
    pub(crate) until: u64,
    /// Passes that are over.
    passes: u32,
    /// Vectors that this pass serves after the one that it serves now.
    rest: u32,
}

/// Lines of a core: at least [`VECTORS`].
const LINES: usize = 16;

/// A vector of one core.
#[derive(Debug)]
#[repr(C)]
struct Line {
    /// How often it ran (S7 counters).
    runs: AtomicU64,
    /// What it runs, if that is BH items.
    bh: wq::bh::Line,
}

impl Line {
    const fn new() -> Self {
        Self {
            runs: AtomicU64::new(0),
            bh: wq::bh::Line::new(),
        }
    }
}

/// A core's softirq bookkeeping.
#[derive(Debug)]
pub(crate) struct SoftirqState {
    thread: Once<ThreadRef>,
    /// The vectors, and some more: a number of bits, so that none of them is out of bounds.
    lines: [Line; LINES],
    /// Entries that gave up with work left.
    deferred: AtomicU64,
    /// Vectors whose handlers left a section open (S12).
    leaks: AtomicU64,
    /// [`MAX_TIME`] by the raw counter.
    pub(crate) longest: u64,
}

impl SoftirqState {
    pub(crate) fn new() -> Self {
        Self {
            thread: Once::new(),
            lines: [const { Line::new() }; LINES],
            deferred: AtomicU64::new(0),
            leaks: AtomicU64::new(0),
            longest: machine::stamp_span(MAX_TIME),
        }
    }

    /// The BH pools that `vector` runs.
    pub(crate) fn bh(&self, vector: Vector) -> &wq::bh::Line {
        &self.lines[vector as usize].bh
    }
}

/// Raises `vector` on this core. Any context.
pub fn raise(vector: Vector) {
    let irq = sync::IrqGuard::new();
    raise_masked(this_cpu(), vector);
    drop(irq);
}

/// As [`raise`], with interrupts masked; `c` is the running core.
#[inline(always)]
pub(crate) fn raise_masked(c: &CpuLocal, vector: Vector) {
    let pending = &c.header.softirq_pending;
    // Owner core with interrupts masked: load and store instead of an atomic update.
    pending.store(
        pending.load(Ordering::Relaxed) | 1 << vector as u8,
        Ordering::Relaxed,
    );
    if shown_on(c, Kind::SoftirqRaise) {
        record_shown(Kind::SoftirqRaise, Head::of(vector as u32), 0, 0);
    }
    if !holds_softirqs_up() {
        wake_ksoftirqd();
    }
}

/// Raises `vector` on core `target`, by IPI when that is another core (K3). Any context. While that core
/// is offline nothing happens: its timers and BH items are another core's.
pub fn raise_on(target: CpuId, vector: Vector) {
    let irq = sync::IrqGuard::new();
    raise_on_masked(target.index() as u32, vector);
    drop(irq);
}

/// As [`raise_on`], by the core's number, with interrupts masked.
#[inline(always)]
pub(crate) fn raise_on_masked(target: u32, vector: Vector) {
    debug_assert!(machine::irqs_masked(), "raised with interrupts on");
    let c = this_cpu();
    if target == c.id().index() as u32 {
        raise_masked(c, vector);
    } else {
        ipi::raise_softirq(CpuId::new(target as usize), vector);
    }
}

/// How often each vector ran on core `c`, and how many entries left work to ksoftirqd.
#[must_use]
pub fn counters(c: CpuId) -> ([u64; VECTORS], u64) {
    let s = &cpu(c).softirq;
    let runs = core::array::from_fn(|i| s.lines[i].runs.load(Ordering::Relaxed));
    (runs, s.deferred.load(Ordering::Relaxed))
}

/// Softirqs on core `c` that left preemption, BH or interrupts off, which was told and repaired (S12).
#[must_use]
pub fn leak_count(c: CpuId) -> u64 {
    cpu(c).softirq.leaks.load(Ordering::Relaxed)
}

fn pending() -> u32 {
    this_cpu().header.softirq_pending.load(Ordering::Relaxed)
}

#[inline(never)]
fn wake_ksoftirqd() {
    if let Some(thread) = this_cpu().softirq.thread.get() {
        schedule::wake(thread);
    }
}

/// Interrupt exit: runs what is pending, unless this interrupt came in on top of a softirq or a
/// BH-off section. Interrupts are masked on entry and on return.
pub(crate) fn irq_exit() {
    if !holds_softirqs_up() && pending() != 0 {
        run();
    }
}

/// The loop of S4; also the hook by which the outermost BH-off section ends with softirqs pending. An interrupt may have
/// served those since the look: then the first pass finds none. Interrupts are masked on entry and on return, and enabled
/// while handlers run.
#[inline(never)]
pub(crate) fn run() {
    let c = this_cpu();
    let serving = SoftirqGuard::new();
    let mut entry = Entry {
        until: machine::stamp() + c.softirq.longest,
        passes: 0,
        rest: 0,
    };
    let cx = BhCx {
        scope: PhantomData,
        word: serving.word(),
    };
    loop {
        let bits = c.header.softirq_pending.load(Ordering::Relaxed);
        c.header.softirq_pending.store(0, Ordering::Relaxed);
        serve_all(c, bits, &cx, &mut entry);
        entry.passes += 1;
        if c.header.softirq_pending.load(Ordering::Relaxed) == 0 {
            break;
        }
        if !goes_on(c, &entry) {
            c.softirq.deferred.fetch_add(1, Ordering::Relaxed);
            drop(serving);
            wake_ksoftirqd();
            return;
        }
    }
    drop(serving);
}

/// Whether `entry` has another pass, if something is pending.
#[inline(always)]
fn goes_on(c: &CpuLocal, entry: &Entry) -> bool {
    entry.passes < MAX_PASSES
        && !c.header.need_resched.load(Ordering::Relaxed)
        && machine::stamp() < entry.until
}

/// The handler of `vector` has had its turn and would raise that again. True: nothing else is pending, so the next pass, in
/// which it goes on, begins at once. Interrupts are masked.
#[inline(always)]
pub(crate) fn goes_on_alone(
    c: &CpuLocal,
    cx: &BhCx<'_>,
    vector: Vector,
    entry: &mut Entry,
) -> bool {
    entry.passes += 1;
    // A section that was left open is told of and ended.
    let alone = c.header.softirq_pending.load(Ordering::Relaxed) | entry.rest == 0
        && sync::preempt_word() == cx.word
        && goes_on(c, entry);
    if !alone {
        // This pass is counted by who ends it.
        entry.passes -= 1;
        return false;
    }
    if shown_on(c, Kind::SoftirqRaise) {
        tell_of_next_pass(vector);
    }
    let runs = &c.softirq.lines[vector as usize].runs;
    runs.store(runs.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    true
}

/// A pass ends, and the next one begins at once, with `vector` alone.
#[cold]
fn tell_of_next_pass(vector: Vector) {
    for kind in [Kind::SoftirqRaise, Kind::SoftirqExit, Kind::SoftirqEntry] {
        record_shown(kind, Head::of(vector as u32), 0, 0);
    }
}

/// Serves the vectors in `bits`, the lowest first.
#[inline(always)]
fn serve_all(c: &'static CpuLocal, mut bits: u32, cx: &BhCx<'_>, entry: &mut Entry) {
    while bits != 0 {
        let n = bits.trailing_zeros() as usize;
        bits &= bits - 1;
        entry.rest = bits;
        let line = &c.softirq.lines[n % LINES];
        let runs = line.runs.load(Ordering::Relaxed) + 1;
        line.runs.store(runs, Ordering::Relaxed);
        tell(c, Kind::SoftirqEntry, n);
        if let Some(own) = line.bh.own() {
            wq::bh::run(cx, c, &line.bh, own, entry);
        } else if n == Vector::Timer as usize {
            run_timers(cx);
        }
        tell(c, Kind::SoftirqExit, n);
        // S12: a section that a handler left open would block this core for ever.
        if sync::preempt_word() != cx.word {
            machine::irq_enable();
            end_left_sections(cx, n);
            machine::irq_disable();
        }
    }
}

/// Tells of vector `n`; interrupts are masked.
#[inline(always)]
fn tell(c: &CpuLocal, kind: Kind, n: usize) {
    if shown_on(c, kind) {
        record_shown(kind, Head::of(n as u32), 0, 0);
    }
}

/// S12: a handler of vector `n` left preemption, BH or interrupts off: told and repaired, with interrupts on. A spin lock
/// that it holds still cannot be taken from it.
#[cold]
pub(crate) fn end_left_sections(cx: &BhCx<'_>, n: usize) {
    let (word, before) = (sync::preempt_word(), cx.word);
    let masked = machine::irqs_masked();
    assert!(
        machine::percpu().held.highest().is_none(),
        "softirq {n} returned holding a spin lock"
    );
    sync::restore_preempt_word(before);
    machine::irq_enable();
    this_cpu().softirq.leaks.fetch_add(1, Ordering::Relaxed);
    crate::log!(
        "BUG: softirq {n} changed the preempt word from {before:#x} to {word:#x}, interrupts {}",
        if masked { "masked" } else { "on" }
    );
}

/// The TIMER vector. Interrupts are masked on entry and on return, enabled while callbacks run.
#[inline(never)]
fn run_timers(cx: &BhCx<'_>) {
    machine::irq_enable();
    timer::run_due();
    if machine::irqs_masked() {
        end_left_sections(cx, Vector::Timer as usize);
    }
    machine::irq_disable();
}

/// Starts core `id`'s ksoftirqd, unless it has one.
pub(crate) fn start_thread(id: CpuId) -> Result<(), SpawnError> {
    if cpu(id).softirq.thread.is_completed() {
        return Ok(());
    }
    let name = heapless::format!(32; "ksoftirqd/{id}").unwrap_or_default();
    let thread = Builder::new(&name)
        .affinity(CpuMask::single(id))
        .spawn(ksoftirqd)?;
    cpu(id).softirq.thread.call_once(|| thread);
    Ok(())
}

/// The running core goes offline: what is pending concerns what other cores have now. Interrupts are
/// masked.
pub(crate) fn forget_pending() {
    this_cpu()
        .header
        .softirq_pending
        .store(0, Ordering::Relaxed);
}

/// Body of ksoftirqd (S6): the same loop, then a yield, so that threads get their share.
fn ksoftirqd(cx: &ThreadCx<'_>) {
    loop {
        schedule::prepare_to_sleep();
        if pending() == 0 {
            schedule::schedule_blocked(cx);
        } else {
            schedule::cancel_sleep();
        }
        while pending() != 0 {
            // The end of a BH-off section runs what is pending.
            drop(bh_disable());
            yield_now(cx);
        }
    }
}
