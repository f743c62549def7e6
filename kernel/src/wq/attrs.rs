//! Attributes of unbound queues: where their items run, changed while they do (G1, G7, D9).
//!
//! A change is prepared and then committed. Preparing makes all that needs memory: a reference to
//! every pool the queue will use, with a worker in it, and shares; if any of it fails, the plan is
//! dropped and nothing has changed. Committing, under the queue's flush lock, cannot fail: it puts
//! the new shares where submissions look, and retires the old ones, which live on until their last
//! item is over. A share whose pool stays is kept.
//!
//! Changes take turns by a mutex, so a plan is never older than the shares it was made for. A queue
//! that is being built has no part in that: it takes what the system says when it is added to the
//! list, and plans again if that changed meanwhile.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use machine::{CpuMask, MAX_CPUS};
use workqueue::{Attrs, PoolKey, Pwq, Scope, Surroundings};

use super::flush::FlushState;
use super::pool::Pool;
use super::queue::{Class, Queue};
use super::registry::{self, Global};
use super::share::Share;
use super::shares::Shares;
use super::unbound;
use crate::cpu::{online, topology};
use crate::kernel;
use crate::mem::{self, AllocError};
use crate::thread::ThreadCx;

/// Why attributes were not applied; the old ones hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttrsError {
    /// No memory for pools, workers or shares.
    NoMemory,
    /// The mask names no core of the machine (G7).
    NoCore,
    /// The nice level is not from -20 to 19.
    Nice,
    /// The queue's threads are its own ([`super::Backend`]): they keep what it was made with.
    Dedicated,
    /// The queue was destroyed, by another handle: nothing will run on it any more (I10).
    Destroyed,
}

impl fmt::Display for AttrsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMemory => "no memory for the pools of a workqueue",
            Self::NoCore => "the mask names no core of the machine",
            Self::Nice => "nice levels go from -20 to 19",
            Self::Dedicated => "the threads of this workqueue are its own and stay as they are",
            Self::Destroyed => "the workqueue was destroyed",
        })
    }
}

impl core::error::Error for AttrsError {}

impl From<AllocError> for AttrsError {
    fn from(_: AllocError) -> Self {
        Self::NoMemory
    }
}

/// What a queue's change needs, ready to be committed.
struct Plan {
    attrs: Attrs,
    global: Global,
    /// The pools to be used, each once, with a reference.
    pools: Vec<(PoolKey, &'static Pool)>,
    /// Of each core, the index of its pool.
    route: [u8; MAX_CPUS],
    /// As many shares as may be missing.
    spare: Vec<&'static Share>,
}

impl Drop for Plan {
    fn drop(&mut self) {
        for (_, pool) in self.pools.drain(..) {
            unbound::put(pool, &mut pool.lock());
        }
        for share in self.spare.drain(..) {
            #[expect(unsafe_code, reason = "nobody knows the share")]
            // SAFETY: made for this plan and never committed.
            unsafe {
                Shares::free(share);
            }
        }
    }
}

fn surroundings(global: Global) -> Surroundings<'static> {
    Surroundings {
        topology: topology(),
        online: online(),
        allowed: global.allowed,
        default: global.default,
        shard: global.shard,
    }
}

/// Prepares queue `q` for `attrs` under what the system says in `global`.
fn prepare(q: &Queue, attrs: Attrs, global: Global) -> Result<Plan, AllocError> {
    let around = surroundings(global);
    let cores = kernel().cpus();
    let pods = around.pods(&attrs);
    let mut plan = Plan {
        attrs,
        global,
        pools: mem::try_vec_with_capacity(cores.len())?,
        route: [0; MAX_CPUS],
        spare: Vec::new(),
    };
    for (n, c) in cores.iter().enumerate() {
        let key = match q.attributes.class {
            Class::Ordered => around.ordered_key(&attrs),
            _ => around.key(&attrs, &pods, c.id()),
        };
        let known = plan.pools.iter().position(|(k, _)| *k == key);
        let at = known.unwrap_or(plan.pools.len());
        if at == plan.pools.len() {
            plan.pools.push((key, unbound::get(&key)?));
        }
        plan.route[n] = at as u8;
    }
    let missing = plan.pools.len().saturating_sub(usable(q, &plan));
    plan.spare = mem::try_vec_with_capacity(missing)?;
    for _ in 0..missing {
        let pool = plan.pools[0].1;
        let make = |books| Share::new(core::ptr::from_ref(q), pool, Pwq::nowhere(), books);
        plan.spare.push(Shares::make(make)?);
    }
    q.flush.lock().shares.reserve(missing)?;
    Ok(plan)
}

