//! Benchmarks' figures: the reference they are held against, what the image prints, tables, budgets.
//!
//! Linux's figures and our targets are of Linux 6.12 in the same QEMU (`docs/performance.md`); all are guest
//! instructions. A row's figure is its mean, or its median where the definition says so.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{Failure, Outcome};

pub mod figures;
pub mod host_time;
mod known;
pub mod net;

pub use known::{KNOWN, Known, MOST_PER_EVENT, known};

/// What begins a line with a row's figures.
const ROW: &str = "BENCH ";
/// The image's last word.
pub const DONE: &str = "BENCH DONE";
/// Cost of a pair of readings.
const EMPTY: &str = "EMPTY ";
/// By how much a figure may exceed its budget.
const SLACK: f64 = 1.03;

/// The groups that the image measures.
pub const GROUPS: [&str; 5] = ["work", "sched", "sync", "mem", "trace"];

/// Measured figures of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Which.
    pub row: String,
    /// `lean` or `default`.
    pub settings: String,
    /// Samples.
    pub n: u64,
    /// Smallest, median, 99th percentile, largest.
    pub at: [u64; 4],
    /// Mean.
    pub mean: f64,
}

impl Figures {
    /// What stands in the table.
    #[must_use]
    pub fn figure(&self) -> f64 {
        if known(&self.row).is_some_and(|k| k.median) {
            self.at[1] as f64
        } else {
            self.mean
        }
    }
}

/// One boot's figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Cost of a pair of readings.
    pub empty: u64,
    /// The rows, in the order measured.
    pub rows: Vec<Figures>,
}

impl Report {
    /// Figures of `row` under `settings`.
    #[must_use]
    pub fn get(&self, settings: &str, row: &str) -> Option<&Figures> {
        let mut rows = self.rows.iter();
        rows.find(|f| f.settings == settings && f.row == row)
    }
}

/// Reads what the image printed.
pub fn read(said: &str) -> Outcome<Report> {
    let mut report = Report::default();
    for line in said.lines() {
        let line = line.trim_end();
        if line.contains(DONE) {
            continue;
        }
        if let Some((_, text)) = line.split_once(ROW) {
            let figures = parse(text);
            report
                .rows
                .push(figures.ok_or_else(|| Failure::failed(format!("no figures: {line}")))?);
        } else if let Some((_, n)) = line.split_once(EMPTY) {
            let n = n.trim().parse();
            report.empty = n.map_err(|_| Failure::failed(format!("no figure: {line}")))?;
        }
    }
    Ok(report)
}

fn parse(text: &str) -> Option<Figures> {
    let fields: Vec<_> = text.split('|').collect();
    let [settings, row, numbers @ ..] = &fields[..] else {
        return None;
    };
    let numbers: Vec<u64> = numbers
        .iter()
        .map(|n| n.trim().parse().ok())
        .collect::<Option<_>>()?;
    let [n, min, p50, p99, max, mean] = numbers[..] else {
        return None;
    };
    Some(Figures {
        row: (*row).to_owned(),
        settings: (*settings).to_owned(),
        n,
        at: [min, p50, p99, max],
        mean: mean as f64 / 100.0,
    })
}

/// Linux's figure of a row and our target. The reference is of 1 core and of 4: for others there is none.
fn reference(known: &Known, smp: u32) -> [Option<u32>; 2] {
    match smp {
        1 => [known.linux[0], known.target[0]],
        4 => [known.linux[1], known.target[1]],
        _ => [None; 2],
    }
}

fn ratio(ours: f64, theirs: Option<u32>) -> String {
    theirs.map_or_else(|| "-".to_owned(), |t| format!("{:.2}", ours / f64::from(t)))
}

