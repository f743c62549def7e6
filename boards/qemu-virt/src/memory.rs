//! Which memory is free.
//!
//! RAM minus the image (bss and symbol table included), minus what the device tree reserves and
//! the tree itself, minus the pool of translation tables, which is taken first.
//!
//! Context: early boot, no heap.

use arch_aarch64::image;
use arch_aarch64::mmu::{self, PAGE, Region};
use heapless::Vec;
use kernel::MemoryRange;

use crate::device_tree::Machine;

/// Most pieces free memory can be in.
const PIECES: usize = 32;

/// Where everything goes.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Memory for translation tables.
    pub(crate) tables: Region,
    /// The rest.
    pub(crate) free: Vec<MemoryRange, PIECES>,
}

impl Plan {
    /// `None` when there is no memory or it is out of reach.
    pub(crate) fn new(machine: &Machine) -> Option<Self> {
        if machine.ram.iter().any(|r| r.end > mmu::SPACE) {
            return None;
        }
        let mut free: Vec<Region, PIECES> = Vec::new();
        for r in &machine.ram {
            let start = r.start.next_multiple_of(PAGE);
            free.push(Region {
                start,
                end: r.end / PAGE * PAGE,
            })
            .ok()?;
        }
        let taken = Region {
            start: image::start(),
            end: image::start() + image::bytes(),
        };
        cut(&mut free, taken);
        for r in &machine.reserved {
            cut(&mut free, *r);
        }
        // The early map reaches the image's gigabyte only, so the pool must lie there.
        let bytes = mmu::table_bytes(&machine.ram, &machine.devices);
        let reach = (image::start() / GIB + 1) * GIB;
        let piece = free.iter().find(|r| r.start + bytes <= r.end.min(reach))?;
        let tables = Region {
            start: piece.start,
            end: piece.start + bytes,
        };
        cut(&mut free, tables);
        let free = free
            .iter()
            .map(|r| MemoryRange {
                start: r.start,
                end: r.end,
            })
            .collect();
        Some(Self { tables, free })
    }

    /// Bytes of free memory.
    pub(crate) fn free_bytes(&self) -> usize {
        self.free.iter().map(|r| r.end - r.start).sum()
    }
}

const GIB: usize = 1 << 30;

/// Removes `hole`, widened to pages, from the list.
fn cut(list: &mut Vec<Region, PIECES>, hole: Region) {
    let hole = Region {
        start: hole.start / PAGE * PAGE,
        end: hole.end.next_multiple_of(PAGE),
    };
    let mut rest = Vec::new();
    for r in list.iter() {
        let below = Region {
            start: r.start,
            end: r.end.min(hole.start),
        };
        let above = Region {
            start: r.start.max(hole.end),
            end: r.end,
        };
        for piece in [below, above] {
            if piece.start < piece.end {
                // A full list drops the piece: less memory, never wrong memory.
                let _ = rest.push(piece);
            }
        }
    }
    *list = rest;
}
