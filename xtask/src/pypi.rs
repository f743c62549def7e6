//! Packages of the Python Package Index that tests and pictures read traces with, in an environment
//! below `target/`.
//!
//! They are installed on build machines (where `CI` is set), and used wherever they were installed once.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::{tell, tree};

/// A package, at the version that was tried, and a statement that works once it is installed.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// What `pip install` is told.
    pub requirements: &'static [&'static str],
    /// Python that needs it.
    pub import: &'static str,
}

/// Why there is no package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nobody has installed it, and here nobody is to.
    NotInstalled(String),
    /// It could not be installed.
    Failed(String),
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::NotInstalled(why) | Self::Failed(why)) = self;
        f.write_str(why)
    }
}

/// The directory of the environment.
///
/// # Errors
///
/// If Cargo does not say where `target/` is.
pub fn directory() -> Result<PathBuf, String> {
    let target = tree::target_dir().map_err(|f| f.message)?;
    Ok(target.join("perfetto"))
}

/// An interpreter that can import `package`.
///
/// # Errors
///
/// Without the package, or if it cannot be installed.
pub fn python(package: Package) -> Result<PathBuf, Missing> {
    let dir = directory().map_err(Missing::Failed)?;
    let python = dir.join("bin/python");
    let knows = || {
        let output = Command::new(&python).args(["-c", package.import]).output();
        output.is_ok_and(|o| o.status.success())
    };
    if knows() {
        return Ok(python);
    }
    let name = package.requirements[0];
    if !tell::is_ci() {
        return Err(Missing::NotInstalled(format!(
            "Python's package {name} is not in {}; with CI=1 it is installed there",
            dir.display()
        )));
    }
    let mut venv = Command::new("python3");
    succeeds(venv.args(["-m", "venv"]).arg(&dir), "python3 -m venv")?;
    let mut install = Command::new(&python);
    let install = install.args(["-m", "pip", "install", "-q"]);
    succeeds(install.args(package.requirements), "pip install")?;
    match knows() {
        true => Ok(python),
        false => Err(Missing::Failed(format!(
            "{name} was installed and cannot be imported"
        ))),
    }
}

fn succeeds(command: &mut Command, what: &str) -> Result<(), Missing> {
    let failed = |why: String| Missing::Failed(format!("{what}: {why}"));
    let output = command.output().map_err(|e| failed(e.to_string()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(complaints(&output))),
    }
}

/// What a program said on its standard error output.
#[must_use]
pub fn complaints(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
