//! Tracepoints: where the executive says what it does, into the running core's ring.
//!
//! An event that nobody wants costs two loads and one branch that is always predicted. One that is
//! wanted costs at most 16 instructions more, since its four words go straight into the ring
//! ([`trace::Ring`]): nothing is formatted, no lock is taken. In the simulator every event, wanted
//! or not, is also shown to the world at once, which judges the executive by it.
//!
//! # Context
//!
//! `emit` wants interrupts masked, as they are almost everywhere something of interest happens;
//! `emit_unmasked` is for the other places. Both may be called with any lock held.
#![expect(
    unsafe_code,
    reason = "the rings' memory comes from the page allocator, their words are atomics"
)]

mod recording;

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use machine::CpuId;

pub use recording::{Busy, Recorded, Recording};
use trace::{Asked, Ring, Slot};
pub use trace::{Categories, Event, Field, Kind, Name, Reader, Value};
pub(crate) use trace::{Head, pack_name};

use crate::cpu::{CpuLocal, cpu, this_cpu};
use crate::kernel;
use crate::mem::{PAGE, Pages};
use crate::wq::observed;

/// False in an image that leaves every tracepoint out (feature `untraced`).
const COMPILED_IN: bool = !cfg!(feature = "untraced");

/// Events that each core keeps.
pub const EVENTS: usize = 2048;

/// A word of a ring, whose events the machine writes.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Word(AtomicU64);

impl trace::Word for Word {
    fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    #[inline(always)]
    fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }

    #[inline(always)]
    fn fence(order: Ordering) {
        fence(order);
    }

    #[inline(always)]
    fn store_event(slot: &Slot<Self>, words: [u64; 4]) {
        // SAFETY: a `Word` is an `AtomicU64` (`repr(transparent)`).
        let slot = unsafe { &*core::ptr::from_ref(slot).cast::<[AtomicU64; 4]>() };
        machine::store_event(slot, words);
    }
}

type Slots = [Slot<Word>; EVENTS];

/// A core's ring.
pub(crate) type CpuRing = Ring<EVENTS, Word, &'static Slots>;

/// A ring in fresh pages that wants what is wanted by default; `None` without memory.
pub(crate) fn make(pages: &Pages) -> Option<CpuRing> {
    const {
        assert!(size_of::<Slots>().is_multiple_of(PAGE) && align_of::<Slots>() <= PAGE);
    }
    let at = pages.alloc(size_of::<Slots>() / PAGE)?;
    let p = core::ptr::with_exposed_provenance_mut::<Slots>(at);
    // SAFETY: fresh pages of this size, page aligned; zero is a valid value of every word.
    unsafe { p.write_bytes(0, 1) };
    // SAFETY: initialised above, never freed, and only shared references are made.
    let slots = unsafe { &*p };
    let ring = Ring::over(slots, Categories::DEFAULT);
    // The anatomy is on, too.
    ring.set_aside(true);
    Some(ring)
}

/// Changes what every core writes. With no spin lock held; in O(shares of all workqueues), with interrupts masked, so not where
/// time is short.
pub fn want(categories: Categories) {
    for c in kernel().cpus() {
        c.trace.want(categories);
    }
    observed::changed();
}

/// What the cores write.
#[must_use]
pub fn wanted() -> Categories {
    this_cpu().trace.wanted()
}

/// A reader of the `n` newest events of core `id`.
#[must_use]
pub fn last(id: CpuId, n: u64) -> Reader {
    Reader::last(&cpu(id).trace, n)
}

/// The next event of core `id` for `reader`; `None` when it has read all.
pub fn read(id: CpuId, reader: &mut Reader) -> Option<Event> {
    reader.read(&cpu(id).trace)
}

/// The `n` newest events of core `id`, and never more: a core that goes on writes faster than a console
/// takes lines.
pub fn newest(id: CpuId, n: usize) -> impl Iterator<Item = Event> {
    let mut reader = last(id, n as u64);
    core::iter::from_fn(move || read(id, &mut reader)).take(n)
}

