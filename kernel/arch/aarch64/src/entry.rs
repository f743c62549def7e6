//! Boot header, first instructions of every core, and the early identity map.
//!
//! A core arrives here with caches and translation off, at EL1 or EL2 (Linux arm64 boot protocol;
//! PSCI `CPU_ON` for the others). Atomics need cacheable memory, and Rust code may use vector
//! registers anywhere, so translation, caches and floating point are on before the first Rust
//! instruction.
//!
//! The boot core uses a small early map of 1 GiB blocks (devices below 1 GiB, RAM in the image's
//! GiB and in the device tree's), just enough to parse the device tree; [`crate::mmu`] then builds
//! the final map. The two maps use different ASIDs and the early one is not global, so no
//! translation of one can conflict with the other. Other cores install the final map at once.
//!
//! EL3 and a wrong load address are reported on the UART whose address the linker script gives
//! (`__early_uart`, PL011 data register) with the exit line the host tool looks for, and stop the
//! core: neither has a way to continue, nor firmware to power off with.
#![expect(
    unsafe_code,
    reason = "first instructions, before any invariant of the language holds"
)]

use core::arch::naked_asm;
use core::mem::offset_of;

use machine::CpuHeader;

use crate::mmu::{self, Table};

unsafe extern "Rust" {
    /// The board's first Rust function, defined once per image; gets the address of the device
    /// tree or 0.
    safe fn rt_main(dtb: usize) -> !;
}

/// Offset of the image from the start of RAM, for the boot header.
const TEXT_OFFSET: u64 = 0x20_0000;
/// Boot header flags: little endian, 4 KiB pages, near the start of RAM.
const FLAGS: u64 = 1 << 1;
/// `CPACR_EL1.FPEN`: no trapping of floating point.
const CPACR_FPEN: u64 = 3 << 20;
/// `SCTLR_EL1` with translation off: the bits that are reserved as one.
pub(crate) const SCTLR_OFF: u64 = 0x30d0_0800;
/// `SPSR_EL2`: EL1 with `SP_EL1`, everything masked.
const SPSR_EL1H_MASKED: u64 = 0x3c5;

/// Early translation table, level 1.
#[unsafe(link_section = ".data.early_table")]
static EARLY: Table = Table::early();

/// The 64-byte arm64 boot header.
///
/// # Safety
///
/// Entered by the boot loader only.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".head")]
pub unsafe extern "C" fn _head() {
    naked_asm!(
        "b {entry}",
        "nop",
        ".quad {text_offset}",
        ".quad __image_size", // bss included, which the file is not
        ".quad {flags}",
        ".quad 0",
        ".quad 0",
        ".quad 0",
        ".ascii \"ARM\\x64\"",
        ".long 0",
        entry = sym entry,
        text_offset = const TEXT_OFFSET,
        flags = const FLAGS,
    )
}

/// Start of the boot core.
///
/// # Safety
///
/// Entered through the boot header only, with translation off.
#[unsafe(naked)]
unsafe extern "C" fn entry() {
    naked_asm!(
        "msr daifset, #0xf",
        "mov x19, x0",
        // Running where we were linked?
        "adr x1, {here}",
        "ldr x2, =__image_start",
        "cmp x1, x2",
        "b.ne 8f",
        "mrs x1, CurrentEL",
        "cmp x1, #(3 << 2)",
        "b.eq 9f",
        "bl {to_el1}",
        "mov x0, #{cpacr}",
        "msr cpacr_el1, x0",
        "isb",
        "adrp x0, __boot_stack_end",
        "add x0, x0, :lo12:__boot_stack_end",
        "mov sp, x0",
        // Map the gigabyte of the device tree, when it is not device space.
        "lsr x1, x19, #30",
        "adrp x0, {early}",
        "add x0, x0, :lo12:{early}",
        "cbz x1, 3f",
        "cmp x1, #511",
        "b.hi 3f",
        "ldr x2, ={normal}",
        "orr x2, x2, x1, lsl #30",
        "add x3, x0, x1, lsl #3",
        "str x2, [x3]",
        "dc ivac, x3",
        "3: bl {mmu_on}",
        // Zero bss, the boot stack in it: no loader does. With the caches on, for whoever had this memory
        // before may have left lines of it there.
        "adrp x0, __bss_start",
        "add x0, x0, :lo12:__bss_start",
        "adrp x1, __bss_end",
        "add x1, x1, :lo12:__bss_end",
        "2: stp xzr, xzr, [x0], #16",
        "cmp x0, x1",
        "b.lo 2b",
        "adrp x1, {vectors}",
        "add x1, x1, :lo12:{vectors}",
        "msr vbar_el1, x1",
        "msr tpidr_el1, xzr",
        "msr sp_el0, xzr",
        "isb",
        "mov x0, x19",
        "mov x29, xzr",
        "mov x30, xzr",
        "b {main}",
        // Not at the link address.
        "8: adr x20, 18f",
        "b 10f",
        "18: .asciz \"roundtable: loaded at the wrong address; load at RAM base + 2 MiB\\r\\nROUNDTABLE EXIT 3\\r\\n\"",
        ".balign 4",
        // EL3: every core comes here at once, so only the first one speaks.
        "9: mrs x1, mpidr_el1",
        "tst x1, #0xffff",
        "b.ne 12f",
        "adr x20, 19f",
        "b 10f",
        "19: .asciz \"roundtable: entered at EL3; this machine must enter at EL1 or EL2 (secure=off)\\r\\nROUNDTABLE EXIT 3\\r\\n\"",
        ".balign 4",
        "10: ldr x21, =__early_uart",
        "11: ldrb w1, [x20], #1",
        "cbz w1, 12f",
        "str w1, [x21]",
        "b 11b",
        "12: wfe",
        "b 12b",
        here = sym _head,
        to_el1 = sym to_el1,
        cpacr = const CPACR_FPEN,
        early = sym EARLY,
        normal = const mmu::EARLY_NORMAL,
        mmu_on = sym mmu_on,
        vectors = sym crate::vectors::vector_table,
        main = sym first_rust,
    )
}

