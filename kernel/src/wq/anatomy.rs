//! Latency anatomy, the executive's half: it reads the counter, keeps the books, and tells of them.
//!
//! What is noted where:
//!
//! | Moment | Kept in | Under |
//! | --- | --- | --- |
//! | queued, active | the item's header | the pool's lock, like the item's node |
//! | start | the worker | its own thread's |
//! | off the core, woken, on again | the thread ([`Away`]), anew for each item | the runqueue's lock |
//! | over | the books of the queue's share | the pool's lock |
//!
//! So no line of memory is written by two cores that do not share it anyway, and nothing is allocated
//! while items run. Turned off, each place is one branch. What was not noted from its queueing on is
//! never entered: [`Switch::since`] says from when on all was. Moments are raw readings of the counter,
//! the same as in the events of the trace that tell of them; nanoseconds are made where somebody reads.
#![expect(
    unsafe_code,
    reason = "a share's books are its pool's lock's, their tables in one piece"
)]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use workqueue::anatomy::{Away, BOUNDS, Book, Course, Histogram, Stamps, TABLES, bound};
pub use workqueue::anatomy::{Parts, Spread, Summary};

use super::QueueName;
use super::header::Header;
use super::observed;
use super::pool::Inner;
use super::queue::Queue;
use super::registry;
use super::share::Share;
use super::worker::Worker;
use crate::kernel;
use crate::mem::{self, AllocError};
use crate::thread::{self, Thread};
use crate::trace::{self, Head, Kind, Told, emit};

/// Whether the anatomy is on.
#[derive(Debug)]
pub(super) struct Switch(AtomicU64);

impl Switch {
    /// On from the beginning.
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(1))
    }

    /// Reading of the counter at which it was turned on, at least 1; `u64::MAX` while it is off.
    #[inline(always)]
    fn since(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn is_on(&self) -> bool {
        self.since() != u64::MAX
    }
}

/// Turns the latency anatomy on or off, at once, for all queues. What ran or waited at that moment is
/// left out. The books stay. With no spin lock held; in O(shares of all queues), with interrupts masked, so not where time
/// is short.
pub fn set_anatomy(on: bool) {
    let switch = &kernel().wq.anatomy.0;
    if !on {
        switch.store(u64::MAX, Ordering::Relaxed);
    } else if switch.load(Ordering::Relaxed) == u64::MAX {
        switch.store(machine::stamp().max(1), Ordering::Relaxed);
    }
    // Until both say the same: somebody else may change it meanwhile.
    while {
        let on = kernel().wq.anatomy.is_on();
        trace::set_anatomy(on);
        on != kernel().wq.anatomy.is_on()
    } {}
    observed::changed();
    // Meanwhile some shares had been told and some not: stamps from before now are no use.
    if on {
        let later = |since| (since != u64::MAX).then(|| machine::stamp().max(1));
        let order = Ordering::Relaxed;
        let _before = switch.fetch_update(order, order, later);
    }
}

/// Whether the latency anatomy is on. It is, unless somebody turned it off.
#[must_use]
pub fn anatomy() -> bool {
    kernel().wq.anatomy.is_on()
}

// The next functions are called while the anatomy is on: who tells the trace of the same asks for both
// ([`trace::Told`]), and reads the counter once for both.

/// At a switch of threads at `now`, under the runqueue's lock: `prev` leaves, `asleep` or not, and `next` is
/// back.
#[inline(always)]
pub(crate) fn switched(now: u64, prev: &Thread, asleep: bool, next: &Thread) {
    let mut away = prev.away.get();
    away.leave(now, asleep);
    prev.away.set(away);
    let mut away = next.away.get();
    away.back(now);
    next.away.set(away);
}

/// `t`, which left its core asleep, is woken at `now`; under the lock of the runqueue that owns it.
#[inline(always)]
pub(crate) fn woken(now: u64, t: &Thread) {
    let mut away = t.away.get();
    away.wake(now);
    t.away.set(away);
}

/// Item `h` is queued at `now`; under its pool's lock.
#[inline(always)]
pub(super) fn queued(now: u64, h: &Header) {
    h.stamps.set(Stamps::queued(now));
}

/// Item `h` gets its slot at `now`; under its pool's lock.
#[inline(always)]
pub(super) fn activated(now: u64, h: &Header) {
    let mut stamps = h.stamps.get();
    stamps.activate(now);
    h.stamps.set(stamps);
}

