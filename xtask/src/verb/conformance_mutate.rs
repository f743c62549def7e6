//! `conformance --mutate`: a broken kernel for each row, and whether the row's own tests notice.
//!
//! The broken kernels are the patches of `tests/sim/rows` and `tests/sim/bugs`; a patch names the rows it
//! breaks before the colon of its line `Rule:`. Where `cargo xtask bugs` asks whether anything finds the
//! bug, this asks the scenarios of the row alone, or the tests that the patch names, so that a row is not
//! held by its neighbours' tests only, and first sees them pass without the bug. A row without a bug is told: nobody
//! knows whether its tests can fail.
//!
//! With `resume` what an earlier run found is taken over ([`Record`]).

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::bugs::{self, Bug};
use crate::conformance::Row;
use crate::verb::bugs_hunt::{Hunt, break_tree, build, hunt, prepare};
use crate::verb::conformance_record::{Found, Record};
use crate::{Failure, Outcome, tree};

/// A bug, and what a row's tests said to it: `None` if it could not be tried.
struct Finding {
    bug: String,
    found: Option<Found>,
}

impl Finding {
    fn is_catch(&self) -> bool {
        self.found.as_ref().is_some_and(|f| f.caught.is_some())
    }
}

/// Hunts the bugs of `rows` until each row is held by one, and prints the table; the exit code says whether
/// each row has a bug that its tests catch. What the tests catch counts only if they are clean without it.
pub(super) fn run(rows: &[&Row], resume: bool) -> Outcome<u8> {
    let mut all = bugs::of_rows()?;
    all.sort_by_cached_key(|b| (b.test.is_some(), b.package(), b.name.clone()));
    // The others are for the rows which have no patch of their own, or one that gets away.
    all.extend(bugs::all()?);
    let mut findings = BTreeMap::<&str, Vec<Finding>>::new();
    let mut room = Room::open(resume)?;
    for bug in &all {
        let is_held = |r: &Row| {
            let found = findings.get(r.id.as_str());
            found.is_some_and(|f| f.iter().any(Finding::is_catch))
        };
        let wanted = |r: &&&Row| breaks(bug, &r.id) && !is_held(r);
        let broken: Vec<_> = rows.iter().filter(wanted).collect();
        for (row, found) in room.try_rows(bug, &broken)? {
            println!("{row} {} ... {}", bug.name, word(found.as_ref()));
            let (bug, found) = (bug.name.clone(), found.ok());
            let finding = Finding { bug, found };
            findings.entry(row).or_default().push(finding);
        }
    }
    let (caught, bad) = table(rows, &findings);
    println!(
        "\n{caught} of {} rows have a broken kernel that their tests catch",
        rows.len()
    );
    match bad {
        true => Err(Failure::failed(
            "rows whose tests nobody has seen fail are above",
        )),
        false => Ok(0),
    }
}

/// The room in the target directory, the copy of the tree in it, and what is known.
struct Room {
    room: PathBuf,
    copy: PathBuf,
    record: Record,
    /// What was seen of tests without a bug.
    controls: BTreeMap<(String, String), Option<(u32, u32)>>,
}

impl Room {
    fn open(resume: bool) -> Outcome<Self> {
        let (room, copy) = prepare()?;
        let record = Record::open(&room, bugs::refresh(&copy)?, resume);
        let controls = BTreeMap::new();
        Ok(Self {
            room,
            copy,
            record,
            controls,
        })
    }

    /// The control: all scenarios, on the tree without a bug.
    fn sweep_is_clean(&self) -> Outcome<()> {
        if self.record.is_clean() {
            return Ok(());
        }
        bugs::refresh(&self.copy)?;
        let program = build(&self.copy, &self.room)?;
        match hunt(&program, &self.copy, &[])? {
            Hunt {
                caught: None,
                silent: false,
                ..
            } => self.record.add_clean(),
            dirty => Err(Failure::failed(format!(
                "{} fails without a bug (seed {}): {}",
                dirty.scenario,
                dirty.seed,
                dirty.verdict()
            ))),
        }
    }

    /// What caught the bug for each of these rows. A bug that cannot be tried is an error of its own,
    /// and the next one is tried all the same. Fails when the scenarios do without a bug.
    fn try_rows<'r>(
        &mut self,
        bug: &Bug,
        rows: &[&&'r Row],
    ) -> Outcome<Vec<(&'r str, Outcome<Found>)>> {
        let mut results = Vec::new();
        let mut left = Vec::new();
        for row in rows {
            match self.record.of(&row.id, bug)? {
                Some(found) => results.push((row.id.as_str(), Ok(found))),
                None => left.push(row.id.as_str()),
            }
        }
        if left.is_empty() {
            return Ok(results);
        }
        let told = match &bug.test {
            Some(test) => self.test_fails(bug, test).map(Told::Test),
            None => {
                self.sweep_is_clean()?;
                break_tree(bug, &self.copy, &self.room).map(Told::Program)
            }
        };
        let of_row = |id: &str| {
            let caught = match &told {
                Ok(Told::Test(caught)) => caught.clone(),
                Ok(Told::Program(program)) => {
                    let hunt = hunt(program, &self.copy, &[id.to_owned()])?;
                    hunt.caught.map(|_| hunt.scenario)
                }
                Err(why) => return Err(Failure::failed(why.to_string())),
            };
            self.record.add(id, bug, caught.as_deref())?;
            Ok(Found {
                caught,
                earlier: false,
            })
        };
        results.extend(left.into_iter().map(|id| (id, of_row(id))));
        Ok(results)
    }

