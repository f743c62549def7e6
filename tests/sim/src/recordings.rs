//! Recordings of failing runs, kept as files: `tests/sim/seeds/*.replay`.
//!
//! `cargo test` runs each of them again: by its seed, which any build understands, and by its
//! decisions, until the failure is mended and the recording is settled.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sim::Recording;

/// Where they are.
fn room() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

/// Writes `recording` to a file; the file's path.
///
/// # Errors
///
/// Those of the file system.
pub fn keep(recording: &Recording) -> io::Result<PathBuf> {
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = recording.scenario.chars().map(word).collect();
    let path = room().join(format!("{name}-{}.replay", recording.seed));
    fs::create_dir_all(room())?;
    fs::write(&path, recording.to_string())?;
    Ok(path)
}

/// Rewrites the recording at `path` so that its seed alone is left.
///
/// # Errors
///
/// What is wrong with the file.
pub fn settle(path: &Path) -> Result<(), String> {
    let named = |e: String| format!("{}: {e}", path.display());
    let text = fs::read_to_string(path).map_err(|e| named(e.to_string()))?;
    let recording: Recording = text.parse().map_err(named)?;
    fs::write(path, recording.settled().to_string()).map_err(|e| named(e.to_string()))
}

/// All recordings that are kept, by path.
///
/// # Panics
///
/// If one cannot be read.
#[must_use]
pub fn kept() -> Vec<PathBuf> {
    let entries = fs::read_dir(room()).into_iter().flatten();
    let paths = entries.map(|e| e.expect("a readable folder").path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "replay"))
        .collect();
    paths.sort();
    paths
}
