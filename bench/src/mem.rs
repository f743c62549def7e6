//! Group `mem`: the heap.

use alloc::boxed::Box;
use core::hint::black_box;

use crate::kit::{Kit, count};

/// Runs all rows of the group.
pub(crate) fn run(kit: &mut Kit) {
    kit.samples("mem", "alloc-free-64", || {
        let begin = count();
        drop(black_box(Box::<[u64; 8]>::new_uninit()));
        count().wrapping_sub(begin)
    });
}