    /// Applies the bug and runs the tests it names: what failed, if any did. They must build, and there
    /// must be some, which pass without the bug: else their failure proves nothing.
    fn test_fails(&mut self, bug: &Bug, test: &(String, String)) -> Outcome<Option<String>> {
        let (package, filter) = test;
        let control = match self.controls.get(test) {
            Some(told) => *told,
            None => {
                bugs::refresh(&self.copy)?;
                let told = self.tests(test)?;
                self.controls.insert(test.clone(), told);
                told
            }
        };
        let Some((1.., 0)) = control else {
            return Err(Failure::failed(format!(
                "tests of {package} ({filter}) are no control without the bug (passed, failed: {control:?})"
            )));
        };
        bugs::refresh(&self.copy)?;
        bugs::apply(bug, &self.copy, false)?;
        match self.tests(test)? {
            Some((_, 0)) => Ok(None),
            Some((_, failed)) => Ok(Some(format!("{failed} tests of {package} ({filter})"))),
            None => Err(Failure::failed(format!("{} does not build", bug.name))),
        }
    }

    /// Runs these tests on the copy: how many passed and failed, or `None` if they do not build.
    fn tests(&self, (package, filter): &(String, String)) -> Outcome<Option<(u32, u32)>> {
        let run = |arguments: &[&str]| {
            let mut command = tree::cargo();
            command
                .current_dir(&self.copy)
                .env("CARGO_TARGET_DIR", self.room.join("build"))
                .env("RUSTFLAGS", "-A warnings")
                .args(["test", "-q", "--tests", "--no-fail-fast", "-p", package])
                .args(arguments);
            command.output().map_err(|e| {
                let what = format!("cannot start cargo ({e}); is it on the path?");
                Failure::missing(what)
            })
        };
        if !run(&["--no-run"])?.status.success() {
            return Ok(None);
        }
        let told = run(&["--", filter])?;
        let text = String::from_utf8_lossy(&told.stdout);
        let sums = text.lines().filter_map(passed_and_failed);
        Ok(Some(sums.fold((0, 0), |(p, f), (p1, f1)| (p + p1, f + f1))))
    }
}

/// How a bug is asked about.
enum Told {
    /// The tests it names have been run: what failed.
    Test(Option<String>),
    /// The program of the broken tree, which hunts for one row.
    Program(PathBuf),
}

/// How many tests passed and failed, of a line in which a test program sums up.
fn passed_and_failed(line: &str) -> Option<(u32, u32)> {
    let (_, rest) = line.split_once("test result: ")?;
    let (_, rest) = rest.split_once(". ")?;
    let (passed, rest) = rest.split_once(" passed; ")?;
    let (failed, _) = rest.split_once(" failed")?;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

/// Whether the bug's patch says that it breaks this row.
fn breaks(bug: &Bug, row: &str) -> bool {
    let rows = bug.rule.split(':').next().unwrap_or_default();
    rows.split(", ").any(|r| r == row)
}

fn word(found: Result<&Found, &Failure>) -> String {
    match found {
        Ok(Found {
            caught: Some(by),
            earlier,
        }) => {
            let when = if *earlier {
                " (on an earlier tree)"
            } else {
                ""
            };
            format!("caught by {by}{when}")
        }
        Ok(_) => "NOT CAUGHT".to_owned(),
        Err(why) => format!("NOT TRIED: {why}"),
    }
}

/// Prints each row's bugs; how many rows are held, and whether any is not.
fn table(rows: &[&Row], findings: &BTreeMap<&str, Vec<Finding>>) -> (usize, bool) {
    let mut held = 0;
    println!("\n{:<4} broken kernels", "row");
    for row in rows {
        let found = findings.get(row.id.as_str()).map_or(&[][..], Vec::as_slice);
        held += usize::from(found.iter().any(Finding::is_catch));
        if found.is_empty() {
            println!("{:<4} none", row.id);
        }
        for (n, f) in found.iter().enumerate() {
            let id = if n == 0 { row.id.as_str() } else { "" };
            let word = f
                .found
                .as_ref()
                .map_or_else(|| "NOT TRIED".to_owned(), |f| word(Ok(f)));
            println!("{id:<4} {:<44} {word}", f.bug);
        }
    }
    (held, held < rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bugs_name_their_rows_before_the_colon() {
        let bug = |rule: &str| Bug {
            name: "01-x".to_owned(),
            breaks: String::new(),
            rule: rule.to_owned(),
            test: None,
            file: "x".into(),
        };
        assert!(breaks(&bug("B4, C6: never twice"), "C6"));
        assert!(!breaks(&bug("B4, C6: as E2 says"), "E2"));
        assert!(!breaks(&bug("lost wake-up"), "E2"));
    }

    #[test]
    fn passed_and_failed_tests_are_counted() {
        let line = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured";
        assert_eq!(passed_and_failed(line), Some((3, 2)));
        let line = "test result: ok. 30 passed; 0 failed; 0";
        assert_eq!(passed_and_failed(line), Some((30, 0)));
        assert_eq!(passed_and_failed("running 2 tests"), None);
    }

    #[test]
    fn rows_without_a_catch_are_counted_out() {
        let row = |id: &str| Row {
            id: id.to_owned(),
            tier: 'M',
            rule: String::new(),
            observable: String::new(),
        };
        let (e2, e3) = (row("E2"), row("E3"));
        let finding = |caught: Option<&str>| Finding {
            bug: "01-x".to_owned(),
            found: Some(Found {
                caught: caught.map(str::to_owned),
                earlier: false,
            }),
        };
        let mut findings = BTreeMap::from([("E2", vec![finding(None), finding(Some("s"))])]);
        assert_eq!(table(&[&e2, &e3], &findings), (1, true));
        findings.insert("E3", vec![finding(Some("t"))]);
        assert_eq!(table(&[&e2, &e3], &findings), (2, false));
    }
}
