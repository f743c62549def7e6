//! The exception syndrome in words (Arm ARM D19.2.37 `ESR_EL1`).
//!
//! A hexadecimal syndrome sends the reader to a 12,000-page manual; one line of text usually says
//! enough ("data abort, permission fault level 3, write"). Pure functions, tested on the host.

use core::fmt;

/// Exception class field.
#[must_use]
pub const fn class(esr: u64) -> u64 {
    esr >> 26 & 0x3f
}

/// Classes whose fault address register is valid.
#[must_use]
pub const fn has_address(esr: u64) -> bool {
    // For aborts, bit 10 (FnV) says that the address is not valid.
    matches!(class(esr), 0x20 | 0x21 | 0x24 | 0x25) && esr & 1 << 10 == 0
        || matches!(class(esr), 0x22 | 0x34 | 0x35)
}

/// True for a data abort taken without a change of exception level.
#[must_use]
pub const fn is_kernel_data_abort(esr: u64) -> bool {
    class(esr) == 0x25
}

/// What an exception class means.
#[must_use]
pub const fn class_name(ec: u64) -> &'static str {
    match ec {
        0x00 => "undefined instruction",
        0x01 => "trapped wait instruction",
        0x07 => "floating-point access while disabled",
        0x0d => "branch target exception",
        0x0e => "illegal execution state",
        0x15 => "supervisor call",
        0x16 => "hypervisor call",
        0x17 => "secure monitor call",
        0x18 => "trapped system register access",
        0x19 => "SVE access while disabled",
        0x1c => "pointer authentication failure",
        0x20 | 0x21 => "instruction abort",
        0x22 => "misaligned program counter",
        0x24 | 0x25 => "data abort",
        0x26 => "misaligned stack pointer",
        0x2c => "floating-point exception",
        0x2f => "asynchronous abort (SError)",
        0x30 | 0x31 => "hardware breakpoint",
        0x32 | 0x33 => "single step",
        0x34 | 0x35 => "watchpoint",
        0x3c => "breakpoint instruction (abort)",
        _ => "unknown exception class",
    }
}

/// What an abort's fault status means, without the level.
#[must_use]
pub const fn status_name(fsc: u64) -> &'static str {
    match fsc {
        0x00..=0x03 => "address size fault",
        0x04..=0x07 => "translation fault",
        0x08..=0x0b => "access flag fault",
        0x0c..=0x0f => "permission fault",
        0x10 => "external abort",
        0x11 => "tag check fault",
        0x14..=0x17 => "external abort on table walk",
        0x18 => "parity error",
        0x21 => "alignment fault",
        0x30 => "TLB conflict",
        0x31 => "unsupported atomic update",
        0x34 => "lockdown fault",
        0x35 => "unsupported exclusive access",
        _ => "unknown fault status",
    }
}

/// The table level a fault status names.
#[must_use]
pub const fn status_level(fsc: u64) -> Option<u64> {
    match fsc {
        0x00..=0x0f | 0x14..=0x17 => Some(fsc & 3),
        _ => None,
    }
}

/// Writes the syndrome in words.
///
/// # Errors
///
/// Only those of `out`.
pub fn describe(esr: u64, out: &mut dyn fmt::Write) -> fmt::Result {
    let ec = class(esr);
    out.write_str(class_name(ec))?;
    match ec {
        0x20 | 0x21 | 0x24 | 0x25 => {
            let fsc = esr & 0x3f;
            write!(out, ", {}", status_name(fsc))?;
            if let Some(level) = status_level(fsc) {
                write!(out, " level {level}")?;
            }
            if matches!(ec, 0x24 | 0x25) {
                out.write_str(if esr & 1 << 6 != 0 {
                    ", write"
                } else {
                    ", read"
                })?;
            } else {
                out.write_str(", execute")?;
            }
        }
        0x3c => write!(out, " #{}", esr & 0xffff)?,
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn words(esr: u64) -> String {
        let mut s = String::new();
        describe(esr, &mut s).unwrap();
        s
    }

    #[test]
    fn write_to_read_only_page() {
        // EC 0x25, IL, WnR, permission fault at level 3.
        assert_eq!(
            words(0x9600_004f),
            "data abort, permission fault level 3, write"
        );
    }

    #[test]
    fn read_of_unmapped_page() {
        assert_eq!(
            words(0x9600_0007),
            "data abort, translation fault level 3, read"
        );
    }

    #[test]
    fn jump_into_data() {
        assert_eq!(
            words(0x8600_000f),
            "instruction abort, permission fault level 3, execute"
        );
    }

    #[test]
    fn brk_carries_its_number() {
        assert_eq!(words(0xf200_0001), "breakpoint instruction (abort) #1");
    }

    #[test]
    fn address_validity() {
        assert!(has_address(0x9600_004f));
        assert!(!has_address(0x9600_004f | 1 << 10), "FnV");
        assert!(!has_address(0x0200_0000), "undefined instruction");
    }
}
