//! Audits: the executive recounts itself.
//!
//! Counters and augmented trees are kept step by step because recounting would be too slow; an audit
//! recounts them all and compares. It is for tests, for the simulator, and for somebody at a console
//! who wants to know whether the machine's state can be trusted.
//!
//! Context: any in which a pool's or a runqueue's lock may be taken. Locks are taken one after the
//! other, so each finding is about one structure at one moment. O(everything that is queued).

use core::fmt;

use crate::{kernel, schedule, wq};

/// A structure that contradicts itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What kind of structure.
    pub what: Structure,
    /// The core of a runqueue, the number of a pool.
    pub id: usize,
    /// The broken rule in words.
    pub wrong: &'static str,
}

/// What was found wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Structure {
    /// A core's runqueue.
    RunQueue,
    /// A worker pool.
    Pool,
    /// A queue's share of a pool.
    PoolWorkqueue,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, id, wrong } = self;
        match what {
            Structure::RunQueue => write!(f, "runqueue of core {id}: {wrong}"),
            Structure::Pool => write!(f, "pool {id}: {wrong}"),
            Structure::PoolWorkqueue => write!(f, "a queue's share of pool {id}: {wrong}"),
        }
    }
}

/// Recounts runqueues, pools and queues.
///
/// # Errors
///
/// The first finding.
pub fn check() -> Result<(), Finding> {
    for c in kernel().cpus() {
        schedule::check(c).map_err(|wrong| Finding {
            what: Structure::RunQueue,
            id: c.id().index(),
            wrong,
        })?;
    }
    wq::check()
}
