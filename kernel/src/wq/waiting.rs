//! What a wait for an item or for a queue depends on, as the wait graph asks it (D11, I4).

use core::cell::Cell;
use core::fmt::{self, Write as _};

use links::Handle;
use sync::SpinGuard;
use workqueue::{Awaited as On, Held, Item, Kind, Pwq, Worker as WorkerNode};

use super::flush::FlushNode;
use super::handles::{share_of, worker_of};
use super::header::Header;
use super::pool::Inner;
use super::pool::Pool;
use super::queue::Queue;
use super::share::Share;
use super::shares::Shares;
use super::show::{Name, name_of};
use super::worker::current_worker;
use super::{pool_at, registry};
use crate::soon::Patience;
use crate::thread::{State, Thread};
use crate::waits::{Awaited, Chain, Found, ItemName, Someone};

/// Type and queue of the item that the running thread executes, if it does.
pub(crate) fn item_and_queue() -> Option<(&'static str, &'static str)> {
    let w = current_worker()?;
    Some((w.item_name()?, &w.working_for()?.attributes.name))
}

/// A wait for the last submission of an item.
pub(super) struct ItemWait<'a> {
    item: &'a Header,
    barrier: Handle<Item>,
    /// `[G]` the barrier is behind the item.
    placed: Cell<bool>,
    /// `[G]` what the item needed when it was looked at last.
    needs: Cell<Needs>,
}

/// What must come first, of an item that somebody waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Needs {
    /// Its run, or that of the worker that has it, is to end.
    Run,
    /// A slot.
    Slot,
    /// A worker that starts it.
    Worker,
    /// The one thread of its queue.
    Thread,
}

impl<'a> ItemWait<'a> {
    pub(super) const fn new(item: &'a Header, barrier: Handle<Item>) -> Self {
        Self {
            item,
            barrier,
            placed: Cell::new(false),
            needs: Cell::new(Needs::Run),
        }
    }

    /// The barrier is behind the item now.
    pub(super) fn placed(&self) {
        self.placed.set(true);
    }
}

impl Awaited for ItemWait<'_> {
    fn look(&self, found: &mut Found<'_>) {
        let place = self.item.word.state().place;
        if !place.is_some() {
            return;
        }
        let pool = pool_at(place);
        let Some(g) = found.lock(|| pool.lock(), |p| pool.lock_soon(p)) else {
            return;
        };
        // It is on its way elsewhere, so this wait is over or about to be; or its share moves, and is left alone.
        if !self.item.belongs_to(place) {
            return;
        }
        let barrier = self.placed.get().then_some(self.barrier);
        let on = g.policy.awaited(&g.store, self.item.handle(), barrier);
        let dedicated = g.policy.kind() == Kind::Dedicated;
        self.needs.set(match on {
            On::Nothing | On::Worker(_) => Needs::Run,
            On::Slot(_) => Needs::Slot,
            On::Start if dedicated => Needs::Thread,
            On::Start => Needs::Worker,
        });
        match on {
            // A search takes no notice of it: the comparison with what came before would not be one.
            On::Start if dedicated && found.is_report() => {
                g.policy.each_worker(&g.store, |w| add(found, &g, w));
            }
            On::Nothing | On::Start => {}
            On::Worker(w) => add(found, &g, w),
            On::Slot(p) => {
                found.needs_any();
                holders(found, g, p);
            }
        }
    }

    fn tell(&self, to: &mut Chain) -> fmt::Result {
        let name = (self.item.vtable.name)();
        let how = match self.needs.get() {
            Needs::Run => "run by",
            Needs::Slot => "which waits for a slot that is held by",
            Needs::Worker => "which no worker has started",
            Needs::Thread => "which waits for the thread of",
        };
        write!(to, "item {name}, {how}")
    }
}

