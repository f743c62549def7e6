//! Who waits for whom, behind the stalls that were found.
//!
//! The chain of a stall is looked up when no pool is locked, and told on the console. If the wait graph is
//! in use, the next look of either timer does it, soon.

use sync::{Rank, SpinLock};

use super::super::pool_at;
use super::super::waiting::{holder_of_slot, worker_in};
use super::{MOST_STALLS, Stall, StallKind};
use crate::kernel;
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

/// Tells the chains of the last stalls that have none yet. False: not all, as the wait graph is in use.
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
        let mut chain = Chain::new();
        if !waits::try_tell(&mut chain, |to| begin(&stall, to)) {
            return false;
        }
        if !chain.is_empty() {
            crate::log!("  {}: {chain}", name(&stall));
        }
        let mut told = told.lock();
        if told[place].0 < stall.number {
            told[place] = (stall.number, chain);
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
fn begin(stall: &Stall, to: &mut Chain) -> Option<Someone> {
    let place = workword::Place::new(stall.place as u16);
    match (stall.kind, stall.thread) {
        (StallKind::Item, Some(thread)) => worker_in(pool_at(place), thread),
        (StallKind::Slots, _) => {
            let who = holder_of_slot(&stall.queue, stall.place)?;
            // It has room.
            let _fits = core::fmt::Write::write_fmt(
                to,
                format_args!(
                    "items of queue {} wait for a slot that is held by ",
                    stall.queue
                ),
            );
            Some(who)
        }
        _ => None,
    }
}
