//! The catalogue: every scenario the sweep, the soak and the tool know by name.
//!
//! One file per subsystem, each with a list `ALL` of its scenarios, each of which says in one
//! sentence what must hold and names the rows of the rule table that it strains.

use sim::Scenario;

mod anatomy;
mod attributes;
mod backends;
mod bh;
mod changes;
mod conformance;
mod control;
mod deadlocks;
mod edges;
mod fairness;
mod frozen;
mod groups;
mod handing_on;
mod heap;
mod hotplug;
mod inheritance;
mod ipi;
mod items;
mod leaving;
mod limits;
mod lockups;
mod many_cores;
mod mixture;
mod net;
mod no_threads;
mod node_limits;
mod one_unit;
mod panics;
mod pools;
mod preempted;
mod queues;
mod rescue;
mod scopes;
mod sleeping;
mod softirq;
mod threads;
mod timers;
mod watching;
mod work_timers;

pub use mixture::MIXTURE;

/// The subsystems' lists.
const GROUPS: &[&[Scenario]] = &[
    mixture::ALL,
    items::ALL,
    work_timers::ALL,
    queues::ALL,
    deadlocks::ALL,
    limits::ALL,
    changes::ALL,
    attributes::ALL,
    control::ALL,
    backends::ALL,
    edges::ALL,
    node_limits::ALL,
    pools::ALL,
    panics::ALL,
    preempted::ALL,
    rescue::ALL,
    scopes::ALL,
    groups::ALL,
    lockups::ALL,
    watching::ALL,
    frozen::ALL,
    bh::ALL,
    softirq::ALL,
    timers::ALL,
    ipi::ALL,
    sleeping::ALL,
    threads::ALL,
    fairness::ALL,
    handing_on::ALL,
    inheritance::ALL,
    anatomy::ALL,
    one_unit::ALL,
    heap::ALL,
    hotplug::ALL,
    leaving::ALL,
    many_cores::ALL,
    no_threads::ALL,
    net::ALL,
    conformance::GROUPS[0],
    conformance::GROUPS[1],
    conformance::GROUPS[2],
    conformance::GROUPS[3],
    conformance::GROUPS[4],
];

const COUNT: usize = {
    let (mut n, mut g) = (0, 0);
    while g < GROUPS.len() {
        n += GROUPS[g].len();
        g += 1;
    }
    n
};

static FLAT: [Scenario; COUNT] = {
    let mut all = [MIXTURE; COUNT];
    let (mut n, mut g) = (0, 0);
    while g < GROUPS.len() {
        let mut i = 0;
        while i < GROUPS[g].len() {
            all[n] = GROUPS[g][i];
            (n, i) = (n + 1, i + 1);
        }
        g += 1;
    }
    all
};

/// Every scenario, by subsystem.
pub const ALL: &[Scenario] = &FLAT;

/// The scenario of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|s| s.name() == name)
}
