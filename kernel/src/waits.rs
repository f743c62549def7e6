//! A wait that could never end is refused (D11, I4).
//!
//! A thread that is about to wait without a time limit for a mutex, an item or a queue, and for whom
//! somebody else may wait (it holds a mutex or executes an item), publishes what it waits for, and
//! looks at once whether that closes a circle: both under one lock, the wait graph's. So of several
//! threads that close a circle at the same moment the last one finds it, and is refused; the others
//! go on when it gives way. A thread for whom nobody can wait closes no circle, and takes no lock.
//!
//! # Why nobody is refused wrongly
//!
//! What a thread waits for is looked at where it is, one lock at a time, while other threads run. A
//! wait that is published, and not over when it is looked at, was under way during the whole search:
//! who waits neither takes nor gives back anything. So the waits of a knot, looked at one after the
//! other, all held when the search began. A wait for which nobody knows who may end it (a semaphore, a
//! completion, a wait queue) is not published, nor is one with a time limit.
//!
//! # What it does not see
//!
//! More than [`workqueue::MOST_WAITERS`] threads or
//! [`workqueue::MOST_WAITS`] waits in one search. An item without a slot of which a flush
//! of its whole queue waits, if the slot's holder was queued later in another pool. A barrier whose
//! item was cancelled while it waited for a slot. Waits for the end of a scope or of a thread.
//! An item that waits for the one worker of a dedicated pool.
//!
//! Lock order: the graph's lock comes before a queue's, a pool's and a mutex's.
#![expect(unsafe_code, reason = "published waits live on their threads' stacks")]

use core::cell::Cell;
use core::fmt::{self, Write as _};

use sync::{PreemptOff, Rank, SpinLock};
use workqueue::{Knot, MOST_WAITERS, Needs, Party};

use crate::kernel;
use crate::soon::Patience;
use crate::thread::{Thread, current};
use crate::wq;

mod place;
mod told;

pub use place::SleepsIn;
pub(crate) use place::{Label, sleeps_in};
pub use told::MOST_LINKS;
use told::Named;
pub(crate) use told::{ItemName, Someone, try_tell};

/// Longest text of a chain in bytes; longer ones are cut.
pub const CHAIN_BYTES: usize = 480;
/// Chains that are remembered.
const REMEMBERED: usize = 4;

/// Who waits for whom, in words.
pub type Chain = heapless::String<CHAIN_BYTES>;

/// The wait that was asked for would never have ended: somebody it needs waits, through others or not,
/// for the caller. Who waits for what stands on the console and in [`Self::chain`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadlock {
    number: u32,
}

impl Deadlock {
    /// Who waits for whom, from the caller on, in words; `None` after several more deadlocks. In thread
    /// context, as is what displays it.
    #[must_use]
    pub fn chain(self) -> Option<Chain> {
        let g = kernel().waits.lock();
        let told = &g.told[self.number as usize % REMEMBERED];
        (told.0 == self.number).then(|| told.1.clone())
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.chain() {
            Some(chain) => write!(f, "the wait would never end: {chain}"),
            None => f.write_str("the wait would never end"),
        }
    }
}

/// Waits that were refused so far.
#[must_use]
pub fn deadlock_count() -> u32 {
    kernel().waits.lock().count
}

/// The wait graph of a kernel.
pub(crate) type Graph = SpinLock<State, PreemptOff>;

/// What the graph's lock protects, beside every thread's published wait.
pub(crate) struct State {
    knot: Knot,
    count: u32,
    told: [(u32, Chain); REMEMBERED],
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

pub(crate) const fn graph() -> Graph {
    let state = State {
        knot: Knot::new(),
        count: 0,
        told: [const { (0, Chain::new()) }; REMEMBERED],
    };
    SpinLock::new(Rank::WaitGraph, "wait graph", state)
}

/// Something that threads wait for, and that somebody's going on ends.
pub(crate) trait Awaited {
    /// Names the threads on which the end of the wait depends, under the locks of what is awaited.
    /// A wait that is over depends on nobody.
    fn look(&self, found: &mut Found<'_>);

    /// What it is, as in "waits for ... thread 7".
    fn tell(&self, to: &mut Chain) -> fmt::Result;
}

/// What a look at one wait found.
pub(crate) struct Found<'a> {
    /// Who waits.
    waiter: &'a Thread,
    /// The wait is published.
    begun: bool,
    to: Use<'a>,
}

/// What for.
enum Use<'a> {
    /// A search for a circle: party `at` of `knot`, which begins at `root`.
    Search {
        knot: &'a mut Knot,
        at: Party,
        root: &'a Wait<'a>,
    },
    /// A report.
    Report(&'a mut Named),
}

impl<'a> Found<'a> {
    /// For a report about `wait`.
    fn named(wait: &'a Wait<'_>, named: &'a mut Named) -> Self {
        Self {
            waiter: wait.thread,
            begun: true,
            to: Use::Report(named),
        }
    }
}

impl Found<'_> {
    /// Who waits, if the wait has begun; `None` if it is the one that is asked for.
    pub(crate) fn waiter(&self) -> Option<&Thread> {
        self.begun.then_some(self.waiter)
    }

    /// It is for a report, to which also those are of interest who only may be waited for.
    pub(crate) fn is_report(&self) -> bool {
        matches!(self.to, Use::Report(_))
    }

