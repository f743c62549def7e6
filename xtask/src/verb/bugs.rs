//! `bugs`: does the default sweep find what is known to be wrong?
//!
//! Each bug of the catalogue is applied to a copy of the tree, built, and hunted by the sweep that
//! `cargo test` runs too (the same scenarios, seeds, strategies and faults) until the first
//! failure. No test was written for any of them. With `--bless` the table in docs/testing.md
//! says what caught each, after how many worlds, and on which commit.
//!
//! One target directory serves all, bugs of one package follow each other, and while one is hunted the
//! next is built. Each result is noted as soon as it is known, under a number made of the tree and the
//! patch: `--resume` takes over what the same tree has said already.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Args;

use super::bugs_hunt::{Hunt, Known, build, hunt, prepare};
use super::bugs_table::{bless, row, stale_rows};
use crate::bugs::{self, Bug, mix};
use crate::{Failure, Outcome, tree};

/// Options of `cargo xtask bugs`.
#[derive(Args, Debug)]
pub struct Options {
    /// Only bugs whose name contains one of these
    names: Vec<String>,
    /// Seeds of each scenario before a bug counts as missed; as many as `cargo test` runs unless given
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// Take over what an earlier run found on the same tree
    #[arg(long)]
    resume: bool,
    /// Hunt nothing: print the catalogue
    #[arg(long, conflicts_with_all = ["seeds", "resume"])]
    list: bool,
    /// Write the result into docs/testing.md, and a row for each bug that has none
    #[arg(long)]
    bless: bool,
}

/// A tree that is built, and is hunted or was.
struct Job<'a> {
    /// `None`: the tree without a bug.
    bug: Option<&'a Bug>,
    print: u64,
    program: PathBuf,
    /// Seconds.
    built: f64,
}

/// Takes a result: of which tree, what came of it, how it was had.
type Note<'n, 'a> = &'n mut dyn FnMut(Option<&'a Bug>, &Hunt, &str) -> Outcome<()>;

/// What all jobs of a run share.
struct Run {
    room: PathBuf,
    copy: PathBuf,
    seeds: Vec<String>,
    known: Known,
}

/// Hunts the bugs; fails when one got away.
pub fn run(options: &Options) -> Outcome<u8> {
    let all = bugs::all()?;
    let wanted = |b: &&Bug| {
        options.names.is_empty() || options.names.iter().any(|n| b.name.contains(n.as_str()))
    };
    let mut chosen: Vec<_> = all.iter().filter(wanted).collect();
    if chosen.is_empty() {
        return Err(Failure::usage("no bug has such a name"));
    }
    if options.list {
        for bug in &chosen {
            println!("{}: {} ({})", bug.name, bug.breaks, bug.rule);
        }
        if options.bless {
            bless(&all, &BTreeMap::new(), None)?;
        }
        return tell_stale(&all);
    }
    chosen.sort_by_cached_key(|b| (b.package(), b.name.clone()));
    let (room, copy) = prepare()?;
    let known = Known::open(&room, options.resume);
    let seeds = options.seeds.iter().map(u64::to_string).collect();
    let run = Run {
        room,
        copy,
        seeds,
        known,
    };
    let on = commit();
    let (mut rows, mut missed, mut worlds, mut done) = (BTreeMap::new(), Vec::new(), 0, 0);
    let mut note = |bug: Option<&Bug>, hunt: &Hunt, how: &str| -> Outcome<()> {
        let Some(bug) = bug else {
            worlds = hunt.worlds;
            return clean(hunt);
        };
        done += 1;
        println!(
            "[{done}/{}] {} ... {} ({}, seed {}, {} worlds; {how})",
            chosen.len(),
            bug.name,
            hunt.verdict(),
            hunt.scenario,
            hunt.seed,
            hunt.worlds
        );
        if hunt.caught.is_none() {
            missed.push(bug.name.clone());
        }
        rows.insert(bug.name.clone(), row(bug, hunt, &on));
        Ok(())
    };
    let jobs = std::iter::once(None).chain(chosen.iter().copied().map(Some));
    run.hunt_all(jobs, &mut note)?;
    println!(
        "{} of {} bugs caught",
        chosen.len() - missed.len(),
        chosen.len()
    );
    if options.bless {
        bless(&all, &rows, Some(worlds))?;
    }
    tell_stale(&all)?;
    if missed.is_empty() {
        return Ok(0);
    }
    Err(Failure::failed(format!("missed: {}", missed.join(", "))))
}

/// Says what the table lacks.
fn tell_stale(all: &[Bug]) -> Outcome<u8> {
    for line in stale_rows(all)? {
        println!("docs/testing.md: {line}");
    }
    Ok(0)
}

