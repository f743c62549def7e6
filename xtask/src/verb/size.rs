//! `size`: what the image is made of, against its budget.

use object::{Object, ObjectSection};

use crate::image::{self, Image, Kind};
use crate::{Failure, Outcome, toolchain};

/// The image has at most this, symbols included: 1 MB, where the Linux kernel's has 34.9.
pub const BUDGET: usize = 1_000_000;

/// Prints sections and sizes; fails above the budget.
pub fn run() -> Outcome<u8> {
    let toolchain = toolchain::metal(false, false)?;
    let image = image::build(Kind::Release, &toolchain)?;
    let sizes = image.sizes;
    let of_all = [
        ("loaded", sizes.loaded),
        ("symbols", sizes.symbols),
        ("image", sizes.whole()),
        ("memory, with bss", sizes.memory),
    ];
    let of_all = of_all.map(|(name, bytes)| (name.to_owned(), bytes as u64));
    for (name, bytes) in sections(&image)?.into_iter().chain(of_all) {
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

/// What the image is made of, bytes of each: the symbols as many as there are, and bss, which is no part of the file.
pub(super) fn parts(image: &Image) -> Outcome<Vec<(String, u64)>> {
    let mut parts = sections(image)?;
    for (name, bytes) in &mut parts {
        match name.as_str() {
            ".symbols" => (*name, *bytes) = ("symbols".to_owned(), image.sizes.symbols as u64),
            ".bss" => ".bss (in memory only)".clone_into(name),
            _ => {}
        }
    }
    Ok(parts)
}

/// The sections that have an address, and their bytes; others are for debuggers.
fn sections(image: &Image) -> Outcome<Vec<(String, u64)>> {
    let data = std::fs::read(&image.elf)
        .map_err(|e| Failure::failed(format!("cannot read {}: {e}", image.elf.display())))?;
    let file = object::read::elf::ElfFile64::<object::Endianness>::parse(&*data)
        .map_err(|e| Failure::failed(format!("{}: {e}", image.elf.display())))?;
    let placed = file
        .sections()
        .filter(|s| s.address() != 0 && s.size() != 0);
    Ok(placed
        .map(|s| (s.name().unwrap_or("?").to_owned(), s.size()))
        .collect())
}