/// The worker's thread; a softirq has none, and never sleeps. `g` is its pool's lock.
fn add(found: &mut Found<'_>, g: &Inner, w: Handle<WorkerNode>) {
    if g.policy.kind() == Kind::Bh {
        found.has_help("a softirq");
        return;
    }
    match worker_of(w).thread() {
        Some(thread) => found.add(thread, || work_of(g, w)),
        None => found.has_help("a new worker"),
    }
}

/// The item that `w` executes, and its queue; `None` if that is nothing, or a barrier.
pub(super) fn work_of(g: &Inner, w: Handle<WorkerNode>) -> Option<ItemName> {
    let node: &WorkerNode = links::Arena::get(&g.store, w);
    let queue = share_of(node.current_pwq()?).queue();
    match name_of(g, node.current()?) {
        Name::Function(_, value) => Some((value, queue.attributes.name.clone())),
        Name::Barrier => None,
    }
}

/// A lock that a report asked for is not to be had soon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Locked;

/// Who a report asked for, if there is somebody.
pub(super) type Asked = Result<Option<Someone>, Locked>;

/// The worker of `pool` whose thread is number `id`.
pub(super) fn worker_in(pool: &Pool, id: u32, patience: &Patience) -> Asked {
    let mut found = None;
    let g = pool.lock_soon(patience).ok_or(Locked)?;
    workers(&g, |w, thread| {
        if thread.id() == id {
            found = Some(Someone::of(thread, work_of(&g, w)));
        }
    });
    Ok(found)
}

/// A worker of `pool` that sleeps in its item, while the pool starts nothing: rather one of which is known for whom it
/// waits. Nobody while another one has no need to sleep, as that one is in the way.
pub(super) fn sleeper_in(pool: &Pool, patience: &Patience) -> Asked {
    let (mut found, mut runs) = (None, false);
    let g = pool.lock_soon(patience).ok_or(Locked)?;
    workers(&g, |w, thread| {
        let node: &WorkerNode = links::Arena::get(&g.store, w);
        if node.current().is_none() {
            return;
        }
        if thread.state() == State::Sleeping {
            Someone::of(thread, work_of(&g, w)).prefer(&mut found);
        } else {
            runs = true;
        }
    });
    let stands = g.policy.hung(machine::now()) > machine::Duration::ZERO;
    Ok(found.filter(|_| stands && !runs))
}

/// The workers of a pool that are threads.
fn workers(g: &Inner, mut f: impl FnMut(Handle<WorkerNode>, &Thread)) {
    if g.policy.kind() != Kind::Bh {
        g.policy.each_worker(&g.store, |w| {
            if let Some(thread) = worker_of(w).thread() {
                f(w, thread);
            }
        });
    }
}

/// What the worker executes whose thread is number `id`, for a report; `None` if nothing, if it is no worker, or
/// if its pool is locked for long. Locks one pool after the other.
pub(crate) fn item_of_worker(id: u32) -> Option<ItemName> {
    let (mut found, patience) = (None, Patience::new());
    super::each_pool(|pool| {
        if found.is_none() {
            let who = worker_in(pool, id, &patience).ok().flatten();
            found = who.and_then(Someone::into_item);
        }
    });
    found
}

/// One who has a slot for which items of a queue wait in the pool numbered `place`; `name` is the queue's.
pub(super) fn holder_of_slot(name: &str, place: usize, patience: &Patience) -> Asked {
    let mut found = None;
    let locked = Cell::new(false);
    let all = registry::each_queue_soon(patience, |q, shares| {
        let waits = |s: &&Share| match s.lock_soon(patience) {
            Some((pool, g)) => pool.place().index() == place && s.pwq(&g).inactive() > 0,
            None => {
                locked.set(true);
                false
            }
        };
        if found.is_some() || q.attributes.name != name {
            return;
        }
        let Some(waiting) = shares.iter().find(waits) else {
            return;
        };
        let by_node = !q.nodes.is_empty();
        let same = |s: &&Share| core::ptr::eq(*s, waiting) || by_node && s.node() == waiting.node();
        for share in shares.iter().filter(same) {
            let Some((_, g)) = share.lock_soon(patience) else {
                locked.set(true);
                continue;
            };
            g.policy.each_held(&g.store, share.handle(), |h: Held| {
                let thread = worker_of(h.worker).thread();
                if let Some(thread) = thread.filter(|_| h.slot) {
                    Someone::of(thread, work_of(&g, h.worker)).prefer(&mut found);
                }
            });
        }
    });
    match found {
        None if locked.get() || !all => Err(Locked),
        _ => Ok(found),
    }
}

