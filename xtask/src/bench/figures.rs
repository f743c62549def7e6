//! Figures that are no instructions of an operation: bytes, times, of the machine as a whole. Their JSON, and the change
//! against that of an earlier run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{Failure, Outcome};

/// Where they stand in a run's JSON.
const KEY: &str = "figures";

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What was measured, with its unit.
    pub what: String,
    /// On so many cores, where that matters.
    pub smp: Option<u32>,
    /// Linux's.
    pub linux: Option<f64>,
    /// What we want.
    pub target: Option<f64>,
    /// What it is.
    pub ours: f64,
}

impl Figure {
    /// One that is held against nothing.
    pub fn new(what: impl Into<String>, smp: impl Into<Option<u32>>, ours: f64) -> Self {
        Self {
            what: what.into(),
            smp: smp.into(),
            linux: None,
            target: None,
            ours,
        }
    }

    /// One with Linux's figure and our target.
    #[must_use]
    pub fn against(mut self, linux: f64, target: f64) -> Self {
        (self.linux, self.target) = (Some(linux), Some(target));
        self
    }

    fn key(&self) -> (String, Option<u32>) {
        (self.what.clone(), self.smp)
    }
}

/// Puts `all` into a run's JSON.
pub fn add(to: &mut Value, all: &[Figure]) {
    let rows = all.iter().map(|f| {
        json!({
            "what": f.what, "smp": f.smp, "linux": f.linux, "target": f.target, "figure": f.ours,
        })
    });
    to[KEY] = rows.collect();
}

/// Figures of an earlier run, by what and number of cores.
pub type Earlier = BTreeMap<(String, Option<u32>), f64>;

/// Reads a run's JSON.
///
/// # Errors
///
/// It is none, or not of a run that measured such figures.
pub fn earlier(text: &str) -> Outcome<Earlier> {
    let bad = |why: &str| Failure::usage(format!("not the JSON of an earlier run: {why}"));
    let value: Value = serde_json::from_str(text).map_err(|e| bad(&e.to_string()))?;
    let rows = value[KEY].as_array().ok_or_else(|| bad("no figures"))?;
    let one = |row: &Value| {
        let smp = row["smp"].as_u64().and_then(|n| u32::try_from(n).ok());
        Some((
            (row["what"].as_str()?.to_owned(), smp),
            row["figure"].as_f64()?,
        ))
    };
    rows.iter()
        .map(|row| one(row).ok_or_else(|| bad("a figure without name or number")))
        .collect()
}

/// The Markdown table of what changed.
#[must_use]
pub fn changes(all: &[Figure], before: &Earlier) -> String {
    let mut text = String::from(
        "| Figure | Cores | Before | Now | Change |\n| --- | ---: | ---: | ---: | ---: |\n",
    );
    for f in all {
        let smp = f.smp.map_or_else(String::new, |n| n.to_string());
        let (was, change) = match before.get(&f.key()) {
            Some(&was) if was > 0.0 => (
                number(was),
                format!("{:+.1} %", (f.ours / was - 1.0) * 100.0),
            ),
            Some(&was) => (number(was), "-".to_owned()),
            None => ("-".to_owned(), "new".to_owned()),
        };
        let _ = writeln!(
            text,
            "| {} | {smp} | {was} | {} | {change} |",
            f.what,
            number(f.ours)
        );
    }
    text
}

/// Bytes whole, what is small with two places.
fn number(n: f64) -> String {
    if n.fract() == 0.0 || n >= 1_000.0 {
        format!("{n:.0}")
    } else {
        format!("{n:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<Figure> {
        vec![
            Figure::new("image, MB", None, 0.94).against(34.9, 1.0),
            Figure::new("in use, MiB", 1, 1.5),
            Figure::new("in use, MiB", 4, 2.5),
        ]
    }

    #[test]
    fn what_was_written_is_read_again() {
        let mut value = json!({ "smp": 1 });
        add(&mut value, &some());
        assert_eq!(value["figures"][0]["linux"], 34.9);
        assert_eq!(value["figures"][1]["target"], Value::Null);
        let read = earlier(&value.to_string()).unwrap();
        assert_eq!(read.len(), 3);
        for f in some() {
            assert_eq!(read.get(&f.key()), Some(&f.ours));
        }
        for wrong in ["", "{}", r#"{"figures": [{"what": "x"}]}"#] {
            let failure = earlier(wrong).unwrap_err();
            assert_eq!(failure.code, crate::failure::USAGE, "{wrong}");
        }
    }

    #[test]
    fn changes_are_told_by_cores() {
        let mut before = Earlier::new();
        before.insert(("in use, MiB".to_owned(), Some(4)), 2.0);
        before.insert(("image, MB".to_owned(), None), 0.0);
        let text = changes(&some(), &before);
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| image, MB |  | 0 | 0.94 | - |",
                "| in use, MiB | 1 | - | 1.50 | new |",
                "| in use, MiB | 4 | 2 | 2.50 | +25.0 % |",
            ]
        );
    }
}
