//! Where things are: the workspace root, the target directory, cargo itself.
//!
//! Paths are derived from the manifest and from `cargo metadata`, never from the current directory:
//! the tool is also run as cargo's runner and from test processes, whose directory is another one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::{Failure, Outcome};

/// The bare-metal target triple.
pub const METAL: &str = "aarch64-unknown-none-softfloat";

/// The workspace root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// The cargo that runs us, or the one on the path.
pub fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A cargo command in the workspace root, free of what an outer cargo left in the environment.
///
/// `RUSTFLAGS` would replace the flags `.cargo/config.toml` gives to the metal target, and
/// `RUSTC_WORKSPACE_WRAPPER` of an outer `cargo clippy` would turn a build into a lint.
pub fn cargo() -> Command {
    let mut command = Command::new(cargo_program());
    command.current_dir(root());
    for variable in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WORKSPACE_WRAPPER",
        "CLIPPY_ARGS",
    ] {
        command.env_remove(variable);
    }
    command
}

/// `cargo metadata` of the workspace, without the packages outside it.
pub fn metadata() -> Outcome<&'static Value> {
    static METADATA: OnceLock<Value> = OnceLock::new();
    if let Some(known) = METADATA.get() {
        return Ok(known);
    }
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .map_err(|e| Failure::missing(format!("cannot start cargo ({e}); is it on the path?")))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::failed(format!(
            "`cargo metadata` failed: {}",
            text.trim()
        )));
    }
    let value = serde_json::from_slice(&output.stdout)
        .map_err(|e| Failure::failed(format!("`cargo metadata` printed no JSON: {e}")))?;
    Ok(METADATA.get_or_init(|| value))
}

/// The target directory of the workspace, wherever the person put it.
pub fn target_dir() -> Outcome<PathBuf> {
    metadata()?["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| Failure::failed("`cargo metadata` names no target directory"))
}

/// Looks a program up on the path.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

/// Runs a command that talks to the terminal; `true` when it succeeded.
pub fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|s| s.success())
}
