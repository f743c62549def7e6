//! The symbol table the guest symbolises its backtraces with.
//!
//! A backtrace of bare addresses needs the exact ELF at hand; the one in the image needs nothing.
//! The linker script keeps room for the table between data and bss, so adding it moves no address.
//! Little endian:
//!
//! ```text
//! 8 bytes  magic "RTSYMS01"
//! u32      count
//! u32      names_len
//! count ×  { u64 address, u32 name_offset, u32 name_len }   sorted by address
//! names_len bytes of UTF-8
//! ```
//!
//! Only functions and assembly labels in executable sections are kept. Names are demangled without
//! their hash; generic arguments of long ones become `_`, equal names share their bytes.

use std::collections::HashMap;

use object::read::elf::ElfFile64;
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind};

/// First bytes of the table.
pub const MAGIC: &[u8; 8] = b"RTSYMS01";

/// Names longer than this lose their generic arguments.
const LONG: usize = 64;
/// No name is longer than this.
const LONGEST: usize = 120;

/// Builds the table for a linked kernel.
pub fn table(elf: &ElfFile64<'_>) -> Vec<u8> {
    encode(&functions(elf))
}

/// Address and name of every function, sorted, one name per address.
pub(crate) fn functions(elf: &ElfFile64<'_>) -> Vec<(u64, String)> {
    let mut found: Vec<(u64, bool, String)> = Vec::new();
    for symbol in elf.symbols() {
        let Ok(name) = symbol.name() else { continue };
        let labels = symbol.kind() == SymbolKind::Unknown && is_code(elf, &symbol);
        let skip = name.is_empty() || name.starts_with('$') || name.starts_with(".L");
        if skip || symbol.is_undefined() || !(symbol.kind() == SymbolKind::Text || labels) {
            continue;
        }
        let name = shorten(&format!("{:#}", rustc_demangle::demangle(name)));
        found.push((symbol.address(), labels, name));
    }
    // Functions before labels, so that a label at the same address gives way.
    found.sort();
    found.dedup_by_key(|(address, _, _)| *address);
    found
        .into_iter()
        .map(|(address, _, name)| (address, name))
        .collect()
}

fn is_code<'a>(elf: &ElfFile64<'a>, symbol: &impl ObjectSymbol<'a>) -> bool {
    let section = symbol
        .section_index()
        .and_then(|index| elf.section_by_index(index).ok());
    section.is_some_and(|section| match section.flags() {
        SectionFlags::Elf { sh_flags } => sh_flags & u64::from(object::elf::SHF_EXECINSTR) != 0,
        _ => false,
    })
}

fn encode(functions: &[(u64, String)]) -> Vec<u8> {
    let mut names: Vec<u8> = Vec::new();
    let mut known: HashMap<&str, u32> = HashMap::new();
    let mut entries: Vec<u8> = Vec::new();
    for (address, name) in functions {
        let offset = *known.entry(name).or_insert_with(|| {
            let offset = word(names.len());
            names.extend_from_slice(name.as_bytes());
            offset
        });
        entries.extend_from_slice(&address.to_le_bytes());
        entries.extend_from_slice(&offset.to_le_bytes());
        entries.extend_from_slice(&word(name.len()).to_le_bytes());
    }
    let mut table = MAGIC.to_vec();
    table.extend_from_slice(&word(functions.len()).to_le_bytes());
    table.extend_from_slice(&word(names.len()).to_le_bytes());
    table.append(&mut entries);
    table.append(&mut names);
    table
}

fn word(n: usize) -> u32 {
    u32::try_from(n).expect("a symbol table is far smaller than 4 GiB")
}

/// Shortens a long name: `f::<A>` becomes `f`, `Vec<A>` becomes `Vec<_>`; a leading
/// `<Type as Trait>` stays, because it says whose method it is.
pub(crate) fn shorten(name: &str) -> String {
    if name.len() <= LONG {
        return name.to_owned();
    }
    let mut short = match name
        .strip_prefix('<')
        .and_then(|rest| Some((rest, group_end(rest)?)))
    {
        Some((rest, end)) => {
            format!(
                "<{}>{}",
                without_generics(&rest[..end]),
                without_generics(&rest[end + 1..])
            )
        }
        None => without_generics(name),
    };
    short.truncate(short.floor_char_boundary(LONGEST));
    short
}

fn without_generics(text: &str) -> String {
    let mut short = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        let Some(end) = group_end(&rest[open + 1..]) else {
            break;
        };
        short.push_str(&rest[..open]);
        if short.ends_with("::") {
            short.truncate(short.len() - 2);
        } else {
            short.push_str("<_>");
        }
        rest = &rest[open + 1 + end + 1..];
    }
    short.push_str(rest);
    short
}

/// Offset of the `>` that closes a group opened before `text`; the one of `->` closes nothing.
fn group_end(text: &str) -> Option<usize> {
    let mut depth = 1;
    let mut previous = ' ';
    for (offset, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if previous != '-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(offset);
        }
        previous = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_stay() {
        let name = "<kernel::mutex::Mutex<u32> as core::fmt::Debug>::fmt";
        assert_eq!(shorten(name), name);
    }

    #[test]
    fn long_names_lose_generic_arguments_only() {
        assert_eq!(
            shorten(
                "<kernel::wq::Work<services::http::connection::Connection> as kernel::wq::Item>::run"
            ),
            "<kernel::wq::Work<_> as kernel::wq::Item>::run"
        );
        assert_eq!(
            shorten(
                "core::ptr::drop_in_place::<alloc::boxed::Box<dyn core::ops::Fn() -> usize, kernel::A>>"
            ),
            "core::ptr::drop_in_place"
        );
    }

    #[test]
    fn equal_names_share_their_bytes() {
        let table = encode(&[(16, "f".into()), (32, "g".into()), (48, "f".into())]);
        assert_eq!(&table[..8], MAGIC);
        assert_eq!(table[8..16], [3, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(table.len(), 16 + 3 * 16 + 2);
        assert_eq!(
            table[16..32],
            [16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
        );
        assert_eq!(table[48 + 8..64], [0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(&table[64..], b"fg");
    }
}
