//! What the tool says to the person: short lines on stderr, never on stdout.
//!
//! stdout belongs to the guest's console and the READY line, so that a script can read it. `--quiet`
//! silences everything here except failures.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

// A process-wide switch; nothing is published through it, so relaxed order suffices.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Silences [`say`] for the rest of the process.
pub fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Whether the person asked for silence.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Says one line about what the tool is doing.
pub fn say(line: &str) {
    if !is_quiet() {
        eprintln!("xtask: {line}");
    }
}

/// Whether this is a build machine, where nobody answers questions: `CI` is set and not empty.
pub fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|v| !v.is_empty())
}

/// May the tool change the system (install a package, add a target)?
///
/// On a terminal the person is asked; without one (a build machine, `CI` set) the answer is yes,
/// because nobody is there to give it; `--no-install` never gets here.
pub fn may_install(what: &str, command: &str, assume_yes: bool) -> bool {
    let ci = is_ci();
    let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if assume_yes || ci || !asks {
        eprintln!("xtask: {what} is missing; installing it: {command}");
        return true;
    }
    eprint!("xtask: {what} is missing. Install it with `{command}`? [Y/n] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    if std::io::stdin().read_line(&mut answer).is_err() {
        return false;
    }
    matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "" | "y" | "yes"
    )
}
