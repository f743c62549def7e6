//! `bugs`: does the default sweep find what is known to be wrong?
//!
//! Each bug of the catalogue is applied to a copy of the tree, built, and hunted by the sweep that
//! `cargo test` runs too (the same scenarios, seeds, strategies and faults) until the first
//! failure. No test was written for any of them. With `--bless` the table in docs/testing.md
//! says what caught each, and after how many worlds.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use clap::Args;

use crate::bugs::{self, Bug};
use crate::{Failure, Outcome, tree};

/// Where the table is.
const DOCUMENT: &str = "docs/testing.md";
const BEGIN: &str = "<!-- bugs: begin -->";
const END: &str = "<!-- bugs: end -->";
/// A world that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Options of `cargo xtask bugs`.
#[derive(Args, Debug)]
pub struct Options {
    /// Only bugs whose name contains one of these
    names: Vec<String>,
    /// Seeds of each scenario before a bug counts as missed; as many as `cargo test` runs unless given
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// Write the result into docs/testing.md
    #[arg(long)]
    bless: bool,
}

/// How a hunt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hunt {
    worlds: u64,
    pub(super) scenario: String,
    seed: u64,
    /// What failed, in words; `None` if nothing did.
    pub(super) caught: Option<String>,
    /// A world said nothing for too long and was given up. No oracle spoke, so nothing is caught.
    silent: bool,
}

impl Hunt {
    /// What came of it, in words.
    fn verdict(&self) -> &str {
        match (&self.caught, self.silent) {
            (Some(what), _) => what,
            (None, true) => "MISSED: it hangs, and no oracle says so",
            (None, false) => "MISSED",
        }
    }
}

/// Hunts the bugs; fails when one got away.
pub fn run(options: &Options) -> Outcome<u8> {
    let all = bugs::all()?;
    let wanted = |b: &&Bug| {
        options.names.is_empty() || options.names.iter().any(|n| b.name.contains(n.as_str()))
    };
    let chosen: Vec<_> = all.iter().filter(wanted).collect();
    if chosen.is_empty() {
        return Err(Failure::usage("no bug has such a name"));
    }
    let (room, copy) = prepare()?;
    let seeds: Vec<String> = options.seeds.iter().map(u64::to_string).collect();
    let clean = build(&copy, &room).and_then(|()| hunt(&copy, &room, &seeds))?;
    if clean.caught.is_some() || clean.silent {
        return Err(Failure::failed(format!(
            "the sweep fails without any bug: {}, seed {}: {}",
            clean.scenario,
            clean.seed,
            clean.verdict()
        )));
    }
    println!("no bug ... no failure ({} worlds)", clean.worlds);
    let mut rows = BTreeMap::new();
    let mut missed = Vec::new();
    for bug in &chosen {
        let begin = Instant::now();
        break_tree(bug, &copy, &room)?;
        let hunt = hunt(&copy, &room, &seeds)?;
        println!(
            "{} ... {} ({}, seed {}, {} worlds, {:.0} s)",
            bug.name,
            hunt.verdict(),
            hunt.scenario,
            hunt.seed,
            hunt.worlds,
            begin.elapsed().as_secs_f64()
        );
        if hunt.caught.is_none() {
            missed.push(bug.name.clone());
        }
        rows.insert(bug.name.clone(), row(bug, &hunt));
    }
    println!(
        "{} of {} bugs caught",
        chosen.len() - missed.len(),
        chosen.len()
    );
    if options.bless {
        bless(&all, &rows)?;
    }
    if missed.is_empty() {
        return Ok(0);
    }
    Err(Failure::failed(format!("missed: {}", missed.join(", "))))
}

/// The room in the target directory and the copy of the tree in it, without any bug.
pub(super) fn prepare() -> Outcome<(PathBuf, PathBuf)> {
    let room = tree::target_dir()?.join("bugs");
    let copy = room.join("tree");
    fs::create_dir_all(&copy)
        .map_err(|e| Failure::failed(format!("cannot make {}: {e}", copy.display())))?;
    bugs::refresh(&copy)?;
    Ok((room, copy))
}

