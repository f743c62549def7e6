//! The shares of one queue: in one piece, or one by one.
#![expect(unsafe_code, reason = "shares are leaked, and freed with their queue")]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::anatomy::Books;
use super::share::Share;
use crate::mem::{self, AllocError};

/// All shares a queue ever had; they are freed with it.
pub(super) struct Shares {
    /// Those a per-CPU or BH queue was made with, in one piece.
    block: &'static [Share],
    /// Those an unbound queue was given one by one.
    single: Vec<&'static Share>,
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Shares {
    pub(super) const fn new() -> Self {
        Self {
            block: &[],
            single: Vec::new(),
        }
    }

    /// The shares of a queue that has one on each core; `make` is given the core's number.
    pub(super) fn fixed(
        cores: usize,
        make: impl FnMut((usize, Books)) -> Share,
    ) -> Result<Self, AllocError> {
        let mut block = mem::try_vec_with_capacity(cores)?;
        block.extend((0..cores).zip(Books::make(cores)?).map(make));
        Ok(Self {
            block: Vec::leak(block),
            single: Vec::new(),
        })
    }

    /// Those in one piece.
    pub(super) const fn block(&self) -> &'static [Share] {
        self.block
    }

    /// Memory for `n` more.
    pub(super) fn reserve(&mut self, n: usize) -> Result<(), AllocError> {
        if self.single.capacity() - self.single.len() >= n {
            return Ok(());
        }
        let mut more = mem::try_vec_with_capacity(self.single.len() + n)?;
        more.append(&mut self.single);
        self.single = more;
        Ok(())
    }

    /// Memory for one more, which is not among them yet.
    pub(super) fn make(make: impl FnOnce(Books) -> Share) -> Result<&'static Share, AllocError> {
        // A box in two steps: what has books is not to be dropped.
        let mut room = mem::try_vec_with_capacity(1)?;
        room.extend(Books::make(1)?.next().map(make));
        Vec::leak(room).first().ok_or(AllocError)
    }

    /// Adds one; there is memory for it.
    pub(super) fn push(&mut self, share: &'static Share) {
        debug_assert!(
            self.single.len() < self.single.capacity(),
            "no room was reserved"
        );
        self.single.push(share);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'static Share> + '_ {
        self.block.iter().chain(self.single.iter().copied())
    }

    /// Frees one that nobody knows.
    ///
    /// # Safety
    ///
    /// It came from [`Self::make`], and nobody uses it any more.
    pub(super) unsafe fn free(share: &'static Share) {
        let raw = core::ptr::from_ref(share).cast_mut();
        // SAFETY: promised by the caller.
        let mut share = unsafe { Box::from_raw(raw) };
        // SAFETY: books made for this share alone.
        unsafe { share.books.get_mut().free(1) };
    }
}

impl Drop for Shares {
    fn drop(&mut self) {
        for share in self.single.drain(..) {
            // SAFETY: made by `make`; the queue they belong to ends, and nothing is in flight.
            unsafe { Self::free(share) };
        }
        if !self.block.is_empty() {
            let raw = core::ptr::from_ref(self.block).cast_mut();
            // SAFETY: leaked by `fixed`, whose vector was as long as its room; as above.
            let mut block = unsafe { Box::from_raw(raw) };
            let n = block.len();
            // SAFETY: the first of the books that `fixed` made for all of them.
            unsafe { block[0].books.get_mut().free(n) };
        }
    }
}