    /// The lock that `wait` waits for. A report does without it if `soon` does not get it, and says so, as whoever
    /// holds it may never go on.
    pub(crate) fn lock<G>(
        &mut self,
        wait: impl FnOnce() -> G,
        soon: impl FnOnce(&Patience) -> Option<G>,
    ) -> Option<G> {
        if !self.is_report() {
            return Some(wait());
        }
        let guard = soon(&Patience::new());
        if guard.is_none() {
            self.has_help("somebody unknown, as a lock is kept");
        }
        guard
    }

    /// One of those that are named is enough.
    pub(crate) fn needs_any(&mut self) {
        if let Use::Search { knot, at, .. } = &mut self.to {
            knot.needs(*at, Needs::Any);
        }
    }

    /// The wait depends on `thread`, which exists while what is awaited is locked. `item`: what it
    /// executes, if that is known.
    pub(crate) fn add(&mut self, thread: &Thread, item: impl FnOnce() -> Option<ItemName>) {
        match &mut self.to {
            Use::Search { knot, at, root } => {
                let wait = if core::ptr::eq(thread, root.thread) {
                    core::ptr::from_ref(*root).cast()
                } else {
                    thread.waits.get()
                };
                if wait.is_null() {
                    knot.has_help(*at);
                } else {
                    knot.waits_for(*at, wait.expose_provenance());
                }
            }
            Use::Report(named) => named.add(Someone::of(thread, item())),
        }
    }

    /// The wait depends on somebody who goes on: `who` it is.
    pub(crate) fn has_help(&mut self, who: &'static str) {
        match &mut self.to {
            Use::Search { knot, at, .. } => knot.has_help(*at),
            Use::Report(named) => named.has_help(who),
        }
    }
}

/// One wait of the running thread.
pub(crate) struct Wait<'a> {
    thread: &'static Thread,
    /// Type and queue of the item that it executes.
    item: Option<(&'static str, &'static str)>,
    what: &'a dyn Awaited,
    published: Cell<bool>,
}

impl<'a> Wait<'a> {
    /// A wait of the running thread for `what`; `None` if nobody can wait for this thread.
    pub(crate) fn of_current(what: &'a dyn Awaited) -> Option<Self> {
        let (thread, item) = (current(), wq::item_and_queue());
        let may_be_awaited = item.is_some() || thread.mutexes.holds_any();
        may_be_awaited.then_some(Self {
            thread,
            item,
            what,
            published: Cell::new(false),
        })
    }

    /// Publishes the wait, and begins it by `act`, in one step as others see it. It ends when this is
    /// dropped, which needs the graph's lock.
    ///
    /// # Errors
    ///
    /// [`Deadlock`] if it would never end; nothing was done then.
    pub(crate) fn begin<R>(&self, act: impl FnOnce() -> R) -> Result<R, Deadlock> {
        let mut g = kernel().waits.lock();
        let State { knot, count, told } = &mut *g;
        if let Some(chain) = self.search(knot) {
            *count += 1;
            let number = *count;
            told[number as usize % REMEMBERED] = (number, chain.clone());
            drop(g);
            crate::log!("BUG: deadlock refused: {chain}");
            return Err(Deadlock { number });
        }
        self.thread.waits.set(core::ptr::from_ref(self).cast());
        self.published.set(true);
        Ok(act())
    }

    /// The chain of waits, if this one would never end; under the graph's lock.
    fn search(&self, knot: &mut Knot) -> Option<Chain> {
        knot.begin(core::ptr::from_ref(self).expose_provenance());
        let mut at: Party = 0;
        while let Some(key) = knot.key(at) {
            // SAFETY: it is this wait, or published; the graph's lock keeps it so.
            let wait: &Wait<'_> = unsafe { &*core::ptr::with_exposed_provenance(key) };
            wait.what.look(&mut Found {
                waiter: wait.thread,
                begun: at != 0,
                to: Use::Search {
                    knot,
                    at,
                    root: self,
                },
            });
            at += 1;
        }
        let mut parties = heapless::Vec::<Party, { MOST_WAITERS + 1 }>::new();
        let stuck = knot.find(|p| {
            // Each is told once, and one of them twice.
            let _fits = parties.push(p);
        });
        stuck.then(|| {
            let mut chain = Chain::new();
            // What has no room is cut.
            let _cut = tell(&mut chain, knot, &parties);
            chain
        })
    }

    fn who(&self, to: &mut Chain) -> fmt::Result {
        match self.item {
            Some((item, queue)) => {
                write!(
                    to,
                    "item {item} (queue {queue}, thread {})",
                    self.thread.id()
                )
            }
            None => write!(to, "thread {} ({})", self.thread.id(), self.thread.name()),
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.published.get() {
            let _g = kernel().waits.lock();
            self.thread.waits.set(core::ptr::null());
        }
    }
}

/// The chain of `parties` in words; under the graph's lock.
fn tell(to: &mut Chain, knot: &Knot, parties: &[Party]) -> fmt::Result {
    let mut last: Option<&Wait<'_>> = None;
    for key in parties.iter().filter_map(|&p| knot.key(p)) {
        // SAFETY: as in `Wait::search`.
        let wait: &Wait<'_> = unsafe { &*core::ptr::with_exposed_provenance(key) };
        if let Some(last) = last {
            last.what.tell(to)?;
            to.write_str(" ")?;
        }
        wait.who(to)?;
        to.write_str(" waits for ")?;
        last = Some(wait);
    }
    to.write_str("... and so on")
}
