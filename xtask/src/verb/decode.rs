//! `decode LOG`: a log with source lines below each address.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::decode::{self, Elf, Found};
use crate::{Failure, Outcome, tell, tree};

/// Where the images that this tool builds are, below the target directory and the target's name.
const ELVES: [&str; 5] = [
    "release/qemu-virt",
    "metal-debugger/qemu-virt",
    "debug/qemu-virt",
    "metal-test/metal-tests",
    "release/bench",
];

/// What `decode` is asked for.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// The log; - reads the standard input
    pub log: PathBuf,
    /// The linked kernel that wrote it (found among the built ones if not given)
    #[arg(long, value_name = "FILE")]
    pub elf: Option<PathBuf>,
}

/// Prints the log, and below each line what is at its addresses.
pub fn run(options: &Options) -> Outcome<u8> {
    let text = read(&options.log)?;
    let found: Vec<Found> = text.lines().flat_map(decode::addresses).collect();
    let elf = match &options.elf {
        Some(path) => Elf::open(path)?,
        None => find(&found)?,
    };
    let (right, wrong) = agreement(&elf, &found);
    if wrong > 0 {
        tell::say(&format!(
            "{wrong} of {} names in the log are not those of this ELF: it is of another build, and lines may be wrong",
            right + wrong
        ));
    }
    print!("{}", annotated(&text, &elf));
    Ok(0)
}

fn read(path: &Path) -> Outcome<String> {
    let mut bytes = Vec::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().lock().read_to_end(&mut bytes).map(drop),
        _ => std::fs::read(path).map(|b| bytes = b),
    };
    read.map_err(|e| Failure::usage(format!("cannot read the log {}: {e}", path.display())))?;
    // A console may have said anything.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How many of the names that the guest wrote are right and wrong.
fn agreement(elf: &Elf, found: &[Found]) -> (usize, usize) {
    let judged = found.iter().filter_map(|f| elf.agrees(f));
    judged.fold((0, 0), |(right, wrong), ok| match ok {
        true => (right + 1, wrong),
        false => (right, wrong + 1),
    })
}

/// The ELF among the built ones that has the names of the log.
fn find(found: &[Found]) -> Outcome<Elf> {
    let dir = tree::target_dir()?.join(tree::METAL);
    let built = ELVES
        .iter()
        .filter_map(|name| Elf::open(&dir.join(name)).ok());
    let best = built
        .map(|elf| (agreement(&elf, found).0, elf))
        .max_by_key(|(right, _)| *right);
    let named = found.iter().filter(|f| f.named.is_some()).count();
    match best {
        Some((right, elf)) if right > 0 || named == 0 => Ok(elf),
        Some(_) => Err(Failure::failed(
            "no built image has the functions of this log where it has them; build the commit that wrote it, \
             or name its ELF with --elf FILE",
        )),
        None => Err(Failure::missing(
            "no image is built; `cargo run -- --dry-run` builds it, or name an ELF with --elf FILE",
        )),
    }
}

/// The log with what is at its addresses.
pub fn annotated(text: &str, elf: &Elf) -> String {
    let mut out = String::new();
    for line in text.lines() {
        out.push_str(line.trim_end_matches('\r'));
        out.push('\n');
        let indent = line.len() - line.trim_start().len() + 6;
        for found in decode::addresses(line) {
            for at in elf.lines(found.address) {
                out.push_str(&format!("{:indent$}{at}\n", ""));
            }
        }
    }
    out
}
