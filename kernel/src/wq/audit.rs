//! One pool looked at by itself, where its lock has just been released.
//!
//! Any context that may take a pool's lock; it is only tried.

use workword::Place;

use super::pool_at;
use crate::audit::{Finding, Sound, Structure};
use crate::kernel;

/// Calls `f` with the address of each pool's lock and the pool's number, of pools not in use as well.
pub(crate) fn for_each_pool_lock(mut f: impl FnMut(usize, usize)) {
    let of_cores = kernel().cpus().iter().flat_map(|c| &c.wq.pools);
    for p in of_cores.chain(kernel().wq.unbound.pools()) {
        f(p.lock_address(), p.place().index());
    }
}

/// What is wrong with pool `id`, unless it is locked; otherwise what it counts. O(items and workers).
pub(crate) fn check_pool(id: usize) -> Result<Sound, Finding> {
    let pool = pool_at(Place::new(id as u16));
    let Some(g) = pool.try_lock() else {
        return Ok(Sound::default());
    };
    match g.policy.check(&g.store) {
        Ok(()) => Ok(Sound {
            elements: g.policy.pending() + g.policy.nr_workers(),
            running: Some(g.policy.nr_running()),
        }),
        Err(wrong) => Err(Finding {
            what: Structure::Pool,
            id,
            wrong,
        }),
    }
}
