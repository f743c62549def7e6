//! Priority inheritance: who waits lends what it has to whoever it waits for.
//!
//! A thread of nice -20 that waits for one of nice 19 has nice 19's share of the core, whatever its
//! own is; with threads of nice 0 around, that is next to nothing (priority inversion). So a waiter
//! lends its nice value and its slice ([`sched::Loan`]) for the time of its wait, and they go on along the
//! chain: to the holder of a mutex, and from there to the worker that executes the item for which the
//! holder waits. Of several waiters the strongest counts. The naive way, changing the nice value of the
//! helper and remembering the old one, forgets the second waiter, the chain, and who changes it meanwhile.
//!
//! # Parties
//!
//! A *party* is a thread or a *knot*, something that several may wait for together and that changes
//! hands: a mutex, a worker pool. Each party lends to at most one other: a thread sleeps in one place,
//! a mutex has one holder, and of a pool's workers one is next to come to the items that wait. So the
//! parties are a forest, and a change goes one way through it, up to [`CHAIN`] parties far. What a
//! party has to lend is the stronger of its own (knots have none) and of what is lent to it. A knot to
//! which nobody lends lends to nobody, so no pointer to or from it is left.
//!
//! # When a loan ends
//!
//! Whoever ends the wait ends the loan, before it wakes the waiter: the worker that reaches the
//! barrier, the holder that hands a mutex over; a waiter whose time is over does it itself. A thread
//! that ends takes nothing along (`forget`).
//!
//! Locks: everything here is under one lock, [`sync::Rank::Lending`], inside those of what is waited
//! for (a pool's, a mutex's) and outside the runqueues'. It is taken by who waits or ends a wait, and where a
//! thread ends or changes its nice value. A runqueue's lock is taken only if a thread counts for something
//! else than before: a loan that goes from hand to hand and comes to the same thread again, or is no
//! stronger than what that thread has, costs no more than the links.
//! Context: any in which those may be taken.
#![expect(unsafe_code, reason = "parties are embedded in what they stand for")]

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::offset_of;

use links::{Arena, Direct, Handle, Linked, List, ListLinks};
use machine::Duration;
use sched::{Loan, Nice, base_slice};
use sync::{Rank, SpinLock};

use crate::audit::Locked;
use crate::thread::{State, Thread};
use crate::waits::SleepsIn;
use crate::{kernel, schedule};

/// How many parties a change is passed on to, at most. Longer chains, and those of threads that wait
/// for each other until their time is over, keep what they had from there on.
pub const CHAIN: usize = 32;

/// A party, as the lending lock protects it.
struct Node {
    /// Among those that lend to the same.
    links: ListLinks<Self>,
    lenders: List<Self>,
    to: Option<Handle<Self>>,
    own: Loan,
    /// The strongest of what is lent to it.
    lent: Loan,
    /// It is inside a thread, which is to have what is lent.
    is_thread: bool,
}

impl Node {
    const fn effective(&self) -> Loan {
        self.own.with(self.lent)
    }
}

impl Linked for Node {
    fn list_links(&self) -> &ListLinks<Self> {
        &self.links
    }
    fn list_links_mut(&mut self) -> &mut ListLinks<Self> {
        &mut self.links
    }
}

/// Somebody or something that is waited for; see the head of this file.
pub(crate) struct Party {
    node: UnsafeCell<Node>,
}

// SAFETY: the node is reached through the arena, under the lending lock.
unsafe impl Sync for Party {}
// SAFETY: as above. A knot that moves has no waiter, and then nothing points to it, nor it to anything.
unsafe impl Send for Party {}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Party")
    }
}

impl Party {
    const fn new(own: Loan, is_thread: bool) -> Self {
        let node = Node {
            links: ListLinks::new(),
            lenders: List::new(),
            to: None,
            own,
            lent: Loan::NONE,
            is_thread,
        };
        Self {
            node: UnsafeCell::new(node),
        }
    }

    /// Something that changes hands.
    pub(crate) const fn knot() -> Self {
        Self::new(Loan::NONE, false)
    }

    /// The party inside a thread of this nice value that asked for slices of this length.
    pub(crate) fn thread(nice: Nice, slice: Option<Duration>) -> Self {
        let cores = kernel().try_cpus().map_or(1, <[_]>::len);
        Self::new(Loan::new(nice, slice.unwrap_or(base_slice(cores))), true)
    }

    fn handle(&self) -> Handle<Node> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.node.get())
    }
}

/// What the lending lock protects: all parties.
#[derive(Debug)]
pub(crate) struct Books {
    arena: Direct<Node>,
}

pub(crate) type Lending = SpinLock<Books>;