/// The sweep must find nothing where there is nothing.
fn clean(hunt: &Hunt) -> Outcome<()> {
    if hunt.caught.is_none() && !hunt.silent {
        println!("no bug ... no failure ({} worlds)", hunt.worlds);
        return Ok(());
    }
    Err(Failure::failed(format!(
        "the sweep fails without any bug: {}, seed {}: {}",
        hunt.scenario,
        hunt.seed,
        hunt.verdict()
    )))
}

impl Run {
    /// Builds one after the other, and hunts each while the next is built.
    fn hunt_all<'a>(
        &self,
        bugs: impl Iterator<Item = Option<&'a Bug>>,
        note: Note<'_, 'a>,
    ) -> Outcome<()> {
        let mut before: Option<Job<'a>> = None;
        let mut bugs = bugs.enumerate();
        loop {
            let next = bugs.next();
            let last = next.is_none();
            let (hunted, built) = std::thread::scope(|s| {
                let hunting = before.take().map(|job| {
                    let task = s.spawn({
                        let program = job.program.clone();
                        move || self.timed_hunt(&program)
                    });
                    (job, task)
                });
                let built = next.map(|(n, bug)| self.prepare(n, bug));
                let hunted = hunting.map(|(job, task)| (job, task.join()));
                (hunted, built)
            });
            if let Some((job, hunt)) = hunted {
                let (hunt, seconds) = hunt.map_err(|_| Failure::failed("the hunt panicked"))??;
                self.known.add(job.print, &hunt)?;
                let how = format!("built in {:.0} s, hunted {seconds:.0} s", job.built);
                note(job.bug, &hunt, &how)?;
            }
            match built.transpose()? {
                Some(Prepared::Hunted(bug, hunt)) => note(bug, &hunt, "as found before")?,
                Some(Prepared::Built(job)) => before = Some(job),
                None => {}
            }
            if last && before.is_none() {
                return Ok(());
            }
        }
    }

    fn timed_hunt(&self, program: &Path) -> Outcome<(Hunt, f64)> {
        let begin = Instant::now();
        let hunt = hunt(program, &self.copy, &self.seeds)?;
        Ok((hunt, begin.elapsed().as_secs_f64()))
    }

    /// Makes the copy a tree with this bug and no other, and builds it, unless the result is known.
    fn prepare<'a>(&self, n: usize, bug: Option<&'a Bug>) -> Outcome<Prepared<'a>> {
        let begin = Instant::now();
        let mut print = bugs::refresh(&self.copy)?;
        if let Some(bug) = bug {
            let patch = fs::read(&bug.file)
                .map_err(|e| Failure::failed(format!("cannot read {}: {e}", bug.file.display())))?;
            print = mix(print, &patch);
            bugs::apply(bug, &self.copy, false)?;
        }
        print = mix(print, self.seeds.concat().as_bytes());
        if let Some(hunt) = self.known.find(print) {
            return Ok(Prepared::Hunted(bug, hunt));
        }
        let name = bug.map_or("the tree without a bug", |b| &b.name);
        let built = match (build(&self.copy, &self.room), bug) {
            (Ok(built), _) => built,
            // The others are worth hunting all the same.
            (Err(f), Some(_)) => {
                println!("{name} does not build: {f}");
                return Ok(Prepared::Hunted(bug, Hunt::default()));
            }
            (Err(f), None) => {
                return Err(Failure::failed(format!("{name} does not build: {f}")));
            }
        };
        // The next build writes to the same place while this one is hunted.
        let program = self.room.join(["hunt-0", "hunt-1"][n % 2]);
        fs::copy(&built, &program)
            .map_err(|e| Failure::failed(format!("cannot copy {}: {e}", built.display())))?;
        let built = begin.elapsed().as_secs_f64();
        Ok(Prepared::Built(Job {
            bug,
            print,
            program,
            built,
        }))
    }
}

enum Prepared<'a> {
    Hunted(Option<&'a Bug>, Hunt),
    Built(Job<'a>),
}

/// The commit the tree stands on, with a plus sign if files of it were changed since.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(tree::root())
            .args(arguments)
            .output();
        let text = output.ok().filter(|o| o.status.success());
        text.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
    };
    let Some(hash) = git(&["rev-parse", "--short=7", "HEAD"]) else {
        return "?".to_owned();
    };
    let code = ["kernel", "boards", "services", "tests/sim/src"];
    let changed = git(&[&["status", "--porcelain", "--"], &code[..]].concat());
    let plus = changed.is_some_and(|text| !text.is_empty());
    format!("{hash}{}", if plus { "+" } else { "" })
}
