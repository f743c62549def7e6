//! `ci`: what the build machine runs, in its order: setup, lint, size, seam, tests.

use crate::verb::{lint, seam, setup, size, test};
use crate::{Failure, Outcome};

/// Runs every step even after a failure; fails when one did.
pub fn run() -> Outcome<u8> {
    setup::run(false, true)?;
    let steps: [(&str, Outcome<u8>); 4] = [
        ("lint", lint::run()),
        ("size", size::run()),
        ("seam", seam::run()),
        ("test", test::run(None)),
    ];
    let mut failed = Vec::new();
    for (name, result) in steps {
        match result {
            Ok(0) => {}
            Ok(code) => failed.push(format!("{name} ({code})")),
            Err(failure) => failed.push(format!("{name} ({failure})")),
        }
    }
    if failed.is_empty() {
        return Ok(0);
    }
    Err(Failure::failed(format!("ci: {}", failed.join(", "))))
}
