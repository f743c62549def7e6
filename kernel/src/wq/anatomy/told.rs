//! What the books say, told of each queue.
#![expect(unsafe_code, reason = "the tables of a sum are given back")]

use workqueue::anatomy::{BOUNDS, Spread, Summary, TABLES, bound};

use super::{Books, Parts, ns};
use crate::mem::AllocError;
use crate::wq::queue::Queue;
use crate::wq::{QueueName, registry};

/// Where the time of a queue's items went, since it was made. Times are in nanoseconds; percentiles
/// are at most a quarter too high and never too low.
#[derive(Clone, Debug)]
pub struct QueueLatency {
    /// The queue's name.
    pub name: QueueName,
    /// Items that are over and were followed from their queueing on ([`super::anatomy_gap`]): all figures are theirs.
    pub items: u64,
    /// From the queueing until there was a max_active slot.
    pub inactive: Summary,
    /// From there to the start: waiting for a worker.
    pub pool: Summary,
    /// On a core, interrupts included.
    pub run: Summary,
    /// The handler's thread slept.
    pub blocked: Summary,
    /// The handler's thread could have run and did not.
    pub preempted: Summary,
    /// From the queueing to the end. Each item's parts add up to it exactly; percentiles do not.
    pub total: Summary,
    /// The same six in full, in this order.
    pub spreads: [Spread; TABLES],
    /// The item that took longest in all.
    pub slowest: Option<SlowestItem>,
}

/// The bounds of [`Spread::up_to`], in nanoseconds: about a microsecond, and each four times the one before. They are those at
/// which what is told is exact: powers of two of the counter's ticks.
#[must_use]
pub fn latency_bounds() -> [u64; BOUNDS] {
    // The longest time that is told as so many ticks.
    bound(first_bound()).map(|ticks| ns(ticks + 1) - 1)
}

/// Logarithm of the ticks of about a microsecond.
fn first_bound() -> u32 {
    let fits = |at: &u32| ns(1 << at) >= 1_000;
    (0..10).find(fits).unwrap_or(10)
}

/// The item of a queue that took longest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlowestItem {
    /// Address of the handler.
    pub function: usize,
    /// Type of the item's value.
    pub value: &'static str,
    /// Where its time went, in nanoseconds.
    pub parts: Parts,
}

/// Describes the latency of every queue's items through `f`, which is called without locks.
///
/// # Errors
///
/// Without memory for the sums.
pub fn for_each_latency(mut f: impl FnMut(QueueLatency)) -> Result<(), AllocError> {
    let queues = registry::all()?;
    queues.iter().try_for_each(|q| latency(q).map(&mut f))
}

fn latency(q: &Queue) -> Result<QueueLatency, AllocError> {
    let mut sum = Books::make(1)?.next().ok_or(AllocError)?;
    let state = q.flush.lock();
    for share in state.shares.iter() {
        let (_, mut g) = share.lock();
        sum.add(share.books(&mut g));
    }
    drop(state);
    let of = |n| sum.book.summary(sum.tables, n).map(ns);
    let mut spreads = [Spread::default(); TABLES];
    for (n, spread) in spreads.iter_mut().enumerate() {
        *spread = sum.book.spread(sum.tables, n, first_bound());
        spread.sum = ns(spread.sum);
    }
    let told = QueueLatency {
        name: q.attributes.name.clone(),
        items: sum.book.items(),
        inactive: of(0),
        pool: of(1),
        run: of(2),
        blocked: of(3),
        preempted: of(4),
        total: of(5),
        spreads,
        slowest: sum.book.slowest().map(|(name, parts)| SlowestItem {
            function: name.function,
            value: name.value,
            parts: parts.map(ns),
        }),
    };
    // SAFETY: the only one that was made, and the end of it.
    unsafe { sum.free(1) };
    Ok(told)
}