/// Makes the copy a tree with this bug and no other, and builds it.
pub(super) fn break_tree(bug: &Bug, copy: &Path, room: &Path) -> Outcome<()> {
    bugs::refresh(copy)?;
    bugs::apply(bug, copy, false)?;
    build(copy, room).map_err(|f| Failure::failed(format!("{} does not build: {f}", bug.name)))
}

fn cargo_in(copy: &Path, room: &Path) -> Command {
    let mut command = tree::cargo();
    command
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", room.join("build"));
    command
}

fn build(copy: &Path, room: &Path) -> Outcome<()> {
    let mut command = cargo_in(copy, room);
    command
        .args(["build", "-q", "--profile", "sim", "-p", "sim-tests"])
        .args(["--example", "hunt"])
        // Each program runs for seconds only: what counts is how fast it is built.
        .env("CARGO_INCREMENTAL", "1")
        .env("CARGO_PROFILE_SIM_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_SIM_DEBUG", "false")
        // A bug may leave a name unused; that is not what is looked for.
        .env("RUSTFLAGS", "-A warnings");
    if tree::succeeds(&mut command) {
        return Ok(());
    }
    Err(Failure::failed("the compiler's words are above"))
}

/// Runs the sweep, of so many seeds or of one row's scenarios if `arguments` say so, and reads what it says; a crash of the process is a catch as well.
pub(super) fn hunt(copy: &Path, room: &Path, arguments: &[String]) -> Outcome<Hunt> {
    let program = room.join("build/sim/examples/hunt");
    let mut child = Command::new(&program)
        .current_dir(copy)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| Failure::failed(format!("cannot start {}: {e}", program.display())))?;
    let (tell, told) = channel();
    if let Some(out) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
    }
    let mut hunt = Hunt {
        worlds: 0,
        scenario: String::new(),
        seed: 0,
        caught: None,
        silent: false,
    };
    let mut finished = false;
    loop {
        match told.recv_timeout(PATIENCE) {
            Ok(line) => finished |= note(&mut hunt, &line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                hunt.silent = true;
                finished = true;
                let _ = child.kill();
            }
        }
    }
    let status = child
        .wait()
        .map_err(|e| Failure::failed(format!("the hunt was lost: {e}")))?;
    if !finished {
        hunt.caught = Some(format!("the simulator's process ended: {status}"));
    }
    Ok(hunt)
}

/// Reads a line of the hunt; true for the last one.
fn note(hunt: &mut Hunt, line: &str) -> bool {
    let fields: Vec<_> = line.split('\t').collect();
    match fields[..] {
        ["world", worlds, scenario, seed] => {
            hunt.worlds = worlds.parse().unwrap_or(0);
            hunt.seed = seed.parse().unwrap_or(0);
            scenario.clone_into(&mut hunt.scenario);
            false
        }
        ["caught", what] => {
            hunt.caught = Some(what.to_owned());
            true
        }
        ["clean"] => true,
        _ => false,
    }
}

/// One line of the table.
fn row(bug: &Bug, hunt: &Hunt) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let caught = match &hunt.caught {
        Some(what) => format!("{} (*{}*)", short(what), hunt.scenario),
        None if hunt.silent => "**not caught**: it hangs".to_owned(),
        None => "**not caught**".to_owned(),
    };
    format!(
        "| `{}` | {} | {} | {} | {} | {} |",
        bug.name,
        cell(&bug.breaks),
        cell(&bug.rule),
        hunt.caught.as_deref().map_or("", manner),
        cell(&caught),
        hunt.worlds
    )
}

/// Who noticed: an oracle, an assertion of the kernel or of the scenario, a limit, or the host.
fn manner(caught: &str) -> &'static str {
    let begins = |heads: &[&str]| heads.iter().any(|head| caught.starts_with(head));
    if begins(&["violation", "deadlock", "livelock"]) {
        "oracle"
    } else if begins(&["too many points", "too much virtual time"]) {
        "limit"
    } else if begins(&["exit", "panic"]) {
        "assertion"
    } else {
        "crash"
    }
}

