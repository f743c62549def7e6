//! `cargo xtask bench net` from end to end, with as little load as makes figures come out. What they say is nobody's
//! concern here.
//!
//! The measuring program is this one, called by the command's own words: it starts itself anew in a network
//! namespace, and where none with a tap can be made the test is shown as ignored.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use xtask::verb::bench_net;
use xtask::{lab, tree};

/// How the tool starts itself anew.
const VERB: [&str; 2] = ["bench", "net"];
/// A row that needs no client from elsewhere, and what is drawn.
const ROWS: [&str; 2] = ["echo-64-1", "at-once"];

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if let Some(words) = words.strip_prefix(&VERB.map(str::to_owned)) {
        return match bench_net::run(words) {
            Ok(code) => ExitCode::from(code),
            Err(failure) => {
                eprintln!("{failure}");
                ExitCode::from(failure.code)
            }
        };
    }
    let why = lab::possible().err();
    if let Some(why) = &why {
        eprintln!("bench_net: SKIPPED, no tap interface can be made here ({why})");
    }
    let trial = Trial::test("bench_net::figures_come_out", || {
        figures_come_out().map_err(Failed::from)
    });
    let trials = vec![trial.with_ignored_flag(why.is_some())];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn figures_come_out() -> Result<(), String> {
    let dir = tree::target_dir().map_err(|f| f.message)?.join("bench-net");
    // What an earlier run has left there proves nothing.
    let _ = std::fs::remove_dir_all(&dir);
    let json = dir.join("rows.json");
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let output = Command::new(program)
        .args(VERB)
        .args(ROWS)
        .args(["--boots", "1", "--seconds", "1", "--net", "tap"])
        .arg("--json")
        .arg(&json)
        .arg("--out")
        .arg(&dir)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {said}{stderr}", output.status));
    }
    if said.matches("| `echo-64-1` |").count() != 2 {
        return Err(format!("not a row in each table: {said}"));
    }
    check_rows(&json)?;
    let chart = read(&dir.join("at-once.svg"))?;
    if !chart.contains("<svg") || !chart.trim_end().ends_with("</svg>") {
        return Err("the chart is no SVG".to_owned());
    }
    match read(&dir.join("at-once.csv"))?.lines().count() {
        1_001 => Ok(()),
        n => Err(format!("{n} lines of CSV for a head and 1,000 connections")),
    }
}

/// Every figure of the row is there, and is a number.
fn check_rows(path: &Path) -> Result<(), String> {
    let text = read(path)?;
    let json: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let rows = json["rows"].as_array().ok_or("no rows")?;
    let counted = |r: &&Value| r["unit"] == "instructions";
    let all = rows
        .iter()
        .all(|r| r["row"] == ROWS[0] && r["mean"].as_f64().is_some_and(|n| n > 0.0));
    match rows.iter().filter(counted).count() {
        2 if all && rows.len() > 2 && json["network"] == "tap" => Ok(()),
        _ => Err(format!("figures are missing: {text}")),
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}
