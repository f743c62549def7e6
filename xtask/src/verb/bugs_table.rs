//! The table of seeded bugs in docs/testing.md: its rows, what `--bless` writes, what is stale.

use std::collections::BTreeMap;
use std::fs;

use super::bugs_hunt::Hunt;
use crate::bugs::Bug;
use crate::{Failure, Outcome, tree};

/// Where the table is.
const DOCUMENT: &str = "docs/testing.md";
const BEGIN: &str = "<!-- bugs: begin -->";
const END: &str = "<!-- bugs: end -->";
/// In the row of a bug that nobody has hunted.
const WAITS: &str = "*not hunted yet*";
/// Begins the line about the sweep of the tree without a bug.
const SWEEP: &str = "Without a bug the sweep ran";
const HEAD: &str = "| Bug | What it breaks | Rule | How | Caught by | Worlds | On |\n\
                    | --- | --- | --- | --- | --- | --- | --- |\n";

/// One line of the table; `on` is the commit it was hunted on.
pub(super) fn row(bug: &Bug, hunt: &Hunt, on: &str) -> String {
    let caught = match &hunt.caught {
        Some(what) => format!("{} (*{}*)", short(what), hunt.scenario),
        None if hunt.silent => "**not caught**: it hangs".to_owned(),
        None => "**not caught**".to_owned(),
    };
    format!(
        "{} {} | {} | {} | {on} |",
        begin(bug),
        hunt.caught.as_deref().map_or("", manner),
        cell(&caught),
        hunt.worlds
    )
}

/// What a row says of the patch, before what it says of the hunt.
fn begin(bug: &Bug) -> String {
    let (breaks, rule) = (cell(&bug.breaks), cell(&bug.rule));
    format!("| `{}` | {breaks} | {rule} |", bug.name)
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Who noticed: an oracle, an assertion of the kernel or of the scenario, a limit, or the host.
fn manner(caught: &str) -> &'static str {
    let begins = |heads: &[&str]| heads.iter().any(|head| caught.starts_with(head));
    if begins(&["violation", "deadlock", "livelock"]) {
        "oracle"
    } else if begins(&["too many points", "too much virtual time"]) {
        "limit"
    } else if begins(&["exit", "panic"]) {
        "assertion"
    } else {
        "crash"
    }
}

/// The beginning of a long message.
fn short(text: &str) -> String {
    const LONGEST: usize = 140;
    let text = text.trim();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Writes these rows, and how large the sweep without a bug was.
pub(super) fn bless(
    all: &[Bug],
    rows: &BTreeMap<String, String>,
    worlds: Option<u64>,
) -> Outcome<()> {
    let file = tree::root().join(DOCUMENT);
    let text = read()?;
    let new = with_rows(&text, all, rows, worlds)
        .ok_or_else(|| Failure::failed(format!("{DOCUMENT} has no lines `{BEGIN}`, `{END}`")))?;
    fs::write(&file, new).map_err(|e| Failure::failed(format!("cannot write {DOCUMENT}: {e}")))
}

fn read() -> Outcome<String> {
    fs::read_to_string(tree::root().join(DOCUMENT))
        .map_err(|e| Failure::failed(format!("cannot read {DOCUMENT}: {e}")))
}

/// The document with these rows in its table; rows of bugs that were not hunted now stay.
fn with_rows(
    text: &str,
    all: &[Bug],
    rows: &BTreeMap<String, String>,
    worlds: Option<u64>,
) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    let mut table = String::from(HEAD);
    let (mut caught, mut counts) = (0, BTreeMap::<String, usize>::new());
    for bug in all {
        let begin = begin(bug);
        // A patch whose words have changed was not hunted as it is now.
        let kept = old.lines().find(|l| l.starts_with(&begin));
        let known = rows.get(&bug.name).map(String::as_str).or(kept);
        let row = known.map_or_else(|| format!("{begin} {WAITS} | | | |"), str::to_owned);
        if !row.contains(WAITS) {
            caught += usize::from(is_caught(&row));
            *counts.entry(commit(&row).to_owned()).or_default() += 1;
        }
        table.push_str(&row);
        table.push('\n');
    }
    let hunted: usize = counts.values().sum();
    let on = counts.iter().map(|(on, n)| format!("{n} on `{on}`"));
    let on = on.collect::<Vec<_>>().join(", ");
    let n = all.len();
    // Without a sweep of its own a run leaves what the last one said.
    let last = |line: &str| line.contains(SWEEP).then(|| line.to_owned());
    let sweep = worlds
        .map(|n| format!("{SWEEP} {n} worlds and found nothing."))
        .or_else(|| old.lines().find_map(last))
        .unwrap_or_default();
    let said = format!(
        "{n} bugs, {hunted} hunted, {caught} caught. By commit: {}.\n{sweep}",
        on
    );
    Some(format!("{before}{BEGIN}\n{said}\n\n{table}{END}{after}"))
}

fn is_caught(row: &str) -> bool {
    !row.contains("**not caught**")
}

/// The last cell: the commit.
fn commit(row: &str) -> &str {
    row.trim_end_matches(" |")
        .rsplit(" | ")
        .next()
        .unwrap_or("")
}

/// What is wrong with the table, if anything is.
pub(super) fn stale_rows(all: &[Bug]) -> Outcome<Vec<String>> {
    Ok(stale(&read()?, all))
}