/// Start of every other core: `x0` is the address of its [`CpuHeader`], handed through PSCI.
/// Reads no memory before translation and caches are on.
///
/// # Safety
///
/// Entered by the firmware only, with translation off and the header's address in `x0`.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn secondary_entry() {
    naked_asm!(
        "msr daifset, #0xf",
        "mov x19, x0",
        "bl {to_el1}",
        "mov x0, #{cpacr}",
        "msr cpacr_el1, x0",
        "adrp x0, {root}",
        "add x0, x0, :lo12:{root}",
        "mov x1, #{asid}",
        "orr x0, x0, x1, lsl #48",
        "bl {mmu_on}",
        "adrp x1, {vectors}",
        "add x1, x1, :lo12:{vectors}",
        "msr vbar_el1, x1",
        "msr tpidr_el1, x19",
        "msr sp_el0, xzr",
        "ldr x1, [x19, #{stack}]",
        "mov sp, x1",
        "isb",
        "mov x0, x19",
        "mov x29, xzr",
        "mov x30, xzr",
        "b {main}",
        to_el1 = sym to_el1,
        cpacr = const CPACR_FPEN,
        root = sym mmu::ROOT,
        asid = const mmu::FINAL_ASID,
        mmu_on = sym mmu_on,
        vectors = sym crate::vectors::vector_table,
        stack = const offset_of!(CpuHeader, irq_stack_top),
        main = sym crate::cpu::secondary_rust,
    )
}

/// Leaves EL2 for EL1 when entered there; returns to its caller at EL1.
///
/// # Safety
///
/// Called by the entry code with translation off and everything masked. Changes `x0` to `x2`.
#[unsafe(naked)]
unsafe extern "C" fn to_el1() {
    naked_asm!(
        "ldr x0, ={sctlr}",
        "mrs x1, CurrentEL",
        "cmp x1, #(2 << 2)",
        "b.ne 2f",
        // EL1 is AArch64; counters and timers untrapped; no offset; floating point untrapped.
        "mov x1, #(1 << 31)",
        "msr hcr_el2, x1",
        "mrs x1, cnthctl_el2",
        "orr x1, x1, #3",
        "msr cnthctl_el2, x1",
        "msr cntvoff_el2, xzr",
        "mov x1, #0x33ff",
        "msr cptr_el2, x1",
        "msr hstr_el2, xzr",
        "msr vttbr_el2, xzr",
        "mrs x1, mdcr_el2",
        "and x1, x1, #0x1f", // keep the event counters, trap nothing
        "msr mdcr_el2, x1",
        "mrs x1, midr_el1",
        "msr vpidr_el2, x1",
        "mrs x1, mpidr_el1",
        "msr vmpidr_el2, x1",
        // GICv3 system registers for EL1, when the core has them.
        "mrs x1, id_aa64pfr0_el1",
        "ubfx x1, x1, #24, #4",
        "cbz x1, 1f",
        "mrs x1, s3_4_c12_c9_5", // ICC_SRE_EL2
        "mov x2, #9",
        "orr x1, x1, x2",
        "msr s3_4_c12_c9_5, x1",
        "isb",
        "msr s3_4_c12_c11_0, xzr", // ICH_HCR_EL2
        "1: msr sctlr_el1, x0",
        "mov x1, #{spsr}",
        "msr spsr_el2, x1",
        "msr elr_el2, x30",
        "eret",
        "2: msr sctlr_el1, x0",
        "isb",
        "ret",
        sctlr = const SCTLR_OFF,
        spsr = const SPSR_EL1H_MASKED,
    )
}

/// Turns on translation (root and ASID in `x0`) and caches.
///
/// # Safety
///
/// `x0` names a table that maps the running code at its own address. Changes `x1`.
#[unsafe(naked)]
unsafe extern "C" fn mmu_on() {
    naked_asm!(
        "ldr x1, ={mair}",
        "msr mair_el1, x1",
        "ldr x1, ={tcr}",
        "msr tcr_el1, x1",
        "msr ttbr0_el1, x0",
        "tlbi vmalle1",
        "ic iallu",
        "dsb nsh",
        "isb",
        "ldr x1, ={sctlr}",
        "msr sctlr_el1, x1",
        "isb",
        "ret",
        mair = const mmu::MAIR,
        tcr = const mmu::TCR,
        sctlr = const SCTLR_OFF | mmu::SCTLR_ON,
    )
}

/// First Rust code of the boot core, on the boot stack, interrupts masked.
///
/// # Safety
///
/// Called once, by `entry`.
unsafe extern "C" fn first_rust(dtb: usize) -> ! {
    rt_main(dtb)
}
