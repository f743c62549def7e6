//! From source to the flat image: `cargo build`, then ELF → `roundtable.img`.
//!
//! The flat image with the arm64 boot header is what QEMU's `-kernel` and U-Boot's `booti` both
//! start, and the only form for which QEMU passes the device tree's address in x0. The ELF stays
//! beside it for debuggers.
//!
//! Layout of the image: loadable segments from the lowest physical address, then the symbol table
//! ([`crate::symbols`]) in the room the linker script keeps for it before bss; its length goes to
//! `__symbols_bytes`. The file ends there: bss is memory only, which the entry code zeroes. The header's
//! `image_size` (bytes 16..24) reaches to the end of bss, so that whoever loads the image keeps the
//! device tree and the free memory clear of all of it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol, elf};
use serde_json::Value;

use crate::toolchain::Toolchain;
use crate::{Failure, Outcome, symbols, tell, tree};

/// End of everything the linker placed.
const END_SYMBOL: &str = "__image_end";
/// Edges of the symbol table's room.
const ROOM: [&str; 2] = ["__symbols_start", "__symbols_end"];
/// Where the table's length goes.
const TOLD: &str = "__symbols_bytes";
/// Offset and value of the magic number in the arm64 boot header.
const BOOT_MAGIC: (usize, &[u8; 4]) = (56, b"ARM\x64");
/// A larger image is a linker script gone wrong, not a kernel.
const LARGEST: u64 = 64 << 20;

/// Which package is built, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The service, optimised.
    Release,
    /// The service without release optimisation.
    Debug,
    /// The service, optimised, with types and variables for a debugger.
    Debugger,
    /// The on-target tests, optimised but with every assertion on.
    Tests,
    /// The benchmarks, optimised like the service.
    Bench,
    /// The benchmarks without any tracepoint.
    BenchUntraced,
}

impl Kind {
    fn package(self) -> &'static str {
        match self {
            Self::Release | Self::Debug | Self::Debugger => "qemu-virt",
            Self::Tests => "metal-tests",
            Self::Bench | Self::BenchUntraced => "bench",
        }
    }

    fn profile(self) -> &'static str {
        match self {
            Self::Release | Self::Bench | Self::BenchUntraced => "release",
            Self::Debug => "dev",
            Self::Debugger => "metal-debugger",
            Self::Tests => "metal-test",
        }
    }

    /// What cargo is told besides, to build this one.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::BenchUntraced => &["--features", "untraced"],
            _ => &[],
        }
    }

    fn image(self) -> &'static str {
        match self {
            Self::Release | Self::Debug | Self::Debugger => "roundtable.img",
            Self::Tests => "metal-tests.img",
            Self::Bench => "bench.img",
            Self::BenchUntraced => "bench-untraced.img",
        }
    }
}

/// A built kernel.
#[derive(Clone, Debug)]
pub struct Image {
    /// The linked kernel with debug information.
    pub elf: PathBuf,
    /// What QEMU loads.
    pub flat: PathBuf,
    /// How the bytes of `flat` came about.
    pub sizes: Sizes,
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Initialised segments, up to the symbol table.
    pub loaded: usize,
    /// The symbol table.
    pub symbols: usize,
    /// All memory it takes, up to `__image_end`: with the rest of the table's room and bss.
    pub memory: usize,
}

impl Sizes {
    /// Length of the flat image.
    pub fn whole(&self) -> usize {
        self.loaded + self.symbols
    }
}

/// Builds a kernel and its flat image.
pub fn build(kind: Kind, toolchain: &Toolchain) -> Outcome<Image> {
    let elf = compile(kind, toolchain)?;
    flatten(&elf, &elf.with_file_name(kind.image()))
}

/// Besides the target's own flags: memory may be accessed at any address (ADR 10). The compiler warns
/// of that flag in every crate, and can be silenced only altogether; `cargo xtask lint` hears what it
/// has to say of the code.
const UNALIGNED: &str = concat!(
    "target.aarch64-unknown-none-softfloat.rustflags=",
    r#"["-C", "target-feature=-strict-align", "-A", "warnings"]"#
);

