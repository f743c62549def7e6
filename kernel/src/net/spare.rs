//! Closed connections, kept for the next ones.
//!
//! A connection's buffers are most of its cost, so a closed one is used again. Keeping all of a crowd
//! would keep its memory; keeping a fixed number would do so too, or be too few for the next crowd. So the
//! list notes how few there were since the last trim: those nobody needed, and a trim frees them.
//!
//! Lives under the stack's lock; nothing here frees, callers do after unlocking.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use super::conn::Connection;

/// Most closed connections kept, however busy the service is.
const KEEP: usize = 128;

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