/// Events that core `id` has written since boot, and how many of them were overwritten before a
/// [`Recording`] came to them.
#[must_use]
pub fn written(id: CpuId) -> (u64, u64) {
    let c = cpu(id);
    (c.trace.count(), c.trace_lost.load(Ordering::Relaxed))
}

/// Code address of the handler that a [`Kind::ExecuteStart`] says starts, or of a timer's callback.
#[must_use]
pub fn function_of(event: &Event) -> Option<u64> {
    let here = written as fn(CpuId) -> (u64, u64);
    let has_one = matches!(
        event.kind,
        Kind::ExecuteStart | Kind::TimerStart | Kind::TimerExpireEntry
    );
    let function = || event.head.function_near((here as *const ()).addr() as u64);
    has_one.then(function).flatten()
}

/// `head` with the item's or timer's function; without it in the simulator, where no event may depend on where the
/// host put the code.
#[inline(always)]
pub(crate) const fn with_function(head: Head, function: usize) -> Head {
    if machine::OBSERVED {
        head
    } else {
        head.function(function)
    }
}

/// As [`with_function`], of [`Head::bits`].
#[inline(always)]
pub(crate) const fn with_function_bits(head: u64, function: usize) -> u64 {
    if machine::OBSERVED {
        head
    } else {
        head | Head::function_bits(function)
    }
}

/// An event as a line of text: time in seconds, name, numbers.
#[derive(Debug)]
pub struct Line<'a>(pub &'a Event);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = machine::stamp_time(self.0.stamp).as_nanos() / 1_000;
        write!(f, "{:5}.{:06} {}", us / 1_000_000, us % 1_000_000, self.0)
    }
}

/// How an event names what is at an address.
#[inline(always)]
pub(crate) fn name<T: ?Sized>(thing: &T) -> u64 {
    core::ptr::from_ref(thing).addr() as u64
}

/// Writes an event, if its category is wanted; interrupts are masked.
#[inline(always)]
pub(crate) fn emit(kind: Kind, head: Head, a: u64, b: u64) {
    debug_assert!(machine::irqs_masked(), "an event with interrupts unmasked");
    let ring = &this_cpu().trace;
    if COMPILED_IN && ring.wants(kind.category()) {
        ring.push(Event::pack(machine::stamp(), kind, head, a, b));
    }
    show(kind, head, a, b);
}

/// Whether somebody wants to know of such an event now, or a moment ago: interrupts need not be masked.
#[inline(always)]
pub(crate) fn wants_unmasked(kind: Kind) -> bool {
    machine::OBSERVED || COMPILED_IN && this_cpu().trace.wants(kind.category())
}

/// As [`emit`], from where interrupts are not masked.
#[inline(always)]
pub(crate) fn emit_unmasked(kind: Kind, head: Head, a: u64, b: u64) {
    if COMPILED_IN && this_cpu().trace.wants(kind.category()) {
        let irq = machine::irq_hold();
        let ring = &this_cpu().trace;
        ring.push(Event::pack(machine::stamp(), kind, head, a, b));
        machine::irq_release(irq);
    }
    show(kind, head, a, b);
}

/// Tells the simulator, and nobody else.
#[inline(always)]
pub(crate) fn confide(kind: Kind, head: Head, a: u64, b: u64) {
    show(kind, head, a, b);
}

/// Whether anybody sees events of this kind here; for what takes more than one event, of this core while interrupts are
/// masked.
#[inline(always)]
pub(crate) fn shown(kind: Kind) -> bool {
    shown_on(this_cpu(), kind)
}

/// As [`shown`]; `c` is the running core.
#[inline(always)]
pub(crate) fn shown_on(c: &CpuLocal, kind: Kind) -> bool {
    machine::OBSERVED || COMPILED_IN && c.trace.wants(kind.category())
}

/// What is to be told of an event of kind `kind`, and noted for the latency anatomy at the same place: one
/// question for both. Interrupts are masked.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a> {
    kind: Kind,
    asked: Asked,
    /// Of the running core; `None`: nothing is to be written.
    ring: Option<&'a CpuRing>,
}

