//! A trace read by somebody else: Perfetto's published schema, in Python.
//!
//! The package `perfetto` of the Python Package Index brings the schema as generated code.

use std::process::Command;

use xtask::pypi::{self, Missing, Package};

/// The version whose schema our field numbers are of.
const PACKAGE: Package = Package {
    requirements: &["perfetto==0.59.1", "protobuf"],
    import: "from perfetto.protos.perfetto.trace import perfetto_trace_pb2",
};
const SCRIPT: &str = include_str!("perfetto_check.py");

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// All is well; the script's line about it.
    Fine(String),
    /// Nobody to read it, and why.
    Skipped(String),
}

/// Lets the schema's own reader check a trace.
pub fn read(trace: &[u8]) -> Result<Reading, String> {
    let python = match pypi::python(PACKAGE) {
        Ok(python) => python,
        Err(Missing::NotInstalled(why)) => return Ok(Reading::Skipped(why)),
        Err(Missing::Failed(why)) => return Err(why),
    };
    let dir = pypi::directory()?;
    let name = format!("check-{}", std::process::id());
    let (script, file) = (dir.join(name.clone() + ".py"), dir.join(name + ".pftrace"));
    let written = std::fs::write(&script, SCRIPT).and_then(|()| std::fs::write(&file, trace));
    written.map_err(|e| format!("cannot write below {}: {e}", dir.display()))?;
    let output = Command::new(python).arg(&script).arg(&file).output();
    let _ = std::fs::remove_file(&script);
    let output = output.map_err(|e| format!("python does not start: {e}"))?;
    if output.status.success() {
        let _ = std::fs::remove_file(&file);
        let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        return Ok(Reading::Fine(line));
    }
    // The trace stays, for whoever wants to see.
    Err(format!("{}: {}", file.display(), pypi::complaints(&output)))
}

#[cfg(test)]
mod tests;
