//! `mutants`: does any test notice when a line of the policy crates is wrong?
//!
//! `cargo mutants` changes one operator or one result at a time and runs the tests. This verb draws
//! a sample of its mutants by a seed, runs it one crate after the other with that crate's own
//! tests, and says which ones survived. It is a survey of an hour, not a check: not part of
//! `ci`. What it last found stands in docs/mutants.md.
//!
//! `--resume` goes on after an interruption or after new tests: what was caught or did not compile
//! stays decided, the rest runs again. One survey at a time: two would overwrite each other's
//! results. A mutant that loops for ever counts as caught, because the tests fail by their time
//! limit; the report lists those, so that a person can judge. Limits are of CPU time, so that other
//! programs on the machine change nothing; only a mutant that sleeps for ever meets the clock.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde_json::Value;

use crate::mutants::{FATES, Fate, Mutant, Results, sample, with_keys};
use crate::{Failure, Outcome, sources, tree};

/// The crates whose logic runs on no particular machine.
const CRATES: [&str; 4] = ["sched", "timer", "sync", "workqueue"];
/// A crate's tests must not take longer, in seconds of CPU time, or nobody would run the survey.
const LONGEST_TESTS: f64 = 20.0;
/// With a mutant they are stopped after so many.
const CPU_LIMIT: u32 = 30;
/// And after so many on the clock, if they use no CPU time.
const PATIENCE: &str = "240";
/// What Linux counts CPU time in, parts of a second.
const TICKS: f64 = 100.0;
/// Viable mutants that must be caught, in percent.
const FEWEST_CAUGHT: f64 = 90.0;

/// Options of `cargo xtask mutants`.
#[derive(Args, Debug)]
pub struct Options {
    /// How many mutants to try
    #[arg(long, value_name = "N", default_value_t = 450)]
    sample: usize,
    /// Which ones
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Try only those of this crate; the report covers all
    #[arg(long = "crate", value_name = "NAME", value_parser = CRATES)]
    crates: Vec<String>,
    /// Keep what earlier runs caught and try the rest again
    #[arg(long)]
    resume: bool,
    /// Print the sample and end
    #[arg(long)]
    list: bool,
    /// Print what is known and end
    #[arg(long)]
    report: bool,
}

/// Runs the survey and prints its report.
pub fn run(options: &Options) -> Outcome<u8> {
    let all = list()?;
    let chosen = sample(&all, options.sample, options.seed);
    println!(
        "{} of {} mutants, seed {}",
        chosen.len(),
        all.len(),
        options.seed
    );
    if options.list {
        chosen.iter().for_each(|m| println!("{}", m.name));
        return Ok(0);
    }
    let room = tree::target_dir()?.join("mutants");
    fs::create_dir_all(&room)
        .map_err(|e| Failure::failed(format!("cannot make {}: {e}", room.display())))?;
    let file = room.join("results.tsv");
    let mut results = if options.resume || options.report {
        Results::read(&file)
    } else {
        Results::default()
    };
    let mut times = Vec::new();
    for package in CRATES
        .iter()
        .filter(|p| !options.report && wants(options, p))
    {
        let planned: Vec<_> = chosen
            .iter()
            .filter(|m| m.package == *package)
            .cloned()
            .collect();
        let output = room.join(package);
        if options.resume {
            results.take_over(&output.join("mutants.out"), &planned);
        }
        let decided = |m: &Mutant| {
            matches!(results.fate(m), Some(Fate::Caught | Fate::Unviable)) && options.resume
        };
        let left: Vec<_> = planned.iter().filter(|m| !decided(m)).cloned().collect();
        if left.is_empty() {
            continue;
        }
        let seconds = try_all(package, &left, &room)?;
        results.take_over(&output.join("mutants.out"), &planned);
        results.write(&file)?;
        times.push((*package, seconds));
    }
    let percent = report(&chosen, &results);
    if let Some(names) = too_slow(&times) {
        return Err(Failure::failed(names));
    }
    verdict(percent)
}

/// Whether enough of the viable mutants were caught.
fn verdict(percent: f64) -> Outcome<u8> {
    if percent >= FEWEST_CAUGHT {
        return Ok(0);
    }
    Err(Failure::failed(format!(
        "{percent:.1} % of the viable mutants are caught; at least {FEWEST_CAUGHT} % are wanted"
    )))
}

/// The part of the viable mutants that is caught; a function left out counts as a survivor.
fn percent(caught: usize, viable: usize, skipped: usize) -> f64 {
    100.0 * caught as f64 / (viable + skipped).max(1) as f64
}

