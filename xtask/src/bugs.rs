//! The catalogues of seeded bugs, and the copy of the tree they are applied to: those under
//! `tests/sim/bugs`, which the whole sweep must find, and those under `tests/sim/rows`, a broken kernel for
//! each row of the rule table, which that row's own tests must find.
//!
//! A patch begins with a sentence about what it breaks and a line `Rule:` that says what should
//! notice; a line `Test: PACKAGE FILTER` names the tests of a row that no scenario stands for. The tree of the person who runs this is never touched: `git apply` works on a copy below
//! the target directory, which is kept from one bug to the next so that builds are incremental.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, Outcome, tree};

/// Where the patches are, from the workspace root.
const FOLDER: &str = "tests/sim/bugs";
/// Where those are that break one row each.
const ROWS: &str = "tests/sim/rows";

/// One bug of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bug {
    /// File name without extension, such as `07-mutex-hand-over-lost`.
    pub name: String,
    /// What it breaks, on one line.
    pub breaks: String,
    /// The rule that should see it.
    pub rule: String,
    /// The tests that should see it, as package and filter, where it is not scenarios.
    pub test: Option<(String, String)>,
    /// The patch.
    pub file: PathBuf,
}

/// All bugs, in order of their numbers.
pub fn all() -> Outcome<Vec<Bug>> {
    let bugs = read(FOLDER)?;
    let numbered = |b: &&Bug| {
        let number = b.name.split_once('-').map_or("", |(n, _)| n);
        number.len() != 2 || number.parse::<u8>().is_err()
    };
    match bugs.iter().find(numbered) {
        Some(b) => Err(b.wrong("should begin with a number of two digits")),
        None => Ok(bugs),
    }
}

/// The broken kernels of rows, in the order of their names, which begin with the row's.
pub fn of_rows() -> Outcome<Vec<Bug>> {
    let bugs = read(ROWS)?;
    let strange = |b: &&Bug| {
        let id = b.name.split_once('-').map_or("", |(id, _)| id);
        let rows = b.rule.split(':').next().unwrap_or_default();
        !rows.split(", ").any(|r| r.eq_ignore_ascii_case(id))
    };
    match bugs.iter().find(strange) {
        Some(b) => Err(b.wrong("should begin with a row that its line `Rule:` names")),
        None => Ok(bugs),
    }
}

fn read(folder: &str) -> Outcome<Vec<Bug>> {
    let folder = tree::root().join(folder);
    let entries = fs::read_dir(&folder)
        .map_err(|e| Failure::failed(format!("cannot read {}: {e}", folder.display())))?;
    let mut bugs = Vec::new();
    for file in entries.flatten().map(|e| e.path()) {
        if file.extension().is_some_and(|e| e == "patch") {
            let text = fs::read_to_string(&file)
                .map_err(|e| Failure::failed(format!("cannot read {}: {e}", file.display())))?;
            bugs.push(parse(&file, &text)?);
        }
    }
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bugs)
}

fn parse(file: &Path, text: &str) -> Outcome<Bug> {
    let wrong = |what: &str| Failure::failed(format!("{} {what}", file.display()));
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let (head, _) = text
        .split_once("\n--- ")
        .ok_or_else(|| wrong("holds no patch"))?;
    let (breaks, rule) = head
        .split_once("\nRule: ")
        .ok_or_else(|| wrong("has no line `Rule: ...`"))?;
    let (rule, test) = match rule.split_once("\nTest: ") {
        Some((rule, test)) => {
            let words = test.trim().split_once(' ');
            let (package, filter) = words.ok_or_else(|| wrong("has no `Test: PACKAGE FILTER`"))?;
            (rule, Some((package.to_owned(), filter.to_owned())))
        }
        None => (rule, None),
    };
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (breaks, rule) = (one_line(breaks), one_line(rule));
    if breaks.is_empty() || rule.is_empty() {
        return Err(wrong("should say what it breaks and which rule sees it"));
    }
    let (name, file) = (name.into_owned(), file.to_owned());
    Ok(Bug {
        name,
        breaks,
        rule,
        test,
        file,
    })
}

impl Bug {
    fn wrong(&self, what: &str) -> Failure {
        Failure::failed(format!("{} {what}", self.file.display()))
    }

    /// The package it breaks: bugs of one package follow each other, so that those below it are not
    /// built anew each time.
    #[must_use]
    pub fn package(&self) -> String {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let path = text.lines().find_map(|l| l.strip_prefix("+++ b/"));
        let parts = path.unwrap_or_default().split('/').take(2);
        parts.collect::<Vec<_>>().join("/")
    }
}

