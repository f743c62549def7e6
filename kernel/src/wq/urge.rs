//! Priority inheritance of those who wait for an item (flush, synchronous cancel): to whom they lend.
//!
//! Such a waiter is a barrier behind the item. On the own list of a worker, which executes the item or
//! will execute it come what may, it lends to that worker. On any other list it lends to the *pool*,
//! and the pool to the worker on which it depends that the item is started: in a pool with concurrency
//! management the one that runs, else the one that was woken or creates another; while the item waits for
//! a slot, one that has a slot. A waiter that is the only one lends to that worker itself (`Store::sole`), so nothing
//! changes hands when that worker comes to the item; with the second one both lend to the pool. The policy tells when a barrier changes lists
//! ([`workqueue::Store::claimed`]). Who is next is looked at again ([`look_again`]) whenever that may be another one:
//! the worker that is lent to starts an item, blocks, uses up its budget, waits for its core for long, goes idle or
//! leaves (it bears [`Worker::AHEAD`]); an item gets a slot or is cancelled; a worker goes on after a wait; the pool loses
//! its core or gets it back. The pool counts who lends to it (`Store::lent`), so where nobody waits each of these is one
//! comparison under a lock that is held anyway.
//!
//! Items in softirq context are executed before any thread, so nobody lends to them.
//!
//! All under the pool's lock.

use links::{Arena, Handle};
use workqueue::{Item, Kind as PoolKind, Phase, Worker as WorkerNode};

use super::barrier::{Barrier, LendsTo};
use super::handles::{Store, share_of, worker_of};
use super::pool::{Inner, Pool};
use super::worker::Worker;
use crate::audit::Locked;
use crate::lend::{self, Party};
use crate::thread::State;

fn party_of<'a>(w: Handle<WorkerNode>) -> Option<&'a Party> {
    worker_of(w).thread().map(|t| t.party())
}

/// Barrier `b`, which is on no list of BH items, is on the own list of `w` now.
pub(super) fn claimed(store: &Store, b: Handle<Item>, w: Handle<WorkerNode>) {
    if store.sole.get() == Some((b, Some(w))) {
        Barrier::note(b, LendsTo::Worker, store);
    } else if let Some(helper) = party_of(w) {
        Barrier::lend(b, LendsTo::Worker, store, helper);
    }
}

/// Barrier `b` went from a worker's own list back to that of the pool of `p`.
#[cold]
pub(super) fn unclaimed(store: &Store, b: Handle<Item>, p: Handle<workqueue::Pwq>) {
    let party = &share_of(p).pool().party;
    join(store, party);
    Barrier::lend(b, LendsTo::Pool, store, party);
}

/// Barrier `b` was put behind an item of `pool`.
pub(super) fn waits(pool: &Pool, g: &mut Inner, b: Handle<Item>) {
    if pool.kind == PoolKind::Bh {
        return;
    }
    if let Some(w) = g.policy.claimant(&g.store, b) {
        claimed(&g.store, b, w);
        return;
    }
    let waiter = Barrier::waiter(b).party();
    if g.store.lent.get() == 0 {
        let next = ahead(g);
        lend::pass_on(waiter, next.and_then(party_of));
        g.store.sole.set(Some((b, next)));
    } else {
        join(&g.store, &pool.party);
        lend::lend_on(waiter, &pool.party, || ahead(g).and_then(party_of));
    }
    Barrier::note(b, LendsTo::Pool, &g.store);
}

/// Another waiter comes to the pool of `party`: one that was the only one lends to the pool itself, too.
fn join(store: &Store, party: &Party) {
    if let Some((b, _)) = store.sole.take() {
        lend::lend(Barrier::waiter(b).party(), party);
    }
}

/// Barrier `b` came to `pool` with a share that moves, unless it was there before.
pub(super) fn comes(pool: &Pool, g: &Inner, b: Handle<Item>) {
    if !Barrier::lends(b) {
        join(&g.store, &pool.party);
        Barrier::lend(b, LendsTo::Pool, &g.store, &pool.party);
    }
}

/// What is lent to `pool` goes to the worker on which the start of its next item depends. Before that is woken:
/// so it comes to its core as who has the loan.
#[inline(always)]
pub(super) fn look_again(pool: &Pool, g: &mut Inner) {
    if g.store.lent.get() > 0 {
        aim(pool, g);
    }
}

#[cold]
fn aim(pool: &Pool, g: &mut Inner) {
    let Some((b, before)) = g.store.sole.get() else {
        return lend::aim(&pool.party, || ahead(g).and_then(party_of));
    };
    let next = ahead(g);
    if next != before {
        lend::pass_on(Barrier::waiter(b).party(), next.and_then(party_of));
        g.store.sole.set(Some((b, next)));
    }
}

/// The worker that is next, which will look again.
fn ahead(g: &mut Inner) -> Option<Handle<WorkerNode>> {
    let w = g.policy.ahead(&g.store)?;
    worker_of(w).mark(Worker::AHEAD);
    g.policy.unsettle(&mut g.store, w);
    Some(w)
}

/// What is wrong with the loan to `pool`, if anything.
pub(super) fn check(pool: &Pool, g: &Inner, locked: Locked) -> Result<(), &'static str> {
    let Some(mut knot) = lend::look_at(&pool.party, locked) else {
        return Ok(());
    };
    let sole = g.store.sole.get();
    if knot.lenders + u32::from(sole.is_some()) != g.store.lent.get() {
        return Err("it counts other waiters than lend to it");
    }
    if let Some((b, _)) = sole {
        if knot.lenders != 0 {
            return Err("the only one that lends to it is not alone");
        }
        let Some(waiter) = lend::look_at(Barrier::waiter(b).party(), locked) else {
            return Ok(());
        };
        knot = waiter;
    }
    let (mut found, mut wrong) = (false, None);
    g.policy.each_worker(&g.store, |w| {
        let worker = worker_of(w);
        let helper = |t: &&_| knot.goes_to(crate::thread::Thread::party(t)) == Some(true);
        let Some(thread) = worker.thread().map(|t| &**t).filter(helper) else {
            return;
        };
        found = true;
        let node: &WorkerNode = g.store.get(w);
        if node.phase() == Phase::Idle && thread.state() == State::Sleeping {
            wrong = Some("what is lent to it goes to a worker that has nothing to do");
        } else if !worker.is_marked(Worker::AHEAD) {
            wrong = Some("the worker that is lent to would not pass that on");
        }
    });
    match wrong {
        Some(wrong) => Err(wrong),
        None if !found && knot.goes_to(&pool.party).is_some() => {
            Err("what is lent to it goes to none of its workers")
        }
        None => Ok(()),
    }
}
