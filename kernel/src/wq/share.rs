//! A queue's share of a pool: its pwq there, its turn for the slots of a node, the way to both.
//!
//! The shares of a per-CPU or BH queue are made with the queue and stay. Those of an unbound queue
//! follow its attributes: new ones are attached to pools, old ones retire and are gone when their
//! last item is over; the one share of an ordered queue moves.
//!
//! # Who may touch what
//!
//! The pwq belongs to the lock of the pool that [`Share::pool`] names, and that name changes only
//! under that lock. So whoever locks the pool and finds the name unchanged ([`Share::lock`]) has the
//! pwq. A submitter may come with a share that retired, or became another pool's, since it looked:
//! pools live for ever and shares as long as their queue, so it locks a live pool, finds out, and
//! looks again. That is what makes the way of a submission one pointer, without a count or an epoch.
//!
//! References: rows A1, D3-D5, D9, G1.
#![expect(unsafe_code, reason = "pwqs and turns are nodes of other locks")]

use core::cell::{Cell, UnsafeCell};
use core::fmt;

use links::{Direct, Handle};
use sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use sync::handshake::{Home, Tally};
use sync::{Rank, SpinGuard, SpinLock};
use workqueue::{Call, NodeLimit, Pwq, Turn};

use super::anatomy::Books;
use super::barrier::Barrier;
use super::handles::queue_name;
use super::pool::{Inner, Pool};
use super::queue::Queue;
use super::{observed, unbound, urge};
use crate::audit::Locked;
use crate::soon::Patience;
use crate::trace::{Kind, emit};

/// A queue's share of one pool.
#[repr(C)]
pub(super) struct Share {
    /// `[A]` changed under the lock of the pool it names.
    pool: Home<Pool>,
    /// `[L]` of the pool.
    pub(super) pwq: UnsafeCell<Pwq>,
    /// `[N]` of the node's slots.
    pub(super) turn: UnsafeCell<Turn>,
    /// `[L]` of the pool.
    pub(super) books: UnsafeCell<Books>,
    /// `[L]` of the pool: what came and went, of a share that stays in its pool.
    tally: Tally,
    /// `[L]` of the queue's mayday lock.
    pub(super) call: UnsafeCell<Call>,
    /// `[L]` of the pool: where it moves (D9), or null.
    next: AtomicPtr<Pool>,
    /// `[P]` of whoever was told that it can move: another one that can.
    pub(super) also: Cell<Option<Handle<Pwq>>>,
    /// `[A]` which of the queue's nodes; changed while the share is in no pool.
    node: AtomicUsize,
    /// `[A]` the slots of that; null if the queue has no nodes.
    slots: AtomicPtr<SpinLock<Slots>>,
    /// `[I]`
    queue: *const Queue,
}

// SAFETY: the pwq and the turn are reached only through the arenas of their locks, the books under the
// pool's; one at a time is told that it can move.
unsafe impl Sync for Share {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for Share {}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Share").field(self.pool()).finish()
    }
}

impl Share {
    /// A share of `queue` in `pool`.
    pub(super) fn new(
        queue: *const Queue,
        pool: &'static Pool,
        mut pwq: Pwq,
        books: Books,
    ) -> Self {
        pwq.set_observed(observed::is_on());
        Self {
            books: UnsafeCell::new(books),
            pwq: UnsafeCell::new(pwq),
            turn: UnsafeCell::new(Turn::new()),
            call: UnsafeCell::new(Call::new()),
            pool: Home::new(core::ptr::from_ref(pool).cast_mut()),
            next: AtomicPtr::new(core::ptr::null_mut()),
            also: Cell::new(None),
            node: AtomicUsize::new(0),
            slots: AtomicPtr::new(core::ptr::null_mut()),
            queue,
            tally: Tally::new(),
        }
    }

