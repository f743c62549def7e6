//! Priority inheritance of those who wait for an item (flush, synchronous cancel): to whom they lend.
//!
//! Such a waiter is a barrier behind the item. On the own list of a worker, which executes the item or
//! will execute it come what may, it lends to that worker. On any other list it lends to the *pool*,
//! and the pool to the worker on which it depends that the item is started: in a pool with concurrency
//! management the one that runs, else the one that was woken or creates another; while the item waits for
//! a slot, one that has a slot. The policy tells when a barrier changes lists
//! ([`workqueue::Store::claimed`]), and whoever is lent to by its pool looks again, each time it starts
//! an item, who is next ([`Worker::marks`]). So nothing of this is looked at where nobody waits.
//!
//! Items in softirq context are executed before any thread, so nobody lends to them.
//!
//! All under the pool's lock.

use links::Handle;
use workqueue::{Item, Kind as PoolKind, Worker as WorkerNode};

use super::barrier::Barrier;
use super::handles::{share_of, worker_of};
use super::pool::{Inner, Pool};
use super::worker::Worker;
use crate::lend::{self, Party};
use crate::thread::Thread;

fn party_of<'a>(w: Handle<WorkerNode>) -> Option<&'a Party> {
    worker_of(w).thread().map(|t| &t.party)
}

/// Barrier `b`, which is on no list of BH items, is on the own list of `w` now.
#[cold]
pub(super) fn claimed(b: Handle<Item>, w: Handle<WorkerNode>) {
    if let Some(helper) = party_of(w) {
        lend::lend(&Barrier::waiter(b).party, helper);
    }
}

/// Barrier `b` went from a worker's own list back to that of the pool of `p`.
#[cold]
pub(super) fn unclaimed(b: Handle<Item>, p: Handle<workqueue::Pwq>) {
    lend::lend(&Barrier::waiter(b).party, &share_of(p).pool().party);
}

/// Barrier `b` of the running thread `waiter` was put behind an item of `pool`.
pub(super) fn waits(pool: &Pool, g: &Inner, waiter: &Thread, b: Handle<Item>) {
    if pool.kind == PoolKind::Bh {
        return;
    }
    if let Some(w) = g.policy.claimant(&g.store, b) {
        claimed(b, w);
    } else {
        lend::lend(&waiter.party, &pool.party);
        look_again(pool, g);
    }
}

/// What is lent to `pool` goes to the worker on which the start of its next item depends.
#[cold]
pub(super) fn look_again(pool: &Pool, g: &Inner) {
    lend::aim(&pool.party, || {
        let w = g.policy.ahead(&g.store)?;
        worker_of(w).mark(Worker::AHEAD);
        party_of(w)
    });
}
