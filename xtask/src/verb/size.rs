//! `size`: what the image is made of, against its budget.

use object::{Object, ObjectSection};

use crate::image::{self, Image, Kind};
use crate::{Failure, Outcome, toolchain};

/// The image stays below this, symbols included: 1 MB, where the Linux kernel's has 34.9.
pub const BUDGET: usize = 1_000_000;

/// Prints sections and sizes; fails above the budget.
pub fn run() -> Outcome<u8> {
    let toolchain = toolchain::metal(false, false)?;
    let image = image::build(Kind::Release, &toolchain)?;
    sections(&image)?;
    let sizes = image.sizes;
    for (name, bytes) in [
        ("loaded", sizes.loaded),
        ("symbols", sizes.symbols),
        ("image", sizes.whole()),
        ("memory, with bss", sizes.memory),
    ] {
        println!("{name:<16} {bytes:>9}");
    }
    if sizes.whole() > BUDGET {
        return Err(Failure::failed(format!(
            "the image has {} bytes, its budget is {BUDGET}",
            sizes.whole()
        )));
    }
    Ok(0)
}

fn sections(image: &Image) -> Outcome<()> {
    let data = std::fs::read(&image.elf)
        .map_err(|e| Failure::failed(format!("cannot read {}: {e}", image.elf.display())))?;
    let file = object::read::elf::ElfFile64::<object::Endianness>::parse(&*data)
        .map_err(|e| Failure::failed(format!("{}: {e}", image.elf.display())))?;
    for section in file.sections() {
        // Sections without an address are for debuggers.
        if section.address() != 0 && section.size() != 0 {
            println!(
                "{:<16} {:>9}",
                section.name().unwrap_or("?"),
                section.size()
            );
        }
    }
    Ok(())
}
