//! `conformance`: the rule table with its tests, and whether they pass.
//!
//! The tests are those of `cargo test`; which row they stand for is in their names
//! ([`crate::conformance`]). One run lists them, a second one runs those that are wanted, by telling
//! every program which of its tests to skip: both harnesses understand that, and the on-target
//! programs boot for the wanted ones only.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Instant;

use clap::Args;

use crate::conformance::{self, CAVEATS, Row, TABLE};
use crate::verb::conformance_mutate;
use crate::verb::test::listen;
use crate::{Failure, Outcome, tree};

/// Options of `cargo xtask conformance`.
#[derive(Args, Debug)]
pub struct Options {
    /// Only these rows, such as E8
    rows: Vec<String>,
    /// Only tests of this package; can be given several times
    #[arg(short, long = "package", value_name = "PACKAGE")]
    packages: Vec<String>,
    /// Show which tests stand for which row; run nothing
    #[arg(long)]
    list: bool,
    /// Break the kernel for each row of tier M, or for those named, and see whether the row's tests notice
    #[arg(long, conflicts_with_all = ["list", "packages"])]
    mutate: bool,
    /// With --mutate: go on where an earlier run stopped
    #[arg(long, requires = "mutate")]
    resume: bool,
}

/// What is known of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It was not asked, or did not answer.
    Silent,
    Passed,
    Failed,
}

/// What came of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Fail,
    /// A row that must have a test has none.
    Missing,
    LeftOut,
    /// A row that may have a test has none.
    Absent,
    /// It has tests, and nobody ran them.
    Covered,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::Missing => "MISSING",
            Self::LeftOut => "left out",
            Self::Absent => "-",
            Self::Covered => "covered",
        }
    }

    const fn is_bad(self) -> bool {
        matches!(self, Self::Fail | Self::Missing)
    }
}

/// The table, and the tests by name.
struct Suite {
    rows: Vec<Row>,
    left_out: BTreeMap<String, String>,
    /// Rows and state of each test that stands for a chosen row.
    tests: BTreeMap<String, (Vec<String>, State)>,
    /// The other tests.
    strangers: BTreeSet<String>,
}

/// Lists or runs the suite; fails when a row has no test or a failing one.
pub fn run(options: &Options) -> Outcome<u8> {
    let begin = Instant::now();
    let mut suite = Suite::chosen(&options.rows)?;
    if options.mutate {
        // Rows of tier S need no bug of their own; who names one wants to see its.
        let named = !options.rows.is_empty();
        let wanted = |r: &&Row| r.is_wanted() && (r.tier == 'M' || named);
        let rows: Vec<&Row> = suite.rows.iter().filter(wanted).collect();
        return conformance_mutate::run(&rows, options.resume);
    }
    suite.find_tests(&options.packages)?;
    if !options.list {
        suite.run_tests(&options.packages)?;
    }
    let bad = suite.print(!options.list, begin.elapsed().as_secs());
    Ok(if bad { crate::failure::FAILED } else { 0 })
}

impl Suite {
    /// The rows by these names; all that a test could stand for when there are none.
    fn chosen(names: &[String]) -> Outcome<Self> {
        let read = |file: &str| {
            std::fs::read_to_string(tree::root().join(file))
                .map_err(|e| Failure::failed(format!("cannot read {file}: {e}")))
        };
        let rows = conformance::rows(&read(TABLE)?)?;
        let left_out = conformance::left_out(&read(CAVEATS)?);
        let unknown = |id: &&String| !rows.iter().any(|r| r.id.eq_ignore_ascii_case(id));
        if let Some(id) = names.iter().find(unknown) {
            return Err(Failure::usage(format!("{TABLE} has no row {id}")));
        }
        if let Some(id) = left_out.keys().find(unknown) {
            return Err(Failure::failed(format!(
                "{CAVEATS} leaves out row {id}, which {TABLE} does not have"
            )));
        }
        let is_chosen = |r: &Row| {
            let lettered = r.id.starts_with(|c: char| c.is_ascii_uppercase());
            match names.is_empty() {
                true => lettered,
                false => names.iter().any(|n| n.eq_ignore_ascii_case(&r.id)),
            }
        };
        Ok(Self {
            rows: rows.into_iter().filter(is_chosen).collect(),
            left_out,
            tests: BTreeMap::new(),
            strangers: BTreeSet::new(),
        })
    }