/// The Markdown table; `before` adds a column with the change against an earlier run.
#[must_use]
pub fn table(report: &Report, smp: u32, before: Option<&BTreeMap<String, f64>>) -> String {
    let mut text = String::from(
        "| Row | Operation | Linux | Target | Ours | of Linux | of target | min/p50/p99/max | Default settings |",
    );
    let mut rule = String::from("\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    if before.is_some() {
        text.push_str(" Change |");
        rule.push_str(" ---: |");
    }
    text.push_str(&rule);
    text.push('\n');
    for k in &KNOWN {
        let Some(f) = report.get("lean", k.row) else {
            continue;
        };
        let [linux, target] = reference(k, smp);
        let number = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let ours = f.figure();
        let [min, p50, p99, max] = f.at;
        let default = report.get("default", k.row);
        let default = default.map_or_else(|| "-".to_owned(), |d| format!("{:.1}", d.figure()));
        let _ = write!(
            text,
            "| `{}` | {} | {} | {} | {ours:.1} | {} | {} | {min}/{p50}/{p99}/{max} | {default} |",
            k.row,
            k.what,
            number(linux),
            number(target),
            ratio(ours, linux),
            ratio(ours, target),
        );
        if let Some(before) = before {
            let change = before.get(k.row).map_or_else(
                || "new".to_owned(),
                |&b| format!("{:+.1} %", (ours / b - 1.0) * 100.0),
            );
            let _ = write!(text, " {change} |");
        }
        text.push('\n');
    }
    text
}

/// The same as JSON.
#[must_use]
pub fn to_json(report: &Report, smp: u32, head: &Value) -> Value {
    let rows: Vec<_> = report
        .rows
        .iter()
        .map(|f| {
            let [linux, target] = known(&f.row).map_or([None; 2], |k| reference(k, smp));
            let [min, p50, p99, max] = f.at;
            json!({
                "row": f.row, "settings": f.settings, "unit": "instructions", "n": f.n, "min": min,
                "p50": p50, "p99": p99, "max": max, "mean": f.mean, "figure": f.figure(),
                "linux": linux, "target": target,
            })
        })
        .collect();
    json!({ "smp": smp, "empty": report.empty, "machine": head, "rows": rows })
}

/// Figures of an earlier run, from its JSON.
pub fn earlier(text: &str) -> Outcome<(u64, BTreeMap<String, f64>)> {
    let bad = |why: &str| Failure::usage(format!("not the JSON of an earlier run: {why}"));
    let value: Value = serde_json::from_str(text).map_err(|e| bad(&e.to_string()))?;
    let smp = value["smp"].as_u64().ok_or_else(|| bad("no smp"))?;
    let rows = value["rows"].as_array().ok_or_else(|| bad("no rows"))?;
    let mut figures = BTreeMap::new();
    for row in rows.iter().filter(|r| r["settings"] == "lean") {
        let (name, figure) = (row["row"].as_str(), row["figure"].as_f64());
        let (Some(name), Some(figure)) = (name, figure) else {
            return Err(bad("a row without name or figure"));
        };
        figures.insert(name.to_owned(), figure);
    }
    Ok((smp, figures))
}

/// `bench/budgets.toml`: for each number of cores the rows' figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Budgets(pub BTreeMap<String, BTreeMap<String, f64>>);

/// Name of a section of the budgets.
#[must_use]
pub fn section(smp: u32) -> String {
    format!("smp{smp}")
}

impl Budgets {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Outcome<Self> {
        let mut all = Self::default();
        let mut section = None;
        for (nth, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or("").trim();
            let bad = || Failure::failed(format!("budgets, line {}: {line}", nth + 1));
            if line.is_empty() {
            } else if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = Some(name.to_owned());
            } else {
                let (row, figure) = line.split_once('=').ok_or_else(bad)?;
                let figure = figure.trim().parse().map_err(|_| bad())?;
                let rows = all.0.entry(section.clone().ok_or_else(bad)?).or_default();
                rows.insert(row.trim().to_owned(), figure);
            }
        }
        Ok(all)
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# Instructions of each benchmark, tracing and latency anatomy off. Written by\n\
             # `cargo xtask bench --bless`; a test fails when a figure exceeds its budget by 3 %.\n",
        );
        for (section, rows) in &self.0 {
            let _ = writeln!(text, "\n[{section}]");
            for (row, figure) in rows {
                let _ = writeln!(text, "{row} = {figure:.2}");
            }
        }
        text
    }

    /// Takes over the figures of a run.
    pub fn bless(&mut self, report: &Report, smp: u32) {
        let rows = self.0.entry(section(smp)).or_default();
        for f in report.rows.iter().filter(|f| f.settings == "lean") {
            rows.insert(f.row.clone(), f.figure());
        }
    }
}

