//! `bench`: instructions per operation, measured on target.
//!
//! The image (`bench/`) is the service's kernel, built the same way, with benchmarks as its first thread. QEMU
//! counts instructions (`-icount shift=0,sleep=off`), so a figure says nothing of the host and repeats.
//! `bench sim` belongs to the simulator and is handed over; `bench boot`, `growth`, `http`, `net` and the bytes of `mem`
//! have files of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};

use super::{bench_boot, bench_growth, bench_http, bench_mem, bench_net, bench_profile, sim};
use crate::bench::figures::{self, Earlier, Figure};
use crate::bench::{self, Budgets, DONE, GROUPS, KNOWN, Report};
use crate::image::Kind;
use crate::options::{Net, Options as Machine};
use crate::{Failure, Outcome, measured, tree};

/// Measure what operations cost, in instructions; `bench boot` measures the start, `bench http` requests,
/// `bench net` the services under load, `bench mem` bytes, `bench growth` what many things cost, `bench sim` the simulator.
#[derive(Parser, Clone, Debug)]
#[command(name = "xtask bench", bin_name = "cargo xtask bench")]
struct Options {
    /// Groups (work, sched, sync, mem, trace) and rows; all if none
    #[arg(value_name = "GROUP|ROW")]
    names: Vec<String>,
    /// Number of cores
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// CPU model
    #[arg(long, value_name = "MODEL", default_value = "cortex-a57")]
    cpu: String,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Show the change against the JSON of an earlier run
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Rewrite bench/budgets.toml with the figures of 1 core and of 4: of each row the dearest of five boots with tracing and
    /// latency anatomy off
    #[arg(long, conflicts_with_all = ["json", "compare", "smp", "cpu"])]
    bless: bool,
    /// Show where the instructions of one row go, by function and line
    #[arg(long, conflicts_with_all = ["json", "compare", "bless"])]
    profile: bool,
    /// With --profile: with tracing and latency anatomy on, as they are by default
    #[arg(long, requires = "profile")]
    default: bool,
    /// At most so many seconds of the host's time for a boot
    #[arg(long, default_value_t = 600, value_name = "SECS")]
    timeout: u64,
}

/// Runs the command with what stands behind `bench`.
pub fn run(passed: &sim::Passed) -> Outcome<u8> {
    let words = passed.words();
    if words.first().is_some_and(|w| w == "sim") {
        return sim::run("bench", passed);
    }
    let rest = words.get(1..).unwrap_or_default();
    match words.first().map(String::as_str) {
        Some("http") => return bench_http::run(rest),
        Some("growth") => return bench_growth::run(rest),
        Some("net") => return bench_net::run(rest),
        _ => {}
    }
    let name = "xtask bench".to_owned();
    let options = Options::try_parse_from(std::iter::once(&name).chain(words));
    let options = options.unwrap_or_else(|e| e.exit());
    match words.first().map(String::as_str) {
        Some("boot") => {
            let before = whole_machine(&options)?;
            let all = bench_boot::run()?;
            tell(&options, &all, before.as_ref(), json!({}))?;
            Ok(0)
        }
        Some("mem") => {
            let before = whole_machine(&options)?;
            let all = bench_mem::run()?;
            measure(&options, Some((&all, before.as_ref())))
        }
        _ => measure(&options, None),
    }
}

/// Refuses options of a row where the whole machine is measured; the figures to compare with.
fn whole_machine(options: &Options) -> Outcome<Option<Earlier>> {
    let plain = options.names.len() == 1
        && (options.smp, options.cpu.as_str()) == (1, "cortex-a57")
        && !options.bless
        && !options.profile;
    if !plain {
        return Err(Failure::usage(format!(
            "bench {} takes --json and --compare only; it chooses the cores itself (a row of mem alone: \
             bench alloc-free-64)",
            options.names.first().map_or("boot", String::as_str)
        )));
    }
    let before = options.compare.as_ref();
    before
        .map(|path| figures::earlier(&text_of(path)?))
        .transpose()
}

