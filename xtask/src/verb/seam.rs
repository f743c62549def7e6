//! `seam`: the hot calls of the machine seam are instructions in the release image, not calls, and copies are ours.
//!
//! The seam's hot functions are one or two instructions each; a call around them would cost more
//! than they do, on every lock and every wake. Whether the linker inlined them shows only in the
//! linked image, so this reads it: no branch may lead to one of them, and each kind of instruction
//! they stand for must occur. AArch64 instructions are words of fixed layout, so the few patterns
//! needed are here instead of a disassembler (Arm ARM C6.2: `B`, `BL`, `MRS`, `MSR`).
//!
//! A constant between functions could look like a branch; it would have to hit the first byte of
//! one of a dozen functions to be taken for one.

use std::collections::HashMap;

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection, ObjectSymbol};

use crate::image::{self, Kind};
use crate::{Failure, Outcome, toolchain};

/// Link-time symbols on the paths of wake, reschedule, locks and interrupts. The others (switch,
/// inter-processor interrupt, page protection, console, power) are calls on purpose.
const HOT_SYMBOLS: [&str; 6] = [
    "rt_now",
    "rt_arm_timer",
    "rt_cancel_timer",
    "rt_irq_ack",
    "rt_irq_end",
    "rt_idle",
];
/// Where the seam's inline functions would appear.
const HOT_MODULE: &str = "machine::backend::";
/// The bits of a system register access that are not the general register.
const ANY_REGISTER: u32 = !0x1f;
/// Name, instruction word, significant bits.
const INSTRUCTIONS: [(&str, u32, u32); 8] = [
    ("this core      mrs tpidr_el1", 0xd538_d080, ANY_REGISTER),
    ("this thread    mrs sp_el0", 0xd538_4100, ANY_REGISTER),
    ("mask           msr daifset, #2", 0xd503_42df, u32::MAX),
    ("unmask         msr daifclr, #2", 0xd503_42ff, u32::MAX),
    ("full barrier   dmb ish", 0xd503_3bbf, u32::MAX),
    ("clock          mrs cntvct_el0", 0xd53b_e040, ANY_REGISTER),
    (
        "timer          msr cntv_cval_el0",
        0xd51b_e340,
        ANY_REGISTER,
    ),
    ("spin           yield", 0xd503_203f, u32::MAX),
];

/// Functions of the architecture layer that the compiler's library has as well, with the first instruction of ours
/// (`docs/adr/0008-our-own-copies.md`).
const OURS: [(&str, u32); 3] = [
    ("memcpy", 0x8b02_0024),  // add x4, x1, x2
    ("memmove", 0x8b02_0024), // the same
    ("memset", 0x4e01_0c20),  // dup v0.16b, w1
];

/// Builds the release image and checks it.
pub fn run() -> Outcome<u8> {
    let toolchain = toolchain::metal(false, false)?;
    let image = image::build(Kind::Release, &toolchain)?;
    let data = std::fs::read(&image.elf)
        .map_err(|e| Failure::failed(format!("cannot read {}: {e}", image.elf.display())))?;
    let report =
        examine(&data).map_err(|why| Failure::failed(format!("{}: {why}", image.elf.display())))?;
    for ((name, _, _), count) in INSTRUCTIONS.iter().zip(report.counts) {
        println!("{name:<36} {count:>6}");
    }
    match report.complaint() {
        None => Ok(0),
        Some(complaint) => Err(Failure::failed(complaint)),
    }
}

/// What was found.
#[derive(Debug)]
struct Report {
    /// Occurrences of each of [`INSTRUCTIONS`].
    counts: [usize; INSTRUCTIONS.len()],
    /// Calls of a hot function: its name, and how many.
    calls: Vec<(String, usize)>,
    /// Those of [`OURS`] that are not.
    foreign: Vec<&'static str>,
}

impl Report {
    fn complaint(&self) -> Option<String> {
        let calls = self
            .calls
            .iter()
            .map(|(name, n)| format!("{name} is called {n} times instead of being inlined"));
        let missing = INSTRUCTIONS
            .iter()
            .zip(self.counts)
            .filter(|(_, count)| *count == 0)
            .map(|((name, _, _), _)| format!("no instruction for: {name}"));
        let foreign = self.foreign.iter();
        let foreign = foreign.map(|name| format!("{name} is not the architecture layer's"));
        let all: Vec<_> = calls.chain(missing).chain(foreign).collect();
        (!all.is_empty()).then(|| all.join("\n  "))
    }
}