/// How many of the plan's pools have a share already, or can have one that is gone.
fn usable(q: &Queue, plan: &Plan) -> usize {
    let g = q.flush.lock();
    let fits = |share: &&'static Share| {
        let (pool, g) = share.lock();
        let planned = plan.pools.iter().any(|(_, p)| core::ptr::eq(*p, pool));
        planned || share.pwq(&g).is_gone()
    };
    match q.attributes.class {
        // The one share moves.
        Class::Ordered => g.shares.iter().count(),
        _ => g.shares.iter().filter(fits).count(),
    }
}

/// Makes the plan true, unless the queue was destroyed since it was made.
fn commit(q: &Queue, mut plan: Plan) -> Result<(), AttrsError> {
    let mut g = q.flush.lock();
    if g.is_destroyed() {
        // The plan gives back what it has when the lock is free.
        drop(g);
        return Err(AttrsError::Destroyed);
    }
    g.attrs = plan.attrs;
    g.effective = surroundings(plan.global).effective(plan.attrs.cpus);
    let mut chosen: [Option<&'static Share>; MAX_CPUS] = [None; MAX_CPUS];
    let mut pools = core::mem::take(&mut plan.pools);
    for (n, (key, pool)) in pools.drain(..).enumerate() {
        chosen[n] = Some(if q.attributes.class == Class::Ordered {
            place_ordered(q, &mut g, &mut plan, pool)
        } else {
            place(q, &mut g, &mut plan, &key, pool)
        });
    }
    for n in 0..kernel().cpus().len() {
        let share = chosen[usize::from(plan.route[n])];
        let own = q.attributes.class == Class::Ordered
            || (plan.global.allowed.contains(machine::CpuId::new(n)) && !plan.global.force_rr);
        q.routes.set(n, share, own);
    }
    for share in g.shares.iter() {
        let kept = |c: &Option<&'static Share>| c.is_some_and(|c| core::ptr::eq(c, share));
        if !chosen.iter().any(kept) {
            share.retire();
        }
    }
    q.apply_limit(&g);
    drop(g);
    Ok(())
}

/// The share of `q` in `pool`: the one it has there, or one that is gone, or a new one. Takes the
/// reference to the pool.
fn place(
    q: &Queue,
    g: &mut FlushState,
    plan: &mut Plan,
    key: &PoolKey,
    pool: &'static Pool,
) -> &'static Share {
    let stays = |share: &&'static Share| {
        let (own, mut g) = share.lock();
        core::ptr::eq(own, pool) && share.pwq_mut(&mut g).reopen()
    };
    if let Some(share) = g.shares.iter().find(stays) {
        unbound::put(pool, &mut pool.lock());
        return share;
    }
    let gone = |share: &&'static Share| {
        let (_, g) = share.lock();
        share.pwq(&g).is_gone()
    };
    let found = g.shares.iter().find(gone);
    let share = found.unwrap_or_else(|| {
        let share = plan.spare.pop().expect("as many as were counted missing");
        g.shares.push(share);
        share
    });
    let pwq = fresh(q, g, Pwq::of_node(g.colour()));
    share.attach(pool, unbound::node_of(key), pwq);
    share
}

/// The one share of an ordered queue: it moves to `pool` when it can (D9). Takes the reference.
fn place_ordered(
    q: &Queue,
    g: &mut FlushState,
    plan: &mut Plan,
    pool: &'static Pool,
) -> &'static Share {
    if let Some(share) = g.shares.iter().next() {
        share.move_to(pool);
        return share;
    }
    let share = plan.spare.pop().expect("as many as were counted missing");
    let pwq = fresh(q, g, Pwq::starting_at(q.limit().0, g.colour()));
    g.shares.push(share);
    share.attach(pool, 0, pwq);
    share
}

/// A new pwq of `q` as the queue is now.
fn fresh(q: &Queue, g: &FlushState, mut pwq: Pwq) -> Pwq {
    pwq.set_refuse(g.refuses());
    pwq.set_rescuer(q.attributes.mem_reclaim);
    pwq
}

/// Gives a new queue its first shares.
pub(super) fn settle_new(q: &Queue, global: Global) -> Result<(), AttrsError> {
    let attrs = q.flush.lock().attrs;
    commit(q, prepare(q, attrs, global)?)
}

/// The attributes make sense.
pub(super) fn check(attrs: &Attrs) -> Result<(), AttrsError> {
    if crate::thread::Nice::new(attrs.nice).is_none() {
        return Err(AttrsError::Nice);
    }
    if attrs.cpus.and(kernel().present()).is_empty() {
        return Err(AttrsError::NoCore);
    }
    Ok(())
}