impl<'a> Told<'a> {
    #[inline(always)]
    pub(crate) fn of(kind: Kind) -> Self {
        Self::by(this_cpu(), kind)
    }

    /// As [`Self::of`], by core `c`, the running one.
    #[inline(always)]
    pub(crate) fn by(c: &'a CpuLocal, kind: Kind) -> Self {
        let asked = c.trace.asked(kind.category());
        let ring = Some(&c.trace);
        Self { kind, asked, ring }
    }

    /// As [`Self::of`], or nobody wants to know but the simulator.
    #[inline(always)]
    pub(crate) fn unless(plain: bool, kind: Kind) -> Self {
        if plain && !machine::OBSERVED {
            return Self::nothing(kind);
        }
        Self::of(kind)
    }

    /// As [`Self::unless`], by core `c`, the running one.
    #[inline(always)]
    pub(crate) fn by_unless(plain: bool, c: &'a CpuLocal, kind: Kind) -> Self {
        if plain && !machine::OBSERVED {
            return Self::nothing(kind);
        }
        Self::by(c, kind)
    }

    #[inline(always)]
    const fn nothing(kind: Kind) -> Self {
        let (asked, ring) = (Asked::NOTHING, None);
        Self { kind, asked, ring }
    }

    /// Anything is to be done.
    #[inline(always)]
    pub(crate) fn any(self) -> bool {
        machine::OBSERVED || self.asked.any()
    }

    /// The anatomy wants to note it.
    #[inline(always)]
    pub(crate) fn anatomy(self) -> bool {
        self.asked.aside()
    }

    /// Somebody sees events of this kind, too, here.
    #[inline(always)]
    pub(crate) fn shows(self, kind: Kind) -> bool {
        machine::OBSERVED || COMPILED_IN && self.asked.also(kind.category())
    }

    /// The moment of which both are told, a reading of [`machine::stamp`]; anything where nothing is to be done.
    #[inline(always)]
    pub(crate) fn now(self) -> u64 {
        match self.ring {
            Some(_) => machine::stamp(),
            None => 0,
        }
    }

    /// As [`emit`], of what `event` says happened at `now`: it is asked only where somebody sees the event.
    #[inline(always)]
    pub(crate) fn emit(self, now: u64, event: impl FnOnce() -> (Head, u64, u64)) {
        self.emit_bits(now, || {
            let (head, a, b) = event();
            (head.bits(), a, b)
        });
    }

    /// As [`Self::emit`], with [`Head::bits`].
    #[inline(always)]
    pub(crate) fn emit_bits(self, now: u64, event: impl FnOnce() -> (u64, u64, u64)) {
        if machine::OBSERVED || COMPILED_IN && self.asked.event() {
            let (head, a, b) = event();
            let words = Event::pack_bits(now, self.kind, head, a, b);
            if COMPILED_IN
                && self.asked.event()
                && let Some(ring) = self.ring
            {
                ring.push(words);
            }
            if machine::OBSERVED {
                machine::observe(&words);
            }
        }
    }
}

/// Says on every core whether [`Told::anatomy`] is to say yes for the anatomy's sake.
pub(crate) fn set_anatomy(on: bool) {
    for c in kernel().cpus() {
        c.trace.set_aside(on);
    }
}

/// As [`emit`], where [`shown`] has just said yes.
#[inline(always)]
pub(crate) fn record_shown(kind: Kind, head: Head, a: u64, b: u64) {
    let ring = &this_cpu().trace;
    // Where all is shown, that says nothing of what is wanted.
    if COMPILED_IN && (!machine::OBSERVED || ring.wants(kind.category())) {
        ring.push(Event::pack(machine::stamp(), kind, head, a, b));
    }
    show(kind, head, a, b);
}

/// Shows an event to the simulator.
#[inline(always)]
fn show(kind: Kind, head: Head, a: u64, b: u64) {
    if machine::OBSERVED {
        machine::observe(&Event::pack(machine::stamp(), kind, head, a, b));
    }
}
