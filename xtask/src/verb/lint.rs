//! `lint`: everything that can be said about the tree without running it.
//!
//! Formatting, clippy for the host and for the metal (a warning is an error), layers, file sizes,
//! the table of unsafe code, the rules that are cited, and documentation without warnings. All checks run even when one fails, so
//! one run shows everything that is to be mended.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::verb::{layers, rules, unsafe_audit};
use crate::{Failure, Outcome, sources, toolchain, tree};

/// A file longer than this fails the check.
const LONGEST: usize = 500;
/// A file longer than this needs a reason.
const LONG: usize = 400;
/// Files that are longer, and why they are not split.
const WHOLE: [(&str, &str); 6] = [
    (
        "boards/sim/src/oracle/item.rs",
        "one automaton: its states and its transitions",
    ),
    (
        "boards/sim/tests/engine.rs",
        "one kernel as small as can be, and what the engine does to it",
    ),
    (
        "kernel/links/src/tree.rs",
        "one algorithm: insertion and removal are judged beside the rotations and the check",
    ),
    (
        "kernel/machine/src/host.rs",
        "the whole seam for the host, call by call as for the metal",
    ),
    (
        "kernel/sched/tests/formulas.rs",
        "one test for each formula, on the same small runqueue",
    ),
    (
        "tests/sim/src/scenarios/attributes.rs",
        "the scenarios of one operation, which share its helpers",
    ),
];
/// Packages that only build for the metal, with what they join.
const METAL_PACKAGES: [&str; 5] = [
    "arch-aarch64",
    "drivers",
    "qemu-virt",
    "metal-tests",
    "bench",
];

/// A named check.
type Check = (&'static str, fn() -> Outcome<()>);

const CHECKS: [Check; 8] = [
    ("formatting", formatting),
    ("layers", || layers::run().map(drop)),
    ("file sizes", file_sizes),
    ("unsafe table", || unsafe_audit::run(true).map(drop)),
    ("rule table", rules::run),
    ("clippy, host", clippy_host),
    ("clippy, metal", clippy_metal),
    ("documentation", documentation),
];

/// Runs all checks; fails when one did.
pub fn run() -> Outcome<u8> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        let begin = Instant::now();
        let result = check();
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!(
            "lint {name} ... {verdict} ({:.1} s)",
            begin.elapsed().as_secs_f64()
        );
        if let Err(failure) = result {
            println!("  {}", failure.message);
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return Ok(0);
    }
    Err(Failure::failed(format!(
        "lint: {} failed",
        failed.join(", ")
    )))
}

fn formatting() -> Outcome<()> {
    finish(
        tree::cargo().args(["fmt", "--all", "--check"]),
        "run `cargo fmt --all`",
    )
}

fn clippy_host() -> Outcome<()> {
    let arguments = ["clippy", "--all-targets", "--quiet", "--", "-D", "warnings"];
    finish(tree::cargo().args(arguments), "mend what clippy says above")
}

fn clippy_metal() -> Outcome<()> {
    let toolchain = toolchain::metal(false, false)?;
    let mut command = tree::cargo();
    toolchain.apply(&mut command);
    command.args(["clippy", "--quiet", "--target", tree::METAL]);
    METAL_PACKAGES.iter().for_each(|p| {
        command.args(["--package", p]);
    });
    finish(
        command.args(["--", "-D", "warnings"]),
        "mend what clippy says above",
    )
}

fn documentation() -> Outcome<()> {
    let mut host = tree::cargo();
    host.args(["doc", "--no-deps", "--quiet"])
        .env("RUSTDOCFLAGS", "-D warnings");
    finish(&mut host, "mend the documentation")?;
    let toolchain = toolchain::metal(false, false)?;
    let mut metal = tree::cargo();
    toolchain.apply(&mut metal);
    metal.args(["doc", "--no-deps", "--quiet", "--target", tree::METAL]);
    // The service image's crate carries the library's name; its documentation is one page.
    METAL_PACKAGES[..3].iter().for_each(|p| {
        metal.args(["--package", p]);
    });
    metal.arg("--lib").env("RUSTDOCFLAGS", "-D warnings");
    finish(&mut metal, "mend the documentation")
}

fn finish(command: &mut Command, way_out: &str) -> Outcome<()> {
    if tree::succeeds(command) {
        Ok(())
    } else {
        Err(Failure::failed(way_out))
    }
}

fn file_sizes() -> Outcome<()> {
    let sizes = sources::rust_files()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()));
    let wrong = sizes_wrong(sizes, &WHOLE);
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Failure::failed(wrong.join("\n  ")))
    }
}

/// What is wrong with files of these sizes, when those of `whole` may be long.
fn sizes_wrong(
    sizes: impl IntoIterator<Item = (PathBuf, usize)>,
    whole: &[(&str, &str)],
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for (path, lines) in sizes.into_iter().filter(|(_, lines)| *lines > LONG) {
        let file = path.display();
        match whole.iter().find(|(name, _)| Path::new(name) == path) {
            _ if lines > LONGEST => wrong.push(format!(
                "{file} has {lines} lines, more than {LONGEST}: split it"
            )),
            Some((name, _)) => {
                used.insert(*name);
            }
            None => wrong.push(format!(
                "{file} has {lines} lines, more than {LONG}: split it, or say in WHOLE of this check why not"
            )),
        }
    }
    let stale = whole.iter().filter(|(name, _)| !used.contains(name));
    wrong.extend(stale.map(|(name, _)| {
        format!("{name} is no longer such a file: take it out of WHOLE of this check")
    }));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_have_a_reason_and_reasons_a_long_file() {
        let sizes = |sizes: &[(&str, usize)]| {
            let sizes = sizes.iter().map(|&(path, n)| (PathBuf::from(path), n));
            sizes_wrong(sizes, &[("a.rs", "one table")])
        };
        let fine = [("a.rs", LONGEST), ("b.rs", LONG)];
        assert!(sizes(&fine).is_empty());
        let starts = |wrong: &[String], all: &[&str]| {
            assert_eq!(wrong.len(), all.len(), "{wrong:?}");
            let pairs = wrong.iter().zip(all);
            pairs.for_each(|(w, a)| assert!(w.starts_with(a), "{w}"));
        };
        starts(
            &sizes(&[("a.rs", LONGEST), ("b.rs", LONG + 1)]),
            &["b.rs has 401 lines"],
        );
        starts(&sizes(&[("a.rs", LONG)]), &["a.rs is no longer"]);
        starts(&sizes(&[]), &["a.rs is no longer"]);
        starts(
            &sizes(&[("a.rs", LONGEST + 1)]),
            &["a.rs has 501 lines", "a.rs is no longer"],
        );
    }
}