/// Whether two boots gave the same figure, within half a percent: now and then a sample has an interrupt in it.
#[must_use]
pub fn agree(one: f64, other: f64) -> bool {
    (one - other).abs() <= one.min(other) * 0.005
}

/// What is wrong with `ours` against the budget, if anything.
#[must_use]
pub fn exceeds(ours: f64, budget: f64) -> Option<String> {
    (ours > budget * SLACK).then(|| {
        format!(
            "{ours:.2} instructions, budget {budget:.2} ({:+.1} %); if that is meant: cargo xtask bench --bless",
            (ours / budget - 1.0) * 100.0
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "boot\r\n[ 0.1] EMPTY 8\r\nBENCH lean|cancel|10|50|60|70|80|6550\r\n\
        BENCH lean|requeue|10|100|110|110|110|11012\nBENCH default|requeue|10|1|2|3|4|15000\nBENCH DONE\n";

    fn report() -> Report {
        read(SAID).expect("figures")
    }

    #[test]
    fn figures_are_read_and_a_broken_line_is_told() {
        let r = report();
        assert_eq!((r.empty, r.rows.len()), (8, 3));
        let cancel = r.get("lean", "cancel").expect("the row").figure();
        assert!((cancel - 60.0).abs() < 1e-9, "the median");
        let requeue = r.get("lean", "requeue").expect("the row").figure();
        assert!((requeue - 110.12).abs() < 1e-9, "the mean");
        assert!(read("BENCH lean|cancel|10|50").is_err());
        assert!(read("BENCH lean|cancel|10|50|60|70|80|many").is_err());
    }

    #[test]
    fn the_table_has_ratios_and_changes() {
        let before = [("requeue".to_owned(), 100.0)].into();
        let text = table(&report(), 1, Some(&before));
        assert!(
            text.contains("| 799 | 110 | 110.1 | 0.14 | 1.00 |"),
            "{text}"
        );
        assert!(text.contains("| 150.0 | +10.1 % |"), "{text}");
        assert!(text.contains("| - | new |"), "{text}");
    }

    #[test]
    fn cores_that_linux_was_not_measured_on_have_no_reference() {
        for (smp, linux) in [
            (1, "| 799 | 110 |"),
            (4, "| 800 | 110 |"),
            (2, "| - | - |"),
            (16, "| - | - |"),
        ] {
            let text = table(&report(), smp, None);
            let row = text
                .lines()
                .find(|l| l.contains("`requeue`"))
                .expect("the row");
            assert!(row.contains(linux), "{smp}: {row}");
            let value = to_json(&report(), smp, &Value::Null);
            assert_eq!(value["rows"][1]["linux"].is_null(), linux.contains('-'));
        }
    }

    #[test]
    fn json_is_read_again() {
        let text = to_json(&report(), 1, &Value::Null).to_string();
        let (smp, figures) = earlier(&text).expect("our own JSON");
        assert_eq!((smp, figures.len()), (1, 2));
        assert!((figures["cancel"] - 60.0).abs() < 1e-9);
        assert!(earlier("{}").is_err());
    }

    #[test]
    fn budgets_are_read_again_and_hold_to_three_percent() {
        let mut budgets = Budgets::default();
        budgets.bless(&report(), 1);
        let again = Budgets::parse(&budgets.text()).expect("our own text");
        assert_eq!(budgets, again);
        assert!(Budgets::parse("cancel = 3").is_err(), "no section");
        assert!(Budgets::parse("[smp1]\ncancel = x").is_err());
        assert!(agree(200.0, 201.0) && !agree(200.0, 201.1) && !agree(201.1, 200.0));
        assert!(exceeds(103.0, 100.0).is_none());
        assert!(exceeds(103.1, 100.0).is_some());
    }

    #[test]
    fn names_are_unique_and_groups_known() {
        for (i, k) in KNOWN.iter().enumerate() {
            assert!(GROUPS.contains(&k.group), "{}", k.row);
            assert!(KNOWN[..i].iter().all(|o| o.row != k.row), "{}", k.row);
        }
    }
}
