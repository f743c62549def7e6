//! Size classes: which allocations the per-core magazines serve, and as blocks of what size.
//!
//! Powers of two and one and a half times them, from 16 bytes to 8 KiB, so that a block is at most
//! a third larger than asked for (or 16 bytes). A table turns a size into its class with one load;
//! computing it takes more instructions than the rest of an allocation's fast path.

use core::alloc::Layout;

use super::PAGE;

/// Block sizes, smallest first.
pub(super) const SIZES: [u32; 18] = [
    16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192,
];
/// Number of classes.
pub(super) const CLASSES: usize = SIZES.len();
/// Largest size the magazines serve.
pub const MAX_CLASS_BYTES: usize = SIZES[CLASSES - 1] as usize;
/// Largest alignment the magazines serve: a cache line.
pub const MAX_CLASS_ALIGN: usize = 64;
/// From this size on an allocation is a run of pages.
const PAGES_FROM: usize = 32 << 10;
/// Sizes and block addresses are multiples of this.
const GRAIN: usize = 16;

/// Class of a size in grains, rounded up.
static CLASS_OF: [u8; MAX_CLASS_BYTES / GRAIN + 1] = {
    let mut table = [0; MAX_CLASS_BYTES / GRAIN + 1];
    let (mut grains, mut class) = (0, 0);
    while grains < table.len() {
        if grains * GRAIN > SIZES[class] as usize {
            class += 1;
        }
        table[grains] = class as u8;
        grains += 1;
    }
    table
};

/// Where an allocation comes from; a function of its layout alone, so that freeing finds the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// A magazine of this class.
    Class(u8),
    /// The shared heap, with this layout.
    Heap(Layout),
    /// This many pages.
    Pages(usize),
}

/// Says where `layout` is served.
#[inline(always)]
pub(super) fn source(layout: Layout) -> Source {
    if layout.size() <= MAX_CLASS_BYTES && layout.align() <= GRAIN {
        return Source::Class(CLASS_OF[layout.size().div_ceil(GRAIN)]);
    }
    unusual(layout)
}

/// Large or strongly aligned.
fn unusual(layout: Layout) -> Source {
    let (size, align) = (layout.size(), layout.align());
    if size <= MAX_CLASS_BYTES && align <= MAX_CLASS_ALIGN {
        // Classes that are multiples of a cache line are aligned to one: round up to such a class.
        let lines = size.next_multiple_of(MAX_CLASS_ALIGN).max(MAX_CLASS_ALIGN);
        let class = CLASS_OF[lines / GRAIN];
        let odd = !(SIZES[class as usize] as usize).is_multiple_of(MAX_CLASS_ALIGN);
        return Source::Class(class + u8::from(odd));
    }
    if size < PAGES_FROM && align <= PAGE {
        let align = align.max(GRAIN);
        if let Ok(rounded) = Layout::from_size_align(size.next_multiple_of(GRAIN), align) {
            return Source::Heap(rounded);
        }
    }
    Source::Pages(size.div_ceil(PAGE))
}

/// Layout of a class's blocks.
pub(super) fn block_layout(class: u8) -> Layout {
    let size = SIZES[class as usize] as usize;
    let align = if size.is_multiple_of(MAX_CLASS_ALIGN) {
        MAX_CLASS_ALIGN
    } else {
        GRAIN
    };
    Layout::from_size_align(size, align).unwrap_or(Layout::new::<[u64; 2]>())
}

/// Blocks a magazine of this class exchanges with the depot at a time; it holds up to twice as
/// many.
#[inline(always)]
pub(super) const fn batch(class: u8) -> u32 {
    BATCH[class as usize] as u32
}

/// About 8 KiB at a time, but between 2 and 32 blocks.
static BATCH: [u8; CLASSES] = {
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let n = 8192 / SIZES[class];
        table[class] = if n < 2 {
            2
        } else if n > 32 {
            32
        } else {
            n as u8
        };
        class += 1;
    }
    table
};
