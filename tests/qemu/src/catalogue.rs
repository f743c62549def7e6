//! The on-target tests of an image, read from the ELF: no boot is needed to list them.
//!
//! The image keeps one descriptor per test between `__ktests_start` and `__ktests_end`. Everything
//! in a descriptor but the function's address is stored in place, so no pointer has to be followed:
//!
//! ```text
//! u64 run | u32 cpus | u32 timeout_s | u32 flags | u32 0 | 56 name | 64 boot arguments | 64 last words
//! ```
//!
//! Texts are UTF-8, filled with zeroes. `tests/metal/src/registry.rs` writes this layout.

use object::read::elf::ElfFile64;
use object::{Object, ObjectSegment, ObjectSymbol};

/// Bytes of one descriptor.
const SIZE: usize = 208;
/// Flag: wants exact virtual time.
const ICOUNT: u32 = 1;
const NET: u32 = 2;
const PARTED: u32 = 4;
/// Flag: wants events and the latency anatomy.
const SEEN: u32 = 8;

/// One on-target test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelTest {
    /// Position in the image; the guest is told what to run by it.
    pub index: usize,
    /// Name such as `20_preempt_spinning_thread`.
    pub name: String,
    /// Cores it needs at least.
    pub cpus: u32,
    /// Seconds it may take, from its START line.
    pub timeout_s: u64,
    /// Runs only where virtual time counts instructions.
    pub icount: bool,
    /// Needs a network device and clients: run by the network tests.
    pub net: bool,
    /// Runs only where the cores are parted into clusters, threads and memory nodes.
    pub parted: bool,
    /// Needs events and the latency anatomy.
    pub seen: bool,
    /// Boot arguments it needs; it shares a boot with tests that need the same.
    pub bootargs: String,
    /// The guest must panic and say this; such a test has a boot of its own.
    pub dies: Option<String>,
}

/// Reads the descriptors of a linked image, in the order the guest numbers them.
pub fn read(elf: &[u8]) -> Result<Vec<KernelTest>, String> {
    let file = ElfFile64::<object::Endianness>::parse(elf).map_err(|e| e.to_string())?;
    let start = address_of(&file, "__ktests_start")?;
    let end = address_of(&file, "__ktests_end")?;
    let length = end
        .checked_sub(start)
        .ok_or("__ktests_end lies before __ktests_start")?;
    let bytes = file
        .segments()
        .find_map(|s| s.data_range(start, length).ok().flatten())
        .ok_or("the test descriptors lie in no segment")?;
    let descriptors = bytes.chunks_exact(SIZE);
    if !descriptors.remainder().is_empty() {
        return Err(format!(
            "{length} bytes of test descriptors are no multiple of {SIZE}"
        ));
    }
    descriptors
        .enumerate()
        .map(|(index, bytes)| parse(index, bytes))
        .collect()
}

fn address_of(file: &ElfFile64<'_>, name: &str) -> Result<u64, String> {
    let symbol = file.symbols().find(|s| s.name() == Ok(name));
    symbol
        .map(|s| s.address())
        .ok_or_else(|| format!("the image has no symbol {name}"))
}

fn parse(index: usize, bytes: &[u8]) -> Result<KernelTest, String> {
    let word = |at: usize| -> Result<u32, String> {
        let word = bytes.get(at..at + 4).and_then(|w| w.try_into().ok());
        word.map(u32::from_le_bytes)
            .ok_or_else(|| "short descriptor".to_owned())
    };
    let text = |at: usize, length: usize| -> Result<String, String> {
        let field = bytes.get(at..at + length).unwrap_or_default();
        let end = field.iter().position(|&b| b == 0).unwrap_or(length);
        String::from_utf8(field[..end].to_vec()).map_err(|e| format!("test {index}: {e}"))
    };
    let name = text(24, 56)?;
    if name.is_empty() {
        return Err(format!("test {index} has no name"));
    }
    Ok(KernelTest {
        index,
        name,
        cpus: word(8)?,
        timeout_s: u64::from(word(12)?),
        icount: word(16)? & ICOUNT != 0,
        net: word(16)? & NET != 0,
        parted: word(16)? & PARTED != 0,
        seen: word(16)? & SEEN != 0,
        bootargs: text(80, 64)?,
        dies: Some(text(144, 64)?).filter(|t| !t.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(name: &str, dies: &str) -> Vec<u8> {
        let mut bytes = vec![0; SIZE];
        bytes[8] = 2;
        bytes[12] = 30;
        bytes[16] = 1;
        bytes[24..24 + name.len()].copy_from_slice(name.as_bytes());
        bytes[144..144 + dies.len()].copy_from_slice(dies.as_bytes());
        bytes
    }

    #[test]
    fn a_descriptor_is_read_field_by_field() {
        let test = parse(3, &descriptor("10_x", "last words")).unwrap();
        assert_eq!((test.index, test.name.as_str(), test.cpus), (3, "10_x", 2));
        assert_eq!((test.timeout_s, test.icount), (30, true));
        assert_eq!(test.dies.as_deref(), Some("last words"));
        assert_eq!(test.bootargs, "");
    }

    #[test]
    fn a_nameless_descriptor_is_an_error() {
        assert!(parse(0, &descriptor("", "")).is_err());
    }
}
