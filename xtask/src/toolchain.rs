//! The compiler for the bare-metal target: found, installed, or built from source.
//!
//! The toolchain is pinned by number in `rust-toolchain.toml`, which also names the target, so
//! `rustup toolchain install` without a name installs exactly what is missing. "Update" or the name
//! `stable` are never used: a newer stable may lack the target, and updating would remove it.
//!
//! Asking rustc for the target's library directory works with and without rustup, and costs less
//! than listing targets. When rustup's server cannot be reached, Debian's packages step in
//! ([`crate::toolchain_debian`]).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, Outcome, tell, toolchain_debian, tree};

/// How to compile for the metal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toolchain {
    /// Variables for cargo.
    pub variables: Vec<(OsString, OsString)>,
    /// Extra arguments for `cargo build`.
    pub arguments: Vec<OsString>,
}

impl Toolchain {
    /// The target is installed: nothing special to do.
    pub fn installed() -> Self {
        Self::default()
    }

    /// Adds this toolchain's settings to a cargo command whose verb follows.
    pub fn apply(&self, command: &mut Command) {
        command.envs(self.variables.iter().map(|(k, v)| (k, v)));
        command.args(&self.arguments);
    }
}

/// Finds the bare-metal compiler, installing what is missing when that is allowed.
pub fn metal(no_install: bool, assume_yes: bool) -> Outcome<Toolchain> {
    let by_hand = "run `rustup toolchain install` in the project's folder";
    if has_target() {
        return Ok(Toolchain::installed());
    }
    if let Some(toolchain) = toolchain_debian::find() {
        return Ok(toolchain);
    }
    let missing = format!("the Rust target {} is missing", tree::METAL);
    if no_install {
        return Err(Failure::missing(format!(
            "{missing}; {by_hand}, or leave out --no-install"
        )));
    }
    let rustup = tree::which("rustup");
    if rustup.is_some() {
        let command = "rustup toolchain install --no-self-update";
        let what = format!("the Rust target {}", tree::METAL);
        if !tell::may_install(&what, command, assume_yes) {
            return Err(Failure::missing(format!("{missing}; {by_hand}")));
        }
        let mut rustup = Command::new("rustup");
        // The outer cargo pins the toolchain by variable; that would hide the file's target list.
        rustup
            .env_remove("RUSTUP_TOOLCHAIN")
            .current_dir(tree::root());
        rustup.args(["toolchain", "install", "--no-self-update"]);
        if tree::succeeds(&mut rustup) && has_target() {
            return Ok(Toolchain::installed());
        }
        tell::say("rustup could not install the target; trying the system's Rust packages");
    }
    match toolchain_debian::install(assume_yes) {
        Some(result) => result,
        None => Err(Failure::missing(format!(
            "{missing} and could not be installed; check the network and {by_hand}"
        ))),
    }
}

/// Whether the active compiler has the target's core library.
pub fn has_target() -> bool {
    let library = rustc(&["--print", "target-libdir", "--target", tree::METAL]);
    library.is_some_and(|dir| has_core(Path::new(&dir)))
}

/// The active compiler's own directory.
pub fn sysroot() -> Option<PathBuf> {
    rustc(&["--print", "sysroot"]).map(PathBuf::from)
}

/// The triple of this host.
pub fn host_triple() -> Option<String> {
    let verbose = rustc(&["-vV"])?;
    verbose
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
}

fn has_core(library: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(library) else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

fn rustc(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let output = command
        .args(arguments)
        .current_dir(tree::root())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