    /// Asks all test programs what they have.
    fn find_tests(&mut self, packages: &[String]) -> Outcome<()> {
        let known: BTreeSet<String> = self.rows.iter().map(|r| r.id.clone()).collect();
        let mut command = cargo_test(packages);
        command.args(["--", "--list", "--format", "terse"]);
        let mut said = Vec::new();
        let success = listen(command, |line| {
            let Some(test) = line.strip_suffix(": test") else {
                said.push(line.to_owned());
                return;
            };
            let rows = conformance::rows_of(test, &known);
            if rows.is_empty() {
                self.strangers.insert(test.to_owned());
            } else {
                self.tests.insert(test.to_owned(), (rows, State::Silent));
            }
        })?;
        if success {
            return Ok(());
        }
        eprintln!("{}", said.join("\n"));
        Err(Failure::failed("the tests do not build; see above"))
    }

    /// Runs the tests of the chosen rows.
    fn run_tests(&mut self, packages: &[String]) -> Outcome<()> {
        if self.tests.is_empty() {
            return Ok(());
        }
        let mut command = cargo_test(packages);
        command.args(["--no-fail-fast", "--", "--exact"]);
        for test in self
            .strangers
            .difference(&self.tests.keys().cloned().collect())
        {
            command.args(["--skip", test]);
        }
        listen(command, |line| {
            if let Some((test, passed)) = result(line) {
                if let Some((_, state)) = self.tests.get_mut(test) {
                    // Two programs may have a test of one name.
                    *state = match (passed, *state) {
                        (true, State::Silent | State::Passed) => State::Passed,
                        _ => State::Failed,
                    };
                    println!("{}  {test}", if passed { "ok  " } else { "FAIL" });
                }
            } else if !line.trim().is_empty() && !line.starts_with("running ") {
                println!("      {line}");
            }
        })?;
        Ok(())
    }

    fn verdict(&self, row: &Row, ran: bool) -> Verdict {
        let mut tests = self.tests.values().filter(|t| t.0.contains(&row.id));
        let has_any = tests.clone().next().is_some();
        match (has_any, ran) {
            (true, false) => Verdict::Covered,
            (true, true) if tests.all(|t| t.1 == State::Passed) => Verdict::Pass,
            (true, true) => Verdict::Fail,
            (false, _) if self.left_out.contains_key(&row.id) => Verdict::LeftOut,
            (false, _) if row.is_wanted() => Verdict::Missing,
            (false, _) => Verdict::Absent,
        }
    }

    /// Prints the table; true when a row is not as it should be.
    fn print(&self, ran: bool, seconds: u64) -> bool {
        let mut counts = BTreeMap::<&str, usize>::new();
        let mut bad = false;
        println!("\n{:<4} {:<4} {:<9} tests", "row", "tier", "");
        for row in &self.rows {
            let verdict = self.verdict(row, ran);
            let optional = if row.is_wanted() { "" } else { " (optional)" };
            *counts.entry(verdict.word()).or_default() += usize::from(row.is_wanted());
            bad |= verdict.is_bad();
            let mut lines = self.tests_of(&row.id);
            match verdict {
                Verdict::Missing => lines.push(format!("wanted: {}", row.observable)),
                Verdict::LeftOut => lines.push(self.left_out[&row.id].clone()),
                Verdict::Absent => lines.push(optional.trim_start().to_owned()),
                _ => {}
            }
            for (n, line) in lines.iter().enumerate() {
                let (id, tier, word) = match n {
                    0 => (row.id.as_str(), row.tier, verdict.word()),
                    _ => ("", ' ', ""),
                };
                println!("{id:<4} {tier:<4} {word:<9} {line}");
            }
        }
        let words: Vec<_> = counts
            .iter()
            .filter(|(_, n)| **n > 0)
            .map(|(word, n)| format!("{n} {word}"))
            .collect();
        println!("\nrows of tiers M and S: {}; {seconds} s", words.join(", "));
        bad
    }