/// Writes and compares what is said of the whole machine, with what else is in `value`.
fn tell(
    options: &Options,
    all: &[Figure],
    before: Option<&Earlier>,
    mut value: Value,
) -> Outcome<()> {
    if let Some(before) = before {
        println!("\n{}", figures::changes(all, before));
    }
    if let Some(path) = &options.json {
        if value["machine"].is_null() {
            value["machine"] = head(&options.cpu)?;
        }
        figures::add(&mut value, all);
        write(path, &format!("{value:#}\n"))?;
    }
    Ok(())
}

fn text_of(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path)
        .map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))
}

/// Figures of the whole machine that were measured besides, and those to compare them with.
type Besides<'a> = Option<(&'a [Figure], Option<&'a Earlier>)>;

fn measure(options: &Options, besides: Besides<'_>) -> Outcome<u8> {
    for name in &options.names {
        let row = KNOWN.iter().any(|k| k.row == name);
        if !row && !GROUPS.contains(&name.as_str()) {
            let rows: Vec<_> = KNOWN.iter().map(|k| k.row).collect();
            return Err(Failure::usage(format!(
                "no group or row {name}; groups: {}; alone: boot, growth, http, net, sim; rows: {}",
                GROUPS.join(", "),
                rows.join(", ")
            )));
        }
    }
    let limit = Duration::from_secs(options.timeout);
    if options.bless {
        return bless(&options.names, limit);
    }
    if options.profile {
        let machine = machine(&options.names, options.smp, &options.cpu);
        let settings = if options.default { "default" } else { "lean" };
        return bench_profile::run(&options.names, settings, machine, options.timeout);
    }
    let before = match &options.compare {
        Some(path) => Some(compared(path, options.smp)?),
        None => None,
    };
    let machine = machine(&options.names, options.smp, &options.cpu);
    let report = boot(&machine, limit)?;
    if report.rows.is_empty() {
        let message = "none of these rows exists on this number of cores";
        return Err(Failure::usage(message));
    }
    let head = head(&options.cpu)?;
    println!(
        "{} core(s), {}, {}, image {}; instructions; a pair of readings costs {}, not subtracted\n",
        options.smp,
        options.cpu,
        head["qemu"].as_str().unwrap_or("QEMU"),
        head["image"].as_str().unwrap_or("?"),
        report.empty
    );
    print!("{}", bench::table(&report, options.smp, before.as_ref()));
    let value = bench::to_json(&report, options.smp, &head);
    if let Some((all, before)) = besides {
        tell(options, all, before, value)?;
    } else if let Some(path) = &options.json {
        write(path, &format!("{value:#}\n"))?;
    }
    Ok(0)
}

fn compared(path: &Path, smp: u32) -> Outcome<BTreeMap<String, f64>> {
    let (cores, figures) = bench::earlier(&text_of(path)?)?;
    if cores != u64::from(smp) {
        return Err(Failure::usage(format!(
            "{} was measured on {cores} core(s), not {smp}",
            path.display()
        )));
    }
    Ok(figures)
}

/// How many boots `--bless` takes the dearest figure of.
const BLESSED_BOOTS: u32 = 5;

/// Where the budgets stand.
#[must_use]
pub fn budgets_path() -> PathBuf {
    tree::root().join("bench/budgets.toml")
}

fn bless(names: &[String], limit: Duration) -> Outcome<u8> {
    let path = budgets_path();
    let mut budgets = match std::fs::read_to_string(&path) {
        // All rows anew: a row that is gone loses its budget.
        Ok(text) if !names.is_empty() => Budgets::parse(&text)?,
        _ => Budgets::default(),
    };
    for smp in [1, 4] {
        let mut machine = machine(names, smp, "cortex-a57");
        machine.append.push_str(" settings=lean");
        // A row may come out one way or another, by when the boot's first interrupt falls: the dearest counts.
        let mut dearest = boot(&machine, limit)?;
        for _ in 1..BLESSED_BOOTS {
            let again = boot(&machine, limit)?;
            for f in &mut dearest.rows {
                let other = again.rows.iter().find(|o| {
                    (&o.settings, &o.row) == (&f.settings, &f.row) && o.figure() > f.figure()
                });
                if let Some(other) = other {
                    if !bench::agree(f.figure(), other.figure()) {
                        let (less, more) = (f.figure(), other.figure());
                        println!("{smp} core(s), {}: {less:.2} or {more:.2}", f.row);
                    }
                    *f = other.clone();
                }
            }
        }
        budgets.bless(&dearest, smp);
    }
    write(&path, &budgets.text())?;
    Ok(0)
}

