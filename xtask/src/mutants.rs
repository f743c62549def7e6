//! Which mutants a survey tries, and what became of each: the books of the verb `mutants`.
//!
//! A mutant is known by its name without line and column, plus a number where several share it
//! (two `replace + with -` in one function). So a survey can go on after an edit that moves lines,
//! and a sample keeps its members: the mutants whose names hash lowest under the seed, whatever
//! happens to the others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{Failure, Outcome};

/// What cargo says of a process that has used up its CPU time.
const STOPPED: &str = "SIGXCPU";

/// One change that `cargo mutants` can make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// As cargo-mutants prints it, with line and column.
    pub name: String,
    /// The crate.
    pub package: String,
    /// Survives edits elsewhere in the file.
    pub key: String,
}

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// A test failed.
    Caught,
    /// All tests passed.
    Missed,
    /// The tests did not end.
    Timeout,
    /// It does not compile.
    Unviable,
}

/// Fates with the names of their files in cargo-mutants' output directory.
pub const FATES: [(Fate, &str); 4] = [
    (Fate::Caught, "caught"),
    (Fate::Missed, "missed"),
    (Fate::Timeout, "timeout"),
    (Fate::Unviable, "unviable"),
];

/// Gives keys to the names of one listing, which is in source order.
pub fn with_keys(names: impl IntoIterator<Item = (String, String)>) -> Vec<Mutant> {
    let mut seen = BTreeMap::new();
    let mutants = names.into_iter().map(|(package, name)| {
        let plain = without_position(&name);
        let n: &mut u32 = seen.entry(plain.clone()).or_default();
        *n += 1;
        let key = format!("{plain} #{n}");
        Mutant { name, package, key }
    });
    mutants.collect()
}

/// `path:line:column: what` without the numbers.
fn without_position(name: &str) -> String {
    let mut parts = name.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(path), Some(_), Some(_), Some(what)) => format!("{path}:{what}"),
        _ => name.to_owned(),
    }
}

/// The `n` mutants with the lowest hashes, in the order of the listing; all when there are fewer.
#[must_use]
pub fn sample(mutants: &[Mutant], n: usize, seed: u64) -> Vec<Mutant> {
    let mut order: Vec<_> = mutants.iter().map(|m| (hash(seed, &m.key), m)).collect();
    order.sort_by(|a, b| (a.0, &a.1.key).cmp(&(b.0, &b.1.key)));
    order.truncate(n);
    let chosen: Vec<_> = order.into_iter().map(|(_, m)| &m.key).collect();
    let is_chosen = |m: &&Mutant| chosen.contains(&&m.key);
    mutants.iter().filter(is_chosen).cloned().collect()
}

