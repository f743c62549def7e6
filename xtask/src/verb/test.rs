//! `test`: all tests, with one table at the end.
//!
//! `cargo test` prints a result per test program; with two dozen of them the failures scroll away.
//! The output passes through unchanged, and the table repeats what failed and where.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{Failure, Outcome, tree};

/// What one test program reported.
#[derive(Debug, Default, PartialEq, Eq)]
struct Program {
    name: String,
    passed: usize,
    failed: Vec<String>,
    ignored: usize,
    finished: bool,
}

/// Runs `cargo test`, filtered by `only`; returns the exit code.
pub fn run(only: Option<&str>) -> Outcome<u8> {
    let begin = Instant::now();
    let mut command = tree::cargo();
    command.args(["test", "--no-fail-fast"]);
    command.args(only.iter());
    let mut programs = Vec::new();
    let success = listen(command, |line| {
        let _ = writeln!(std::io::stdout(), "{line}");
        note(&mut programs, line);
    })?;
    summary(&programs, begin.elapsed().as_secs_f64());
    Ok(if success { 0 } else { crate::failure::PANIC })
}

/// Runs cargo and passes on every line of both its streams; whether all went well.
pub(super) fn listen(mut command: Command, mut heard: impl FnMut(&str)) -> Outcome<bool> {
    // cargo names the programs on stderr; both streams in one pipe keep their order.
    let (reader, writer) =
        std::io::pipe().map_err(|e| Failure::failed(format!("no pipe for cargo's output: {e}")))?;
    let second = writer
        .try_clone()
        .map_err(|e| Failure::failed(format!("no pipe for cargo's output: {e}")))?;
    command
        .stdout(Stdio::from(writer))
        .stderr(Stdio::from(second));
    let mut child = command
        .spawn()
        .map_err(|e| Failure::missing(format!("cannot start cargo ({e}); is it on the path?")))?;
    // The command still holds the pipe's other end.
    drop(command);
    for line in BufReader::new(reader).split(b'\n') {
        let Ok(line) = line else { break };
        heard(&String::from_utf8_lossy(&line));
    }
    let status = child
        .wait()
        .map_err(|e| Failure::failed(format!("cargo was lost: {e}")))?;
    Ok(status.success())
}

fn note(programs: &mut Vec<Program>, line: &str) {
    let text = line.trim();
    if let Some(name) = text
        .strip_prefix("Running ")
        .or_else(|| text.strip_prefix("Doc-tests "))
    {
        let name = name.split(" (").next().unwrap_or(name).to_owned();
        programs.push(Program {
            name,
            ..Program::default()
        });
        return;
    }
    let Some(program) = programs.last_mut() else {
        return;
    };
    if let Some(rest) = text.strip_prefix("test result: ") {
        let number = |word: &str| -> usize {
            let before = rest.split(word).next().unwrap_or_default();
            before
                .split_whitespace()
                .next_back()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0)
        };
        program.passed = number(" passed");
        program.ignored = number(" ignored");
        program.finished = true;
    } else if let Some(rest) = text.strip_prefix("test ")
        && let Some(name) = rest.strip_suffix(" ... FAILED")
    {
        program.failed.push(name.trim().to_owned());
    }
}

fn summary(programs: &[Program], seconds: f64) {
    println!(
        "\n{:<44} {:>7} {:>7} {:>7}",
        "program", "passed", "failed", "ignored"
    );
    for p in programs
        .iter()
        .filter(|p| !p.finished || p.passed + p.failed.len() + p.ignored > 0)
    {
        let end = if p.finished { "" } else { "  did not finish" };
        println!(
            "{:<44} {:>7} {:>7} {:>7}{end}",
            p.name,
            p.passed,
            p.failed.len(),
            p.ignored
        );
        p.failed
            .iter()
            .for_each(|name| println!("    FAILED {name}"));
    }
    let passed: usize = programs.iter().map(|p| p.passed).sum();
    let failed: usize = programs.iter().map(|p| p.failed.len()).sum();
    println!("{passed} passed, {failed} failed, {seconds:.0} s");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_failures_and_counts_are_noted() {
        let mut programs = Vec::new();
        for line in [
            "     Running unittests src/lib.rs (target/debug/deps/x-1)",
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out",
            "   Doc-tests x",
        ] {
            note(&mut programs, line);
        }
        assert_eq!(programs.len(), 2);
        assert_eq!(programs[0].name, "unittests src/lib.rs");
        assert_eq!((programs[0].passed, programs[0].ignored), (1, 2));
        assert_eq!(programs[0].failed, ["a::c"]);
        assert!(programs[0].finished && !programs[1].finished);
    }
}