/// The beginning of a long message.
fn short(text: &str) -> String {
    const LONGEST: usize = 140;
    let text = text.trim();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn bless(all: &[Bug], rows: &BTreeMap<String, String>) -> Outcome<()> {
    let file = tree::root().join(DOCUMENT);
    let text = fs::read_to_string(&file)
        .map_err(|e| Failure::failed(format!("cannot read {DOCUMENT}: {e}")))?;
    let new = with_rows(&text, all, rows)
        .ok_or_else(|| Failure::failed(format!("{DOCUMENT} has no lines `{BEGIN}`, `{END}`")))?;
    fs::write(&file, new).map_err(|e| Failure::failed(format!("cannot write {DOCUMENT}: {e}")))
}

/// The document with these rows in its table; rows of bugs that were not hunted now stay.
fn with_rows(text: &str, all: &[Bug], rows: &BTreeMap<String, String>) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    let mut table = String::from(
        "| Bug | What it breaks | Rule | How | Caught by | Worlds |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for bug in all {
        let begin = format!("| `{}` |", bug.name);
        let known = rows.get(&bug.name).map(String::as_str);
        if let Some(row) = known.or_else(|| old.lines().find(|l| l.starts_with(&begin))) {
            table.push_str(row);
            table.push('\n');
        }
    }
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bug(name: &str) -> Bug {
        Bug {
            name: name.to_owned(),
            breaks: "It breaks.".to_owned(),
            rule: "E2".to_owned(),
            file: name.into(),
        }
    }

    fn nothing() -> Hunt {
        Hunt {
            worlds: 0,
            scenario: String::new(),
            seed: 0,
            caught: None,
            silent: false,
        }
    }

    #[test]
    fn lines_of_a_hunt_are_read() {
        let mut hunt = nothing();
        assert!(!note(&mut hunt, "world\t12\tqueue storm\t3"));
        assert!(!note(&mut hunt, "something else"));
        assert!(note(&mut hunt, "caught\tdeadlock: E2 a|b"));
        assert_eq!((hunt.worlds, hunt.seed), (12, 3));
        assert_eq!(hunt.caught.as_deref(), Some("deadlock: E2 a|b"));
        let row = row(&bug("01-x"), &hunt);
        assert_eq!(
            row,
            "| `01-x` | It breaks. | E2 | oracle | deadlock: E2 a\\|b (*queue storm*) | 12 |"
        );
        assert!(note(&mut nothing(), "clean"));
    }

    #[test]
    fn who_noticed_is_told_apart() {
        for (caught, who) in [
            ("violation of C5", "oracle"),
            ("deadlock", "oracle"),
            ("exit 101: assertion failed", "assertion"),
            ("too many points", "limit"),
            ("the simulator's process ended: signal", "crash"),
        ] {
            assert_eq!(manner(caught), who, "{caught}");
        }
    }

    #[test]
    fn silence_is_no_catch() {
        let silent = Hunt {
            silent: true,
            ..nothing()
        };
        assert!(silent.verdict().starts_with("MISSED"));
        assert!(row(&bug("01-x"), &silent).contains("**not caught**: it hangs"));
    }

    #[test]
    fn table_keeps_rows_that_were_not_hunted_and_drops_bugs_that_are_gone() {
        let text = format!("a\n{BEGIN}\n| `01-x` | old |\n| `02-gone` | old |\n{END}\nz\n");
        let all = [bug("01-x"), bug("03-new")];
        let rows = BTreeMap::from([("03-new".to_owned(), "| `03-new` | new |".to_owned())]);
        let new = with_rows(&text, &all, &rows).unwrap();
        let lines: Vec<_> = new.lines().collect();
        assert_eq!((lines[0], lines[1]), ("a", BEGIN));
        assert_eq!(
            lines[4..],
            ["| `01-x` | old |", "| `03-new` | new |", END, "z"]
        );
        assert_eq!(with_rows("no markers", &all, &rows), None);
    }

    #[test]
    fn long_messages_are_cut() {
        assert_eq!(short(" a "), "a");
        assert_eq!(short(&"ä".repeat(200)).chars().count(), 141);
    }
}
