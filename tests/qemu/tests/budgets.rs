//! What each operation costs in instructions, against `bench/budgets.toml`: one entry for each row.
//!
//! All share one boot of the benchmarks on one core, where the count is exact. Another compiler makes
//! other instructions, so with one that is not the pinned one all is skipped, visibly.

use std::process::{Command, ExitCode};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use xtask::bench::{self, Budgets, Report};
use xtask::verb::bench_boot::GUEST_MS;
use xtask::verb::bench_mem::{IDLE_MIB, IMAGE_MB};
use xtask::{tree, verb};

const LIMIT: Duration = Duration::from_secs(300);

type Boot = LazyLock<Result<Report, String>>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = match (pinned(), budgets()) {
        (Ok(true), Ok(budgets)) => of_rows(&budgets),
        (Ok(false), _) => {
            println!("budgets: SKIPPED, the compiler is not the one rust-toolchain.toml pins");
            Vec::new()
        }
        (Err(why), _) | (_, Err(why)) => vec![Trial::test("budgets::can_be_read", move || {
            Err(Failed::from(why))
        })],
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn budgets() -> Result<Budgets, String> {
    let text = std::fs::read_to_string(verb::bench::budgets_path()).map_err(|e| e.to_string())?;
    Budgets::parse(&text).map_err(|f| f.message)
}

/// Whether the compiler in use is the pinned one.
fn pinned() -> Result<bool, String> {
    let file = tree::root().join("rust-toolchain.toml");
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    let channel = text
        .lines()
        .find_map(|l| l.strip_prefix("channel = \"")?.strip_suffix('"'))
        .ok_or("rust-toolchain.toml names no channel")?;
    let rustc = Command::new("rustc").arg("-V").output();
    let said = rustc.map_err(|e| e.to_string())?.stdout;
    let said = String::from_utf8_lossy(&said);
    Ok(said.split_whitespace().nth(1) == Some(channel))
}

fn of_rows(budgets: &Budgets) -> Vec<Trial> {
    let report: Arc<Boot> = Arc::new(LazyLock::new(|| {
        let mut machine = verb::bench::machine(&[], 1, "cortex-a57");
        machine.append.push_str(" settings=lean");
        verb::bench::boot(&machine, LIMIT).map_err(|f| f.message)
    }));
    let rows = budgets.0.get(&bench::section(1)).into_iter().flatten();
    let mut trials: Vec<_> = rows
        .map(|(row, &budget)| {
            let (report, row) = (Arc::clone(&report), row.clone());
            Trial::test(format!("budgets::{row}"), move || {
                let report = (**report).as_ref().map_err(Failed::from)?;
                let figures = report.get("lean", &row);
                let figures = figures.ok_or("it has a budget and was not measured")?;
                bench::exceeds(figures.figure(), budget).map_or(Ok(()), |why| Err(why.into()))
            })
        })
        .collect();
    let report_of_events = Arc::clone(&report);
    let budgeted = budgets.0.get(&bench::section(1)).cloned();
    trials.push(Trial::test("budgets::every_row_has_one", move || {
        let report = (**report).as_ref().map_err(Failed::from)?;
        let budgeted = budgeted.unwrap_or_default();
        let mut rows = report.rows.iter();
        match rows.find(|f| !budgeted.contains_key(&f.row)) {
            Some(f) => Err(format!("{}: cargo xtask bench --bless", f.row).into()),
            None => Ok(()),
        }
    }));
    let whole = Arc::clone(&report_of_events);
    trials.push(Trial::test(
        "budgets::an_event_costs_at_most_16",
        move || {
            let report = (**whole).as_ref().map_err(Failed::from)?;
            let rows = bench::KNOWN.iter().filter(|k| k.group == "trace");
            for known in rows {
                let figures = report.get("lean", known.row).ok_or(known.row)?;
                if figures.figure() > f64::from(bench::MOST_PER_EVENT) {
                    return Err(format!("{}: {} instructions", known.row, figures.figure()).into());
                }
            }
            Ok(())
        },
    ));
    trials.push(Trial::test("budgets::tracing_of_a_request", || {
        // How frames share interrupts is up to the host: a few times more before it counts.
        let mut excess = None;
        for _ in 0..5 {
            let costs = verb::bench_http::measure().map_err(|f| f.message)?;
            excess = costs.excess();
            if excess.is_none() {
                return Ok(());
            }
        }
        excess.map_or(Ok(()), |why| Err(why.into()))
    }));
    trials.push(Trial::test("budgets::boot_and_memory", || {
        for smp in [1, 4] {
            let ms = verb::bench_boot::guest_time(smp).map_err(|f| f.message)?;
            let (image, idle) = verb::bench_mem::sizes(smp).map_err(|f| f.message)?;
            println!("{smp} cores: up after {ms} ms, image {image:.3} MB, idle {idle:.3} MiB");
            let most = [
                ("ms of guest time until it serves", ms, GUEST_MS),
                ("MB of image", image, IMAGE_MB),
                ("MiB in use when idle", idle, IDLE_MIB),
            ];
            if let Some((what, is, most)) = most.into_iter().find(|(_, is, most)| is > most) {
                return Err(format!("{smp} cores: {is:.2} {what}, {most} at most").into());
            }
        }
        Ok(())
    }));
    trials
}
