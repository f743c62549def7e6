//! What an audit looks at: pools, the queues' shares of them, the slots of nodes (7.3-7.8).

use links::Arena;

use super::each_pool;
use super::pool::Pool;
use super::queue::Queue;
use super::shares::Shares;
use super::urge;
use crate::audit::{Finding, Locked, Structure};
use crate::kernel;

/// What is wrong with the pools and the queues' shares of them, if anything.
pub(crate) fn check(locked: Locked) -> Result<(), Finding> {
    let mut found = Ok(());
    each_pool(|p| {
        let g = p.lock_or_pass(locked);
        let checked = g.map_or(Ok(()), |g| {
            g.policy.check(&g.store)?;
            urge::check(p, &g, locked)
        });
        if let (Ok(()), Err(wrong)) = (found, checked) {
            found = Err(finding(Structure::Pool, p, wrong));
        }
    });
    found?;
    let Some(listed) = locked.take(kernel().wq.registry.list()) else {
        return Ok(());
    };
    for q in listed.queues() {
        check_queue(q, locked)?;
    }
    Ok(())
}

/// What is wrong with the shares of `q`; the list is locked, which comes before a queue's own lock.
fn check_queue(q: &Queue, locked: Locked) -> Result<(), Finding> {
    let state = match locked {
        Locked::Wait => q.flush.lock_same_rank(),
        Locked::Pass => match q.flush.try_lock() {
            Some(state) => state,
            None => return Ok(()),
        },
    };
    for share in state.shares.iter() {
        let pool = share.pool();
        let Some(g) = pool.lock_or_pass(locked) else {
            continue;
        };
        // It may have moved before it was locked.
        if core::ptr::eq(pool, share.pool()) {
            let Some(in_line) = share.in_line(locked) else {
                continue;
            };
            let checked = share.pwq(&g).check(&g.store, in_line);
            checked.map_err(|wrong| finding(Structure::PoolWorkqueue, pool, wrong))?;
        }
    }
    match locked {
        // Pools come before nodes, and one after the other: their sum would be of no moment.
        Locked::Wait => Ok(()),
        Locked::Pass => (0..q.nodes.len()).try_for_each(|n| check_node(q, &state.shares, n)),
    }
}

/// What is wrong with the slots of `q` in node `n`: exact if nothing else runs meanwhile. Nobody
/// hands out a raised limit, which takes the queue's lock.
fn check_node(q: &Queue, shares: &Shares, n: usize) -> Result<(), Finding> {
    let Some(slots) = q.nodes[n].try_lock() else {
        return Ok(());
    };
    let (mut active, mut granted) = (0, 0);
    for share in shares.iter().filter(|share| share.node() == n) {
        let Some(g) = share.pool().try_lock() else {
            return Ok(());
        };
        active += share.pwq(&g).active();
        granted += u32::from(slots.turns.get(share.turn()).is_granted());
    }
    let checked = slots.policy.check(active, granted);
    checked.map_err(|wrong| Finding {
        what: Structure::Slots,
        id: n,
        wrong,
    })
}

fn finding(what: Structure, pool: &Pool, wrong: &'static str) -> Finding {
    let id = pool.place().index();
    Finding { what, id, wrong }
}
