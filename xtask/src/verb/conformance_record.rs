//! What `conformance --mutate` has found so far, so that a run that stopped goes on where it was.
//!
//! A catch stays one while its patch is the same: the tree has moved on meanwhile, and the table says so. What got
//! away is tried again on another tree, and each time where tests hunt, which may have changed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::bugs::{self, Bug};
use crate::{Failure, Outcome};

/// Stands for the tree without a bug.
const CONTROL: &str = "-";

/// What a row's tests said to a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Who caught it; `None` if it got away.
    pub(super) caught: Option<String>,
    /// It was on another tree.
    pub(super) earlier: bool,
}

/// The record: a file with one line for each pair of row and bug, the last of which counts.
pub(super) struct Record {
    file: PathBuf,
    /// Changes with all that scenarios are made of.
    tree: u64,
}

impl Record {
    /// The record in this room; without `resume` it begins anew.
    pub(super) fn open(room: &Path, tree: u64, resume: bool) -> Self {
        let file = room.join("rows.tsv");
        if !resume {
            // An absent one is as good.
            let _ = fs::remove_file(&file);
        }
        Self { file, tree }
    }

    /// Whether all scenarios are known to hold on this tree without a bug.
    pub(super) fn is_clean(&self) -> bool {
        self.find(CONTROL, 0, false).is_some()
    }

    /// They were seen to.
    pub(super) fn add_clean(&self) -> Outcome<()> {
        self.write(CONTROL, 0, None)
    }

    /// What is known of this bug and row.
    pub(super) fn of(&self, row: &str, bug: &Bug) -> Outcome<Option<Found>> {
        Ok(self.find(row, print(bug)?, bug.test.is_some()))
    }

    /// Notes who caught it, if somebody did.
    pub(super) fn add(&self, row: &str, bug: &Bug, caught: Option<&str>) -> Outcome<()> {
        self.write(row, print(bug)?, caught)
    }

    fn find(&self, row: &str, bug: u64, by_tests: bool) -> Option<Found> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let (tree, found) = text.lines().rev().find_map(|line| parse(line, row, bug))?;
        let same = tree == self.tree;
        let holds = found.is_some() || same && !by_tests;
        holds.then_some(Found {
            caught: found,
            earlier: !same,
        })
    }

    fn write(&self, row: &str, bug: u64, caught: Option<&str>) -> Outcome<()> {
        let by = caught.unwrap_or_default().replace(['\t', '\n'], " ");
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(&self.file);
        file.and_then(|mut file| writeln!(file, "{row}\t{bug:016x}\t{:016x}\t{by}", self.tree))
            .map_err(|e| Failure::failed(format!("cannot write {}: {e}", self.file.display())))
    }
}

/// Changes with the patch.
fn print(bug: &Bug) -> Outcome<u64> {
    let patch = fs::read(&bug.file)
        .map_err(|e| Failure::failed(format!("cannot read {}: {e}", bug.file.display())))?;
    Ok(bugs::mix(0, &patch))
}

/// Tree and catcher of a line of this row and bug. A line that was cut short is none.
fn parse(line: &str, row: &str, bug: u64) -> Option<(u64, Option<String>)> {
    let fields: Vec<_> = line.split('\t').collect();
    let [of, print, tree, by] = fields[..] else {
        return None;
    };
    if of != row || print != format!("{bug:016x}") {
        return None;
    }
    let tree = u64::from_str_radix(tree, 16).ok()?;
    Some((tree, Some(by.to_owned()).filter(|by| !by.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catch_stays_and_what_got_away_is_tried_on_another_tree() {
        let room = std::env::temp_dir().join(format!("record-{}", std::process::id()));
        fs::create_dir_all(&room).unwrap();
        let patch = room.join("e2-x.patch");
        fs::write(&patch, "one").unwrap();
        let mut bug = Bug {
            name: "e2-x".to_owned(),
            breaks: String::new(),
            rule: "E2: x".to_owned(),
            test: None,
            file: patch.clone(),
        };
        let first = Record::open(&room, 1, false);
        let found = |caught: Option<&str>, earlier| {
            let caught = caught.map(str::to_owned);
            Some(Found { caught, earlier })
        };
        assert!(!first.is_clean() && first.of("E2", &bug).unwrap().is_none());
        first.add_clean().unwrap();
        first.add("E2", &bug, Some("a\tscenario")).unwrap();
        first.add("E3", &bug, None).unwrap();
        assert!(first.is_clean());
        assert_eq!(
            first.of("E2", &bug).unwrap(),
            found(Some("a scenario"), false)
        );
        assert_eq!(first.of("E3", &bug).unwrap(), found(None, false));
        let other = Record::open(&room, 2, true);
        assert!(!other.is_clean(), "of another tree");
        assert_eq!(
            other.of("E2", &bug).unwrap(),
            found(Some("a scenario"), true)
        );
        assert_eq!(other.of("E3", &bug).unwrap(), None);
        // Tests may have changed without the tree of the scenarios.
        bug.test = Some(("kernel".to_owned(), "e3_".to_owned()));
        assert_eq!(first.of("E3", &bug).unwrap(), None);
        // Another patch is another bug.
        fs::write(&patch, "two").unwrap();
        assert_eq!(first.of("E2", &bug).unwrap(), None);
        let anew = Record::open(&room, 1, false);
        assert!(!anew.is_clean());
        fs::remove_dir_all(&room).unwrap();
    }

    #[test]
    fn half_a_line_is_none() {
        let line = "E2\t0000000000000007\t0000000000000001\tby";
        assert_eq!(parse(line, "E2", 7), Some((1, Some("by".to_owned()))));
        assert_eq!(parse(&line[..30], "E2", 7), None);
        assert_eq!(parse(line, "E3", 7), None);
        assert_eq!(parse(line, "E2", 8), None);
    }
}