    #[inline(always)]
    pub(super) fn handle(&self) -> Handle<Pwq> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.pwq.get())
    }

    /// The handle its node knows it by.
    #[inline(always)]
    pub(super) fn turn(&self) -> Handle<Turn> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.turn.get())
    }

    /// The handle its queue's rescuer knows it by.
    pub(super) fn call_handle(&self) -> Handle<Call> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.call.get())
    }

    pub(super) const fn queue_ptr(&self) -> *const Queue {
        self.queue
    }

    /// The queue; for as long as the pool's lock is held and items are in flight.
    #[inline(always)]
    pub(super) fn queue(&self) -> &Queue {
        // SAFETY: set at creation to the queue that owns this share.
        unsafe { &*self.queue }
    }

    /// Its pool; stale at once, unless the pool's lock is held or something keeps the share there.
    #[inline(always)]
    pub(super) fn pool(&self) -> &'static Pool {
        // SAFETY: pools are never freed.
        unsafe { &*self.pool.get() }
    }

    /// Its pool, locked.
    #[inline(always)]
    pub(super) fn lock(&self) -> (&'static Pool, SpinGuard<'static, Inner>) {
        // SAFETY: pools are never freed.
        let pool = |raw: *mut Pool| unsafe { &*raw };
        let (raw, g) = self.pool.lock(|raw| pool(raw).lock());
        (pool(raw), g)
    }

    /// As [`Self::lock`], of a share that stays in one pool ([`Class::stays`](super::queue::Class::stays)).
    #[inline(always)]
    pub(super) fn lock_staying(&self) -> (&'static Pool, SpinGuard<'static, Inner>) {
        let pool = self.pool();
        let g = pool.lock();
        debug_assert!(core::ptr::eq(pool, self.pool()), "it moved");
        (pool, g)
    }

    /// As [`Self::lock`], if it can be had soon.
    pub(super) fn lock_soon(
        &self,
        patience: &Patience,
    ) -> Option<(&'static Pool, SpinGuard<'static, Inner>)> {
        // SAFETY: pools are never freed.
        let pool = |raw: *mut Pool| unsafe { &*raw };
        let (raw, g) = self.pool.try_lock(|raw| pool(raw).lock_soon(patience))?;
        Some((pool(raw), g))
    }

    /// The slots of its node, which it has if it has been attached and its queue has nodes.
    #[inline(always)]
    pub(super) fn slots(&self) -> &SpinLock<Slots> {
        let slots = self.slots.load(Ordering::Relaxed);
        debug_assert!(!slots.is_null(), "a share without a node asks for slots");
        // SAFETY: `attach` set it to an element of the boxed slice of its queue, which outlives it.
        unsafe { &*slots }
    }

    /// Whose number in its queue is this.
    #[inline(always)]
    pub(super) fn node(&self) -> usize {
        self.node.load(Ordering::Relaxed)
    }

    /// Whether it waits for a slot of its node; `None` if those are locked and the caller does not
    /// wait. Under its pool's lock.
    pub(super) fn in_line(&self, locked: Locked) -> Option<bool> {
        if self.slots.load(Ordering::Relaxed).is_null() {
            return Some(false);
        }
        let g = locked.take(self.slots())?;
        Some(links::Arena::get(&g.turns, self.turn()).waits())
    }

    /// Puts a share that is gone, or new, into `pool`, which it inherits a reference to; with the
    /// node whose slots its items take, or the limit it has itself.
    pub(super) fn attach(&self, pool: &'static Pool, node: usize, pwq: Pwq) {
        let (old, g) = self.lock();
        debug_assert!(
            self.pwq(&g).is_gone() || core::ptr::eq(old, pool),
            "a share that is in use is attached"
        );
        self.pool.move_to(core::ptr::from_ref(pool).cast_mut());
        drop(g);
        // Late submitters find it gone until it is made anew.
        let mut g = pool.lock();
        self.node.store(node, Ordering::Relaxed);
        if let Some(slots) = self.queue().nodes.get(node) {
            let slots = core::ptr::from_ref(slots).cast_mut();
            self.slots.store(slots, Ordering::Relaxed);
        }
        let mut pwq = pwq.after(self.pwq(&g));
        pwq.set_observed(observed::is_on());
        *self.pwq_mut(&mut g) = pwq;
    }

    /// An item may be about to come; under the pool's lock `g`, before its word says that it is queued: who joins it sees that
    /// not all are over. If it does not come: [`Self::tell_entered`]. Who joins one that is on its way from another pool, and is
    /// pending since before that lock, is not shown it. With it so many came, ever.
    #[inline(always)]
    pub(super) fn tell_entering(&self, g: &Inner) -> u64 {
        let entered = self.pwq(g).entered() + 1;
        self.tally.enter(entered);
        entered
    }

    /// So many came; under the pool's lock `g`.
    #[inline(always)]
    pub(super) fn tell_entered(&self, g: &Inner) {
        self.tally.enter(self.pwq(g).entered());
    }

    /// Nothing may be in flight any more; under the pool's lock `g`. While something is, nobody need know how many have passed.
    #[inline(always)]
    pub(super) fn tell_passed(&self, g: &Inner) {
        self.tally.pass(self.pwq(g).passed());
    }

    /// All items that came before the call are over. False says nothing. Of a share that stays in its pool; without its lock.
    #[inline(always)]
    pub(super) fn is_clear(&self) -> bool {
        self.tally.is_clear()
    }

    #[inline(always)]
    pub(super) fn pwq<'a>(&self, g: &'a Inner) -> &'a Pwq {
        links::Arena::get(&g.store, self.handle())
    }

    pub(super) fn pwq_mut<'a>(&self, g: &'a mut Inner) -> &'a mut Pwq {
        links::Arena::get_mut(&mut g.store, self.handle())
    }

    /// New items go elsewhere; the pool is let go when the last old one is over.
    pub(super) fn retire(&self) {
        let (pool, mut g) = self.lock();
        let Inner { policy, store, .. } = &mut *g;
        let pwq: &Pwq = links::Arena::get(store, self.handle());
        if !pwq.is_retired() && policy.retire(store, self.handle()) {
            unbound::put(pool, &mut g);
        }
    }

    /// The share of an ordered queue shall be in `pool`, which the caller has a reference to (D9).
    pub(super) fn move_to(&self, pool: &'static Pool) {
        let (_, mut g) = self.lock();
        debug_assert!(
            !self.pwq(&g).is_retired(),
            "the share of a destroyed queue moves"
        );
        let raw = core::ptr::from_ref(pool).cast_mut();
        let before = self.next.swap(raw, Ordering::Relaxed);
        let Inner { policy, store, .. } = &mut *g;
        let now = policy.plug(store, self.handle());
        drop(g);
        // SAFETY: pools are never freed.
        if let Some(before) = unsafe { before.as_ref() } {
            unbound::put(before, &mut before.lock());
        }
        if now {
            self.carry_over();
        }
    }

    /// Nothing of the share is active: takes it, and what waits in it, to the pool it shall be in.
    /// Whoever tries to take a waiting item meanwhile finds it in somebody's hands. No lock is held.
    pub(super) fn carry_over(&self) {
        let irq = sync::IrqGuard::new();
        loop {
            let (pool, mut g) = self.lock();
            let next = self.next.load(Ordering::Relaxed);
            let Inner { policy, store, .. } = &mut *g;
            // SAFETY: pools are never freed.
            let Some(to) = (unsafe { next.as_ref() }) else {
                let wake = policy.unplug(store, self.handle());
                urge::look_again(pool, &mut g);
                pool.wake(wake);
                break;
            };
            if !policy.still_moves(store, self.handle()) {
                break;
            }
            self.next.store(core::ptr::null_mut(), Ordering::Relaxed);
            policy.each_waiting(store, self.handle(), |h| {
                // SAFETY: a pending item is kept alive by its submission.
                unsafe { super::header::Header::of(h) }.word.unqueue();
            });
            policy.each_waiting_barrier(store, self.handle(), |b| {
                Barrier::take_back(b, store);
            });
            let there = to.place().index() as u64;
            emit(
                Kind::MoveWorkqueue,
                pool.head(),
                there,
                queue_name(self.queue),
            );
            self.pool.move_to(next);
            unbound::put(pool, &mut g);
            drop(g);
            let g = to.lock();
            g.policy.each_waiting(&g.store, self.handle(), |h| {
                // SAFETY: as above.
                let word = &unsafe { super::header::Header::of(h) }.word;
                // What was queued since the share has its new pool is published there already.
                if !word.state().queued {
                    word.publish(to.place(), false);
                }
            });
            g.policy
                .each_waiting_barrier(&g.store, self.handle(), |b| urge::comes(to, &g, b));
        }
        drop(irq);
    }
}

/// What a queue's items in one memory node share (D3).
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) policy: NodeLimit,
    pub(super) turns: Direct<Turn>,
}

impl Slots {
    pub(super) const fn lock(max: u32) -> SpinLock<Self> {
        // SAFETY: the turns of a node's shares are reached only under the lock that this is for;
        // shares live as long as their queue, which owns the node.
        let turns = unsafe { Direct::new() };
        let policy = NodeLimit::new(max);
        SpinLock::new(Rank::NodeActive, "slots of a node", Self { policy, turns })
    }
}