fn examine(data: &[u8]) -> Result<Report, String> {
    let file = ElfFile64::<Endianness>::parse(data).map_err(|e| e.to_string())?;
    let hot: HashMap<u64, String> = file
        .symbols()
        .filter_map(|s| {
            let name = format!("{:#}", rustc_demangle::demangle(s.name().ok()?));
            is_hot(&name).then_some((s.address(), name))
        })
        .collect();
    let text = file
        .section_by_name(".text")
        .ok_or("it has no section .text")?;
    let bytes = text.data().map_err(|e| e.to_string())?;
    let mut report = scan(bytes, text.address(), &hot);
    let is_ours = |name: &str, first: u32| {
        let symbol = file.symbol_by_name(name)?;
        let at = usize::try_from(symbol.address().checked_sub(text.address())?).ok()?;
        Some(bytes.get(at..at + 4)? == first.to_le_bytes())
    };
    let foreign = OURS
        .iter()
        .filter(|(name, first)| is_ours(name, *first) != Some(true));
    report.foreign = foreign.map(|(name, _)| *name).collect();
    Ok(report)
}

fn is_hot(name: &str) -> bool {
    HOT_SYMBOLS.contains(&name) || name.starts_with(HOT_MODULE)
}

/// Counts instructions and calls in the code `bytes` linked at `base`.
fn scan(bytes: &[u8], base: u64, hot: &HashMap<u64, String>) -> Report {
    let mut counts = [0; INSTRUCTIONS.len()];
    let mut calls: HashMap<&String, usize> = HashMap::new();
    for (i, word) in bytes.chunks_exact(4).enumerate() {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        for ((_, pattern, mask), count) in INSTRUCTIONS.iter().zip(&mut counts) {
            *count += usize::from(word & mask == *pattern);
        }
        let target = branch_target(word, base + 4 * i as u64);
        if let Some(name) = target.and_then(|t| hot.get(&t)) {
            *calls.entry(name).or_default() += 1;
        }
    }
    let mut calls: Vec<_> = calls.into_iter().map(|(n, c)| (n.clone(), c)).collect();
    calls.sort();
    Report {
        counts,
        calls,
        foreign: Vec::new(),
    }
}

/// Where the `b` or `bl` at address `at` leads.
fn branch_target(word: u32, at: u64) -> Option<u64> {
    if word & 0x7c00_0000 != 0x1400_0000 {
        return None;
    }
    // 26 bits, signed, in words.
    let offset = i64::from((word << 6).cast_signed() >> 6) * 4;
    Some(at.wrapping_add_signed(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_lead_where_they_say() {
        assert_eq!(branch_target(0x9400_0002, 0x1000), Some(0x1008), "bl +8");
        assert_eq!(branch_target(0x97ff_ffff, 0x1000), Some(0x0ffc), "bl -4");
        assert_eq!(branch_target(0x1400_0001, 0x1000), Some(0x1004), "b +4");
        assert_eq!(branch_target(0x5400_0041, 0x1000), None, "b.ne");
        assert_eq!(branch_target(0xd503_201f, 0x1000), None, "nop");
    }

    #[test]
    fn a_call_and_a_missing_instruction_are_complaints() {
        let hot = HashMap::from([(0x1008, "rt_now".to_owned())]);
        let code: Vec<u8> = [0x9400_0002_u32, 0xd538_d083, 0xd65f_03c0]
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect();
        let report = scan(&code, 0x1000, &hot);
        assert_eq!(report.counts[0], 1, "mrs x3, tpidr_el1");
        let complaint = report.complaint().expect("two kinds of complaints");
        assert!(complaint.contains("rt_now is called 1 times"));
        assert!(complaint.contains("no instruction for: this thread"));
        assert!(!complaint.contains("this core"));
    }

    #[test]
    fn names_of_the_seam() {
        assert!(is_hot("rt_now"));
        assert!(is_hot("machine::backend::irq_save"));
        assert!(!is_hot("rt_switch"));
        assert!(!is_hot("machine::header::HeldLocks::push"));
    }
}
