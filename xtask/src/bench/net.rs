//! Rows of `bench net`: what is asked of the service, what Linux costs for it and what we aim at.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::load::Ask;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Load {
    /// wrk, for `/hello` over kept connections.
    Wrk,
    /// Our own clients.
    Ours(Ask),
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// In words.
    pub what: &'static str,
    /// What is asked.
    pub load: Load,
    /// By how many at the same time.
    pub connections: usize,
    /// Instructions of a request on one core: the cheapest of Linux's servers, and our target.
    pub instructions: [Option<u32>; 2],
    /// Numbers of cores with which requests a second are measured, with the most that a server on Linux answered.
    pub rates: &'static [(u32, Option<u32>)],
}

const fn hello(name: &'static str, what: &'static str, connections: usize) -> Row {
    Row {
        name,
        what,
        load: Load::Wrk,
        connections,
        instructions: [None; 2],
        rates: &[],
    }
}

const fn echo(name: &'static str, what: &'static str, size: usize, connections: usize) -> Row {
    Row {
        load: Load::Ours(Ask::Echo(size)),
        rates: &[(1, None)],
        ..hello(name, what, connections)
    }
}

/// All rows.
pub const ROWS: [Row; 11] = [
    Row {
        instructions: [Some(24_600), Some(7_000)],
        rates: &[(1, Some(3_093))],
        ..hello("http-1", "GET /hello, 1 connection", 1)
    },
    Row {
        instructions: [Some(20_000), Some(5_000)],
        rates: &[(1, Some(4_745)), (2, Some(8_569))],
        ..hello("http-16", "GET /hello, 16 connections", 16)
    },
    Row {
        rates: &[(1, Some(6_872)), (2, Some(9_992)), (4, Some(5_103))],
        ..hello("http-64", "GET /hello, 64 connections", 64)
    },
    Row {
        rates: &[(1, Some(5_146)), (2, Some(11_278))],
        ..hello("http-256", "GET /hello, 256 connections", 256)
    },
    Row {
        load: Load::Ours(Ask::FreshHello),
        instructions: [Some(98_000), Some(20_000)],
        rates: &[(1, Some(922)), (2, Some(1_467)), (4, Some(730))],
        ..hello(
            "http-new-16",
            "GET /hello, a new connection for each, 16 at a time",
            16,
        )
    },
    echo("echo-8-16", "echo of 8 B, 16 connections", 8, 16),
    Row {
        instructions: [Some(22_800), Some(4_500)],
        ..echo("echo-64-1", "echo of 64 B, 1 connection", 64, 1)
    },
    Row {
        instructions: [Some(18_700), Some(3_500)],
        rates: &[(1, None), (2, None), (4, None)],
        ..echo("echo-64-16", "echo of 64 B, 16 connections", 64, 16)
    },
    Row {
        instructions: [Some(18_900), Some(4_500)],
        ..echo("echo-1k-16", "echo of 1 KiB, 16 connections", 1 << 10, 16)
    },
    Row {
        instructions: [Some(41_500), Some(16_000)],
        ..echo(
            "echo-16k-16",
            "echo of 16 KiB, 16 connections",
            16 << 10,
            16,
        )
    },
    echo(
        "echo-64k-16",
        "echo of 64 KiB, 16 connections",
        64 << 10,
        16,
    ),
];

/// Figures of several boots, one each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(Vec<f64>);

impl Figures {
    /// Adds a boot's figure.
    pub fn push(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    /// What is told.
    #[must_use]
    pub fn median(&self) -> f64 {
        let at = |i: usize| self.0.get(i).copied().unwrap_or(0.0);
        let n = self.0.len();
        (at(n.saturating_sub(1) / 2) + at(n / 2)) / 2.0
    }

    /// What 99 of 100 boots do not exceed: of less than 100 the largest.
    #[must_use]
    pub fn p99(&self) -> f64 {
        let nth = (self.0.len() * 99).div_ceil(100);
        self.0.get(nth.saturating_sub(1)).copied().unwrap_or(0.0)
    }

    /// Smallest and largest.
    #[must_use]
    pub fn range(&self) -> [f64; 2] {
        [self.0.first(), self.0.last()].map(|f| f.copied().unwrap_or(0.0))
    }

    /// As a row of JSON.
    #[must_use]
    pub fn json(&self, row: &str, unit: &str) -> Value {
        let [min, max] = self.range();
        let mean = self.0.iter().sum::<f64>() / self.0.len().max(1) as f64;
        // Null where there is no number.
        let whole = |f: f64| (f * 1_000.0).round() / 1_000.0;
        json!({
            "row": row, "unit": unit, "n": self.0.len(), "min": whole(min),
            "p50": whole(self.median()), "p99": whole(self.p99()), "max": whole(max), "mean": whole(mean),
        })
    }
}

/// What was measured.
#[derive(Debug, Default)]
pub struct Measured {
    /// Instructions of a request, by row and settings (`lean`, `default`).
    pub instructions: BTreeMap<(&'static str, &'static str), Figures>,
    /// By row and number of cores, in [`UNITS`].
    pub rates: BTreeMap<(&'static str, u32), [Figures; 5]>,
}

/// What stands in [`Measured::rates`]; the last is of the host's processors.
pub const UNITS: [&str; 5] = [
    "requests/s",
    "p50 us",
    "p99 us",
    "p99.9 us",
    "host s/1000 requests",
];

fn number(n: Option<u32>) -> String {
    n.map_or_else(|| "-".to_owned(), |n| n.to_string())
}

fn ratio(ours: f64, of: Option<u32>) -> String {
    of.map_or_else(
        || "-".to_owned(),
        |of| format!("{:.2}", ours / f64::from(of)),
    )
}

impl Measured {
    /// The Markdown table of instructions.
    #[must_use]
    pub fn instructions_table(&self, rows: &[Row]) -> String {
        let mut text = String::from(
            "Guest instructions of a request, one core, median (least-most) of the boots:\n\n\
             | Row | What | Linux's best | Target | Ours | of Linux | of target | Default settings |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for row in rows {
            let of = |settings| self.instructions.get(&(row.name, settings));
            let (Some(lean), Some(default)) = (of("lean"), of("default")) else {
                continue;
            };
            let [linux, target] = row.instructions;
            let (ours, [least, most]) = (lean.median(), lean.range());
            // Strings take everything.
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | {ours:.0} ({least:.0}-{most:.0}) | {} | {} | {:.0} |",
                row.name,
                row.what,
                number(linux),
                number(target),
                ratio(ours, linux),
                ratio(ours, target),
                default.median()
            );
        }
        text
    }