pub(crate) const fn lending() -> Lending {
    // SAFETY: nodes are reached under this lock only. A party that is linked is alive: a waiting
    // thread waits, a knot is borrowed by its waiters, a thread that is lent to is forgotten when it
    // ends, or kept for ever if a mutex still names it.
    let arena = unsafe { Direct::new() };
    SpinLock::new(Rank::Lending, "lending", Books { arena })
}

impl Books {
    /// `h` lends to `to`, and to nobody else any more.
    fn aim(&mut self, h: Handle<Node>, to: Option<Handle<Node>>) {
        let before = self.arena.get(h).to;
        if before == to {
            return;
        }
        let left = before.map(|old| self.leave(h, old));
        let node = self.arena.get_mut(h);
        node.to = to;
        if let Some(new) = to {
            let loan = node.effective();
            let mut list = core::mem::take(&mut self.arena.get_mut(new).lenders);
            list.push_back(&mut self.arena, h);
            self.arena.get_mut(new).lenders = list;
            self.raise(new, loan);
        }
        // Last: it may come to the same thread by another way.
        if let Some(left) = left {
            self.count_again(left);
        }
    }

    /// `h` is none of the lenders of `old` any more, nor is a knot that nobody lends to now. Who is lent
    /// less, if anybody: to be counted again.
    fn leave(&mut self, mut h: Handle<Node>, mut old: Handle<Node>) -> Handle<Node> {
        for _ in 0..CHAIN {
            let mut list = core::mem::take(&mut self.arena.get_mut(old).lenders);
            list.remove(&mut self.arena, h);
            let alone = list.is_empty();
            self.arena.get_mut(old).lenders = list;
            self.arena.get_mut(h).to = None;
            let node = self.arena.get(old);
            match node.to {
                Some(next) if alone && !node.is_thread => {
                    self.arena.get_mut(old).lent = Loan::NONE;
                    (h, old) = (old, next);
                }
                _ => break,
            }
        }
        old
    }

    /// Somebody lends `loan` to `at`, more than before.
    fn raise(&mut self, mut at: Handle<Node>, mut loan: Loan) {
        for _ in 0..CHAIN {
            let node = self.arena.get_mut(at);
            let before = node.effective();
            node.lent = node.lent.with(loan);
            loan = node.effective();
            if loan == before {
                return;
            }
            self.tell(at);
            match self.arena.get(at).to {
                Some(next) => at = next,
                None => return,
            }
        }
    }

    /// Somebody lends less to `at` than before, or nothing.
    fn count_again(&mut self, mut at: Handle<Node>) {
        for _ in 0..CHAIN {
            let lent = self.strongest(at);
            let node = self.arena.get_mut(at);
            let before = node.effective();
            node.lent = lent;
            if node.effective() == before {
                return;
            }
            self.tell(at);
            match self.arena.get(at).to {
                Some(next) => at = next,
                None => return,
            }
        }
    }

    /// The strongest of what is lent to `at`. Among waiters that are alike it looks at one.
    fn strongest(&self, at: Handle<Node>) -> Loan {
        let node = self.arena.get(at);
        let mut lent = Loan::NONE;
        for h in node.lenders.iter(&self.arena) {
            lent = lent.with(self.arena.get(h).effective());
            if lent == node.lent {
                break;
            }
        }
        lent
    }

    /// The scheduler is told what is lent to `at`, if that is a thread, which counts for more or less now.
    fn tell(&self, at: Handle<Node>) {
        let node = self.arena.get(at);
        if node.is_thread {
            schedule::lend(thread_of(at), node.lent);
        }
    }
}

/// The thread whose party this is.
fn thread_of<'a>(h: Handle<Node>) -> &'a Thread {
    // SAFETY: the node says that it is inside a thread; others reach that one's party by `Thread::party` only,
    // and a party that is reached is alive.
    unsafe { Thread::of_party(h.raw() - offset_of!(Party, node)) }
}

/// `waiter` waits for `helper` from now on, and for nobody else. Under the lock that says so.
pub(crate) fn lend(waiter: &Party, helper: &Party) {
    pass_on(waiter, Some(helper));
}

/// As [`lend`], and what is lent to `knot`, which is the helper, goes to whom `find` names.
pub(crate) fn lend_on<'a>(waiter: &Party, knot: &Party, find: impl FnOnce() -> Option<&'a Party>) {
    let mut g = kernel().lending.lock();
    let k = knot.handle();
    g.aim(waiter.handle(), Some(k));
    g.aim(k, find().map(Party::handle));
}

/// `waiter`, which may lend to somebody, lends to `helper` from now on, or to nobody.
pub(crate) fn pass_on(waiter: &Party, helper: Option<&Party>) {
    let to = helper.map(Party::handle);
    kernel().lending.lock().aim(waiter.handle(), to);
}

/// `waiter` does not wait any more.
pub(crate) fn end(waiter: &Party) {
    kernel().lending.lock().aim(waiter.handle(), None);
}

