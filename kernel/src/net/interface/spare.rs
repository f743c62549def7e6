//! Closed connections, kept for the next ones.
//!
//! A connection's buffers are most of its cost, so a closed one is used again. Keeping all of a crowd
//! would keep its memory; keeping a fixed number would do so too, or be too few for the next crowd. So the
//! list notes how few there were since the last trim: those nobody needed, and a trim frees them.
//!
//! A trim is a work item that comes once a second while something is kept, and not at all otherwise: an
//! idle machine has no tick. It lets the services give back what they keep for connections, too.
//!
//! The list lives under the stack's lock; what it gives up is freed without it.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use machine::Duration;

use super::Interface;
use crate::mem;
use crate::net::conn::Connection;
use crate::net::listener::Trimmed;
use crate::thread::ThreadCx;
use crate::wq::{self, DelayedWork, Run, Threaded};

/// Most closed connections kept, however busy the service is.
const KEEP: usize = 128;

/// How often memory kept for connections is looked through, while there is any.
const TIDY: Duration = Duration::from_secs(1);

/// Closed connections, oldest first: the oldest is the likeliest that its application has let go of.
pub(super) struct Spares {
    list: VecDeque<Arc<Connection>>,
    /// Fewest since the last trim.
    least: usize,
}

impl Spares {
    /// None; `None` when memory is out.
    pub(super) fn new() -> Option<Self> {
        let mut list = VecDeque::new();
        list.try_reserve_exact(KEEP).ok()?;
        Some(Self { list, least: 0 })
    }

    /// Keeps a closed connection, unless there are enough.
    pub(super) fn put(&mut self, c: Arc<Connection>) -> Result<(), Arc<Connection>> {
        if self.list.len() == KEEP {
            return Err(c);
        }
        self.list.push_back(c);
        Ok(())
    }

    /// Takes a connection that nobody knows any more.
    pub(super) fn take(&mut self) -> Option<Arc<Connection>> {
        let mut c = self.list.pop_front()?;
        self.least = self.least.min(self.list.len());
        if let Some(own) = Arc::get_mut(&mut c) {
            own.recycle();
            return Some(c);
        }
        // Its application has not let go yet.
        self.list.push_back(c);
        None
    }

    /// Takes any.
    pub(super) fn pop(&mut self) -> Option<Arc<Connection>> {
        self.list.pop_front()
    }

    /// How many nobody needed since the last call.
    pub(super) fn unused(&mut self) -> usize {
        core::mem::replace(&mut self.least, self.list.len()).min(self.list.len())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }
}

/// The work item that trims.
pub(super) const fn tidy_item() -> DelayedWork<(), Threaded> {
    DelayedWork::<(), Threaded>::new((), tidy)
}

fn tidy(_cx: &ThreadCx<'_>, _run: &Run<'_, ()>) {
    if let Some(interface) = crate::net::interface() {
        interface.tidy();
    }
}

impl Interface {
    /// Has what is kept looked through a while from now.
    pub(super) fn tidy_later(&'static self) {
        // Pending already is fine: then it comes sooner.
        let _ = wq::unbound().queue_delayed(&self.tidy, TIDY);
    }

    /// Gives back what a second's connections did not need; comes again while something is kept.
    fn tidy(&'static self) {
        let mut shared = self.stack.lock();
        let unused = shared.spares.unused();
        drop(shared);
        self.free_spares(unused);
        let mut all = Trimmed {
            freed: unused,
            kept: self.stack.lock().spares.len(),
        };
        all += self.ports.trim();
        if all.freed > 0 {
            mem::trim();
        }
        if all.kept > 0 {
            self.tidy_later();
        }
    }

    /// Frees the connections kept for reuse.
    pub(in crate::net) fn trim(&self) {
        self.free_spares(usize::MAX);
    }

    fn free_spares(&self, most: usize) {
        for _ in 0..most {
            // One at a time: freeing under the stack's lock would keep packets waiting.
            let Some(c) = self.stack.lock().spares.pop() else {
                return;
            };
            drop(c);
        }
    }
}