/// Item `h` starts at `now` on the running thread, a worker's; under its pool's lock.
#[inline(always)]
pub(super) fn started(now: u64, w: &Worker, h: &Header) {
    let t = thread::current();
    let mut away = t.away.get();
    away.begin();
    t.away.set(away);
    w.course.set(Course::start(h.stamps.get(), now));
}

/// As [`started`], in a softirq: the course is the caller's.
#[inline(always)]
pub(super) fn started_bh(now: u64, h: &Header) -> Course {
    Course::start(h.stamps.get(), now)
}

/// A worker was brought back to its pod, and starts an item of `share` (N4); under its pool's lock `g`.
#[cold]
pub(super) fn brought_back(share: &Share, g: &mut Inner) {
    share.books(g).repatriated += 1;
}

/// Item `h` of `share` is over at `now` on worker `w`'s thread, the running one, as was `told`; under its pool's lock `g`.
#[inline(always)]
pub(super) fn over(
    told: Told<'_>,
    now: u64,
    w: &Worker,
    (share, h): (&Share, &Header),
    g: &mut Inner,
) {
    let life = || (w.course.get(), thread::current().away.get());
    enter(told, now, life, (share, h), g);
}

/// As [`over`], in a softirq.
#[inline(always)]
pub(super) fn over_bh(
    told: Told<'_>,
    now: u64,
    course: &Course,
    (share, h): (&Share, &Header),
    g: &mut Inner,
) {
    enter(told, now, || (*course, Away::new()), (share, h), g);
}

#[inline(always)]
fn enter(
    told: Told<'_>,
    now: u64,
    life: impl Fn() -> (Course, Away),
    (share, h): (&Share, &Header),
    g: &mut Inner,
) {
    let (course, away) = life();
    let whole = course.is_whole(kernel().wq.anatomy.since()) & away.is_none();
    let Books { book, tables, .. } = share.books(g);
    // Each asks anew: nothing is kept for what is rare.
    if !book.enter_usual(tables, course.straight(now), whole) {
        enter_other(now, life(), (share, h), g);
    } else if told.shows(Kind::LatencyWait) {
        tell(now, life());
    }
}

/// As [`enter`], of an item that is not like most.
#[cold]
#[inline(never)]
fn enter_other(
    now: u64,
    (course, away): (Course, Away),
    (share, h): (&Share, &Header),
    g: &mut Inner,
) {
    if !course.is_whole(kernel().wq.anatomy.since()) {
        return;
    }
    let Books { book, tables, .. } = share.books(g);
    let name = || ItemName {
        function: h.function(),
        value: (h.vtable.name)(),
    };
    book.enter(tables, &course.end(now, &away), name);
    if trace::shown(Kind::LatencyWait) {
        tell(now, (course, away));
    }
}

/// So many of the raw counter's ticks, in nanoseconds.
fn ns(ticks: u64) -> u64 {
    machine::stamp_time(ticks).as_nanos()
}

/// Three events about the item that is over, in nanoseconds.
#[cold]
#[inline(never)]
fn tell(now: u64, (course, away): (Course, Away)) {
    let parts = course.end(now, &away).map(ns);
    let head = Head::of(0);
    emit(Kind::LatencyWait, head, parts.inactive, parts.pool);
    emit(Kind::LatencyRun, head, parts.run, parts.blocked);
    emit(Kind::LatencyTotal, head, parts.preempted, parts.total());
}

/// What an item is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct ItemName {
    function: usize,
    value: &'static str,
}

/// The books of a share.
#[derive(Debug)]
pub(super) struct Books {
    book: Book<ItemName>,
    tables: &'static mut [Histogram; TABLES],
    /// Workers that were brought back and then executed an item of this share (N4, G3).
    pub(super) repatriated: u64,
}

impl Books {
    /// `n` of them, whose histograms are one piece of memory: it is leaked, see [`Self::free`].
    pub(super) fn make(n: usize) -> Result<impl Iterator<Item = Self>, AllocError> {
        // One by one, since all of them are much for a stack.
        let mut tables = mem::try_vec_with_capacity(n * TABLES)?;
        tables.resize_with(n * TABLES, Histogram::new);
        let tables: &'static mut [Histogram] = Vec::leak(tables);
        // For whoever frees the whole.
        tables.as_mut_ptr().expose_provenance();
        let (each, _) = tables.as_chunks_mut();
        Ok(each.iter_mut().map(|tables| Self {
            book: Book::new(),
            tables,
            repatriated: 0,
        }))
    }

