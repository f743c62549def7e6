//! `memcpy`, `memmove` and `memset` for memory that is mapped normal.
//!
//! The compiler calls them by name; those of `compiler_builtins` go by bytes and words where the ends lie at different
//! offsets, which payloads behind their headers do. These use vector registers, wherever the ends lie
//! (`docs/adr/0008-our-own-copies.md` has the figures): q0 to q3 and no other, since the rest of the kernel is built
//! without any (`docs/adr/0012-general-registers-only.md`), and those are what an interrupt saves.
//!
//! Rust code runs only with translation on (see [`crate::entry`]), and nothing copies to or from devices this way, so
//! unaligned accesses are right (Arm ARM B2.5.2).
//!
//! All follow one plan. Up to 64 bytes everything is loaded before anything is stored, by accesses from both ends that
//! may overlap in the middle. Beyond, 64 bytes a turn, and the last 64 whole, wherever the turns end: so there is no
//! remainder to be gone through. Where source and target may overlap, the last 64 wait in general registers from the
//! beginning.
#![expect(unsafe_code, reason = "symbols that the compiler calls")]

use core::arch::naked_asm;

/// Copies `n` bytes between places that do not overlap.
///
/// # Safety
///
/// As C's: `source` can be read and `to` written for `n` bytes.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, source: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        ".arch_extension simd",
        "add x4, x1, x2", // ends
        "add x5, x0, x2",
        "cmp x2, #64",
        "b.ls {few}",
        "sub x5, x5, #64",
        "mov x3, x0",
        "2: ldp q0, q1, [x1], #64",
        "ldp q2, q3, [x1, #-32]",
        "stp q0, q1, [x3], #64",
        "stp q2, q3, [x3, #-32]",
        "cmp x3, x5",
        "b.lo 2b",
        "ldp q0, q1, [x4, #-64]",
        "ldp q2, q3, [x4, #-32]",
        "stp q0, q1, [x5]",
        "stp q2, q3, [x5, #32]",
        "ret",
        few = sym few,
    )
}

/// Copies `n` bytes; the places may overlap.
///
/// # Safety
///
/// As C's: `source` can be read and `to` written for `n` bytes.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, source: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        ".arch_extension simd",
        "add x4, x1, x2",
        "add x5, x0, x2",
        "cmp x2, #64",
        "b.ls {few}",
        // Upwards would overwrite what is still to be read only if `to` lies inside the source.
        "sub x6, x0, x1",
        "cmp x6, x2",
        "b.hs {upwards}",
        "ldp x6, x7, [x1]",
        "ldp x8, x9, [x1, #16]",
        "ldp x10, x11, [x1, #32]",
        "ldp x12, x13, [x1, #48]",
        "add x3, x0, #64",
        "2: ldp q0, q1, [x4, #-32]",
        "ldp q2, q3, [x4, #-64]!",
        "stp q0, q1, [x5, #-32]",
        "stp q2, q3, [x5, #-64]!",
        "cmp x5, x3",
        "b.hi 2b",
        "stp x6, x7, [x0]",
        "stp x8, x9, [x0, #16]",
        "stp x10, x11, [x0, #32]",
        "stp x12, x13, [x0, #48]",
        "ret",
        few = sym few,
        upwards = sym upwards,
    )
}

/// More than 64 bytes from x1 to x0, which end at x4 and x5. Each turn reads before it writes, and never what was
/// written if x0 lies below x1; the last 64 are read first.
///
/// # Safety
///
/// Jumped to with the registers so.
#[unsafe(naked)]
unsafe extern "C" fn upwards() {
    naked_asm!(
        ".arch_extension simd",
        "ldp x6, x7, [x4, #-64]",
        "ldp x8, x9, [x4, #-48]",
        "ldp x10, x11, [x4, #-32]",
        "ldp x12, x13, [x4, #-16]",
        "sub x5, x5, #64",
        "mov x3, x0",
        "2: ldp q0, q1, [x1], #64",
        "ldp q2, q3, [x1, #-32]",
        "stp q0, q1, [x3], #64",
        "stp q2, q3, [x3, #-32]",
        "cmp x3, x5",
        "b.lo 2b",
        "stp x6, x7, [x5]",
        "stp x8, x9, [x5, #16]",
        "stp x10, x11, [x5, #32]",
        "stp x12, x13, [x5, #48]",
        "ret",
    )
}

/// At most 64 bytes (x2) from x1 to x0, which end at x4 and x5.
///
/// # Safety
///
/// Jumped to with the registers so.
#[unsafe(naked)]
unsafe extern "C" fn few() {
    naked_asm!(
        ".arch_extension simd",
        "cmp x2, #16",
        "b.lo 3f",
        "ldr q0, [x1]",
        "ldr q1, [x4, #-16]",
        "cmp x2, #32",
        "b.hi 2f",
        "str q0, [x0]",
        "str q1, [x5, #-16]",
        "ret",
        "2: ldr q2, [x1, #16]",
        "ldr q3, [x4, #-32]",
        "stp q0, q2, [x0]",
        "stp q3, q1, [x5, #-32]",
        "ret",
        // 8 to 15.
        "3: tbz x2, #3, 4f",
        "ldr x6, [x1]",
        "ldr x7, [x4, #-8]",
        "str x6, [x0]",
        "str x7, [x5, #-8]",
        "ret",
        // 4 to 7.
        "4: tbz x2, #2, 5f",
        "ldr w6, [x1]",
        "ldr w7, [x4, #-4]",
        "str w6, [x0]",
        "str w7, [x5, #-4]",
        "ret",
        // 2 and 3, then 1 and 0.
        "5: tbz x2, #1, 6f",
        "ldrh w6, [x1]",
        "ldrb w7, [x4, #-1]",
        "strh w6, [x0]",
        "strb w7, [x5, #-1]",
        "ret",
        "6: cbz x2, 7f",
        "ldrb w6, [x1]",
        "strb w6, [x0]",
        "7: ret",
    )
}

/// Sets `n` bytes to the lowest byte of `value`.
///
/// # Safety
///
/// As C's: `to` can be written for `n` bytes.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, n: usize) -> *mut u8 {
    naked_asm!(
        ".arch_extension simd",
        "dup v0.16b, w1",
        "add x5, x0, x2",
        "cmp x2, #16",
        "b.lo 4f",
        "cmp x2, #64",
        "b.ls 3f",
        "sub x5, x5, #64",
        "mov x3, x0",
        "2: stp q0, q0, [x3], #64",
        "stp q0, q0, [x3, #-32]",
        "cmp x3, x5",
        "b.lo 2b",
        "stp q0, q0, [x5]",
        "stp q0, q0, [x5, #32]",
        "ret",
        // 16 to 64.
        "3: str q0, [x0]",
        "str q0, [x5, #-16]",
        "cmp x2, #32",
        "b.ls 8f",
        "str q0, [x0, #16]",
        "str q0, [x5, #-32]",
        "ret",
        "4: fmov x6, d0",
        "tbz x2, #3, 5f",
        "str x6, [x0]",
        "str x6, [x5, #-8]",
        "ret",
        "5: tbz x2, #2, 6f",
        "str w6, [x0]",
        "str w6, [x5, #-4]",
        "ret",
        "6: tbz x2, #1, 7f",
        "strh w6, [x0]",
        "strb w6, [x5, #-1]",
        "ret",
        "7: cbz x2, 8f",
        "strb w6, [x0]",
        "8: ret",
    )
}
