//! The report of a fault: who, where, and why, in words and with function names; and silence of the
//! other cores.

use std::time::{Duration, Instant};

use qemu_tests::{catalogue, plan};
use xtask::decode::{self, Elf};
use xtask::failure;
use xtask::guest::{Guest, Terminal};
use xtask::image::{self, Kind};
use xtask::options::{Net, Options};
use xtask::toolchain;
use xtask::verb::decode::annotated;

use crate::{Body, check};

pub(crate) const TESTS: &[(&str, Body)] = &[
    ("fault_report_is_complete", report),
    ("panic_stops_the_other_cores", silence),
];

/// The on-target test that faults: a write to 0x128, two calls deep in a work item.
const TEST: &str = "65_fault_in_a_work_item_names_it";

/// The on-target test in which one core panics and another one prints without end.
const TALKER: &str = "68_panic_stops_the_other_cores";

/// Events of each core in the report; the on-target test makes sure that there are as many.
const EVENTS: usize = 32;

fn report() -> Result<(), String> {
    let (said, code) = run(TEST)?;
    complete(&said, code)
        .and_then(|()| decoded(&said))
        .map_err(|why| format!("{why}; the console:\n{said}"))
}

fn silence() -> Result<(), String> {
    let (said, code) = run(TALKER)?;
    let silent = || {
        check(code == failure::PANIC, format!("exit code {code}"))?;
        let (before, report) = said.split_once("kernel panic:").ok_or("no report")?;
        let talks = |text: &str| text.lines().filter(|l| l.contains("STILL HERE")).count();
        check(talks(before) > 2, "the other core said nothing before")?;
        // It may be within a line, and is told to stop while the report begins.
        let after = talks(report);
        check(
            after <= 2,
            format!("the other core said {after} lines more"),
        )?;
        let frames = report.lines().filter(|l| l.trim().starts_with('#')).count();
        check(frames > 2, format!("{frames} frames"))
    };
    silent().map_err(|why: String| format!("{why}; the console:\n{said}"))
}

/// Runs one on-target test that dies; what it said, and the exit code.
pub(crate) fn run(name: &str) -> Result<(String, u8), String> {
    let toolchain = toolchain::metal(false, true).map_err(|f| f.message)?;
    let image = image::build(Kind::Tests, &toolchain).map_err(|f| f.message)?;
    let elf = std::fs::read(&image.elf).map_err(|e| e.to_string())?;
    let test = catalogue::read(&elf)?.into_iter().find(|t| t.name == name);
    let options = Options {
        smp: 2,
        net: Net::None,
        append: plan::selection(&[test.ok_or("the image lacks the test")?]),
        yes: true,
        ..Options::default()
    };
    let mut guest =
        Guest::start(&options, &image.flat, Terminal::Captured).map_err(|f| f.message)?;
    let _ = guest.wait(Instant::now() + Duration::from_secs(60));
    let code = guest.exit_code();
    Ok((guest.console().since(0), code))
}

fn complete(said: &str, code: u8) -> Result<(), String> {
    check(code == failure::PANIC, format!("exit code {code}"))?;
    let start = said.find("kernel panic:").ok_or("there is no report")?;
    let report = &said[start..];
    let line = |what: &str, start: &str| {
        let found = report.lines().map(str::trim).find(|l| l.starts_with(start));
        found.ok_or_else(|| format!("no line about {what}"))
    };
    let syndrome = line("the cause, in words", "kernel panic: data abort")?;
    check(
        syndrome.contains("translation fault") && syndrome.contains("write"),
        format!("the syndrome in words: {syndrome}"),
    )?;
    let place = line("core and thread", "core ")?;
    check(
        place.contains("thread \"kworker"),
        format!("the thread: {place}"),
    )?;
    let item = line("the work item", "running work item")?;
    check(item.ends_with("misuse::Stray"), format!("the item: {item}"))?;
    let pc = line("ELR", "pc 0x")?;
    check(
        pc.contains(" sp 0x") && pc.contains("syndrome 0x96"),
        format!("ELR, SP and ESR: {pc}"),
    )?;
    let address = line("FAR", "address ")?;
    check(
        address == "address 0x0000000000000128",
        format!("FAR: {address}"),
    )?;
    let registers = report.lines().filter(|l| l.trim().starts_with('x')).count();
    check(registers == 8, format!("{registers} lines of registers"))?;
    let at = line("the function", "at 0x")?;
    check(at.contains("stray_write+0x"), format!("the function: {at}"))?;
    let frame = |name: &str| {
        let mut frames = report.lines().map(str::trim).filter(|l| l.starts_with('#'));
        frames.any(|f| f.contains(name))
    };
    // Between the first two may stand how the worker came to it, of which there are several.
    for name in ["stray_handler+0x", "wq::worker::main+0x", "thread_main"] {
        check(frame(name), format!("{name} in the backtrace"))?;
    }
    block(report)
}

/// The parts of the block are there, in order, with nothing behind it.
fn block(report: &str) -> Result<(), String> {
    let parts = [
        "  #0 ",
        "last events of core 0:",
        "last events of core 1:",
        "cpu0: ",
        "threads that wait:",
        "pools that have something to do",
        "end of panic report",
    ];
    let mut rest = report;
    for part in parts {
        let (_, behind) = rest
            .split_once(part)
            .ok_or_else(|| format!("\"{part}\" in its place"))?;
        rest = behind;
    }
    let rest = rest.trim();
    check(
        rest == "ROUNDTABLE EXIT 101",
        format!("behind the report: {rest}"),
    )?;
    let below = |title: &str| -> Vec<&str> {
        let from = report.split_once(title).map_or("", |x| x.1);
        let lines = from.lines().skip(1);
        lines.take_while(|l| l.starts_with("  ")).collect()
    };
    for core in 0..2 {
        let n = below(&format!("last events of core {core}:")).len();
        check(n == EVENTS, format!("{n} events of core {core}"))?;
    }
    let pools = below("pools that have something to do");
    let busy = |line: &&str| line.starts_with("  pool ") && line.contains(" 1 running");
    check(
        pools.iter().any(busy),
        format!("the worker's pool in {pools:?}"),
    )?;
    let starts = report.contains("workqueue_execute_start: ");
    check(starts, "the start of the item among the events")
}

/// `cargo xtask decode` says which source line faulted and who called.
fn decoded(said: &str) -> Result<(), String> {
    let toolchain = toolchain::metal(false, true).map_err(|f| f.message)?;
    let image = image::build(Kind::Tests, &toolchain).map_err(|f| f.message)?;
    let elf = Elf::open(&image.elf).map_err(|f| f.message)?;
    let names = said.lines().flat_map(decode::addresses);
    let judged: Vec<bool> = names.filter_map(|f| elf.agrees(&f)).collect();
    check(judged.len() > 3, format!("{} names", judged.len()))?;
    check(judged.iter().all(|&ok| ok), "every name is the ELF's")?;
    let text = annotated(said, &elf);
    let (_, behind) = text
        .split_once("stray_write+0x")
        .ok_or("no faulting function")?;
    let line = behind.lines().nth(1).unwrap_or_default();
    check(
        line.contains("tests/metal/src/cases/misuse.rs:") || text.contains("misuse.rs:"),
        format!("the source line: {line}"),
    )?;
    check(
        text.contains("kernel/src/wq/worker.rs:"),
        format!("the worker's source line in\n{text}"),
    )
}
