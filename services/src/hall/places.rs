//! The seats of a hall by index: taken, free, or not there.
//!
//! Under the hall's lock, so nothing here takes long and nothing allocates but [`Places::reserve`]: every
//! list has room for every index.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use kernel::mem::try_push;

use super::{Item, Waker};
use crate::server::Protocol;

/// A seat's item, and what tells it of news.
pub(super) type Both<P> = (Item<P>, Arc<Waker<P>>);

/// All seats by index. Every list has room for every index, so that giving back never allocates.
pub(super) struct Places<P: Protocol> {
    pub(super) all: Vec<Option<Both<P>>>,
    /// Seats without a connection, the one used last at the back.
    pub(super) free: VecDeque<usize>,
    /// Indices without a seat.
    pub(super) vacant: Vec<usize>,
    /// Fewest free seats since the last trim.
    pub(super) least_free: usize,
}

impl<P: Protocol> Places<P> {
    pub(super) const EMPTY: Self = Self {
        all: Vec::new(),
        free: VecDeque::new(),
        vacant: Vec::new(),
        least_free: 0,
    };

    /// Makes room for a seat more; its index.
    pub(super) fn reserve(&mut self) -> Option<usize> {
        if let Some(index) = self.vacant.pop() {
            return Some(index);
        }
        let index = self.all.len();
        let missing = (index + 1).saturating_sub(self.free.len());
        self.free.try_reserve(missing).ok()?;
        let missing = (index + 1).saturating_sub(self.vacant.len());
        self.vacant.try_reserve(missing).ok()?;
        try_push(&mut self.all, None).ok()?;
        Some(index)
    }

    /// Takes a seat out; its index is free for another one.
    pub(super) fn give_up(&mut self, index: usize) -> Option<Both<P>> {
        let seat = self.all.get_mut(index).and_then(Option::take);
        if seat.is_some() {
            self.vacant.push(index);
        }
        seat
    }
}