/// Says which crates' tests take longer than they may, if any do.
fn too_slow(times: &[(&str, f64)]) -> Option<String> {
    let slow = times.iter().filter(|(_, seconds)| *seconds > LONGEST_TESTS);
    let slow: Vec<_> = slow
        .map(|(package, seconds)| format!("the tests of {package} take {seconds:.1} s"))
        .collect();
    (!slow.is_empty()).then(|| {
        format!(
            "{}; at most {LONGEST_TESTS} s of CPU time each are allowed: shorten them",
            slow.join(", ")
        )
    })
}

fn wants(options: &Options, package: &str) -> bool {
    options.crates.is_empty() || options.crates.iter().any(|c| c == package)
}

fn list() -> Outcome<Vec<Mutant>> {
    let mut command = tree::cargo();
    command.args(["mutants", "--list", "--json", "--no-config"]);
    CRATES.iter().for_each(|p| {
        command.args(["--package", p]);
    });
    let output = command
        .output()
        .map_err(|e| Failure::missing(format!("cannot start cargo ({e}); is it on the path?")))?;
    if !output.status.success() {
        return Err(Failure::missing(format!(
            "`cargo mutants` failed; `cargo install --locked cargo-mutants` installs it: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )));
    }
    let value: Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| Failure::failed(format!("`cargo mutants --list` printed no JSON: {e}")))?;
    let text = |v: &Value, key: &str| v[key].as_str().unwrap_or_default().to_owned();
    let entries = value.as_array().into_iter().flatten();
    Ok(with_keys(
        entries.map(|v| (text(v, "package"), text(v, "name"))),
    ))
}

/// Lets cargo-mutants try these mutants, one at a time, in a copy of the tree. Returns how long the
/// tests take without a mutant, in seconds.
fn try_all(package: &str, mutants: &[Mutant], room: &Path) -> Outcome<f64> {
    println!("{package}: {} mutants to try", mutants.len());
    let config = room.join(package).with_extension("toml");
    let names = mutants.iter().map(|m| format!("^{}$", escape(&m.name)));
    let names: Vec<_> = names.map(Value::from).collect();
    // A JSON list of strings is a TOML list of strings.
    let text = format!("examine_re = {}\n", Value::from(names));
    fs::write(&config, text)
        .map_err(|e| Failure::failed(format!("cannot write {}: {e}", config.display())))?;
    let output = room.join(package);
    let measured = cpu_seconds(package, room)?;
    let mut command = tree::cargo();
    if let (Some(name), true) = (runner_variable(), tree::which("prlimit").is_some()) {
        command.env(name, format!("prlimit --cpu={CPU_LIMIT}"));
    }
    command
        .arg("mutants")
        .args(["--package", package, "--profile", "mutants"])
        .args(["--cap-lints", "true", "--jobs", "1", "--colors", "never"])
        // Generous: other programs may be running, and a wrong "timeout" would count as caught.
        .args(["--minimum-test-timeout", PATIENCE])
        .args(["--timeout-multiplier", "20"])
        // A loop in a constant never ends either, and lints are capped.
        .args(["--build-timeout", PATIENCE])
        .arg("--config")
        .arg(&config)
        .arg("--output")
        .arg(&output)
        .env("CARGO_TARGET_DIR", room.join("build"))
        .env("PROPTEST_FAILURE_PERSISTENCE", "off");
    // Its exit code says whether some survived; whether it worked shows in what it wrote.
    let _ = tree::succeeds(&mut command);
    let seconds = measured.unwrap_or(baseline_seconds(&output.join("mutants.out"))?);
    println!("{package}: its tests take {seconds:.1} s");
    Ok(seconds)
}

/// The CPU time that the crate's tests take, in seconds; `None` where nobody says.
fn cpu_seconds(package: &str, room: &Path) -> Outcome<Option<f64>> {
    let test = |arguments: &[&str]| {
        let mut command = tree::cargo();
        command
            .args(["test", "-q", "--profile", "mutants", "--package", package])
            .args(arguments)
            .env("CARGO_TARGET_DIR", room.join("build"))
            .env("PROPTEST_FAILURE_PERSISTENCE", "off");
        tree::succeeds(&mut command).then_some(()).ok_or_else(|| {
            Failure::failed("the tests fail without a mutant; `cargo test` says why")
        })
    };
    test(&["--no-run"])?;
    let before = children_seconds();
    test(&[])?;
    Ok(children_seconds().zip(before).map(|(now, then)| now - then))
}

/// CPU time of all children that have ended, and theirs.
fn children_seconds() -> Option<f64> {
    of_children(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// `cutime` and `cstime` of a line of `/proc/PID/stat`, in seconds.
fn of_children(stat: &str) -> Option<f64> {
    // The name, in brackets, may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(13);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS)
}

/// The variable that names the program which cargo starts tests with on this host.
fn runner_variable() -> Option<String> {
    let output = Command::new("rustc").arg("-vV").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|l| l.strip_prefix("host: "))?;
    let host = host.to_uppercase().replace('-', "_");
    Some(format!("CARGO_TARGET_{host}_RUNNER"))
}

/// How long the tests of the tree without a mutant took.
fn baseline_seconds(output: &Path) -> Outcome<f64> {
    let file = output.join("outcomes.json");
    let text = fs::read_to_string(&file)
        .map_err(|e| Failure::failed(format!("cargo-mutants left no {}: {e}", file.display())))?;
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let baseline = &value["outcomes"][0];
    if baseline["summary"] != "Success" {
        return Err(Failure::failed(
            "the tests fail without a mutant; `cargo test` says why",
        ));
    }
    let phases = baseline["phase_results"].as_array();
    let test = phases.and_then(|all| all.iter().find(|p| p["phase"] == "Test"));
    Ok(test.and_then(|p| p["duration"].as_f64()).unwrap_or(0.0))
}

/// Prints the table and the survivors; the part caught of all.
fn report(chosen: &[Mutant], results: &Results) -> f64 {
    let skipped = skipped();
    let mut last = 0.0;
    println!(
        "\n{:<12} {:>7} {:>8} {:>7} {:>7} {:>8} {:>9} {:>8}",
        "crate", "sample", "viable", "caught", "missed", "timeout", "not tried", "caught %"
    );
    let by_crate = CRATES.iter().map(|p| (*p, Some(*p)));
    for (title, package) in by_crate.chain([("all", None)]) {
        let of: Vec<_> = chosen
            .iter()
            .filter(|m| package.is_none_or(|p| m.package == p))
            .collect();
        let count = |fate| results.count(of.iter().copied(), fate);
        let [caught, missed, timeout, unviable] = FATES.map(|(fate, _)| count(fate));
        let viable = caught + missed + timeout;
        let inside = |line: &&String| {
            package.is_none_or(|p| Path::new(line).starts_with(Path::new("kernel").join(p)))
        };
        let left_out = skipped.iter().filter(inside).count();
        last = percent(caught + timeout, viable, left_out);
        println!(
            "{title:<12} {:>7} {viable:>8} {caught:>7} {missed:>7} {timeout:>8} {:>9} {last:>8.1}",
            of.len(),
            of.len() - viable - unviable,
        );
    }
    for (fate, title) in [
        (Fate::Missed, "survivors"),
        (Fate::Timeout, "stopped by the time limit"),
    ] {
        let of = chosen.iter().filter(|m| results.fate(m) == Some(fate));
        let names: Vec<_> = of.map(|m| m.name.as_str()).collect();
        println!("\n{title}: {}", names.len());
        names.iter().for_each(|name| println!("  {name}"));
    }
    println!(
        "\nfunctions left out by attribute (they count as survivors): {}",
        skipped.len()
    );
    skipped.iter().for_each(|line| println!("  {line}"));
    last
}

/// Where a source file of the crates asks to be left alone.
fn skipped() -> Vec<String> {
    let inside = |path: &PathBuf| {
        CRATES
            .iter()
            .any(|c| path.starts_with(Path::new("kernel").join(c)))
    };
    let mut lines = Vec::new();
    for (path, text) in sources::rust_files().into_iter().filter(|(p, _)| inside(p)) {
        let hits = text
            .lines()
            .enumerate()
            .filter(|(_, l)| l.contains("mutants::skip"));
        lines.extend(hits.map(|(n, _)| format!("{}:{}", path.display(), n + 1)));
    }
    lines
}

/// A regular expression that matches this text only.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() && !"\"'`_<>".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_take_too_long_fail_the_survey() {
        assert_eq!(too_slow(&[("sched", 20.0), ("sync", 3.0)]), None);
        let slow = too_slow(&[("sched", 20.1), ("sync", 3.0)]).unwrap();
        assert!(slow.contains("sched take 20.1 s") && !slow.contains("sync"));
    }

    #[test]
    fn cpu_time_of_children_is_read() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 900 901 120 30 20 0 1 0 5";
        assert_eq!(of_children(stat), Some(1.5));
        assert_eq!(of_children("7 (a) S 1 2"), None);
    }

    #[test]
    fn too_few_caught_fail_the_survey_and_what_is_left_out_survives() {
        assert!(verdict(90.0).is_ok() && verdict(89.9).is_err());
        assert!((percent(9, 10, 0) - 90.0).abs() < 1e-9);
        assert!((percent(9, 10, 8) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn escaped_names_are_no_patterns() {
        assert_eq!(
            escape("a.rs:1: f(x) -> &'a T"),
            r"a\.rs\:1\: f\(x\) \-> \&'a T"
        );
    }
}
