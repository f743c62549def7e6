//! `bench ROW --profile`: where the row's instructions go.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::bench::{DONE, KNOWN, Known};
use crate::guest;
use crate::image::{self, Kind};
use crate::machine;
use crate::options::Options as Machine;
use crate::profile::{self, Marks, Place, Recording, Stretch};
use crate::{Failure, Outcome, packages, toolchain, tree};

/// Rows of a table.
const SHOWN: usize = 40;

/// Records the row under `settings`, `lean` or `default`, prints who takes its instructions, and writes the stacks for a
/// flame graph.
pub(super) fn run(
    names: &[String],
    settings: &str,
    mut machine: Machine,
    limit: u64,
) -> Outcome<u8> {
    let [name] = names else {
        return Err(Failure::usage("--profile wants the name of one row"));
    };
    let known = KNOWN
        .iter()
        .find(|k| k.row == name)
        .ok_or_else(|| Failure::usage(format!("--profile wants a row, and {name} is a group")))?;
    if let Some(why) = refusal(known, machine.smp) {
        return Err(Failure::usage(format!("--profile cannot do {name}: {why}")));
    }
    let append = format!(" settings={settings} profile=on");
    machine.append.push_str(&append);
    machine.extra = SAY_EACH.map(Into::into).to_vec();
    let toolchain = toolchain::metal(false, false)?;
    let image = image::build(Kind::Bench, &toolchain)?;
    let elf = std::fs::read(&image.elf)
        .map_err(|e| Failure::failed(format!("cannot read {}: {e}", image.elf.display())))?;
    let mut recording = Recording::new(Marks::find(&elf)?, stretch(known));
    record(&machine, &image, &mut recording, limit)?;
    if recording.samples == 0 {
        return Err(Failure::failed(format!("{name} took no samples")));
    }
    let samples = if known.row.starts_with("batch") || known.row == "requeue" {
        "samples, a sample being a batch of 10,000 items"
    } else if known.group == "trace" {
        "samples, a sample being a whole operation with the category on"
    } else {
        "samples"
    };
    let of = format!("each of {} {samples}", recording.samples);
    tell(
        &image.elf,
        &recording.counts,
        recording.samples,
        name,
        [known.what, &of],
    )?;
    Ok(0)
}

/// What makes QEMU say each instruction executed, to its standard error.
pub(super) const SAY_EACH: [&str; 3] = ["-singlestep", "-d", "exec,nochain"];

/// Prints who takes the instructions counted in so many `samples`, and keeps stacks and counts by the name of the row.
pub(super) fn tell(
    elf: &Path,
    counts: &HashMap<u64, u64>,
    samples: u64,
    name: &str,
    [what, of]: [&str; 2],
) -> Outcome<()> {
    let places = profile::places(elf, counts, samples)?;
    let whole: f64 = places.iter().map(|p| p.each).sum();
    println!("{name}: {what}\n{whole:.1} instructions in {of}\n");
    table(&places, whole);
    let dir = tree::target_dir()?.join("bench");
    let stacks = keep(&dir, &format!("{name}.folded"), &profile::folded(&places))?;
    let counts = keep(&dir, &format!("{name}.counts"), &profile::text(counts))?;
    println!("stacks for a flame graph: {}", stacks.display());
    println!(
        "counts by address, for beside a disassembly: {}",
        counts.display()
    );
    Ok(())
}

/// Writes `text` to a file of this name.
fn keep(dir: &Path, name: &str, text: &str) -> Outcome<PathBuf> {
    let path = dir.join(name);
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display())))?;
    Ok(path)
}

/// Why a recording cannot tell where the row's instructions go on so many cores, and what to do instead: it follows
/// core 0 from one reading of the counter to the next.
fn refusal(known: &Known, smp: u32) -> Option<String> {
    let elsewhere = |instead: &str| {
        Some(format!(
            "it begins on core 0 and ends on another, and a recording follows one core; use {instead}"
        ))
    };
    match known.row {
        "start-bound-remote" => elsewhere("start-bound, the same on one core"),
        "wake-switch-remote" => elsewhere("wake-switch, the same on one core"),
        "start-unbound" if smp > 1 => elsewhere("start-unbound with --smp 1"),
        "batch-bound-each" if smp > 1 => Some(
            "it is done by all cores, and a recording follows one; use batch-bound, or --smp 1"
                .to_owned(),
        ),
        "call-on" if smp == 1 => Some("it needs another core; use --smp 4".to_owned()),
        _ => None,
    }
}