/// `waiter` waits for `knot`, which `holder` has.
pub(crate) fn lend_through(waiter: &Party, knot: &Party, holder: &Party) {
    let mut g = kernel().lending.lock();
    g.aim(waiter.handle(), Some(knot.handle()));
    g.aim(knot.handle(), Some(holder.handle()));
}

/// `waiter` has `knot` now; what others lend to that goes to it.
pub(crate) fn got(waiter: &Party, knot: &Party) {
    let mut g = kernel().lending.lock();
    let k = knot.handle();
    g.aim(waiter.handle(), None);
    if !g.arena.get(k).lenders.is_empty() {
        g.aim(k, Some(waiter.handle()));
    }
}

/// What is lent to `knot` goes to whom `find` names; not asked while nobody lends to it.
pub(crate) fn aim<'a>(knot: &Party, find: impl FnOnce() -> Option<&'a Party>) {
    let mut g = kernel().lending.lock();
    let k = knot.handle();
    if !g.arena.get(k).lenders.is_empty() {
        g.aim(k, find().map(Party::handle));
    }
}

/// `t`, the running thread, ends: nobody lends to it any more.
pub(crate) fn forget(t: &Thread) {
    let mut g = kernel().lending.lock();
    let h = t.party().handle();
    g.aim(h, None);
    while let Some(lender) = g.arena.get(h).lenders.front() {
        g.aim(lender, None);
    }
}

/// The nice value of `t` changes.
pub(crate) fn set_nice(t: &Thread, nice: Nice) {
    let mut g = kernel().lending.lock();
    let h = t.party().handle();
    let node = g.arena.get_mut(h);
    node.own = Loan::new(nice, node.own.slice());
    let (to, loan, lent) = (node.to, node.effective(), node.lent);
    // It may be lent something that made no difference until now.
    schedule::set_nice(t, nice, lent);
    if let Some(to) = to {
        // Either way: more than before, or less.
        g.raise(to, loan);
        g.count_again(to);
    }
}

/// The first thread that has another loan than those who wait for it lend.
pub(crate) fn check(locked: Locked) -> Result<(), (u32, &'static str)> {
    each(locked, |books, t| {
        let h = t.party().handle();
        let node = books.arena.get(h);
        let lenders = node.lenders.iter(&books.arena);
        let lent = lenders.fold(Loan::NONE, |l, h| l.with(books.arena.get(h).effective()));
        if lent != node.lent {
            return Err("it is lent something else than its waiters have");
        }
        let (own, effective) = t.nices();
        if own != node.own.nice() || effective != node.effective().nice() {
            return Err("it has another nice value than the stronger of its own and what is lent");
        }
        if schedule::audit::counts(t).is_some_and(|counts| counts != node.effective()) {
            return Err("its requests are not the shorter of its own and those it is lent");
        }
        Ok(())
    })
}

/// The first thread that lends and does not sleep in a wait of those that lend, while nothing runs.
pub(crate) fn check_at_rest() -> Result<(), (u32, &'static str)> {
    each(Locked::Wait, |books, t| {
        let lends = books.arena.get(t.party().handle()).to.is_some();
        // The outermost word counts, and nothing that may be around these names itself.
        let waits = matches!(t.sleeps_in.get(), SleepsIn::Item | SleepsIn::Mutex);
        if lends && (t.state() != State::Sleeping || !waits) {
            return Err("it lends, and waits neither for an item nor for a mutex");
        }
        Ok(())
    })
}

/// A knot as an audit sees it.
pub(crate) struct Knotted {
    /// How many lend to it.
    pub(crate) lenders: u32,
    to: Option<Handle<Node>>,
}

impl Knotted {
    /// Whether what is lent to it goes to `p`; `None` if it goes to nobody.
    pub(crate) fn goes_to(&self, p: &Party) -> Option<bool> {
        self.to.map(|to| to == p.handle())
    }
}

/// Looks at `knot`; `None` if the books are locked, and the caller does not wait.
pub(crate) fn look_at(knot: &Party, locked: Locked) -> Option<Knotted> {
    let books = locked.take(&kernel().lending)?;
    let node = books.arena.get(knot.handle());
    Some(Knotted {
        lenders: node.lenders.iter(&books.arena).count() as u32,
        to: node.to,
    })
}

fn each(
    locked: Locked,
    wrong: impl Fn(&Books, &Thread) -> Result<(), &'static str>,
) -> Result<(), (u32, &'static str)> {
    let Some(books) = locked.take(&kernel().lending) else {
        return Ok(());
    };
    let mut found = Ok(());
    kernel().threads.try_for_each(|t| {
        if found.is_ok() {
            found = wrong(&books, t).map_err(|wrong| (t.id(), wrong));
        }
    });
    found
}
