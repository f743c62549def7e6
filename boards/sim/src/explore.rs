//! Exhaustive search: every schedule of a small scenario with at most so many preemptions.
//!
//! A path through the tree of schedules is a list of options taken at the points with a choice. A
//! run follows a path to its end and then takes the first option everywhere (stay; else the next
//! core in turn); the next path differs from it at the last point where an untried option is left.
//! Leaving a core that could go on is a preemption and counts against the bound; who goes on when a
//! core waits is free (Musuvathi & Qadeer, PLDI 2007). Time passes evenly, there are no faults, and
//! spinning cores give way in turn, so the tree is finite when the scenario is.

use std::cell::{Cell, RefCell};

use crate::boot::{Machine, Run, Subject};
use crate::engine::{Plan, way};
use crate::options::{Options, Outcome};
use crate::scenario::Scenario;

/// One point with a choice, as a run met it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// Cores that could go on.
    set: u64,
    /// Another one than the default is a preemption.
    preempts: bool,
    /// Which option was taken; 0 is the default.
    taken: u8,
}

/// The path one run follows.
#[derive(Debug)]
pub(crate) struct Tree {
    path: Vec<u8>,
    begun: Cell<bool>,
    nodes: RefCell<Vec<Node>>,
}

impl Tree {
    pub(crate) const fn new(path: Vec<u8>) -> Self {
        Self {
            path,
            begun: Cell::new(false),
            nodes: RefCell::new(Vec::new()),
        }
    }

    /// The scenario begins; before that every choice is the default.
    pub(crate) fn begin(&self) {
        self.begun.set(true);
    }

    /// The core of `set` that goes on.
    pub(crate) fn choose(&self, set: u64, default: usize, preempts: bool) -> usize {
        if !self.begun.get() {
            return default;
        }
        let mut nodes = self.nodes.borrow_mut();
        let taken = self.path.get(nodes.len()).copied().unwrap_or(0);
        nodes.push(Node {
            set,
            preempts,
            taken,
        });
        (0..taken).fold(default, |core, _| way::after(set, core))
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        // Copied: the vector grew inside the world, whose memory ends with it.
        self.nodes.borrow().clone()
    }
}

/// What an exhaustive search found.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Different schedules that ran.
    pub schedules: u64,
    /// There are no others within the bound.
    pub complete: bool,
    /// Points with a choice, over all runs.
    pub choices: u64,
    /// The first failing run.
    pub failure: Option<Box<Outcome>>,
}

/// Runs every schedule of `scenario` with at most `preemptions` preemptions, but not more than
/// `most` schedules; ends at the first failure.
#[must_use]
pub fn explore(scenario: &Scenario, preemptions: u32, most: u64) -> Explored {
    search(scenario, preemptions, most)
}

/// As [`explore`], for a machine without a kernel.
#[must_use]
pub fn explore_machine(machine: &Machine, preemptions: u32, most: u64) -> Explored {
    search(machine, preemptions, most)
}

fn search(subject: &dyn Subject, bound: u32, most: u64) -> Explored {
    // Nothing but the choice of the next core is left open.
    let options = Options {
        max_ipi_ns: 0,
        ..Options::default()
    };
    let mut run = Run {
        even_ticks: true,
        keep_decisions: true,
        ..Run::new(0, options)
    };
    let mut found = Explored {
        schedules: 0,
        complete: false,
        choices: 0,
        failure: None,
    };
    let mut path = Some(Vec::new());
    while let Some(p) = path {
        if found.schedules == most {
            return found;
        }
        run.plan = Plan::Path(p);
        let outcome = subject.run_with(&run);
        found.schedules += 1;
        found.choices += outcome.choices;
        path = next_path(&outcome.nodes, bound);
        if outcome.result.is_err() {
            found.failure = Some(Box::new(outcome));
            return found;
        }
    }
    found.complete = true;
    found
}

/// The path after the one that met `nodes`; `None` when all have been tried.
fn next_path(nodes: &[Node], bound: u32) -> Option<Vec<u8>> {
    let costs = |n: &Node| u32::from(n.preempts && n.taken != 0);
    let mut spent: u32 = nodes.iter().map(costs).sum();
    for (i, node) in nodes.iter().enumerate().rev() {
        spent -= costs(node);
        let left = u32::from(node.taken) + 1 < node.set.count_ones();
        if left && spent + u32::from(node.preempts) <= bound {
            let mut path: Vec<u8> = nodes[..i].iter().map(|n| n.taken).collect();
            path.push(node.taken + 1);
            return Some(path);
        }
    }
    None
}
