//! From the handles that the policy keeps to the executive's objects.
//!
//! Every node is embedded in a larger structure; a handle is the node's address. All conversions
//! of `wq` but the item's own are here.
#![expect(unsafe_code, reason = "container_of, and the arenas of a pool")]

use core::cell::Cell;
use core::mem::offset_of;
use core::sync::atomic::Ordering;

use links::{Arena, Direct, Handle};
use workqueue::{Call, Flusher, Item, Pwq, Turn, Worker as WorkerNode};
use workword::Place;

use super::anatomy;
use super::flush::FlushNode;
use super::header::Header;
use super::pool::Pool;
use super::pool_beside;
use super::queue::Queue;
use super::share::{Share, Slots};
use super::urge;
use super::worker::Worker;
use crate::kernel;
use crate::timer::Timer;
use crate::trace::{Head, Kind, Told};

/// A barrier, and the worker to which its waiter lends, if it lends to one.
pub(super) type Sole = (Handle<Item>, Option<Handle<WorkerNode>>);

/// The nodes that one pool's lock protects.
#[derive(Debug)]
pub(super) struct Store {
    items: Direct<Item>,
    workers: Direct<WorkerNode>,
    pwqs: Direct<Pwq>,
    /// How events name the pool: [`Head::bits`].
    pub(super) head: u64,
    /// The limit under which a node's slot was taken last; the simulator wants to know.
    pub(super) granted_under: u32,
    /// How many waiters lend to the pool itself.
    pub(super) lent: Cell<u32>,
    /// The barrier of the only one of them, and the worker to which it lends by itself; see `urge`.
    pub(super) sole: Cell<Option<Sole>>,
}

impl Store {
    pub(super) const fn new() -> Self {
        // SAFETY: an item is queued on at most one pool and kept alive by its submission; its node
        // is reached only under the lock of that pool.
        let items = unsafe { Direct::new() };
        // SAFETY: a worker belongs to one pool and leaves it before it is freed.
        let workers = unsafe { Direct::new() };
        // SAFETY: a pwq belongs to the pool its share names; its queue lives until it has drained.
        let pwqs = unsafe { Direct::new() };
        Self {
            items,
            workers,
            pwqs,
            head: 0,
            granted_under: 0,
            lent: Cell::new(0),
            sole: Cell::new(None),
        }
    }
}

impl Store {
    /// `f` of the slots of the node of `pwq`, locked: under the pool's lock, so interrupts are masked.
    #[inline(always)]
    fn at_node<R>(&mut self, pwq: Handle<Pwq>, f: impl FnOnce(&mut Slots, &Share) -> R) -> R {
        let share = share_of(pwq);
        let mut g = share.slots().lock_masked();
        if machine::OBSERVED {
            self.granted_under = g.policy.max();
        }
        f(&mut g, share)
    }
}

macro_rules! arena {
    ($t:ty, $f:ident) => {
        impl Arena<$t> for Store {
            #[inline(always)]
            fn get(&self, h: Handle<$t>) -> &$t {
                self.$f.get(h)
            }
            #[inline(always)]
            fn get_mut(&mut self, h: Handle<$t>) -> &mut $t {
                self.$f.get_mut(h)
            }
        }
    };
}
arena!(Item, items);
arena!(WorkerNode, workers);
arena!(Pwq, pwqs);

impl workqueue::Store for Store {
    const SEES_ALL: bool = machine::OBSERVED;

    #[inline(always)]
    fn activated(&mut self, item: Handle<Item>, pwq: Handle<Pwq>) {
        let told = Told::of(Kind::ActivateWork);
        let now = told.now();
        told.emit_bits(now, || {
            let queue = share_of(pwq).queue_ptr();
            (limited(pwq, self), item_name(item), queue_name(queue))
        });
        // Of one that is not followed, too: it has no beginning.
        // SAFETY: a pending item is kept alive by its submission; barriers never wait for slots.
        anatomy::activated(now, unsafe { Header::of(item) });
    }

    fn claimed(&mut self, barrier: Handle<Item>, worker: Handle<WorkerNode>) {
        urge::claimed(self, barrier, worker);
    }

    fn unclaimed(&mut self, barrier: Handle<Item>, pwq: Handle<Pwq>) {
        urge::unclaimed(self, barrier, pwq);
    }

    #[inline(always)]
    fn take_slot(&mut self, pwq: Handle<Pwq>) -> bool {
        self.at_node(pwq, |Slots { policy, turns }, share| {
            policy.take(turns, share.turn())
        })
    }

    fn free_slot(&mut self, pwq: Handle<Pwq>) -> Option<Handle<Pwq>> {
        let next = self.at_node(pwq, |Slots { policy, turns }, _| policy.free(turns));
        next.map(|t| share_of_turn(t).handle())
    }

    #[inline(never)]
    fn put_back_slot(&mut self, pwq: Handle<Pwq>) -> bool {
        self.at_node(pwq, |slots, _| slots.policy.put_back())
    }

    #[inline(always)]
    fn renew_slot(&mut self, pwq: Handle<Pwq>, more: bool) -> bool {
        self.at_node(pwq, |Slots { policy, turns }, share| {
            policy.renew(turns, share.turn(), more)
        })
    }

    fn accept_slot(&mut self, pwq: Handle<Pwq>) -> bool {
        self.at_node(pwq, |Slots { policy, turns }, share| {
            policy.accept(turns, share.turn())
        })
    }

    fn leave_line(&mut self, pwq: Handle<Pwq>) -> bool {
        let share = share_of(pwq);
        // Per-CPU and ordered queues have no nodes.
        if share.queue().nodes.is_empty() {
            return true;
        }
        let mut g = share.slots().lock();
        let Slots { policy, turns } = &mut *g;
        let turn: &Turn = turns.get(share.turn());
        if turn.is_granted() {
            return false;
        }
        policy.leave(turns, share.turn());
        true
    }
}

