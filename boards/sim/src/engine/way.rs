//! Ways: a strategy at work in one world.
//!
//! Whatever the way, a core that keeps the turn for long while others could go on loses it (unless
//! it is chosen afresh each time): the kernel's own loops that wait by yielding to other threads
//! must come to an end under priorities too.

use core::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::decision::{Choice, Decision, Script};
use crate::explore::{Node, Tree};
use crate::rng::Rng;
use crate::strategy::Strategy;

/// Points in a row after which a core gives way.
pub(super) const PATIENCE: u64 = 20_000;
/// Change points lie within so many points of the scenario's start, the early ones more densely.
const HORIZON_BITS: u32 = 17;

/// Where the decisions of a world come from.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// The seed, by a strategy.
    Seed(Strategy),
    /// A list.
    List(Arc<[Decision]>),
    /// A path through the tree of all schedules.
    Path(Vec<u8>),
}

/// A strategy at work.
#[derive(Debug)]
pub(crate) enum Way {
    Walk {
        /// 0 = the chosen core is any; n = stays on its core n times out of n + 1.
        stickiness: u32,
    },
    Turns,
    Pct(Pct),
    Script(Script),
    Tree(Tree),
}

impl Way {
    pub(crate) fn new(plan: &Plan, cpus: usize, rng: &Rng) -> Self {
        let stickiness = [0, 1, 3, 7, 31, 127][rng.below(6) as usize];
        match plan {
            Plan::Seed(Strategy::RandomWalk | Strategy::Mixed) => Self::Walk { stickiness },
            Plan::Seed(Strategy::RoundRobin) => Self::Turns,
            Plan::Seed(Strategy::Pct { depth }) => Self::Pct(Pct::new(*depth, cpus, rng)),
            Plan::List(decisions) => Self::Script(Script::new(cpus, decisions)),
            Plan::Path(path) => Self::Tree(Tree::new(path.clone())),
        }
    }

    /// The points with a choice that a path through the tree met.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        match self {
            Self::Tree(tree) => tree.nodes(),
            _ => Vec::new(),
        }
    }

    /// The list that is followed.
    pub(crate) const fn script(&self) -> Option<&Script> {
        match self {
            Self::Script(script) => Some(script),
            _ => None,
        }
    }
}

/// One of `set` (not empty), each as likely.
#[inline]
pub(super) fn any(rng: &Rng, set: u64) -> usize {
    let mut rest = set;
    for _ in 0..rng.below(set.count_ones()) {
        rest &= rest - 1;
    }
    rest.trailing_zeros() as usize
}

/// The first of `set` (not empty) after `me`.
#[inline]
pub(crate) fn after(set: u64, me: usize) -> usize {
    let later = set & (u64::MAX << me) & !(1 << me);
    (if later == 0 { set } else { later }).trailing_zeros() as usize
}

/// Decides as a list says, or by default.
pub(super) fn scripted(
    script: &Script,
    (me, at): (usize, u64),
    what: Choice,
    set: u64,
    default: usize,
) -> usize {
    match script.take(me, at, what) {
        0 => default,
        n if n <= 64 && set & 1 << (n - 1) != 0 => n as usize - 1,
        _ => {
            script.miss();
            default
        }
    }
}

/// Priorities and change points of probabilistic concurrency testing.
#[derive(Debug)]
pub(crate) struct Pct {
    /// Cores, highest priority first.
    order: RefCell<Vec<u8>>,
    /// Points after the scenario's start at which the running core drops, the next one last.
    changes: RefCell<Vec<u64>>,
    /// Step of the next change.
    pub(super) next: Cell<u64>,
}

impl Pct {
    fn new(depth: u32, cpus: usize, rng: &Rng) -> Self {
        let mut order: Vec<u8> = (0..cpus as u8).collect();
        for i in (1..cpus).rev() {
            order.swap(i, rng.below(i as u32 + 1) as usize);
        }
        let point = |_| {
            let range = 1 << (rng.below(HORIZON_BITS) + 1);
            u64::from(rng.below(range))
        };
        let mut changes: Vec<u64> = (1..depth).map(point).collect();
        changes.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            order: RefCell::new(order),
            changes: RefCell::new(changes),
            next: Cell::new(u64::MAX),
        }
    }

    /// The scenario begins at this step.
    pub(super) fn begin(&self, step: u64) {
        self.changes
            .borrow_mut()
            .iter_mut()
            .for_each(|c| *c += step);
        self.next
            .set(self.changes.borrow_mut().pop().unwrap_or(u64::MAX));
    }

    /// A change point was reached on core `me`.
    pub(super) fn change(&self, me: usize) {
        self.drop_last(me);
        self.next
            .set(self.changes.borrow_mut().pop().unwrap_or(u64::MAX));
    }

    /// Gives core `me` the lowest priority.
    pub(super) fn drop_last(&self, me: usize) {
        let mut order = self.order.borrow_mut();
        order.retain(|&c| usize::from(c) != me);
        order.push(me as u8);
    }

    /// The core of highest priority in `set` (not empty).
    #[inline]
    pub(super) fn highest(&self, set: u64) -> usize {
        let order = self.order.borrow();
        let first = order.iter().find(|&&c| set & 1 << c != 0);
        first.map_or(set.trailing_zeros() as usize, |&c| usize::from(c))
    }
}
