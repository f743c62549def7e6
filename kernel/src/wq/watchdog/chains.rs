//! Who waits for whom, behind the stalls that were found.
//!
//! The chain of a stall is looked up when no pool is locked, and told on the console. If the wait graph is
//! in use, either timer comes back for it soon; if a pool where it begins is locked for long, the next look tries
//! again.

use sync::{Rank, SpinLock};

use super::super::pool_at;
use super::super::waiting::{Locked, holder_of_slot, sleeper_in, worker_in};
use super::{MOST_STALLS, Stall, StallKind};
use crate::kernel;
use crate::soon::Patience;
use crate::waits::{self, Chain, Someone};

/// Chains that were told, and the numbers of their stalls.
#[derive(Debug)]
pub(super) struct Chains(SpinLock<[(u64, Chain); MOST_STALLS]>);

impl Chains {
    pub(super) const fn new() -> Self {
        let none = [const { (0, Chain::new()) }; MOST_STALLS];
        Self(SpinLock::new(Rank::Leaf, "chains of stalls", none))
    }
}

/// The chain of stall `number`, if it is remembered.
pub(super) fn of(number: u64) -> Option<Chain> {
    let chains = kernel().wq.watchdog.chains.0.lock();
    let (n, chain) = &chains[number as usize % MOST_STALLS];
    (*n == number && !chain.is_empty()).then(|| chain.clone())
}

/// Tells the chains of the last stalls that have none yet, but for those that begin where it is locked. False: not
/// all, as the wait graph is in use.
/// No lock is held.
pub(super) fn tell_all() -> bool {
    let dog = &kernel().wq.watchdog;
    for n in 0..MOST_STALLS {
        let Some(stall) = dog.last.lock().get(n).cloned() else {
            break;
        };
        let told = &dog.chains.0;
        let place = stall.number as usize % MOST_STALLS;
        if told.lock()[place].0 >= stall.number {
            continue;
        }
        let (mut chain, mut locked) = (Chain::new(), false);
        let start = |to: &mut Chain| {
            begin(&stall, to).unwrap_or_else(|Locked| {
                locked = true;
                None
            })
        };
        if !waits::try_tell(&mut chain, start) {
            return false;
        }
        if locked {
            continue;
        }
        let mut told = told.lock();
        if told[place].0 >= stall.number {
            // The other core has been here meanwhile.
            continue;
        }
        told[place] = (stall.number, chain.clone());
        drop(told);
        if !chain.is_empty() {
            crate::log!("  {}: {chain}", name(&stall));
        }
    }
    true
}

fn name(stall: &Stall) -> &'static str {
    match stall.kind {
        StallKind::Slots => "one of the slots",
        _ => "who waits for whom",
    }
}

/// Who stands at the beginning of the chain; under the wait graph's lock.
fn begin(stall: &Stall, to: &mut Chain) -> Result<Option<Someone>, Locked> {
    let (place, patience) = (workword::Place::new(stall.place as u16), Patience::new());
    match (stall.kind, stall.thread) {
        (StallKind::Item, Some(thread)) => {
            let who = worker_in(pool_at(place), thread, &patience)?;
            // It may have gone on meanwhile.
            Ok(who.filter(|w| w.executes(stall.item, &stall.queue)))
        }
        (StallKind::Pool, _) => sleeper_in(pool_at(place), &patience),
        (StallKind::Slots, _) => {
            let who = holder_of_slot(&stall.queue, stall.place, &patience)?;
            if who.is_some() {
                let queue = &stall.queue;
                // It has room.
                let _fits = core::fmt::Write::write_fmt(
                    to,
                    format_args!("items of queue {queue} wait for a slot that is held by "),
                );
            }
            Ok(who)
        }
        _ => Ok(None),
    }
}