fn write(path: &Path, text: &str) -> Outcome<()> {
    std::fs::write(path, text)
        .map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display())))?;
    println!("{}", path.display());
    Ok(())
}

/// The machine of a run of these groups and rows; all if none.
#[must_use]
pub fn machine(names: &[String], smp: u32, cpu: &str) -> Machine {
    let wanted = if names.is_empty() {
        "all".to_owned()
    } else {
        names.join(",")
    };
    Machine {
        smp,
        cpu: cpu.to_owned(),
        net: Net::None,
        icount: true,
        append: format!("bench={wanted}"),
        ..Machine::default()
    }
}

/// Builds and boots the image once; its figures.
pub fn boot(machine: &Machine, limit: Duration) -> Outcome<Report> {
    bench::read(&console(machine, limit)?)
}

/// Builds and boots the image once; what it says.
pub(super) fn console(machine: &Machine, limit: Duration) -> Outcome<String> {
    measured::boot(Kind::Bench, machine, limit, DONE, "the benchmarks")
}

/// What the figures belong to.
pub(super) fn head(cpu: &str) -> Outcome<Value> {
    let image = tree::target_dir()?
        .join(tree::METAL)
        .join("release/bench.img");
    let data = std::fs::read(&image)
        .map_err(|e| Failure::failed(format!("cannot read {}: {e}", image.display())))?;
    let qemu = Command::new("qemu-system-aarch64")
        .arg("--version")
        .output();
    let qemu = qemu.map_or_else(
        |_| "unknown".to_owned(),
        |o| {
            let text = String::from_utf8_lossy(&o.stdout).into_owned();
            text.lines().next().unwrap_or("unknown").to_owned()
        },
    );
    Ok(json!({ "cpu": cpu, "qemu": qemu, "image": format!("{:016x}", fnv(&data)) }))
}

/// FNV-1a of 64 bits: tells images apart.
fn fnv(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_a_boot_argument() {
        assert_eq!(machine(&[], 1, "max").append, "bench=all");
        let names = ["sched".to_owned(), "cancel".to_owned()];
        assert_eq!(machine(&names, 4, "max").append, "bench=sched,cancel");
    }

    #[test]
    fn unknown_names_are_bad_usage_before_anything_is_built() {
        let options = Options::try_parse_from(["bench", "wrok"]).expect("it parses");
        let failure = measure(&options, None).expect_err("no such row");
        assert_eq!(failure.code, crate::failure::USAGE);
        assert!(failure.message.contains("wrok"));
        assert!(Options::try_parse_from(["bench", "--smp", "0"]).is_err());
        assert!(Options::try_parse_from(["bench", "--bless", "--smp", "2"]).is_err());
    }

    #[test]
    fn the_whole_machine_takes_no_options_of_rows() {
        let options = |words: &[&str]| {
            let words = std::iter::once(&"bench").chain(words);
            Options::try_parse_from(words).expect("it parses")
        };
        assert_eq!(whole_machine(&options(&["boot"])).unwrap(), None);
        assert_eq!(
            whole_machine(&options(&["mem", "--json", "x"])).unwrap(),
            None
        );
        for wrong in [
            &["boot", "--smp", "4"][..],
            &["mem", "sched"],
            &["mem", "--profile"],
            &["boot", "--compare", "/nowhere/at/all"],
        ] {
            let failure = whole_machine(&options(wrong)).expect_err("no such use");
            assert_eq!(failure.code, crate::failure::USAGE, "{wrong:?}");
        }
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
