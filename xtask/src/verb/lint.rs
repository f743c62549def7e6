//! `lint`: everything that can be said about the tree without running it.
//!
//! Formatting, clippy for the host and for the metal (a warning is an error), layers, file sizes,
//! the table of unsafe code, the rules that are cited, and documentation without warnings. All checks run even when one fails, so
//! one run shows everything that is to be mended.

use std::process::Command;
use std::time::Instant;

use crate::verb::{layers, rules, unsafe_audit};
use crate::{Failure, Outcome, sources, tell, toolchain, tree};

/// A file longer than this fails the check.
const LONGEST: usize = 500;
/// A file longer than this is mentioned.
const LONG: usize = 400;
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
    let mut long = Vec::new();
    for (path, text) in sources::rust_files() {
        let lines = text.lines().count();
        if lines > LONGEST {
            long.push(format!(
                "{} has {lines} lines, more than {LONGEST}",
                path.display()
            ));
        } else if lines > LONG {
            tell::say(&format!(
                "{} has {lines} lines; is it one concept?",
                path.display()
            ));
        }
    }
    if long.is_empty() {
        Ok(())
    } else {
        Err(Failure::failed(long.join("\n  ")))
    }
}
