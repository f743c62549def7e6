//! Addresses of a log, and the ELF that knows what is there.
//!
//! A report of the guest has an address and a function's name in each line of a backtrace. Source lines
//! are not in the image; they are in the ELF it was made of. Which of several ELFs that was is found by
//! the names: an address has the same function in both, or it is another build.

use std::collections::BTreeMap;
use std::path::Path;

use addr2line::Loader;
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection, SectionFlags};

use crate::{Failure, Outcome, symbols, tree};

/// Fewest hexadecimal digits of an address in a log; the shortest the guest prints has 16.
const DIGITS: usize = 6;

/// An address in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The address.
    pub address: u64,
    /// Function and offset that the guest wrote behind it.
    pub named: Option<(String, u64)>,
}

/// The addresses in one line of a log.
pub fn addresses(line: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("0x") {
        rest = &rest[at + 2..];
        let digits = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_hexdigit())
                .len();
        let (number, behind) = rest.split_at(digits);
        rest = behind;
        if let Ok(address) = u64::from_str_radix(number, 16)
            && digits >= DIGITS
        {
            found.push(Found {
                address,
                named: named(behind),
            });
        }
    }
    found
}

/// ` NAME+0xOFFSET`, where the name may have blanks.
fn named(behind: &str) -> Option<(String, u64)> {
    let (name, offset) = behind.strip_prefix(' ')?.rsplit_once("+0x")?;
    let end = offset.find(|c: char| !c.is_ascii_hexdigit());
    let offset = u64::from_str_radix(&offset[..end.unwrap_or(offset.len())], 16).ok()?;
    Some((name.to_owned(), offset))
}

/// A function at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its name, without the path where it was inlined.
    pub function: String,
    /// File and line.
    pub place: String,
}

/// A linked kernel that can be asked.
pub struct Elf {
    loader: Loader,
    functions: BTreeMap<u64, String>,
    code: Vec<(u64, u64)>,
}

impl std::fmt::Debug for Elf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elf").finish_non_exhaustive()
    }
}

impl Elf {
    /// Reads the ELF at `path`.
    pub fn open(path: &Path) -> Outcome<Self> {
        let no =
            |why: String| Failure::failed(format!("{} is no linked kernel: {why}", path.display()));
        let data = std::fs::read(path)
            .map_err(|e| Failure::failed(format!("cannot read {}: {e}", path.display())))?;
        let file = ElfFile64::<Endianness>::parse(&*data).map_err(|e| no(e.to_string()))?;
        let executable = |flags| match flags {
            SectionFlags::Elf { sh_flags } => sh_flags & u64::from(object::elf::SHF_EXECINSTR) != 0,
            _ => false,
        };
        let code = file.sections().filter(|s| executable(s.flags()));
        Ok(Self {
            code: code
                .map(|s| (s.address(), s.address() + s.size()))
                .collect(),
            functions: symbols::functions(&file).into_iter().collect(),
            loader: Loader::new(path).map_err(|e| no(e.to_string()))?,
        })
    }

    /// Whether this ELF has what the guest named at an address.
    pub fn agrees(&self, found: &Found) -> Option<bool> {
        let (name, offset) = found.named.as_ref()?;
        let (begin, function) = self.functions.range(..=found.address).next_back()?;
        Some(function == name && found.address - begin == *offset)
    }

    /// What is at an address of code: each function that was inlined there, innermost first.
    pub fn frames(&self, address: u64) -> Vec<Frame> {
        let in_code = |&(begin, end): &(u64, u64)| (begin..end).contains(&address);
        let mut all = Vec::new();
        if !self.code.iter().any(in_code) {
            return all;
        }
        let Ok(mut frames) = self.loader.find_frames(address) else {
            return all;
        };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame
                .function
                .and_then(|f| f.raw_name().ok().map(|n| n.into_owned()));
            let place = frame.location.map_or("?".to_owned(), |l| {
                let line = l.line.map_or(String::new(), |n| format!(":{n}"));
                format!("{}{line}", short(l.file.unwrap_or("?")))
            });
            all.push(Frame {
                function: name.map_or("?".to_owned(), |n| demangled(&n)),
                place,
            });
        }
        all
    }

    /// The function at an address by the symbol table: one that nothing was made part of, with its path.
    pub fn symbol(&self, address: u64) -> String {
        demangled(self.loader.find_symbol(address).unwrap_or("?"))
    }

    /// As [`Self::frames`], a line each.
    pub fn lines(&self, address: u64) -> Vec<String> {
        let line = |f: Frame| format!("{} ({})", f.place, f.function);
        self.frames(address).into_iter().map(line).collect()
    }
}

fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// A path as a person of this tree would write it.
fn short(path: &str) -> &str {
    let root = tree::root().to_string_lossy();
    let inside = path.strip_prefix(&*root).map(|p| p.trim_start_matches('/'));
    // The standard library's sources are named by the commit they were built from.
    let library = || path.find("/library/").map(|at| &path[at + 1..]);
    inside.or_else(library).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_with_their_names() {
        let line = "  #3  0x000000004027e2df <kernel::A as B<u8>>::f+0x3b";
        let found = addresses(line);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].address, 0x4027_e2df);
        assert_eq!(
            found[0].named,
            Some(("<kernel::A as B<u8>>::f".to_owned(), 0x3b))
        );
        assert_eq!(
            addresses("  pc 0x40001000 sp 0x40002000 syndrome 0x12").len(),
            2
        );
        for nothing in [
            "",
            "0x",
            "0x12",
            "x0 0000000040001000",
            "0xzz",
            "0x11112222333344445",
        ] {
            assert_eq!(addresses(nothing), [], "{nothing}");
        }
    }

    /// This test itself, decoded.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_address_has_its_function_and_line() {
        let this = std::env::current_exe().expect("the test's own file");
        let elf = Elf::open(&this).expect("an ELF");
        let wanted = "xtask::decode::addresses";
        let at = elf.functions.iter().find(|(_, name)| *name == wanted);
        let (&address, name) = at.expect("it is called above, and not inlined in a test");
        let lines = elf.lines(address);
        // Without types a function is known by the last of its names.
        assert!(
            lines
                .iter()
                .any(|l| l.starts_with("xtask/src/decode.rs:") && l.contains("addresses")),
            "{lines:?}"
        );
        let found = |offset| Found {
            address,
            named: Some((name.clone(), offset)),
        };
        assert_eq!(elf.agrees(&found(0)), Some(true));
        assert_eq!(elf.agrees(&found(4)), Some(false));
        assert_eq!(elf.lines(0x10), Vec::<String>::new());
    }
}