/// Applies the bug's patch to the tree at `root`, or with `check` only tries to.
pub fn apply(bug: &Bug, root: &Path, check: bool) -> Outcome<()> {
    let mut command = Command::new("git");
    command.current_dir(root).arg("apply");
    if check {
        command.arg("--check");
    }
    // A copy below another repository must not be taken for a part of that one.
    command.env("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(root));
    let output = command
        .arg(&bug.file)
        .output()
        .map_err(|e| Failure::missing(format!("cannot start git ({e}); is it on the path?")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{} does not apply any more; mend the patch: {}",
        bug.name,
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

/// Makes the files below `copy` those of the workspace; what is equal keeps its time of change. The
/// result changes with anything that a hunt depends on.
pub fn refresh(copy: &Path) -> Outcome<u64> {
    let output = Command::new("git")
        .current_dir(tree::root())
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output()
        .map_err(|e| Failure::missing(format!("cannot start git ({e}); is it on the path?")))?;
    let list = String::from_utf8_lossy(&output.stdout);
    let wanted: BTreeSet<PathBuf> = list
        .split('\0')
        .map(PathBuf::from)
        .filter(|p| tree::root().join(p).is_file())
        .collect();
    if wanted.is_empty() {
        return Err(Failure::failed(
            "`git ls-files` names no file; is this a git checkout?",
        ));
    }
    let fail = |e: std::io::Error| Failure::failed(format!("cannot copy the tree: {e}"));
    let mut print = 0;
    for path in &wanted {
        let (from, to) = (tree::root().join(path), copy.join(path));
        let bytes = fs::read(from).map_err(fail)?;
        if is_hunted(path) {
            print = mix(mix(print, path.as_os_str().as_encoded_bytes()), &bytes);
        }
        if fs::read(&to).is_ok_and(|old| old == bytes) {
            continue;
        }
        fs::create_dir_all(to.parent().unwrap_or(copy)).map_err(fail)?;
        fs::write(to, bytes).map_err(fail)?;
    }
    remove_others(copy, copy, &wanted).map_err(fail)?;
    Ok(print)
}

/// Whether the simulator's program is made of this file.
fn is_hunted(path: &Path) -> bool {
    const PARTS: [&str; 5] = [
        "kernel",
        "services",
        "boards/sim",
        "tests/sim/src",
        "tests/sim/examples",
    ];
    let no_code = path.extension().is_some_and(|e| e == "md");
    let top = path.components().count() == 1;
    !no_code && (top || PARTS.iter().any(|part| path.starts_with(part)))
}

/// FNV-1a, going on from `print`: the standard library's hashers promise no fixed value.
#[must_use]
pub fn mix(print: u64, bytes: &[u8]) -> u64 {
    let start = print ^ 0xcbf2_9ce4_8422_2325;
    let step = |h: u64, byte: &u8| (h ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(start, step)
}

fn remove_others(folder: &Path, copy: &Path, wanted: &BTreeSet<PathBuf>) -> std::io::Result<()> {
    for path in fs::read_dir(folder)?.flatten().map(|e| e.path()) {
        if path.is_dir() {
            remove_others(&path, copy, wanted)?;
        } else if !path.strip_prefix(copy).is_ok_and(|p| wanted.contains(p)) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_says_what_it_breaks_and_still_applies() {
        let bugs = all().unwrap();
        assert!(bugs.len() >= 20, "only {} bugs", bugs.len());
        let numbers: BTreeSet<_> = bugs.iter().map(|b| &b.name[..2]).collect();
        assert_eq!(numbers.len(), bugs.len(), "two bugs share a number");
        let rows = of_rows().unwrap();
        assert!(
            rows.len() >= 50,
            "only {} broken kernels of rows",
            rows.len()
        );
        let stale: Vec<_> = bugs
            .iter()
            .chain(&rows)
            .filter_map(|b| apply(b, tree::root(), true).err())
            .map(|failure| failure.message)
            .collect();
        assert!(stale.is_empty(), "{}", stale.join("\n"));
    }

    #[test]
    fn heads_are_read_and_demanded() {
        let file = Path::new("x/07-a-bug.patch");
        let bug = parse(file, "Breaks\nthis.\nRule: E2: that\n\n--- a/f\n+++ b/f\n").unwrap();
        assert_eq!(bug.name, "07-a-bug");
        assert_eq!((&*bug.breaks, &*bug.rule), ("Breaks this.", "E2: that"));
        for bad in [
            "",
            "Breaks\n\n--- a/f\n",
            "Breaks\nRule: E2\n",
            "\nRule: x\n--- a/f\n",
        ] {
            assert!(parse(file, bad).is_err(), "{bad:?}");
        }
        let text = "B\nRule: E2: that\nTest: sched e2_ e3_\n\n--- a/f\n";
        let bug = parse(file, text).unwrap();
        let test = bug.test.expect("it names tests");
        assert_eq!(
            (&*bug.rule, &*test.0, &*test.1),
            ("E2: that", "sched", "e2_ e3_")
        );
        assert!(parse(file, "B\nRule: E2: that\nTest: sched\n\n--- a/f\n").is_err());
    }

    #[test]
    fn patch_that_does_not_fit_is_a_failure_with_its_name() {
        let folder = std::env::temp_dir().join(format!("bugs-test-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("01-stale.patch");
        let text = "B\nRule: x\n\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-old\n+new\n";
        fs::write(&file, text).unwrap();
        fs::write(folder.join("f"), "other\n").unwrap();
        let bug = parse(&file, text).unwrap();
        let stale = apply(&bug, &folder, false);
        fs::write(folder.join("f"), "old\n").unwrap();
        let fits = apply(&bug, &folder, false);
        let now = fs::read_to_string(folder.join("f"));
        fs::remove_dir_all(&folder).unwrap();
        assert!(stale.is_err_and(|f| f.message.contains("01-stale")));
        assert!(fits.is_ok());
        assert_eq!(now.unwrap(), "new\n");
    }
}
