//! HTTP over kept connections, asked by wrk.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Seen;
use crate::{Failure, Outcome, tree};

/// Makes wrk tell its figures in one line.
const SCRIPT: &str = include_str!("wrk.lua");
/// What begins that line.
const LINE: &str = "WRK ";

/// wrk, ready to use.
#[derive(Clone, Debug)]
pub struct Wrk {
    program: PathBuf,
    script: PathBuf,
}

impl Wrk {
    /// With the program at this path.
    pub fn new(program: &Path) -> Outcome<Self> {
        let script = tree::target_dir()?.join("wrk.lua");
        std::fs::write(&script, SCRIPT)
            .map_err(|e| Failure::failed(format!("cannot write {}: {e}", script.display())))?;
        Ok(Self {
            program: program.to_owned(),
            script,
        })
    }

    /// Asks for `/hello` on so many connections, for whole seconds.
    ///
    /// # Errors
    ///
    /// wrk does not run, or one request failed.
    pub fn run(
        &self,
        address: SocketAddr,
        connections: usize,
        time: Duration,
    ) -> Result<Seen, String> {
        let output = Command::new(&self.program)
            .args(["-t1", &format!("-c{connections}")])
            .arg(format!("-d{}s", time.as_secs().max(1)))
            .arg("-s")
            .arg(&self.script)
            .arg(format!("http://{address}/hello"))
            .output()
            .map_err(|e| format!("cannot start wrk: {e}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        parse(&said).map_err(|why| {
            let stderr = String::from_utf8_lossy(&output.stderr);
            format!("wrk with {connections} connections: {why}\n{said}{stderr}")
        })
    }
}

fn parse(said: &str) -> Result<Seen, String> {
    let line = said.lines().find_map(|l| l.strip_prefix(LINE));
    let numbers = line.and_then(|l| {
        let words = l.split_whitespace().map(|w| w.parse::<u64>().ok());
        words.collect::<Option<Vec<_>>>()
    });
    let Some(&[requests, micros, failed, p50, p99, p999]) = numbers.as_deref() else {
        return Err("it told no figures".to_owned());
    };
    if failed > 0 || requests == 0 {
        return Err(format!(
            "{failed} requests failed, {requests} were answered"
        ));
    }
    Ok(Seen {
        requests,
        seconds: micros as f64 / 1e6,
        latency_us: [p50, p99, p999].map(|us| us as f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_figures_is_read() {
        let seen = parse("Running 1s\nWRK 5000 2000000 0 300 700 1500\n").expect("figures");
        assert_eq!(seen.requests, 5_000);
        assert!((seen.rate() - 2_500.0).abs() < 1e-9);
        assert_eq!(seen.latency_us, [300.0, 700.0, 1_500.0]);
    }

    #[test]
    fn failed_requests_are_no_figure() {
        for bad in ["", "WRK 1 2 3", "WRK 10 1 1 1 1 1", "WRK 0 1 0 1 1 1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
