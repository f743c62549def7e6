//! `conformance --mutate`: a broken kernel for each row, and whether the row's own tests notice.
//!
//! The broken kernels are the patches of `tests/sim/rows` and `tests/sim/bugs`; a patch names the rows it
//! breaks before the colon of its line `Rule:`. Where `cargo xtask bugs` asks whether anything finds the
//! bug, this asks the scenarios of the row alone, or the tests that the patch names, so that a row is not
//! held by its neighbours' tests only. A row without a bug is told: nobody knows whether its tests can fail.

use std::collections::BTreeMap;
use std::path::Path;

use crate::bugs::{self, Bug};
use crate::conformance::Row;
use crate::verb::bugs_hunt::{break_tree, hunt, prepare};
use crate::{Failure, Outcome, tree};

/// What a row's scenarios said to one bug.
struct Finding {
    bug: String,
    caught: Option<String>,
}

/// Hunts the bugs of `rows` and prints the table; the exit code says whether each row has a bug that
/// its scenarios catch.
pub(super) fn run(rows: &[&Row]) -> Outcome<u8> {
    let mut all = bugs::of_rows()?;
    all.extend(bugs::all()?);
    let mut findings = BTreeMap::<&str, Vec<Finding>>::new();
    let (room, copy) = prepare()?;
    for bug in &all {
        let broken: Vec<_> = rows.iter().filter(|r| breaks(bug, &r.id)).collect();
        if broken.is_empty() {
            continue;
        }
        let program = match bug.test {
            Some(_) => None,
            None => Some(break_tree(bug, &copy, &room)?),
        };
        for row in broken {
            let caught = match (&program, &bug.test) {
                (Some(program), _) => {
                    let hunt = hunt(program, &copy, std::slice::from_ref(&row.id))?;
                    hunt.caught.map(|_| hunt.scenario)
                }
                (None, Some(test)) => fails(bug, test, &copy, &room)?,
                (None, None) => None,
            };
            println!("{} {} ... {}", row.id, bug.name, word(caught.as_deref()));
            let bug = bug.name.clone();
            findings
                .entry(&row.id)
                .or_default()
                .push(Finding { bug, caught });
        }
    }
    let (caught, bad) = table(rows, &findings);
    println!(
        "\n{caught} of {} rows have a broken kernel that their tests catch",
        rows.len()
    );
    match bad {
        true => Err(Failure::failed(
            "rows whose tests nobody has seen fail are above",
        )),
        false => Ok(0),
    }
}

/// Applies the bug and runs the tests it names: what failed, if any did. They must build, and there
/// must be some: a package that does not build proves nothing.
fn fails(
    bug: &Bug,
    (package, filter): &(String, String),
    copy: &Path,
    room: &Path,
) -> Outcome<Option<String>> {
    bugs::refresh(copy)?;
    bugs::apply(bug, copy, false)?;
    let run = |arguments: &[&str]| {
        let mut command = tree::cargo();
        command
            .current_dir(copy)
            .env("CARGO_TARGET_DIR", room.join("build"))
            .env("RUSTFLAGS", "-A warnings")
            .args(["test", "-q", "--no-fail-fast", "-p", package])
            .args(arguments);
        command.output().map_err(|e| {
            let what = format!("cannot start cargo ({e}); is it on the path?");
            Failure::missing(what)
        })
    };
    if !run(&["--no-run"])?.status.success() {
        return Err(Failure::failed(format!("{} does not build", bug.name)));
    }
    let told = run(&["--", filter])?;
    let text = String::from_utf8_lossy(&told.stdout);
    let failed = text.lines().filter_map(failures).sum::<u32>();
    Ok((failed > 0).then(|| format!("{failed} tests of {package} ({filter})")))
}

/// How many tests failed, of a line in which a test program sums up.
fn failures(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once("test result: ")?;
    let (_, rest) = rest.split_once(" passed; ")?;
    rest.split_once(" failed")?.0.parse().ok()
}

/// Whether the bug's patch says that it breaks this row.
fn breaks(bug: &Bug, row: &str) -> bool {
    let rows = bug.rule.split(':').next().unwrap_or_default();
    rows.split(", ").any(|r| r == row)
}

fn word(caught: Option<&str>) -> String {
    caught.map_or_else(|| "NOT CAUGHT".to_owned(), |by| format!("caught by {by}"))
}

/// Prints each row's bugs; how many rows are held, and whether any is not.
fn table(rows: &[&Row], findings: &BTreeMap<&str, Vec<Finding>>) -> (usize, bool) {
    let mut held = 0;
    println!("\n{:<4} broken kernels", "row");
    for row in rows {
        let found = findings.get(row.id.as_str()).map_or(&[][..], Vec::as_slice);
        held += usize::from(found.iter().any(|f| f.caught.is_some()));
        if found.is_empty() {
            println!("{:<4} none", row.id);
        }
        for (n, f) in found.iter().enumerate() {
            let id = if n == 0 { row.id.as_str() } else { "" };
            println!("{id:<4} {:<44} {}", f.bug, word(f.caught.as_deref()));
        }
    }
    (held, held < rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bugs_name_their_rows_before_the_colon() {
        let bug = |rule: &str| Bug {
            name: "01-x".to_owned(),
            breaks: String::new(),
            rule: rule.to_owned(),
            test: None,
            file: "x".into(),
        };
        assert!(breaks(&bug("B4, C6: never twice"), "C6"));
        assert!(!breaks(&bug("B4, C6: as E2 says"), "E2"));
        assert!(!breaks(&bug("lost wake-up"), "E2"));
    }

    #[test]
    fn failed_tests_are_counted() {
        let line = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured";
        assert_eq!(failures(line), Some(2));
        assert_eq!(failures("test result: ok. 3 passed; 0 failed; 0"), Some(0));
        assert_eq!(failures("running 2 tests"), None);
    }

    #[test]
    fn rows_without_a_catch_are_counted_out() {
        let row = |id: &str| Row {
            id: id.to_owned(),
            tier: 'M',
            rule: String::new(),
            observable: String::new(),
        };
        let (e2, e3) = (row("E2"), row("E3"));
        let finding = |caught: Option<&str>| Finding {
            bug: "01-x".to_owned(),
            caught: caught.map(str::to_owned),
        };
        let mut findings = BTreeMap::from([("E2", vec![finding(None), finding(Some("s"))])]);
        assert_eq!(table(&[&e2, &e3], &findings), (1, true));
        findings.insert("E3", vec![finding(Some("t"))]);
        assert_eq!(table(&[&e2, &e3], &findings), (2, false));
    }
}
