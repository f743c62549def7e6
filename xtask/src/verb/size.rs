//! `size`: what the image is made of, against its budgets.

use object::{Object, ObjectSection};

use crate::image::{self, Image, Kind, Sizes};
use crate::{Failure, Outcome, toolchain};

/// The image has at most this, symbols included: 1 MB, where the Linux kernel's has 34.9.
pub const BUDGET: usize = 1_000_000;

/// The image takes at most this of memory. Bss and the rest of the symbols' room are in no file, so [`BUDGET`]
/// does not see them: this one leaves them 150 kB, of which they have 141.
pub const MEMORY_BUDGET: usize = 1_150_000;

/// Prints parts and sizes; fails above a budget.
pub fn run() -> Outcome<u8> {
    let toolchain = toolchain::metal(false, false)?;
    let image = image::build(Kind::Release, &toolchain)?;
    let (sizes, parts) = (image.sizes, parts(&image)?);
    let print = |name: &str, bytes: u64| println!("{name:<28} {bytes:>9}");
    for (name, bytes) in &parts.file {
        print(name, *bytes);
    }
    print("image", sizes.whole() as u64);
    for (name, bytes) in &parts.memory {
        print(name, *bytes);
    }
    print("memory", sizes.memory as u64);
    within_budgets(&sizes).map_err(Failure::failed)?;
    Ok(0)
}

/// Whether an image of these sizes keeps to the budgets, else what exceeds which.
///
/// # Errors
///
/// It does not.
pub fn within_budgets(sizes: &Sizes) -> Result<(), String> {
    let all = [
        ("has", sizes.whole(), "", BUDGET),
        ("takes", sizes.memory, " of memory", MEMORY_BUDGET),
    ];
    let over = all.iter().find(|(_, bytes, _, budget)| bytes > budget);
    over.map_or(Ok(()), |(does, bytes, of, budget)| {
        Err(format!(
            "the image {does} {bytes} bytes{of}, its budget is {budget}"
        ))
    })
}

/// What an image is made of, bytes of each.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// Of the file: these add up to its length.
    pub(super) file: Vec<(String, u64)>,
    /// Of memory only: with the file's they add up to the memory that the image takes.
    pub(super) memory: Vec<(String, u64)>,
}

/// What the image is made of.
pub(super) fn parts(image: &Image) -> Outcome<Parts> {
    parts_of(sections(image)?, &image.sizes)
        .map_err(|why| Failure::failed(format!("{}: {why}", image.elf.display())))
}

/// Takes apart an image with these sections.
fn parts_of(sections: Vec<(String, u64)>, sizes: &Sizes) -> Result<Parts, String> {
    let (mut file, mut bss) = (Vec::new(), 0);
    for (name, bytes) in sections {
        match name.as_str() {
            ".bss" => bss = bytes,
            // As much of its room as there are symbols; and a section that is padding and nothing else.
            ".symbols" | ".rodata_end" => {}
            _ => file.push((name, bytes)),
        }
    }
    file.push(("symbols".to_owned(), sizes.symbols as u64));
    let rest = |whole: usize, told: u64| {
        (whole as u64)
            .checked_sub(told)
            .ok_or_else(|| format!("its parts have {told} bytes, all of it {whole}"))
    };
    let padding = rest(sizes.whole(), file.iter().map(|(_, bytes)| bytes).sum())?;
    file.push(("padding".to_owned(), padding));
    let room = rest(sizes.memory, sizes.whole() as u64 + bss)?;
    let memory = vec![
        (".bss".to_owned(), bss),
        ("rest of the symbols' room".to_owned(), room),
    ];
    Ok(Parts { file, memory })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up() {
        let sections = [
            (".text", 4096),
            (".rodata", 4000),
            (".rodata_end", 96),
            (".data", 10),
            (".symbols", 8192),
            (".bss", 40_960),
        ];
        let sections = sections.map(|(name, bytes)| (name.to_owned(), bytes));
        let sizes = Sizes {
            loaded: 12_288,
            symbols: 5000,
            memory: 12_288 + 8192 + 40_960,
        };
        let parts = parts_of(sections.to_vec(), &sizes).unwrap();
        let named = |of: &[(String, u64)], name| of.iter().find(|p| p.0 == name).map(|p| p.1);
        assert_eq!(named(&parts.file, "symbols"), Some(5000));
        assert_eq!(named(&parts.file, "padding"), Some(96 + 4086));
        assert_eq!(named(&parts.file, ".rodata_end"), None);
        assert_eq!(named(&parts.memory, ".bss"), Some(40_960));
        let sum = |of: &[(String, u64)]| of.iter().map(|p| p.1).sum::<u64>();
        assert_eq!(sum(&parts.file), sizes.whole() as u64);
        assert_eq!(sum(&parts.memory), (sizes.memory - sizes.whole()) as u64);

        let less = Sizes {
            loaded: 8000,
            ..sizes
        };
        let why = parts_of(sections.to_vec(), &less).unwrap_err();
        assert!(why.contains("its parts have 13106 bytes, all of it 13000"));
    }

    #[test]
    fn bss_has_a_budget_too() {
        let good = Sizes {
            loaded: BUDGET - 1,
            symbols: 1,
            memory: MEMORY_BUDGET,
        };
        assert_eq!(within_budgets(&good), Ok(()));
        let file = Sizes { symbols: 2, ..good };
        let why = within_budgets(&file).unwrap_err();
        assert_eq!(why, "the image has 1000001 bytes, its budget is 1000000");
        let memory = Sizes {
            memory: MEMORY_BUDGET + 1,
            ..good
        };
        let why = within_budgets(&memory).unwrap_err();
        assert!(why.contains("takes 1150001 bytes of memory, its budget is 1150000"));
    }
}