/// Who holds the slots that waiting items of `p` wait for; `g` is its pool's lock.
fn holders(found: &mut Found<'_>, g: SpinGuard<'_, Inner>, p: Handle<Pwq>) {
    let share = share_of(p);
    if !g.policy.passes_slots(&g.store, p) {
        found.has_help("somebody");
        return;
    }
    if share.queue().nodes.is_empty() {
        let held = slots_of(found, &g, p);
        if held != share.pwq(&g).active() {
            found.has_help("somebody");
        }
        return;
    }
    // The slots are those of the node; its other shares are in other pools.
    let (queue, node) = (share.queue_ptr(), share.node());
    drop(g);
    let (mut held, is_report) = (None, found.is_report());
    let each = |q: &Queue, shares: &Shares| {
        if !core::ptr::eq(q, queue) || q.is_frozen() {
            return;
        }
        let of_node = shares.iter().filter(|s| s.node() == node);
        let all: u32 = of_node
            .map(|s| {
                let g = found.lock(|| s.lock(), |p| s.lock_soon(p));
                g.map_or(0, |(_, g)| slots_of(found, &g, s.handle()))
            })
            .sum();
        // Holders that wait keep their slots; so if these are all, nobody else has had one meanwhile.
        let slots = &q.nodes[node];
        let slots = found.lock(|| slots.lock(), |p| p.lock(|| slots.try_lock()));
        held = slots.map(|slots| all == slots.policy.taken());
    };
    if is_report {
        registry::each_queue_soon(&Patience::new(), each);
    } else {
        registry::each_queue_locked(each);
    }
    if held != Some(true) {
        found.has_help("somebody");
    }
}

/// Slots that workers have for items of `p`; each worker is added.
fn slots_of(found: &mut Found<'_>, g: &Inner, p: Handle<Pwq>) -> u32 {
    let mut held = 0;
    g.policy.each_held(&g.store, p, |h: Held| {
        if h.slot {
            held += 1;
            add(found, g, h.worker);
        }
    });
    held
}

/// A flush of a queue.
pub(super) struct QueueWait<'a> {
    queue: &'a Queue,
    node: &'a FlushNode,
    /// `[G]` it has begun.
    started: Cell<bool>,
}

impl<'a> QueueWait<'a> {
    pub(super) const fn new(queue: &'a Queue, node: &'a FlushNode) -> Self {
        Self {
            queue,
            node,
            started: Cell::new(false),
        }
    }

    /// It begins now.
    pub(super) fn started(&self) {
        self.started.set(true);
    }
}

impl Awaited for QueueWait<'_> {
    fn look(&self, found: &mut Found<'_>) {
        let started = self.started.get();
        let flush = &self.queue.flush;
        let Some(state) = found.lock(|| flush.lock(), |p| p.lock(|| flush.try_lock())) else {
            return;
        };
        // What has a colour that is over may share it with later items when the next flush goes on,
        // which takes this lock.
        if started && self.node.is_done() {
            return;
        }
        for share in state.shares.iter() {
            let Some((_, g)) = found.lock(|| share.lock(), |p| share.lock_soon(p)) else {
                continue;
            };
            g.policy.each_held(&g.store, share.handle(), |h: Held| {
                if !started || state.covers(self.node, h.colour) {
                    add(found, &g, h.worker);
                }
            });
        }
    }

    fn tell(&self, to: &mut Chain) -> fmt::Result {
        let name = &self.queue.attributes.name;
        write!(to, "the items of queue {name}, one of which is run by")
    }
}
