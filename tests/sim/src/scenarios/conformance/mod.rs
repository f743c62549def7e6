//! What the rule table promises and no other scenario happens to look at, row by row.
//!
//! The other files of the catalogue strain the executive and leave the judging to the oracles. These
//! scenarios look from outside at one observable of `docs/rules.md` each, one file for a group of its
//! sections. Most take no faults: they measure.

use kernel::trace::{Event, Kind, last, read};
use machine::CpuId;
use sim::Scenario;

mod events;
mod objects;
mod softirqs;
mod waiting;
mod workers;

/// All of them, by section.
pub(super) const GROUPS: [&[Scenario]; 5] = [
    objects::ALL,
    workers::ALL,
    waiting::ALL,
    events::ALL,
    softirqs::ALL,
];

/// The newest events of core `id` of these kinds, the oldest first.
fn events(id: CpuId, kinds: &[Kind]) -> Vec<Event> {
    let mut reader = last(id, kernel::trace::EVENTS as u64);
    std::iter::from_fn(|| read(id, &mut reader))
        .filter(|e| kinds.contains(&e.kind))
        .collect()
}
