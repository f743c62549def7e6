//! The final translation tables: identity map, write xor execute, guard pages.
//!
//! All RAM is mapped with 4 KiB pages. Blocks of 2 MiB would use fewer TLB entries, but giving one
//! page of a block other rights means replacing the block by a table, and the architecture demands
//! break-before-make for that (Arm ARM D8.16.1): the whole 2 MiB, with other cores' data and
//! perhaps the running stack in it, would vanish for a moment. With pages a guard is one store and
//! one broadcast TLB invalidation, needs no table at run time, and cannot run out of tables: the
//! pool is reserved at boot, 1/512 of RAM.
//!
//! Attributes: text read-only executable, constants read-only, everything else writable and never
//! executable (`SCTLR_EL1.WXN` enforces it once more), devices nGnRnE.
//!
//! Context: [`init`] once on the boot core before other cores run. `rt_protect` anywhere; one page
//! descriptor is one atomic store, so no lock is needed.
#![expect(
    unsafe_code,
    reason = "translation tables and the registers that name them"
)]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use machine::Protection;

use crate::image;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Bytes one level-2 descriptor covers.
const BLOCK: usize = 2 << 20;
/// Bytes one level-1 descriptor covers.
const GIB: usize = 1 << 30;
/// Bytes the tables can name (39 bits).
pub const SPACE: usize = 512 * GIB;

/// Memory types: index 0 normal write-back, index 1 device nGnRnE.
pub(crate) const MAIR: u64 = 0x00ff;
/// 39-bit space through TTBR0, 4 KiB granule, cacheable shared walks, 40-bit output, TTBR1 off.
pub(crate) const TCR: u64 = 2 << 32 | 2 << 30 | 1 << 23 | 3 << 12 | 1 << 10 | 1 << 8 | 25;
/// Translation, data cache, instruction cache, stack alignment checks.
pub(crate) const SCTLR_ON: u64 = 1 | 1 << 2 | 1 << 12 | 1 << 3;
/// Writable pages are never executable.
pub(crate) const SCTLR_WXN: u64 = 1 << 19;
/// ASID of the final map; the early map has 0.
pub(crate) const FINAL_ASID: u64 = 1;

const VALID: u64 = 1;
const TABLE_OR_PAGE: u64 = 1 << 1;
const DEVICE: u64 = 1 << 2;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// Early normal memory: one block holds code and data, so it is writable and executable, and
/// `SCTLR_EL1.WXN` is set only with the final map.
pub(crate) const EARLY_NORMAL: u64 = VALID | INNER_SHAREABLE | ACCESSED | NOT_GLOBAL | UXN;
const EARLY_DEVICE: u64 = VALID | DEVICE | ACCESSED | NOT_GLOBAL | PXN | UXN;

/// One translation table.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Table([AtomicU64; 512]);

impl Table {
    const fn empty() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }

    /// Level 1 of the early map: devices in the first GiB, RAM in the second.
    pub(crate) const fn early() -> Self {
        let mut entries = [const { AtomicU64::new(0) }; 512];
        entries[0] = AtomicU64::new(EARLY_DEVICE);
        entries[1] = AtomicU64::new(EARLY_NORMAL | GIB as u64);
        Self(entries)
    }
}

/// Level 1 of the final map.
pub(crate) static ROOT: Table = Table::empty();

/// Unused rest of the table pool, as addresses.
static POOL_NEXT: AtomicUsize = AtomicUsize::new(0);
static POOL_END: AtomicUsize = AtomicUsize::new(0);
/// Edges of RAM, for address checks.
static RAM_LOW: AtomicUsize = AtomicUsize::new(0);
static RAM_HIGH: AtomicUsize = AtomicUsize::new(0);

/// A range of physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub start: usize,
    /// One past the last address.
    pub end: usize,
}

/// Bytes of table pool [`init`] needs for this memory and these devices, in whole pages.
#[must_use]
pub fn table_bytes(ram: &[Region], devices: &[Region]) -> usize {
    let span =
        |r: &Region, unit: usize| (r.end.next_multiple_of(unit) - r.start / unit * unit) / unit;
    let ram: usize = ram.iter().map(|r| span(r, BLOCK) + span(r, GIB)).sum();
    let devices: usize = devices.iter().map(|r| span(r, GIB)).sum();
    (ram + devices) * PAGE
}