/// How events name an item, or a barrier, by its node.
#[inline(always)]
pub(super) fn item_name(h: Handle<Item>) -> u64 {
    h.raw() as u64
}

/// The head of an event of the pool of `store`, as [`Head::bits`], that tells the simulator the limit of active items, of the
/// pwq or of its node.
#[inline(always)]
pub(super) fn limited(h: Handle<Pwq>, store: &Store) -> u64 {
    if !machine::OBSERVED {
        return store.head;
    }
    let pwq = store.pwqs.get(h);
    let (limit, flags) = if pwq.is_limited_by_node() {
        let node = share_of(h).node() as u8;
        (store.granted_under, (node + 1) << Kind::NODE_SHIFT)
    } else {
        (pwq.max_active(), 0)
    };
    let small = limit.min(u32::from(u16::MAX)) as u16;
    store.head | Head::with(0, small).flags(flags).bits()
}

/// How events name a queue.
#[inline(always)]
pub(super) fn queue_name(q: *const Queue) -> u64 {
    q.addr() as u64
}

/// The arena of one queue's waiting flushes.
pub(super) const fn flushers() -> Direct<Flusher> {
    // SAFETY: a flush node is reached only under its queue's lock, between the start of the flush
    // and its resolution, during which its thread waits.
    unsafe { Direct::new() }
}

/// The worker whose node this is. It lives while it belongs to its pool.
#[inline(always)]
pub(super) fn worker_of<'a>(h: Handle<WorkerNode>) -> &'a Worker {
    let p = core::ptr::with_exposed_provenance::<Worker>(h.raw() - offset_of!(Worker, node));
    // SAFETY: pools hand out handles of their own workers, under their lock.
    unsafe { &*p }
}

/// The share whose pwq this is. It lives as long as its queue.
#[inline(always)]
pub(super) fn share_of<'a>(h: Handle<Pwq>) -> &'a Share {
    let p = core::ptr::with_exposed_provenance::<Share>(h.raw() - offset_of!(Share, pwq));
    // SAFETY: pools hand out handles of pwqs with items in flight, whose queue is alive.
    unsafe { &*p }
}

/// The share whose call for help this is. It lives as long as its queue.
pub(super) fn call_of<'a>(h: Handle<Call>) -> &'a Share {
    let p = core::ptr::with_exposed_provenance::<Share>(h.raw() - offset_of!(Share, call));
    // SAFETY: a listed call is pinned, and its queue's rescuer asks, who keeps the queue.
    unsafe { &*p }
}

/// The share whose turn this is. It lives as long as its queue.
pub(super) fn share_of_turn<'a>(h: Handle<Turn>) -> &'a Share {
    let p = core::ptr::with_exposed_provenance::<Share>(h.raw() - offset_of!(Share, turn));
    // SAFETY: a node hands out turns of its own queue's shares.
    unsafe { &*p }
}

/// The flush whose node this is. It lives until it is resolved.
pub(super) fn flush_of<'a>(h: Handle<Flusher>) -> &'a FlushNode {
    let p = core::ptr::with_exposed_provenance::<FlushNode>(h.raw() - offset_of!(FlushNode, node));
    // SAFETY: the flush policy hands out handles of waiting flushes.
    unsafe { &*p }
}

/// The pool at `place`.
#[inline(always)]
pub(super) fn pool_at(place: Place) -> &'static Pool {
    let table = &kernel().wq.bound;
    if let Some(pool) = table.get(place.index()) {
        let pool = pool.load(Ordering::Acquire);
        // SAFETY: null, or a pool, which is never freed.
        let pool = unsafe { pool.as_ref() };
        return pool.expect("an item ran on a core of this machine");
    }
    pool_beside(place.index())
}

/// As [`pool_at`], if it is one of a core. The caller has read the place with an acquiring look at a word. Whoever wrote it
/// there knew the pool, so what made the pool is visible, and this load needs no order.
#[inline(always)]
pub(super) fn pool_of_core_at(place: Place) -> Option<&'static Pool> {
    let pool = kernel().wq.bound.get(place.index())?;
    // SAFETY: null, or a pool, which is never freed.
    unsafe { pool.load(Ordering::Relaxed).as_ref() }
}

/// The pool whose mayday timer this is.
pub(super) fn pool_of_mayday(timer: &Timer) -> &'static Pool {
    let p = core::ptr::from_ref(timer)
        .cast::<u8>()
        .wrapping_sub(offset_of!(Pool, mayday));
    // SAFETY: only pools have this callback, and pools are 'static.
    unsafe { &*p.cast::<Pool>() }
}

/// Arms a pool's mayday timer.
pub(super) fn arm_mayday(pool: &'static Pool, at: machine::Instant) {
    // SAFETY: the pool, and with it the timer, is 'static.
    unsafe { pool.mayday.arm(at) }
}

/// The pool whose idle reaper this is.
pub(super) fn pool_of_reaper(timer: &Timer) -> &'static Pool {
    let p = core::ptr::from_ref(timer)
        .cast::<u8>()
        .wrapping_sub(offset_of!(Pool, reaper));
    // SAFETY: only pools have this callback, and pools are 'static.
    unsafe { &*p.cast::<Pool>() }
}

/// Arms a pool's reaper.
pub(super) fn arm_reaper(pool: &'static Pool, at: machine::Instant) {
    // SAFETY: the pool, and with it the timer, is 'static.
    unsafe { pool.reaper.arm(at) }
}
