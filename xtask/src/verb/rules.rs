//! `lint`'s look at the rule table: every row that the tree cites stands in `docs/rules.md`.
//!
//! A citation is a word such as E9, 7.14 or V4, in code, comments, patches and documents alike. Words
//! of other books look the same, so those after "Arm ARM" are left out, as are numbers with more dots.

use std::collections::BTreeSet;
use std::path::Path;

use crate::conformance::{self, TABLE};
use crate::{Failure, Outcome, sources, tree};

/// Letters of the table's groups.
const GROUPS: &str = "ABCDEFGHIJKMNSV";
/// Folders that cite rows.
const CITING: [&str; 5] = ["boards", "examples", "kernel", "services", "tests"];
/// Groups of numbered rows (`7.14`); others of that form are numbers.
const NUMBERED: &str = "7.";

/// Fails when a cited row is missing, or the table has a row twice.
pub fn run() -> Outcome<()> {
    let table = read(&tree::root().join(TABLE))?;
    let rows = conformance::rows(&table)?;
    let ids: BTreeSet<&str> = rows.iter().map(|r| r.id.as_str()).collect();
    let mut unknown = Vec::new();
    let rust = sources::rust_files().into_iter();
    let texts = rust
        .filter(|(path, _)| CITING.iter().any(|f| path.starts_with(f)))
        .chain(others("tests/sim/bugs", "patch")?)
        .chain(others("docs", "md")?);
    for (path, text) in texts {
        for (line, n) in text.lines().zip(1..) {
            let bad = cited(line).filter(|id| !ids.contains(*id));
            unknown.extend(bad.map(|id| format!("{}:{n} cites {id}", path.display())));
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "rows that {TABLE} does not have:\n  {}",
        unknown.join("\n  ")
    )))
}

/// The rows a line cites.
fn cited(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_');
    let words = words.scan("", |before, word| {
        let other_book = *before == "ARM";
        *before = word;
        Some(if other_book {
            ""
        } else {
            word.trim_matches('.')
        })
    });
    words.filter(|w| {
        let digits = |s: &str| matches!(s.len(), 1 | 2) && s.bytes().all(|b| b.is_ascii_digit());
        let lettered = w.starts_with(|c| GROUPS.contains(c)) && digits(&w[1..]);
        lettered || w.strip_prefix(NUMBERED).is_some_and(digits)
    })
}

/// The files of `folder` that end in `.extension`, without the table.
fn others(folder: &str, extension: &str) -> Outcome<Vec<(std::path::PathBuf, String)>> {
    let unreadable = |e| Failure::failed(format!("{folder}: {e}"));
    let entries = std::fs::read_dir(tree::root().join(folder)).map_err(unreadable)?;
    let paths = entries.flatten().map(|e| e.path());
    paths
        .filter(|p| p.extension().is_some_and(|e| e == extension) && !p.ends_with(TABLE))
        .map(|p| read(&p).map(|text| (p.strip_prefix(tree::root()).unwrap_or(&p).into(), text)))
        .collect()
}

fn read(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cited_row_is_in_the_table() {
        run().expect("docs/rules.md has them all");
    }

    #[test]
    fn rows_are_told_from_other_words() {
        let of = |line| cited(line).collect::<Vec<_>>();
        assert_eq!(
            of("(E9, 7.5): B4/C5, D2-D6."),
            ["E9", "7.5", "B4", "C5", "D2", "D6"]
        );
        assert_eq!(
            of("Arm ARM D12, D19.2, EL1, X29, QEMU 8.2, 17.25 ms, a_E9"),
            [""; 0]
        );
    }
}
