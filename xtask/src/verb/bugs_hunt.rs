//! One hunt: a broken tree, its program, and what the sweep says to it.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::bugs::{self, Bug};
use crate::{Failure, Outcome, tree};

/// A world that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a hunt ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hunt {
    pub(super) worlds: u64,
    pub(super) scenario: String,
    pub(super) seed: u64,
    /// What failed, in words; `None` if nothing did.
    pub(super) caught: Option<String>,
    /// A world said nothing for too long and was given up. No oracle spoke, so nothing is caught.
    pub(super) silent: bool,
}

impl Hunt {
    /// What came of it, in words.
    pub(super) fn verdict(&self) -> &str {
        match (&self.caught, self.silent) {
            (Some(what), _) => what,
            (None, true) => "MISSED: it hangs, and no oracle says so",
            (None, false) => "MISSED",
        }
    }
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

/// Makes the copy a tree with this bug and no other, and builds it. The program.
pub(super) fn break_tree(bug: &Bug, copy: &Path, room: &Path) -> Outcome<PathBuf> {
    bugs::refresh(copy)?;
    bugs::apply(bug, copy, false)?;
    build(copy, room).map_err(|f| Failure::failed(format!("{} does not build: {f}", bug.name)))
}

/// Builds the copy as it is. The program.
pub(super) fn build(copy: &Path, room: &Path) -> Outcome<PathBuf> {
    let mut command = tree::cargo();
    command
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", room.join("build"))
        .args(["build", "-q", "--profile", "sim", "-p", "sim-tests"])
        .args(["--example", "hunt"])
        // Each program runs for seconds only: what counts is how fast it is built.
        .env("CARGO_INCREMENTAL", "1")
        .env("CARGO_PROFILE_SIM_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_SIM_LTO", "off")
        .env("CARGO_PROFILE_SIM_DEBUG", "false")
        // A bug may leave a name unused; that is not what is looked for.
        .env("RUSTFLAGS", "-A warnings");
    if tree::succeeds(&mut command) {
        return Ok(room.join("build/sim/examples/hunt"));
    }
    Err(Failure::failed("the compiler's words are above"))
}

/// Runs the sweep, of so many seeds or of one row's scenarios if `arguments` say so, and reads what it
/// says; a crash of the process in one of its worlds is a catch as well.
pub(super) fn hunt(program: &Path, copy: &Path, arguments: &[String]) -> Outcome<Hunt> {
    let mut child = Command::new(program)
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
    let mut hunt = Hunt::default();
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
    if !finished && hunt.worlds == 0 {
        // No world broke it: it did not come so far.
        return Err(Failure::failed(format!(
            "the simulator ended before its first world: {status}"
        )));
    }
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

/// What earlier runs found, one line each, so that a run that was interrupted goes on.
pub(super) struct Known(PathBuf);

impl Known {
    /// The file is in the room; without `resume` it begins anew.
    pub(super) fn open(room: &Path, resume: bool) -> Self {
        let file = room.join("results.tsv");
        if !resume {
            // An absent one is as good.
            let _ = fs::remove_file(&file);
        }
        Self(file)
    }

    /// The hunt of this tree (`print`), if it took place.
    pub(super) fn find(&self, print: u64) -> Option<Hunt> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().rev().find_map(|line| parse(line, print))
    }

    /// Notes a hunt.
    pub(super) fn add(&self, print: u64, hunt: &Hunt) -> Outcome<()> {
        let file = fs::File::options().create(true).append(true).open(&self.0);
        file.and_then(|mut file| writeln!(file, "{}", line(print, hunt)))
            .map_err(|e| Failure::failed(format!("cannot write {}: {e}", self.0.display())))
    }
}

fn line(print: u64, hunt: &Hunt) -> String {
    let word = match (&hunt.caught, hunt.silent) {
        (Some(_), _) => "caught",
        (None, true) => "silent",
        (None, false) => "missed",
    };
    let what = hunt.caught.as_deref().unwrap_or_default();
    let (worlds, scenario, seed) = (hunt.worlds, &hunt.scenario, hunt.seed);
    let what = what.replace(['\t', '\n'], " ");
    format!("{print:016x}\t{worlds}\t{scenario}\t{seed}\t{word}\t{what}")
}

fn parse(line: &str, print: u64) -> Option<Hunt> {
    let fields: Vec<_> = line.split('\t').collect();
    let [of, worlds, scenario, seed, word, what] = fields[..] else {
        return None;
    };
    if of != format!("{print:016x}") {
        return None;
    }
    Some(Hunt {
        worlds: worlds.parse().ok()?,
        scenario: scenario.to_owned(),
        seed: seed.parse().ok()?,
        caught: (word == "caught").then(|| what.to_owned()),
        silent: word == "silent",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_hunt_are_read() {
        let mut hunt = Hunt::default();
        assert!(!note(&mut hunt, "world\t12\tqueue storm\t3"));
        assert!(!note(&mut hunt, "something else"));
        assert!(note(&mut hunt, "caught\tdeadlock: E2 a|b"));
        assert_eq!((hunt.worlds, hunt.seed), (12, 3));
        assert_eq!(hunt.caught.as_deref(), Some("deadlock: E2 a|b"));
        assert!(note(&mut Hunt::default(), "clean"));
    }

    #[test]
    fn what_was_found_is_found_again_on_the_same_tree_only() {
        let caught = Hunt {
            worlds: 7,
            scenario: "storm".to_owned(),
            seed: 3,
            caught: Some("violation\tof C5\n".to_owned()),
            silent: false,
        };
        let read = parse(&line(1, &caught), 1).unwrap();
        assert_eq!(read.caught.as_deref(), Some("violation of C5 "));
        assert_eq!((read.worlds, read.seed, &*read.scenario), (7, 3, "storm"));
        assert_eq!(parse(&line(1, &caught), 2), None);
        let silent = Hunt {
            silent: true,
            ..Hunt::default()
        };
        assert_eq!(parse(&line(1, &silent), 1), Some(silent));
        assert_eq!(parse(&line(1, &Hunt::default()), 1), Some(Hunt::default()));
        assert_eq!(parse("half a li", 1), None);
    }

    #[test]
    fn silence_is_no_catch() {
        let silent = Hunt {
            silent: true,
            ..Hunt::default()
        };
        assert!(silent.verdict().starts_with("MISSED"));
    }
}