/// Builds the final map and switches to it.
///
/// `pool` is RAM of at least [`table_bytes`] used by nothing else. Reads as normal memory: `ram`,
/// page aligned. Device regions are widened to 2 MiB.
pub fn init(ram: &[Region], devices: &[Region], pool: Region) {
    POOL_NEXT.store(pool.start, Ordering::Relaxed);
    POOL_END.store(pool.end, Ordering::Relaxed);
    for r in devices {
        let mut at = r.start / BLOCK * BLOCK;
        while at < r.end {
            let entry = &next_level(&ROOT, at / GIB).0[at / BLOCK % 512];
            let block = at as u64 | VALID | DEVICE | ACCESSED | PXN | UXN;
            entry.store(block, Ordering::Relaxed);
            at += BLOCK;
        }
    }
    let text = image::text_start()..image::text_end();
    let constants = image::rodata_start()..image::rodata_end();
    let symbols = image::symbols_start()..image::symbols_end();
    for r in ram {
        let mut at = r.start;
        while at < r.end {
            let table = next_level(next_level(&ROOT, at / GIB), at / BLOCK % 512);
            let stop = r.end.min((at / BLOCK + 1) * BLOCK);
            while at < stop {
                let rights = if text.contains(&at) {
                    READ_ONLY | UXN
                } else if constants.contains(&at) || symbols.contains(&at) {
                    READ_ONLY | PXN | UXN
                } else {
                    PXN | UXN
                };
                table.0[at / PAGE % 512].store(page(at) | rights, Ordering::Relaxed);
                at += PAGE;
            }
        }
    }
    RAM_LOW.store(
        ram.iter().map(|r| r.start).min().unwrap_or(0),
        Ordering::Relaxed,
    );
    RAM_HIGH.store(
        ram.iter().map(|r| r.end).max().unwrap_or(0),
        Ordering::Relaxed,
    );
    let root = (&raw const ROOT).addr() as u64 | FINAL_ASID << 48;
    // SAFETY: the new map holds the image at the same addresses with the rights its sections need;
    // the early map's entries are not global and have another ASID.
    unsafe {
        asm!("dsb ish", "msr ttbr0_el1, {}", "isb", "tlbi vmalle1", "dsb nsh", "isb",
            in(reg) root, options(nostack, preserves_flags));
    }
    forbid_writable_code();
    rt_protect(image::boot_guard(), PAGE, Protection::None);
}

/// Sets `SCTLR_EL1.WXN` on this core, which must use the final map.
pub(crate) fn forbid_writable_code() {
    // SAFETY: the final map has no page both writable and executable, so nothing changes for
    // correct code.
    unsafe {
        asm!("mrs {tmp}, sctlr_el1", "orr {tmp}, {tmp}, #{wxn}", "msr sctlr_el1, {tmp}", "isb",
            tmp = out(reg) _, wxn = const SCTLR_WXN, options(nostack, preserves_flags));
    }
}

/// A page descriptor of normal memory without rights.
const fn page(at: usize) -> u64 {
    at as u64 | VALID | TABLE_OR_PAGE | INNER_SHAREABLE | ACCESSED
}

/// The table entry `index` of `table` points at, made when there is none.
///
/// # Panics
///
/// When the pool is empty, which [`table_bytes`] rules out.
fn next_level(table: &'static Table, index: usize) -> &'static Table {
    let entry = &table.0[index];
    let mut value = entry.load(Ordering::Relaxed);
    if value & VALID == 0 {
        let at = POOL_NEXT.fetch_add(PAGE, Ordering::Relaxed);
        assert!(
            at < POOL_END.load(Ordering::Relaxed),
            "translation table pool is too small"
        );
        let fresh = core::ptr::with_exposed_provenance_mut::<Table>(at);
        // SAFETY: a page of the pool nobody else was given, mapped by the early map.
        unsafe { fresh.write(Table::empty()) };
        value = at as u64 | VALID | TABLE_OR_PAGE;
        entry.store(value, Ordering::Relaxed);
    }
    table_at(value)
}

fn table_at(value: u64) -> &'static Table {
    let p = core::ptr::with_exposed_provenance::<Table>((value & ADDRESS) as usize);
    // SAFETY: table descriptors name tables of the pool, which live as long as the system.
    unsafe { &*p }
}

/// The level-3 descriptor of `address`, when it lies in RAM.
fn leaf(address: usize) -> Option<&'static AtomicU64> {
    if address >= SPACE {
        return None;
    }
    let mut table = &ROOT;
    for index in [address / GIB, address / BLOCK % 512] {
        let value = table.0[index].load(Ordering::Relaxed);
        if value & (VALID | TABLE_OR_PAGE) != VALID | TABLE_OR_PAGE {
            return None;
        }
        table = table_at(value);
    }
    Some(&table.0[address / PAGE % 512])
}

/// Definition of the seam's `protect`.
///
/// # Panics
///
/// When the range is not whole pages of RAM.
#[unsafe(no_mangle)]
pub(crate) fn rt_protect(address: usize, bytes: usize, rights: Protection) {
    assert!(
        address.is_multiple_of(PAGE) && bytes.is_multiple_of(PAGE),
        "protect: not whole pages"
    );
    let pages = || (address..address + bytes).step_by(PAGE);
    for at in pages() {
        let Some(entry) = leaf(at) else {
            panic!("protect: {at:#x} is not RAM")
        };
        let value = match rights {
            // The address stays, so that a dump of the tables shows what was guarded.
            Protection::None => at as u64,
            Protection::ReadWrite => page(at) | PXN | UXN,
        };
        entry.store(value, Ordering::Relaxed);
    }
    // SAFETY: a barrier; the stores reach the table walkers before the invalidations below.
    unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) };
    for at in pages() {
        // SAFETY: invalidating a translation is always sound.
        unsafe { asm!("tlbi vaae1is, {}", in(reg) at >> 12, options(nostack, preserves_flags)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// True when the eight bytes at `address` can be read without a fault.
#[must_use]
pub fn is_readable(address: usize) -> bool {
    if !address.is_multiple_of(8) || !in_ram(address) {
        return false;
    }
    let par: u64;
    // SAFETY: an address translation query has no effect but on PAR_EL1.
    unsafe {
        asm!("at s1e1r, {}", "isb", "mrs {}, par_el1", in(reg) address, lateout(reg) par,
            options(nostack, preserves_flags));
    }
    par & 1 == 0
}

/// True when `address` lies between the edges of RAM.
#[must_use]
pub fn in_ram(address: usize) -> bool {
    (RAM_LOW.load(Ordering::Relaxed)..RAM_HIGH.load(Ordering::Relaxed)).contains(&address)
}