/// Which stretch between readings the row's figure is.
fn stretch(known: &Known) -> Stretch {
    match known.row {
        "hand-off" => Stretch::First,
        _ => Stretch::Last,
    }
}

/// Boots the image and reads what QEMU says of each instruction.
fn record(
    machine: &Machine,
    image: &image::Image,
    recording: &mut Recording,
    limit: u64,
) -> Outcome<()> {
    let ports = guest::reserve(machine)?;
    let program = packages::qemu(machine.no_install, machine.yes)?;
    let mut child = Command::new(&program)
        .args(machine::arguments(machine, &ports, &image.flat))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| Failure::failed(format!("{} does not start: {e}", program.display())))?;
    let console = child
        .stdout
        .take()
        .map(|out| std::thread::spawn(move || std::io::read_to_string(out).unwrap_or_default()));
    let log = child.stderr.take();
    // A QEMU that hangs says nothing, so whoever reads cannot end it.
    let (over, ended) = mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if ended.recv_timeout(Duration::from_secs(limit)) == Err(RecvTimeoutError::Timeout) {
            let _ = child.kill();
        }
        let _ = child.wait();
    });
    if let Some(log) = log {
        let mut log = BufReader::with_capacity(1 << 20, log);
        let mut line = Vec::new();
        while log.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            recording.line(&line);
            line.clear();
        }
    }
    drop(over);
    let _ = guard.join();
    let said = console.and_then(|c| c.join().ok()).unwrap_or_default();
    if said.contains(DONE) {
        return Ok(());
    }
    let tail: Vec<_> = said.lines().rev().take(20).collect();
    let tail: Vec<_> = tail.into_iter().rev().collect();
    Err(Failure::failed(format!(
        "the benchmark did not end; the console's end:\n{}",
        tail.join("\n")
    )))
}

fn table(places: &[Place], whole: f64) {
    let table = |title: &str, sums: &[(String, f64)]| {
        println!("| {title} | Instructions | Share |\n| --- | ---: | ---: |");
        for (name, each) in sums.iter().take(SHOWN).filter(|(_, each)| *each >= 0.05) {
            println!("| {name} | {each:.1} | {:.1} % |", each * 100.0 / whole);
        }
        println!();
    };
    table(
        "Function, with what was inlined into it",
        &profile::sums(places, |p| p.frames.last().cloned().unwrap_or_default()),
    );
    table(
        "Function itself",
        &profile::sums(places, |p| p.frames[0].clone()),
    );
    table(
        "Line",
        &profile::sums(places, |p| format!("{} {}", p.line, p.frames[0])),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_wants_one_row() {
        let run = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&n| n.to_owned()).collect();
            let machine = super::super::bench::machine(&names, 1, "cortex-a57");
            run(&names, "lean", machine, 1)
                .expect_err("refused before anything is built")
                .code
        };
        let usage = crate::failure::USAGE;
        assert_eq!(run(&[]), usage);
        assert_eq!(run(&["cancel", "yield"]), usage);
        assert_eq!(run(&["work"]), usage);
        assert_eq!(run(&["wake-switch-remote"]), usage);
    }

    #[test]
    fn what_a_recording_cannot_follow_is_refused_and_says_what_to_use() {
        let refused = |row, smp| {
            let known = crate::bench::known(row).expect("a row");
            refusal(known, smp)
        };
        for (row, smp, instead) in [
            ("start-bound-remote", 4, "start-bound,"),
            ("wake-switch-remote", 1, "wake-switch,"),
            ("start-unbound", 4, "start-unbound with --smp 1"),
            ("batch-bound-each", 2, "batch-bound,"),
            ("call-on", 1, "--smp 4"),
        ] {
            let why = refused(row, smp).unwrap_or_default();
            assert!(why.contains(&format!("use {instead}")), "{row}: {why}");
        }
        for (row, smp) in [
            ("start-unbound", 1),
            ("batch-bound-each", 1),
            ("call-on", 4),
            ("trace-irq", 1),
        ] {
            assert_eq!(refused(row, smp), None, "{row}");
        }
        // Rows that one core does not have are all among these.
        let many = |k: &&Known| k.linux[0].is_none() && k.linux[1].is_some();
        assert_eq!(crate::bench::KNOWN.iter().filter(many).count(), 4);
    }
}
