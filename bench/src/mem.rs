//! Group `mem`: the heap, and copies as of a full TCP segment.

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
    let source = Box::new(Aligned([1; FRAME + 16]));
    let mut to = Box::new(Aligned([0; FRAME + 16]));
    for (name, from) in [("copy-1460", 8), ("copy-1460-off-2", 2)] {
        kit.samples("mem", name, || {
            let (from, n) = black_box((from, SEGMENT));
            let begin = count();
            to.0[8..8 + n].copy_from_slice(&source.0[from..from + n]);
            let end = count();
            black_box(&to);
            end.wrapping_sub(begin)
        });
    }
    kit.samples("mem", "fill-1514", || {
        let n = black_box(FRAME);
        let begin = count();
        to.0[..n].fill(0);
        let end = count();
        black_box(&to);
        end.wrapping_sub(begin)
    });
}

/// Bytes of a full segment, and of the frame around it.
const SEGMENT: usize = 1_460;
const FRAME: usize = 1_514;

#[repr(align(16))]
struct Aligned([u8; FRAME + 16]);