/// What is wrong with the table of `text`, if anything is.
fn stale(text: &str, all: &[Bug]) -> Vec<String> {
    let table = text.split_once(BEGIN).and_then(|(_, t)| t.split_once(END));
    let Some((table, _)) = table else {
        return vec![format!("{DOCUMENT} has no table of bugs")];
    };
    let mut rows: Vec<&str> = table.lines().filter(|l| l.starts_with("| `")).collect();
    let mut wrong = Vec::new();
    for bug in all {
        let name = format!("| `{}` |", bug.name);
        match rows.iter().position(|r| r.starts_with(&name)) {
            None => wrong.push(format!("{} has no row", bug.name)),
            Some(n) => {
                let row = rows.remove(n);
                if !row.starts_with(&begin(bug)) {
                    wrong.push(format!("{} has a row of other words", bug.name));
                } else if !is_caught(row) {
                    wrong.push(format!("{} was not caught", bug.name));
                }
            }
        }
    }
    wrong.extend(rows.iter().map(|r| format!("a row without a patch: {r}")));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bug(name: &str) -> Bug {
        Bug {
            name: name.to_owned(),
            breaks: "It breaks.".to_owned(),
            rule: "E2".to_owned(),
            test: None,
            file: name.into(),
        }
    }

    fn caught(what: &str) -> Hunt {
        Hunt {
            worlds: 12,
            scenario: "queue storm".to_owned(),
            seed: 3,
            caught: Some(what.to_owned()),
            silent: false,
        }
    }

    #[test]
    fn every_patch_has_its_row_and_every_row_its_patch() {
        let wrong = stale_rows(&crate::bugs::all().unwrap()).unwrap();
        assert!(
            wrong.is_empty(),
            "`cargo xtask bugs NAME --bless` hunts one and writes its row, `--list --bless` only the row:\n{}",
            wrong.join("\n")
        );
    }

    #[test]
    fn stale_rows_are_seen() {
        let hunt = caught("deadlock");
        let (a, b) = (bug("01-x"), bug("02-y"));
        let text = |rows: &[String]| format!("{BEGIN}\n{HEAD}{}\n{END}", rows.join("\n"));
        let rows = [row(&a, &hunt, "abc"), row(&b, &hunt, "abc")];
        let all = [a.clone(), b.clone()];
        assert_eq!(stale(&text(&rows), &all), Vec::<String>::new());
        assert_eq!(stale(&text(&rows[..1]), &all).len(), 1, "no row");
        assert_eq!(stale(&text(&rows), &all[..1]).len(), 1, "no patch");
        let missed = row(&b, &Hunt::default(), "abc");
        assert_eq!(stale(&text(&[rows[0].clone(), missed]), &all).len(), 1);
        let mut other = b;
        other.rule = "E3".to_owned();
        assert_eq!(stale(&text(&rows), &[a, other]).len(), 1, "other words");
        assert_eq!(stale("no table", &[]).len(), 1);
    }

    #[test]
    fn row_says_what_noticed_and_where() {
        let row = row(&bug("01-x"), &caught("deadlock: E2 a|b"), "abc1234");
        assert_eq!(
            row,
            "| `01-x` | It breaks. | E2 | oracle | deadlock: E2 a\\|b (*queue storm*) | 12 | abc1234 |"
        );
        assert_eq!(commit(&row), "abc1234");
        let silent = Hunt {
            silent: true,
            ..Hunt::default()
        };
        assert!(super::row(&bug("01-x"), &silent, "a").contains("**not caught**: it hangs"));
    }

    #[test]
    fn who_noticed_is_told_apart() {
        for (caught, who) in [
            ("violation of C5", "oracle"),
            ("deadlock", "oracle"),
            ("exit 101: assertion failed", "assertion"),
            ("too many points", "limit"),
            ("the simulator's process ended: signal", "crash"),
        ] {
            assert_eq!(manner(caught), who, "{caught}");
        }
    }

    #[test]
    fn table_keeps_rows_that_were_not_hunted_and_drops_bugs_that_are_gone() {
        let old = "| `01-x` | It breaks. | E2 | oracle | deadlock | 3 | old |";
        let text = format!("a\n{BEGIN}\n{old}\n| `02-gone` | old |\n{END}\nz\n");
        let all = [bug("01-x"), bug("03-new"), bug("04-x")];
        let new = row(&all[1], &caught("deadlock"), "new");
        let rows = BTreeMap::from([("03-new".to_owned(), new.clone())]);
        let text = with_rows(&text, &all, &rows, Some(99)).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines[0], lines[1]), ("a", BEGIN));
        let said = "3 bugs, 2 hunted, 2 caught. By commit: 1 on `new`, 1 on `old`.";
        assert_eq!(lines[2], said);
        assert_eq!(
            lines[3],
            "Without a bug the sweep ran 99 worlds and found nothing."
        );
        let waits = "| `04-x` | It breaks. | E2 | *not hunted yet* | | | |";
        assert_eq!(lines[7..], [old, &new, waits, END, "z"]);
        assert_eq!(stale(&text, &all), Vec::<String>::new());
        let again = with_rows(&text, &all, &BTreeMap::new(), None);
        assert_eq!(again.as_deref(), Some(text.as_str()), "nothing is new");
        assert_eq!(with_rows("no markers", &all, &rows, None), None);
    }

    #[test]
    fn long_messages_are_cut() {
        assert_eq!(short(" a "), "a");
        assert_eq!(short(&"ä".repeat(200)).chars().count(), 141);
    }
}
