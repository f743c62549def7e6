//! The linked image: section edges and the symbol table the host tool writes into it.
//!
//! The linker script defines the edges. The table has its room between data and bss, and names the
//! functions of a backtrace. The tool writes its length to `__symbols_bytes` too, which is 0 in the
//! plain ELF: that works, its backtraces are numbers, and nobody reads its room, in which anything
//! may lie, even the table of an image that ran there before.
//! Format: magic `RTSYMS01`, `u32` count, `u32` bytes of names, then `count` records of `u64`
//! address, `u32` name offset, `u32` name length, ascending by address, then the names (UTF-8).
#![expect(unsafe_code, reason = "linker symbols and the table of names")]

use core::sync::atomic::{AtomicUsize, Ordering};

unsafe extern "C" {
    static __image_start: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __symbols_bytes: u64;
    static __symbols_start: u8;
    static __symbols_end: u8;
    static __data_start: u8;
    static __bss_end: u8;
    static __image_end: u8;
    static __early_uart: u8;
    static __boot_guard: u8;
    static __boot_stack_start: u8;
    static __boot_stack_end: u8;
}

const MAGIC: u64 = u64::from_le_bytes(*b"RTSYMS01");
const HEADER: usize = 16;

/// Bytes of the table, 0 without one. Written once by [`find_symbols`].
static SYMBOL_BYTES: AtomicUsize = AtomicUsize::new(0);

macro_rules! edges {
    ($($(#[$doc:meta])* $name:ident = $symbol:ident;)*) => {
        $($(#[$doc])* #[must_use] pub fn $name() -> usize { (&raw const $symbol).addr() })*
    };
}

edges! {
    /// First byte of the image (the boot header).
    start = __image_start;
    /// First byte of executable code.
    text_start = __text_start;
    /// One past the executable pages.
    text_end = __text_end;
    /// First byte of constants.
    rodata_start = __rodata_start;
    /// One past the constant pages.
    rodata_end = __rodata_end;
    /// First byte of writable data.
    data_start = __data_start;
    /// One past the writable pages (bss and boot stack included); the symbol table's lie among them.
    data_end = __bss_end;
    /// First byte of the symbol table's read-only pages.
    symbols_start = __symbols_start;
    /// One past the symbol table's pages.
    symbols_end = __symbols_end;
    /// One past the image, bss included.
    end = __image_end;
    /// The UART of the board's linker script, for reports before the device tree is read.
    early_uart = __early_uart;
    /// The page below the boot stack.
    boot_guard = __boot_guard;
    /// Lowest address of the boot core's stack.
    boot_stack_low = __boot_stack_start;
    /// One past the boot core's stack.
    boot_stack_high = __boot_stack_end;
}

/// Bytes of memory the image takes, bss included; whole pages.
#[must_use]
pub fn bytes() -> usize {
    (end() - start()).next_multiple_of(4096)
}

/// Looks for the table. Call once at boot.
pub fn find_symbols() {
    // SAFETY: a word of the linked image. The tool changes it after the compiler has seen it, hence volatile.
    let told = unsafe { (&raw const __symbols_bytes).read_volatile() } as usize;
    let base = symbols_start();
    if told < HEADER || told > symbols_end() - base || read::<u64>(base) != MAGIC {
        return;
    }
    let count = read::<u32>(base + 8) as usize;
    let names = read::<u32>(base + 12) as usize;
    if HEADER + count * 16 + names == told {
        SYMBOL_BYTES.store(told, Ordering::Relaxed);
    }
}

/// The function `address` lies in, and the offset into it. `None` outside the code or without a
/// table.
#[must_use]
pub fn symbolize(address: usize) -> Option<(&'static str, usize)> {
    let bytes = SYMBOL_BYTES.load(Ordering::Relaxed);
    if bytes == 0 || !(text_start()..text_end()).contains(&address) {
        return None;
    }
    let base = symbols_start();
    let count = read::<u32>(base + 8) as usize;
    let names_len = read::<u32>(base + 12) as usize;
    let record = |i: usize| base + HEADER + i * 16;
    let (mut low, mut high) = (0, count);
    while low < high {
        let mid = low + (high - low) / 2;
        if read::<u64>(record(mid)) as usize <= address {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    let found = record(low.checked_sub(1)?);
    let offset = read::<u32>(found + 8) as usize;
    let len = read::<u32>(found + 12) as usize;
    if offset.checked_add(len)? > names_len {
        return None;
    }
    let names = core::ptr::with_exposed_provenance::<u8>(record(count));
    // SAFETY: inside the table, whose length `find_symbols` took from its header.
    let name = unsafe { names.add(offset) };
    // SAFETY: `len` bytes inside the names, never written after boot.
    let name = unsafe { core::slice::from_raw_parts(name, len) };
    let name = core::str::from_utf8(name).ok()?;
    Some((name, address - read::<u64>(found) as usize))
}

/// Reads a little-endian number of the table.
fn read<T: Copy>(address: usize) -> T {
    let p = core::ptr::with_exposed_provenance::<T>(address);
    // SAFETY: the table's room is mapped, readable RAM; every bit pattern is a number
    // (used with u32 and u64 only), and it may be unaligned.
    unsafe { p.read_unaligned() }
}
