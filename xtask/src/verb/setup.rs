//! `setup`: installs what `run` and `test` need, and nothing else.
//!
//! `run` installs missing pieces by itself; a build machine wants to do that in a step of its own.

use crate::{Outcome, packages, tell, toolchain};

/// Finds or installs QEMU and the bare-metal target.
pub fn run(no_install: bool, assume_yes: bool) -> Outcome<u8> {
    let qemu = packages::qemu(no_install, assume_yes)?;
    let toolchain = toolchain::metal(no_install, assume_yes)?;
    tell::say(&format!("QEMU: {}", qemu.display()));
    tell::say(match toolchain.arguments.is_empty() {
        true => "bare-metal target: installed",
        false => "bare-metal target: built from the system's library source",
    });
    Ok(0)
}
