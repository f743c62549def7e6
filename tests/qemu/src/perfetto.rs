//! A trace read by somebody else: Perfetto's published schema, in Python.
//!
//! The package `perfetto` of the Python Package Index brings the schema as generated code. It is installed
//! into `target/` on build machines (where `CI` is set), and used wherever it was installed once.

use std::path::PathBuf;
use std::process::{Command, Output};

use xtask::{tell, tree};

/// The package; the version whose schema our field numbers are of.
const PACKAGE: &str = "perfetto==0.59.1";
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
    let python = match python() {
        Ok(python) => python,
        Err(why) => return Ok(Reading::Skipped(why)),
    };
    let dir = directory()?;
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
    Err(format!("{}: {}", file.display(), said(&output)))
}

fn directory() -> Result<PathBuf, String> {
    let target = tree::target_dir().map_err(|f| f.message)?;
    Ok(target.join("perfetto"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// An interpreter that knows the schema.
fn python() -> Result<PathBuf, String> {
    let dir = directory()?;
    let python = dir.join("bin/python");
    let knows = || {
        let import = "from perfetto.protos.perfetto.trace import perfetto_trace_pb2";
        let output = Command::new(&python).args(["-c", import]).output();
        output.is_ok_and(|o| o.status.success())
    };
    if knows() {
        return Ok(python);
    }
    if !tell::is_ci() {
        return Err(format!(
            "Python's package perfetto is not in {}; CI=1 lets the test install it",
            dir.display()
        ));
    }
    let run = |command: &mut Command, what: &str| {
        let output = command.output().map_err(|e| format!("{what}: {e}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{what}: {}", said(&output))),
        }
    };
    let mut venv = Command::new("python3");
    run(venv.args(["-m", "venv"]).arg(&dir), "python3 -m venv")?;
    let mut install = Command::new(&python);
    let words = ["-m", "pip", "install", "-q", PACKAGE, "protobuf"];
    run(install.args(words), "pip install perfetto")?;
    match knows() {
        true => Ok(python),
        false => Err("the package perfetto was installed and has no schema".to_owned()),
    }
}