/// Gives `q` these attributes: all of it or nothing (G1).
pub(super) fn apply(cx: &ThreadCx<'_>, q: &Queue, attrs: Attrs) -> Result<(), AttrsError> {
    modify(cx, q, |a| *a = attrs)
}

/// Changes attributes of `q`, nobody else doing so meanwhile: all of it or nothing (G1).
pub(super) fn modify(
    cx: &ThreadCx<'_>,
    q: &Queue,
    change: impl Fn(&mut Attrs),
) -> Result<(), AttrsError> {
    if !q.is_placed() {
        return Err(AttrsError::Dedicated);
    }
    let turn = kernel().wq.changes.lock_anyway(cx);
    let mut attrs = q.flush.lock().attrs;
    change(&mut attrs);
    check(&attrs)?;
    let plan = prepare(q, attrs, registry::global())?;
    let done = commit(q, plan);
    drop(turn);
    done
}

/// Changes what the system says, and with it every unbound queue: all of them or none (G7).
fn change(cx: &ThreadCx<'_>, f: impl Fn(&mut Global)) -> Result<(), AttrsError> {
    let turn = kernel().wq.changes.lock_anyway(cx);
    loop {
        let mut new = registry::global();
        f(&mut new);
        let (queues, version) = registry::unbound_queues()?;
        let mut plans = mem::try_vec_with_capacity::<(Arc<Queue>, Plan)>(queues.len())?;
        for q in queues {
            let attrs = q.flush.lock().attrs;
            let plan = prepare(&q, attrs, new)?;
            plans.push((q, plan));
        }
        // A queue that was built meanwhile has no plan.
        if registry::set_global(version, new) {
            for (q, plan) in plans {
                // One that was destroyed meanwhile needs no change.
                let _done = commit(&q, plan);
            }
            break;
        }
    }
    drop(turn);
    Ok(())
}

/// Lets unbound items run on these cores only, of all queues, now and from now on (G7). A queue that
/// asked for none of them gets all of them (G6).
///
/// # Errors
///
/// [`AttrsError::NoCore`] when the machine has none of them, [`AttrsError::NoMemory`]; nothing has
/// changed then.
pub fn set_unbound_mask(cx: &ThreadCx<'_>, mask: CpuMask) -> Result<(), AttrsError> {
    if mask.and(kernel().present()).is_empty() {
        return Err(AttrsError::NoCore);
    }
    change(cx, |global| global.allowed = mask)
}

/// The cores that unbound items may run on.
#[must_use]
pub fn unbound_mask() -> CpuMask {
    registry::global().allowed.and(kernel().present())
}

/// Sets what [`Scope::Default`] means, and moves every queue that asked for it (G2).
///
/// # Errors
///
/// [`AttrsError::NoMemory`]; nothing has changed then.
pub fn set_default_scope(cx: &ThreadCx<'_>, scope: Scope) -> Result<(), AttrsError> {
    change(cx, |global| global.default = scope.or(Scope::FIRST_DEFAULT))
}

/// What [`Scope::Default`] means.
#[must_use]
pub fn default_scope() -> Scope {
    registry::global().default
}

/// Looks anew where every unbound queue may run, after cores came or went (G6).
///
/// # Errors
///
/// [`AttrsError::NoMemory`]; the queues are where they were.
pub fn remap_unbound(cx: &ThreadCx<'_>) -> Result<(), AttrsError> {
    change(cx, |_| {})
}

/// About how many physical cores a shard of a cache has (G8).
#[must_use]
pub fn cache_shard_size() -> usize {
    registry::global().shard
}

/// Whether items that name no core go to all cores in turn.
#[must_use]
pub fn force_rr_cpu() -> bool {
    registry::global().force_rr
}

/// Sets about how many physical cores a shard of a cache has, at least one, and moves every queue of
/// scope [`Scope::CacheShard`] (G8, N2).
///
/// # Errors
///
/// [`AttrsError::NoMemory`]; nothing has changed then.
pub fn set_cache_shard_size(cx: &ThreadCx<'_>, cores: usize) -> Result<(), AttrsError> {
    change(cx, |global| global.shard = cores.max(1))
}

/// Sends items of unbound queues that name no core to all cores in turn, wherever they are queued: a
/// stress of code that takes locality for granted (C2, N2).
///
/// # Errors
///
/// [`AttrsError::NoMemory`]; nothing has changed then.
pub fn set_force_rr_cpu(cx: &ThreadCx<'_>, on: bool) -> Result<(), AttrsError> {
    change(cx, |global| global.force_rr = on)
}