    /// Frees the histograms of this one and the `n - 1` made after it.
    ///
    /// # Safety
    ///
    /// [`Self::make`] made `n`, this is the first of them, and none is used any more.
    pub(super) unsafe fn free(&mut self, n: usize) {
        let first = core::ptr::with_exposed_provenance_mut(self.tables.as_mut_ptr().addr());
        let all: *mut [Histogram] = core::ptr::slice_from_raw_parts_mut(first, n * TABLES);
        // SAFETY: leaked by `make` from a vector as long as its room; nobody uses it any more.
        drop(unsafe { Box::from_raw(all) });
    }

    /// CPU time of the items that are over, in nanoseconds (E17).
    pub(super) fn cpu_time_ns(&self) -> u64 {
        ns(self.book.run())
    }

    fn add(&mut self, other: &Self) {
        self.book.add(self.tables, &other.book, other.tables);
    }
}

impl Share {
    /// Its books; under its pool's lock `g`.
    #[inline(always)]
    pub(super) fn books<'a>(&'a self, _g: &'a mut Inner) -> &'a mut Books {
        // SAFETY: the books belong to the pool's lock, which the caller holds and lends.
        unsafe { &mut *self.books.get() }
    }
}

/// Where the time of a queue's items went, since it was made. Times are in nanoseconds; percentiles
/// are at most a quarter too high and never too low.
#[derive(Clone, Debug)]
pub struct QueueLatency {
    /// The queue's name.
    pub name: QueueName,
    /// Items that are over and were followed from their queueing on.
    pub items: u64,
    /// From the queueing until there was a max_active slot.
    pub inactive: Summary,
    /// From there to the start: waiting for a worker.
    pub pool: Summary,
    /// On a core, interrupts included.
    pub run: Summary,
    /// The handler's thread slept.
    pub blocked: Summary,
    /// The handler's thread could have run and did not.
    pub preempted: Summary,
    /// From the queueing to the end. Each item's parts add up to it exactly; percentiles do not.
    pub total: Summary,
    /// The same six in full, in this order.
    pub spreads: [Spread; TABLES],
    /// The item that took longest in all.
    pub slowest: Option<SlowestItem>,
}

/// The bounds of [`Spread::up_to`], in nanoseconds: about a microsecond, and each four times the one before. They are those at
/// which what is told is exact: powers of two of the counter's ticks.
#[must_use]
pub fn latency_bounds() -> [u64; BOUNDS] {
    // The longest time that is told as so many ticks.
    bound(first_bound()).map(|ticks| ns(ticks + 1) - 1)
}

/// Logarithm of the ticks of about a microsecond.
fn first_bound() -> u32 {
    let fits = |at: &u32| ns(1 << at) >= 1_000;
    (0..10).find(fits).unwrap_or(10)
}

/// The item of a queue that took longest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlowestItem {
    /// Address of the handler.
    pub function: usize,
    /// Type of the item's value.
    pub value: &'static str,
    /// Where its time went, in nanoseconds.
    pub parts: Parts,
}

/// Describes the latency of every queue's items through `f`, which is called without locks.
///
/// # Errors
///
/// Without memory for the sums.
pub fn for_each_latency(mut f: impl FnMut(QueueLatency)) -> Result<(), AllocError> {
    let queues = registry::all()?;
    queues.iter().try_for_each(|q| latency(q).map(&mut f))
}

fn latency(q: &Queue) -> Result<QueueLatency, AllocError> {
    let mut sum = Books::make(1)?.next().ok_or(AllocError)?;
    let state = q.flush.lock();
    for share in state.shares.iter() {
        let (_, mut g) = share.lock();
        sum.add(share.books(&mut g));
    }
    drop(state);
    let of = |n| sum.book.summary(sum.tables, n).map(ns);
    let mut spreads = [Spread::default(); TABLES];
    for (n, spread) in spreads.iter_mut().enumerate() {
        *spread = sum.book.spread(sum.tables, n, first_bound());
        spread.sum = ns(spread.sum);
    }
    let told = QueueLatency {
        name: q.attributes.name.clone(),
        items: sum.book.items(),
        inactive: of(0),
        pool: of(1),
        run: of(2),
        blocked: of(3),
        preempted: of(4),
        total: of(5),
        spreads,
        slowest: sum.book.slowest().map(|(name, parts)| SlowestItem {
            function: name.function,
            value: name.value,
            parts: parts.map(ns),
        }),
    };
    // SAFETY: the only one that was made, and the end of it.
    unsafe { sum.free(1) };
    Ok(told)
}