/// FNV-1a with a finishing mix. The standard library's hashers promise no fixed value.
fn hash(seed: u64, text: &str) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in text.bytes() {
        h = (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    h ^= h >> 32;
    h = h.wrapping_mul(0xd6e8_feb8_6659_fd93);
    h ^ h >> 32
}

/// Fates by key, kept in a file of lines `fate<TAB>key`.
#[derive(Debug, Default)]
pub struct Results(BTreeMap<String, Fate>);

impl Results {
    /// Reads the file; an absent one is empty.
    #[must_use]
    pub fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = |line: &str| {
            let (word, key) = line.split_once('\t')?;
            let (fate, _) = FATES.iter().find(|(_, name)| *name == word)?;
            Some((key.to_owned(), *fate))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// Writes the file.
    pub fn write(&self, file: &Path) -> Outcome<()> {
        let mut text = String::new();
        for (key, fate) in &self.0 {
            let word = FATES.iter().find(|(f, _)| f == fate).map_or("", |f| f.1);
            let _ = writeln!(text, "{word}\t{key}");
        }
        fs::write(file, text)
            .map_err(|e| Failure::failed(format!("cannot write {}: {e}", file.display())))
    }

    /// Takes over what cargo-mutants has decided so far, also in a run that was interrupted.
    pub fn take_over(&mut self, output: &Path, planned: &[Mutant]) {
        for (fate, word) in FATES {
            let file = output.join(word).with_extension("txt");
            let text = fs::read_to_string(file).unwrap_or_default();
            for name in text.lines() {
                if let Some(m) = planned.iter().find(|m| m.name == name) {
                    self.0.insert(m.key.clone(), fate);
                }
            }
        }
        for name in out_of_time(output) {
            if let Some(m) = planned.iter().find(|m| m.name == name) {
                self.0.insert(m.key.clone(), Fate::Timeout);
            }
        }
    }

    /// What became of a mutant, if it was tried.
    #[must_use]
    pub fn fate(&self, mutant: &Mutant) -> Option<Fate> {
        self.0.get(&mutant.key).copied()
    }

    /// How many of these mutants met this fate.
    #[must_use]
    pub fn count<'a>(&self, of: impl IntoIterator<Item = &'a Mutant>, fate: Fate) -> usize {
        of.into_iter()
            .filter(|m| self.fate(m) == Some(fate))
            .count()
    }
}

/// Mutants whose tests failed because they had used up their CPU time.
fn out_of_time(output: &Path) -> Vec<String> {
    let text = fs::read_to_string(output.join("outcomes.json")).unwrap_or_default();
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let stopped = |outcome: &&Value| {
        let log = outcome["log_path"].as_str().map(|path| output.join(path));
        let log = log.and_then(|path| fs::read(path).ok()).unwrap_or_default();
        outcome["summary"] == "CaughtMutant" && String::from_utf8_lossy(&log).contains(STOPPED)
    };
    let outcomes = value["outcomes"].as_array().into_iter().flatten();
    let names = outcomes
        .filter(stopped)
        .map(|o| &o["scenario"]["Mutant"]["name"]);
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Vec<Mutant> {
        let names = (0..50).map(|i| {
            let name = format!("src/a.rs:{}:7: replace + with - in f{}", i * 3 + 1, i / 2);
            ("a".to_owned(), name)
        });
        with_keys(names)
    }

    #[test]
    fn names_without_position_get_numbers() {
        let all = listing();
        assert_eq!(all[0].key, "src/a.rs: replace + with - in f0 #1");
        assert_eq!(all[1].key, "src/a.rs: replace + with - in f0 #2");
    }

    #[test]
    fn path_of_a_function_is_not_a_position() {
        assert_eq!(
            without_position("src/a.rs:1:2: replace A::b -> u8 with 0"),
            "src/a.rs: replace A::b -> u8 with 0"
        );
    }

    #[test]
    fn sample_depends_on_the_seed_and_keeps_its_members() {
        let all = listing();
        let one = sample(&all, 10, 1);
        assert_eq!(one.len(), 10);
        assert_eq!(one, sample(&all, 10, 1));
        assert_ne!(one, sample(&all, 10, 2));
        assert_eq!(sample(&all, 100, 1), all, "all when there are fewer");
        let fewer: Vec<_> = all.into_iter().filter(|m| !m.key.contains("f7")).collect();
        let again = sample(&fewer, 10, 1);
        let kept = one.iter().filter(|m| again.contains(m)).count();
        assert!(kept >= 8, "two mutants gone changed {} others", 10 - kept);
    }

    #[test]
    fn results_survive_the_file_and_moved_lines() {
        let dir = std::env::temp_dir().join(format!("mutants-test-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let all = listing();
        fs::write(dir.join("caught.txt"), format!("{}\n", all[3].name)).unwrap();
        fs::write(
            dir.join("missed.txt"),
            format!("{}\nunknown\n", all[4].name),
        )
        .unwrap();
        fs::write(dir.join("loop.log"), "(signal: 24, SIGXCPU: CPU limit)").unwrap();
        fs::write(dir.join("fail.log"), "(exit status: 101)").unwrap();
        let outcome = |n: usize, log: &str| {
            format!(
                r#"{{"summary": "CaughtMutant", "log_path": "{log}", "scenario": {{"Mutant": {{"name": "{}"}}}}}}"#,
                all[n].name
            )
        };
        let outcomes = [outcome(3, "fail.log"), outcome(6, "loop.log")].join(",");
        fs::write(
            dir.join("outcomes.json"),
            format!(r#"{{"outcomes": [{{"scenario": "Baseline"}}, {outcomes}]}}"#),
        )
        .unwrap();
        let mut results = Results::default();
        results.take_over(&dir, &all);
        results.write(&dir.join("results")).unwrap();
        let read = Results::read(&dir.join("results"));
        fs::remove_dir_all(&dir).unwrap();
        let mut moved = all[3].clone();
        moved.name = "src/a.rs:999:1: elsewhere".to_owned();
        assert_eq!(read.fate(&moved), Some(Fate::Caught));
        assert_eq!(read.fate(&all[4]), Some(Fate::Missed));
        assert_eq!(read.fate(&all[5]), None);
        assert_eq!(read.fate(&all[6]), Some(Fate::Timeout), "it loops");
        assert_eq!(read.count(&all, Fate::Caught), 1);
    }
}