/// Runs cargo and returns the executable it names.
fn compile(kind: Kind, toolchain: &Toolchain) -> Outcome<PathBuf> {
    let mut command = tree::cargo();
    toolchain.apply(&mut command);
    command
        .args([
            "build",
            "--package",
            kind.package(),
            "--profile",
            kind.profile(),
        ])
        .args(kind.arguments())
        .args([
            "--target",
            tree::METAL,
            "--message-format",
            "json-render-diagnostics",
            "--config",
            UNALIGNED,
        ])
        .stdout(Stdio::piped());
    if tell::is_quiet() {
        command.arg("--quiet");
    }
    let output = run_build(&mut command, kind)?;
    let mut executables = output
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    executables.next().ok_or_else(|| {
        Failure::failed(format!(
            "package {} has no binary for {}; it needs a [[bin]] target",
            kind.package(),
            tree::METAL
        ))
    })
}

fn run_build(command: &mut Command, kind: Kind) -> Outcome<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| Failure::missing(format!("cannot start cargo ({e}); is it on the path?")))?;
    if !output.status.success() {
        return Err(Failure::failed(format!(
            "the kernel does not build (package {}); the compiler's messages above say why",
            kind.package()
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Turns a linked kernel into a flat image at `flat`.
pub fn flatten(elf: &Path, flat: &Path) -> Outcome<Image> {
    let data = std::fs::read(elf)
        .map_err(|e| Failure::failed(format!("cannot read {}: {e}", elf.display())))?;
    let (bytes, sizes) = flat_bytes(&data).map_err(|why| {
        Failure::failed(format!("{} is no bootable kernel: {why}", elf.display()))
    })?;
    place(flat, &bytes)
        .map_err(|e| Failure::failed(format!("cannot write {}: {e}", flat.display())))?;
    Ok(Image {
        elf: elf.to_owned(),
        flat: flat.to_owned(),
        sizes,
    })
}

/// Writes a file that others may read at this moment, and other threads write: beside, and renames, so that everybody
/// sees the old or the new image, never half of one.
fn place(flat: &Path, bytes: &[u8]) -> std::io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let part = flat.with_extension(format!("part{}-{number}", std::process::id()));
    std::fs::write(&part, bytes)?;
    std::fs::rename(&part, flat)
}

fn flat_bytes(data: &[u8]) -> Result<(Vec<u8>, Sizes), String> {
    let file = ElfFile64::<Endianness>::parse(data).map_err(|e| e.to_string())?;
    let endian = file.endian();
    let loads: Vec<_> = file
        .elf_program_headers()
        .iter()
        .filter(|s| s.p_type(endian) == elf::PT_LOAD)
        .collect();
    let base = loads
        .iter()
        .filter(|s| s.p_memsz(endian) > 0)
        .map(|s| s.p_paddr(endian))
        .min()
        .ok_or("it has no loadable segment")?;
    let at = |name| address_of(name, &file, &loads);
    let end = at(END_SYMBOL)?;
    if end <= base || end - base > LARGEST {
        return Err(format!(
            "{END_SYMBOL} lies at {end:#x}, the first segment at {base:#x}"
        ));
    }
    let mut image = Vec::new();
    for segment in &loads {
        let content = segment
            .data(endian, data)
            .map_err(|()| "a segment lies outside the file")?;
        if content.is_empty() {
            continue;
        }
        let start = to_usize(segment.p_paddr(endian) - base)?;
        let stop = start + content.len();
        if stop as u64 > end - base {
            return Err(format!("a segment reaches beyond {END_SYMBOL}"));
        }
        if image.len() < stop {
            image.resize(stop, 0);
        }
        image[start..stop].copy_from_slice(content);
    }
    let offset = |name| to_usize(at(name)?.wrapping_sub(base));
    let room = offset(ROOM[0])?..offset(ROOM[1])?;
    let table = symbols::table(&file);
    add_table(&mut image, room.clone(), offset(TOLD)?, &table)?;
    let magic = image.get(BOOT_MAGIC.0..BOOT_MAGIC.0 + 4);
    if magic != Some(BOOT_MAGIC.1) {
        return Err("it does not start with the arm64 boot header".to_owned());
    }
    Ok((
        image,
        Sizes {
            loaded: room.start,
            symbols: table.len(),
            memory: to_usize(end - base)?,
        },
    ))
}

/// Ends the image with the symbol table, which must fit into its `room`, and puts its length to the offset `told`.
fn add_table(
    image: &mut Vec<u8>,
    room: Range<usize>,
    told: usize,
    table: &[u8],
) -> Result<(), String> {
    if table.len() > room.len() {
        return Err(format!(
            "its symbol table has {} bytes, the room for it {}: raise SYMBOLS_SIZE in the build.rs of its package",
            table.len(),
            room.len()
        ));
    }
    if image.len() > room.start || told + 8 > image.len() {
        return Err(format!(
            "its {} loadable bytes do not end before {} or hold no {TOLD}",
            image.len(),
            ROOM[0]
        ));
    }
    image[told..told + 8].copy_from_slice(&(table.len() as u64).to_le_bytes());
    image.resize(room.start, 0);
    image.extend_from_slice(table);
    Ok(())
}

/// Physical address of a symbol of the linker script.
fn address_of<P: ProgramHeader<Endian = Endianness>>(
    name: &str,
    file: &ElfFile64<'_>,
    loads: &[&P],
) -> Result<u64, String>
where
    P::Word: Into<u64>,
{
    let symbol = file
        .symbols()
        .find(|s| s.name() == Ok(name))
        .ok_or_else(|| format!("the linker script defines no {name}"))?;
    let (address, endian) = (symbol.address(), file.endian());
    // The symbol may stand exactly at the end of the last segment.
    let owner = loads.iter().find(|s| {
        let start: u64 = s.p_vaddr(endian).into();
        let size: u64 = s.p_memsz(endian).into();
        (start..=start + size).contains(&address)
    });
    Ok(owner.map_or(address, |s| {
        address - s.p_vaddr(endian).into() + s.p_paddr(endian).into()
    }))
}

fn to_usize(n: u64) -> Result<usize, String> {
    usize::try_from(n).map_err(|_| format!("{n:#x} bytes do not fit into this host's memory"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::id;

    #[test]
    fn a_table_ends_the_image_if_there_is_room_for_it() {
        let mut image = vec![1; 100];
        add_table(&mut image, 128..131, 8, b"abc").unwrap();
        assert_eq!(image.len(), 131);
        assert_eq!(image[7..17], [1, 3, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(image[99..102], [1, 0, 0]);
        assert_eq!(&image[128..], b"abc");

        let mut image = vec![1; 100];
        let why = add_table(&mut image, 128..130, 8, b"abc").unwrap_err();
        assert!(why.contains("3 bytes, the room for it 2: raise SYMBOLS_SIZE"));
        assert!(add_table(&mut image, 96..200, 8, b"abc").is_err());
        assert!(add_table(&mut image, 128..200, 96, b"abc").is_err());
        assert_eq!(image, [1; 100]);
    }

    /// Several threads make the same image at the same time, as tests do: each has a whole one, always.
    #[test]
    fn threads_that_write_one_image_do_not_meet() {
        let room = std::env::temp_dir().join(format!("image-test-{}", id()));
        std::fs::create_dir_all(&room).unwrap();
        let flat = room.join("some.img");
        let bytes = vec![7; 1 << 20];
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        place(&flat, &bytes).unwrap();
                        assert_eq!(std::fs::read(&flat).unwrap().len(), bytes.len());
                    }
                });
            }
        });
        // Nothing else is left behind.
        assert_eq!(std::fs::read_dir(&room).unwrap().count(), 1);
        std::fs::remove_dir_all(&room).unwrap();
    }
}