    /// The tests of a row, with the machines of one on-target test on one line.
    fn tests_of(&self, id: &str) -> Vec<String> {
        let mut lines = BTreeMap::<&str, (Vec<&str>, bool)>::new();
        for (test, (_, state)) in self
            .tests
            .iter()
            .filter(|(_, t)| t.0.iter().any(|r| r == id))
        {
            let (name, machine) = match test.starts_with("metal::") {
                true => test.rsplit_once("::").unwrap_or((test, "")),
                false => (test.as_str(), ""),
            };
            let line = lines.entry(name).or_default();
            line.0.extend(Some(machine).filter(|m| !m.is_empty()));
            line.1 |= *state == State::Failed;
        }
        let line = |(name, (machines, failed)): (&str, (Vec<&str>, bool))| {
            let machines = match machines.is_empty() {
                true => String::new(),
                false => format!(" ({})", machines.join(" ")),
            };
            let failed = if failed { "  FAILED" } else { "" };
            format!("{name}{machines}{failed}")
        };
        lines.into_iter().map(line).collect()
    }
}

/// `cargo test` of these packages, or of all, without the programs in the documentation.
fn cargo_test(packages: &[String]) -> Command {
    let mut command = tree::cargo();
    command.args(["test", "--tests"]);
    command.args(packages.iter().flat_map(|p| ["-p", p]));
    command
}

/// Name and success of the test whose result this line tells.
fn result(line: &str) -> Option<(&str, bool)> {
    let (test, result) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let test = test.trim_end().trim_end_matches(" - should panic");
    match result.trim() {
        "ok" => Some((test, true)),
        "FAILED" => Some((test, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(tests: &[(&str, &str, State)]) -> Suite {
        let row = |id: &str, tier| Row {
            id: id.to_owned(),
            tier,
            rule: String::new(),
            observable: String::new(),
        };
        Suite {
            rows: vec![row("E8", 'M'), row("N1", 'S'), row("C4", 'C')],
            left_out: BTreeMap::from([("N1".to_owned(), "later".to_owned())]),
            tests: tests
                .iter()
                .map(|(t, r, s)| ((*t).to_owned(), (vec![(*r).to_owned()], *s)))
                .collect(),
            strangers: BTreeSet::new(),
        }
    }

    #[test]
    fn verdicts() {
        let of = |tests: &[_], ran| {
            let suite = suite(tests);
            let words = suite.rows.iter().map(|r| suite.verdict(r, ran).word());
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(&[], true), "MISSING left out -");
        let passed = ("e8_a", "E8", State::Passed);
        assert_eq!(of(&[passed], false), "covered left out -");
        assert_eq!(of(&[passed], true), "pass left out -");
        assert_eq!(
            of(&[passed, ("e8_b", "E8", State::Failed)], true),
            "FAIL left out -"
        );
        assert_eq!(
            of(&[passed, ("e8_b", "E8", State::Silent)], true),
            "FAIL left out -"
        );
    }

    #[test]
    fn machines_of_one_test_share_a_line() {
        let suite = suite(&[
            ("metal::74_e8_x::smp1", "E8", State::Passed),
            ("metal::74_e8_x::smp2", "E8", State::Failed),
            ("e8_y", "E8", State::Passed),
        ]);
        let lines = suite.tests_of("E8");
        assert_eq!(lines, ["e8_y", "metal::74_e8_x (smp1 smp2)  FAILED"]);
    }

    #[test]
    fn results_of_both_harnesses_are_read() {
        assert_eq!(result("test a::b ... ok"), Some(("a::b", true)));
        assert_eq!(
            result("test metal::1 ... FAILED"),
            Some(("metal::1", false))
        );
        assert_eq!(result("test a - should panic ... ok"), Some(("a", true)));
        assert_eq!(result("running 3 tests"), None);
    }
}
