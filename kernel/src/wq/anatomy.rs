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
//! never entered: [`Switch::since`] says from when on all was. Of a burst only some are followed ([`anatomy_gap`]): the
//! others have no moments. Moments are raw readings of the counter,
//! the same as in the events of the trace that tell of them; nanoseconds are made where somebody reads.
#![expect(
    unsafe_code,
    reason = "a share's books are its pool's lock's, their tables in one piece"
)]

pub(super) mod stretch;
mod switch;
mod told;

use alloc::boxed::Box;
use alloc::vec::Vec;

use workqueue::anatomy::{Away, Book, Course, Histogram, Pace, Stamps, TABLES};
pub use workqueue::anatomy::{Parts, Spread, Summary};

pub(super) use self::switch::Switch;
pub use self::switch::{anatomy, anatomy_gap, set_anatomy, set_anatomy_gap};
pub use self::told::{QueueLatency, SlowestItem, for_each_latency, latency_bounds};
use super::header::Header;
use super::pool::Inner;
use super::share::Share;
use super::worker::Worker;
use crate::kernel;
use crate::mem::{self, AllocError};
use crate::thread::{self, Thread};
use crate::trace::{self, Head, Kind, Told, emit};

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

/// Whether the next item of `share`, which is queued at `now`, is to be followed; under its pool's lock `g`.
#[inline(always)]
pub(super) fn is_due(now: u64, share: &Share, g: &mut Inner) -> bool {
    // The simulator follows all.
    machine::OBSERVED || share.books(g).pace.is_due(now)
}

/// It is.
pub(super) fn follow(now: u64, share: &Share, g: &mut Inner) {
    share.books(g).pace.follow(now, kernel().wq.anatomy.gap());
}

/// Item `h` is queued at `now`, and `followed` or not; under its pool's lock.
#[inline(always)]
pub(super) fn queued(now: u64, h: &Header, followed: bool) {
    // What was never queued is whole at no time.
    h.stamps.set(if followed {
        Stamps::queued(now)
    } else {
        Stamps::new()
    });
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
    w.began.set(now);
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
    let straight = course.straight(now);
    let books = share.books(g);
    books.charge(course, &away, now);
    // Each asks anew: nothing is kept for what is rare.
    if !books.book.enter_usual(books.tables, straight, whole) {
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
    /// Which items are followed.
    pace: Pace,
    /// Ticks of CPU time, of all items, followed or not.
    cpu: u64,
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
            pace: Pace::new(),
            cpu: 0,
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
        ns(self.cpu)
    }

    /// An item is over at `now` that had this course, and whose thread was `away`: its CPU time, if its start was noted.
    #[inline(always)]
    fn charge(&mut self, course: Course, away: &Away, now: u64) {
        if course.started() >= kernel().wq.anatomy.since() {
            let whole = now.saturating_sub(course.started());
            self.cpu += whole.saturating_sub(away.ticks());
        }
    }

    /// Somebody has turned the anatomy on, or changed the gap.
    pub(super) fn begin(&mut self) {
        self.pace.begin();
    }

    fn add(&mut self, other: &Self) {
        self.cpu += other.cpu;
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