    /// The Markdown table of rates, latencies and the host's processor time.
    #[must_use]
    pub fn rates_table(&self, rows: &[Row]) -> String {
        let mut text = String::from(
            "Requests a second, default settings, median of the boots; of this host. Target: 4 times Linux's best. wrk makes up\n\
             what a stalled client would have waited, our own clients (`http-new`, `echo`) do not:\n\n\
             | Row | Cores | Linux's best | Ours | of Linux | p50 us | p99 us | p99.9 us | host's processor, s per 1,000 |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for row in rows {
            for &(smp, linux) in row.rates {
                let Some(figures) = self.rates.get(&(row.name, smp)) else {
                    continue;
                };
                let [rate, p50, p99, p999, host] = figures.each_ref().map(Figures::median);
                // Strings take everything.
                let _ = writeln!(
                    text,
                    "| `{}` | {smp} | {} | {rate:.0} | {} | {p50:.0} | {p99:.0} | {p999:.0} | {} |",
                    row.name,
                    number(linux),
                    ratio(rate, linux),
                    if host.is_nan() {
                        "-".to_owned()
                    } else {
                        format!("{host:.3}")
                    }
                );
            }
        }
        text
    }

    /// All figures, of boots with this network, and what they belong to.
    #[must_use]
    pub fn json(&self, network: &str, machine: &Value) -> Value {
        let instructions = self.instructions.iter().map(|((row, settings), f)| {
            let mut row = f.json(row, "instructions");
            row["settings"] = json!(settings);
            row["cores"] = json!(1);
            row
        });
        let rates = self.rates.iter().flat_map(|((name, smp), all)| {
            all.iter().zip(UNITS).map(move |(figures, unit)| {
                let mut row = figures.json(name, unit);
                row["settings"] = json!("default");
                row["cores"] = json!(smp);
                row
            })
        });
        let rows: Vec<_> = instructions.chain(rates).collect();
        json!({ "network": network, "machine": machine, "rows": rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Measured {
        let mut measured = Measured::default();
        for (settings, n) in [("lean", 10_000.0), ("default", 11_000.0)] {
            let figures = measured.instructions.entry(("http-16", settings));
            figures.or_default().push(n);
        }
        let rates = measured.rates.entry(("http-16", 2)).or_default();
        let of = [17_138.0, 1.0, 2.0, 3.0, 0.25];
        rates.iter_mut().zip(of).for_each(|(to, f)| to.push(f));
        measured
    }

    #[test]
    fn tables_hold_figures_beside_linux_and_the_target() {
        let text = measured().instructions_table(&ROWS);
        assert!(
            text.contains("| 20000 | 5000 | 10000 (10000-10000) | 0.50 | 2.00 | 11000 |"),
            "{text}"
        );
        let text = measured().rates_table(&ROWS);
        assert!(
            text.contains("| `http-16` | 2 | 8569 | 17138 | 2.00 | 1 | 2 | 3 | 0.250 |"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 6, "other rows were not measured");
    }

    #[test]
    fn json_has_a_row_for_each_figure() {
        let json = measured().json("tap", &json!({ "image": "cafe" }));
        assert_eq!(json["machine"]["image"], "cafe");
        let rows = json["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 2 + UNITS.len());
        assert!(rows.iter().all(|r| r["row"] == "http-16" && r["n"] == 1));
    }

    #[test]
    fn rows_have_names_of_their_own_and_something_to_measure() {
        for (i, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..i].iter().all(|r| r.name != row.name), "{}", row.name);
            assert!(!row.rates.is_empty(), "{}", row.name);
            assert!(row.connections > 0);
        }
    }

    #[test]
    fn the_median_is_of_the_sorted_figures() {
        let mut figures = Figures::default();
        for f in [5.0, 1.0, 9.0, 3.0, 4.0] {
            figures.push(f);
        }
        assert_eq!((figures.median(), figures.range()), (4.0, [1.0, 9.0]));
        let mut even = figures.clone();
        even.push(6.0);
        assert_eq!(even.median(), 4.5);
        let row = figures.json("a", "us");
        assert_eq!(
            (row["n"].as_u64(), row["mean"].as_f64()),
            (Some(5), Some(4.4))
        );
        assert_eq!(row["p99"].as_f64(), Some(9.0));
        let mut many = Figures::default();
        (1..=200).for_each(|n| many.push(f64::from(n)));
        assert_eq!((many.p99(), Figures::default().p99()), (198.0, 0.0));
        assert_eq!(Figures::default().median(), 0.0);
    }
}
