//! `qemu ELF`: cargo's runner for the metal target.
//!
//! `cargo run --target aarch64-unknown-none-softfloat -p qemu-virt` ends here with the linked kernel; it gets
//! its flat image and boots exactly as under `run`. Options of `run` may follow the ELF.

use std::path::Path;

use crate::options::Options;
use crate::verb::run;
use crate::{Outcome, image, packages, tell};

/// Boots a linked kernel; returns the exit code.
pub fn run(elf: &Path, options: &Options) -> Outcome<u8> {
    tell::set_quiet(options.quiet);
    options.check()?;
    packages::qemu(options.no_install, options.yes)?;
    let image = image::flatten(elf, &elf.with_extension("img"))?;
    run::boot(options, &image.flat)
}
