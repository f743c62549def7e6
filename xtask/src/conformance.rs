//! Which test stands for which row of `docs/rules.md`.
//!
//! A test says so by its name: a part of it (between `::`) begins with the rows in lower case, after
//! the number if it has one. `e8_the_golden_scenario`, `metal::74_e8_golden_timeline::smp4` and
//! `sweep::e8::golden-timeline` are tests of row E8. A scenario of the simulator gets its part from the
//! rows in brackets at the end of its sentence. So one search finds all tests of a row, and no list
//! can go stale.
//!
//! Asked for are the rows of tiers M and S in the groups A to N and S. V is the scheduler's own
//! subject, and the numbered rows say again, in other words, what those have said. A row that is
//! left out on purpose stands with its reason in the table of `docs/caveats.md`.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Failure, Outcome};

/// The table of rows.
pub const TABLE: &str = "docs/rules.md";
/// Where rows that are left out are told.
pub const CAVEATS: &str = "docs/caveats.md";
/// Heading of their table.
const LEFT_OUT: &str = "## Rows left out";

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Such as `E8`.
    pub id: String,
    /// `M`, `S` or `C`.
    pub tier: char,
    /// What must hold.
    pub rule: String,
    /// What a test can see of it.
    pub observable: String,
}

impl Row {
    /// Whether the suite is incomplete without a test of it.
    pub fn is_wanted(&self) -> bool {
        self.tier != 'C'
            && self
                .id
                .starts_with(|c: char| c.is_ascii_uppercase() && c != 'V')
    }
}

/// The rows, in the table's order.
pub fn rows(table: &str) -> Outcome<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for line in table.lines().filter(|l| l.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, tier, rule, seen] = cells[..] else {
            return Err(Failure::failed(format!(
                "{TABLE}: not four columns: {line}"
            )));
        };
        if id == "ID" || id.starts_with("---") {
            continue;
        }
        let complete = ["M", "S", "C"].contains(&tier) && !rule.is_empty() && !seen.is_empty();
        if !complete || rows.iter().any(|r| r.id == id) {
            return Err(Failure::failed(format!(
                "{TABLE}: row {id} is incomplete or there twice"
            )));
        }
        rows.push(Row {
            id: id.to_owned(),
            tier: tier.chars().next().unwrap_or('M'),
            rule: rule.to_owned(),
            observable: seen.to_owned(),
        });
    }
    Ok(rows)
}

/// The rows that are left out, with the reasons.
pub fn left_out(caveats: &str) -> BTreeMap<String, String> {
    let section = caveats.split_once(LEFT_OUT).map_or("", |(_, s)| s);
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter(|l| l.starts_with("| "));
    lines
        .filter_map(|l| l.trim_matches('|').split_once(" | "))
        .map(|(id, why)| (id.trim().to_owned(), why.trim().to_owned()))
        .filter(|(id, _)| id != "Row" && !id.starts_with("---"))
        .collect()
}

/// The rows a test stands for by its name.
pub fn rows_of<'a>(test: &'a str, known: &BTreeSet<String>) -> Vec<String> {
    let leading = |part: &'a str| {
        let words = part.split('_');
        let number = |w: &&str| w.len() == 2 && w.bytes().all(|b| b.is_ascii_digit());
        let words = words.skip_while(number).map(str::to_uppercase);
        words.take_while(|w| known.contains(w)).collect::<Vec<_>>()
    };
    let mut rows: Vec<String> = test.split("::").flat_map(leading).collect();
    rows.sort();
    rows.dedup();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeSet<String> {
        ["E8", "E13", "B4"].map(str::to_owned).into()
    }

    #[test]
    fn rows_are_the_leading_words_of_a_part() {
        let of = |name| rows_of(name, &known()).join(" ");
        assert_eq!(of("e8_the_golden_scenario"), "E8");
        assert_eq!(of("metal::74_e8_e13_golden_timeline::smp4"), "E13 E8");
        assert_eq!(of("sweep::b4::hammered-item"), "B4");
        assert_eq!(of("word::tests::b4_e99_claim"), "B4");
        assert_eq!(of("the_e8_scenario"), "");
        assert_eq!(of("sweep::one-unit"), "");
    }

    #[test]
    fn wanted_are_the_rows_of_workqueues_and_softirqs() {
        let text = "| ID | tier | rule | observable |\n| --- | --- | --- | --- |\n| A1 | M | r | o |\n\
                    | C4 | C | r | o |\n| S1 | S | r | o |\n| V1 | M | r | o |\n| 7.1 | M | r | o |\n";
        let rows = rows(text).expect("a table");
        let wanted: Vec<_> = rows.iter().filter(|r| r.is_wanted()).collect();
        assert_eq!(rows.len(), 5);
        assert_eq!(
            wanted.iter().map(|r| &*r.id).collect::<Vec<_>>(),
            ["A1", "S1"]
        );
        assert!(super::rows("| A1 | M | r |").is_err());
    }

    #[test]
    fn what_is_left_out_has_a_reason() {
        let text = "# x\n| Z | no |\n## Rows left out\n\n| Row | Why |\n| --- | --- |\n| N1 | later |\n\n## End\n| Y | z |\n";
        let out = left_out(text);
        assert_eq!(out.len(), 1);
        assert_eq!(out["N1"], "later");
    }
}
