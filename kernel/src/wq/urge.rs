//! Priority inheritance of those who wait for an item (flush, synchronous cancel): to whom they lend.
//!
//! Such a waiter is a barrier behind the item. On the own list of a worker, which executes the item or
//! will execute it come what may, it lends to that worker. On any other list it lends to the *pool*,
//! and the pool to the worker on which it depends that the item is started: in a pool with concurrency
//! management the one that runs, else the one that was woken or creates another; while the item waits for
//! a slot, one that has a slot. The policy tells when a barrier changes lists
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
#[cold]
pub(super) fn claimed(store: &Store, b: Handle<Item>, w: Handle<WorkerNode>) {
    if let Some(helper) = party_of(w) {
        Barrier::lend(b, LendsTo::Worker, store, helper);
    }
}

/// Barrier `b` went from a worker's own list back to that of the pool of `p`.
#[cold]
pub(super) fn unclaimed(store: &Store, b: Handle<Item>, p: Handle<workqueue::Pwq>) {
    Barrier::lend(b, LendsTo::Pool, store, &share_of(p).pool().party);
}

/// Barrier `b` was put behind an item of `pool`.
pub(super) fn waits(pool: &Pool, g: &Inner, b: Handle<Item>) {
    if pool.kind == PoolKind::Bh {
        return;
    }
    if let Some(w) = g.policy.claimant(&g.store, b) {
        claimed(&g.store, b, w);
    } else {
        Barrier::note(b, LendsTo::Pool, &g.store);
        let waiter = Barrier::waiter(b).party();
        lend::lend_on(waiter, &pool.party, || ahead(g));
    }
}

/// Barrier `b` came to `pool` with a share that moves, unless it was there before.
pub(super) fn comes(pool: &Pool, g: &Inner, b: Handle<Item>) {
    if !Barrier::lends(b) {
        Barrier::lend(b, LendsTo::Pool, &g.store, &pool.party);
    }
}

/// What is lent to `pool` goes to the worker on which the start of its next item depends. Before that is woken:
/// so it comes to its core as who has the loan.
#[inline(always)]
pub(super) fn look_again(pool: &Pool, g: &Inner) {
    if g.store.lent.get() > 0 {
        aim(pool, g);
    }
}

#[cold]
fn aim(pool: &Pool, g: &Inner) {
    lend::aim(&pool.party, || ahead(g));
}

/// The worker that is next, which will look again.
fn ahead<'a>(g: &Inner) -> Option<&'a Party> {
    let w = g.policy.ahead(&g.store)?;
    worker_of(w).mark(Worker::AHEAD);
    party_of(w)
}

/// What is wrong with the loan to `pool`, if anything.
pub(super) fn check(pool: &Pool, g: &Inner, locked: Locked) -> Result<(), &'static str> {
    let Some(knot) = lend::look_at(&pool.party, locked) else {
        return Ok(());
    };
    if knot.lenders != g.store.lent.get() {
        return Err("it counts other waiters than lend to it");
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
