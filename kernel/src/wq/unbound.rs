//! The table of unbound pools: made when a queue's attributes ask for one, shared, given back (A1).
//!
//! A pool has one reference for each share in it. With the last its workers end, and the place in
//! the table is free for a pool with another key as soon as they have. The pools themselves are never
//! freed: idle items name the place at which they ran last, and whoever asks whether they still run
//! there takes that pool's lock, whatever it serves by then.
//!
//! Lock order: the table's lock, then one pool's at a time. References are counted under the pool's.

use alloc::boxed::Box;
use core::sync::atomic::Ordering;

use machine::CpuMask;
use spin::Once;
use sync::{Rank, SpinLock};
use workqueue::{Kind, Pool as Policy, PoolKey};
use workword::Place;

use super::manager;
use super::pool::{Inner, Pool};
use crate::cpu::topology;
use crate::kernel;
use crate::mem::{self, AllocError};

/// Places for unbound pools: so many, and so many for each core.
const PLACES: usize = 16;
const PLACES_PER_CORE: usize = 8;

/// How many of a machine with `cores` cores.
pub(super) const fn places(cores: usize) -> usize {
    PLACES + PLACES_PER_CORE * cores
}

/// The pools of no core.
#[derive(Debug)]
pub(super) struct Table {
    pools: Once<Box<[Pool]>>,
    /// Held by whoever looks for a key, or publishes one: no two pools have the same.
    keys: SpinLock<()>,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self {
            pools: Once::new(),
            keys: SpinLock::new(Rank::Workqueue, "unbound pools", ()),
        }
    }

    /// Makes room for the pools of a machine with `cores` cores.
    pub(super) fn install(&self, cores: usize, first: usize) {
        self.pools.call_once(|| {
            let n = places(cores);
            let mut pools = mem::try_vec_with_capacity(n).expect("memory for the pool table");
            for place in first..first + n {
                let pool = Pool::new(Kind::Unbound, false);
                pool.install(Place::new(place as u16), None);
                pools.push(pool);
            }
            pools.into_boxed_slice()
        });
    }

    /// All places, used or not.
    pub(super) fn pools(&'static self) -> &'static [Pool] {
        self.pools.get().map_or(&[], |pools| pools)
    }

    /// The pool at place `n` of this table.
    pub(super) fn at(&'static self, n: usize) -> &'static Pool {
        &self.pools()[n]
    }

    /// Another reference to the pool with `key`, if there is one.
    fn find(&'static self, key: &PoolKey) -> Option<&'static Pool> {
        self.pools().iter().find(|pool| {
            let mut g = pool.lock();
            let found = g.key == Some(*key);
            g.references += u32::from(found);
            found
        })
    }

    /// A pool that nobody uses, with one reference, and without a key to be found by.
    fn vacant(&'static self, key: &PoolKey) -> Option<&'static Pool> {
        let tuning = kernel().cpus()[0].wq.pools[0].lock().policy.tuning();
        self.pools().iter().find(|pool| {
            let mut g = pool.lock();
            let free = g.references == 0 && g.policy.is_vacant();
            if free {
                g.references = 1;
                g.policy = Policy::new(Kind::Unbound, tuning);
                pool.shape(key);
                pool.used.store(true, Ordering::Relaxed);
            }
            free
        })
    }
}

/// A reference to the pool with this key, which is made if there is none.
pub(super) fn get(key: &PoolKey) -> Result<&'static Pool, AllocError> {
    let table = &kernel().wq.unbound;
    let keys = table.keys.lock();
    if let Some(pool) = table.find(key) {
        return Ok(pool);
    }
    let pool = table.vacant(key);
    drop(keys);
    let pool = pool.ok_or(AllocError)?;
    if manager::create_first(pool).is_err() {
        put(pool, &mut pool.lock());
        return Err(AllocError);
    }
    // Without the lock another may have made the same pool.
    let keys = table.keys.lock();
    let other = table.find(key);
    if other.is_none() {
        pool.lock().key = Some(*key);
    }
    drop(keys);
    if other.is_some() {
        put(pool, &mut pool.lock());
    }
    Ok(other.unwrap_or(pool))
}

/// Gives a reference to `pool`, an unbound or dedicated one, back, under its lock `g`. With the last
/// one its workers end.
pub(super) fn put(pool: &'static Pool, g: &mut Inner) {
    debug_assert!(g.references > 0, "a pool is given back too often");
    g.references -= 1;
    if g.references > 0 {
        return;
    }
    g.key = None;
    pool.used.store(false, Ordering::Relaxed);
    g.policy.close();
    let Inner { policy, store, .. } = g;
    while let Some(w) = policy.dismiss(store) {
        pool.wake(Some(w));
    }
}

impl Pool {
    /// Takes the shape that `key` asks for; nobody uses it yet.
    fn shape(&self, key: &PoolKey) {
        self.nice.store(key.nice, Ordering::Relaxed);
        self.cpus.store(key.cpus.0, Ordering::Relaxed);
        // A pool whose pod is everywhere its workers may run needs no hint.
        let hint = if key.pod == key.cpus {
            CpuMask::NONE
        } else {
            key.pod
        };
        self.pod.store(hint.0, Ordering::Relaxed);
        self.repatriated.store(0, Ordering::Relaxed);
    }
}

/// Which of a queue's nodes limits its items in the pool with `key` (D3, G9).
pub(super) fn node_of(key: &PoolKey) -> usize {
    let t = topology();
    t.node_of(key.pod).unwrap_or(t.nodes())
}
