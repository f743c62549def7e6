//! An experiment from the command line to its files. What it measures is not judged but for the classic
//! three items, whose times are exact (E8).

use std::path::PathBuf;

use xtask::tree;
use xtask::verb::experiment::{self, Experiment, Options};

use crate::{Body, check};

pub(crate) const TESTS: &[(&str, Body)] = &[("experiment_head_of_line", head_of_line)];

fn head_of_line() -> Result<(), String> {
    let dir: PathBuf = tree::target_dir()
        .map_err(|f| f.message)?
        .join("tmp/experiment");
    let options = Options {
        name: Experiment::HeadOfLine,
        out: Some(dir.clone()),
        timeout: 90,
    };
    experiment::run(&options).map_err(|f| f.message)?;
    let read = |name| std::fs::read_to_string(dir.join(name)).map_err(|e| e.to_string());
    let table = read("head-of-line.csv")?;
    for (series, wanted) in [
        ("st", 50_000u64),
        ("mt", 50_000),
        ("cmwq, max_active 1", 50_000),
        ("cmwq, max_active 2", 35_000),
        ("cmwq, max_active 3", 25_000),
    ] {
        let begin = format!("\"{series}\",\"three items\",\"us\",");
        let found = table.lines().find_map(|l| l.strip_prefix(&begin));
        let took: Option<u64> = found.and_then(|n| n.parse().ok());
        let right = took.is_some_and(|n| n.abs_diff(wanted) <= 1_500);
        check(right, format!("{series}: {took:?} us, not {wanted}"))?;
    }
    let chart = read("head-of-line.svg")?;
    check(
        chart.starts_with("<svg") && chart.trim_end().ends_with("</svg>"),
        "no SVG",
    )?;
    let (open, close) = (
        chart.matches("<text").count(),
        chart.matches("</text>").count(),
    );
    check(
        open == close && open > 10,
        format!("{open} texts, {close} ends"),
    )
}
