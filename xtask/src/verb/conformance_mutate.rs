//! `conformance --mutate`: a broken kernel for each row, and whether the row's own scenarios notice.
//!
//! The broken kernels are the catalogue of `tests/sim/bugs`; a patch names the rows it breaks before the
//! colon of its line `Rule:`. Where `cargo xtask bugs` asks whether anything finds the bug, this asks
//! the scenarios of the row alone, so that a row is not held by its neighbours' tests only. A
//! row without a bug is told: nobody knows whether its tests can fail.

use std::collections::BTreeMap;

use crate::bugs::{self, Bug};
use crate::conformance::Row;
use crate::verb::bugs_hunt::{break_tree, hunt, prepare};
use crate::{Failure, Outcome};

/// What a row's scenarios said to one bug.
struct Finding {
    bug: String,
    caught: Option<String>,
}

/// Hunts the bugs of `rows` and prints the table; the exit code says whether each row has a bug that
/// its scenarios catch.
pub(super) fn run(rows: &[&Row]) -> Outcome<u8> {
    let all = bugs::all()?;
    let mut findings = BTreeMap::<&str, Vec<Finding>>::new();
    let (room, copy) = prepare()?;
    for bug in &all {
        let broken: Vec<_> = rows.iter().filter(|r| breaks(bug, &r.id)).collect();
        if broken.is_empty() {
            continue;
        }
        let program = break_tree(bug, &copy, &room)?;
        for row in broken {
            let hunt = hunt(&program, &copy, std::slice::from_ref(&row.id))?;
            let caught = hunt.caught.map(|_| hunt.scenario);
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
        "\n{caught} of {} rows have a broken kernel that their scenarios catch",
        rows.len()
    );
    match bad {
        true => Err(Failure::failed(
            "rows whose tests nobody has seen fail are above",
        )),
        false => Ok(0),
    }
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
            file: "x".into(),
        };
        assert!(breaks(&bug("B4, C6: never twice"), "C6"));
        assert!(!breaks(&bug("B4, C6: as E2 says"), "E2"));
        assert!(!breaks(&bug("lost wake-up"), "E2"));
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
