//! The debugger's own commands, on the running service with two cores.
//!
//! They need gdb-multiarch with Python, which a build machine installs; elsewhere the test is skipped
//! with a line that says so.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use xtask::guest::{Guest, Terminal, free_port};
use xtask::image::{self, Kind};
use xtask::options::Options;
use xtask::verb::run::GDB_COMMANDS;
use xtask::{packages, tell, toolchain, tree};

use crate::{Body, check};

pub(crate) const TESTS: &[(&str, Body)] = &[("gdb_shows_threads_queues_and_events", commands)];

/// How long a loaded host may take for the debugger's commands.
const LIMIT: Duration = Duration::from_secs(120);

/// The debugger, which a build machine gets.
fn gdb() -> Option<PathBuf> {
    packages::gdb_multiarch(tell::is_ci())
}

/// Whether there is a debugger; says so if there is none. On a build machine a missing one is a failure.
pub(crate) fn can_debug() -> bool {
    let found = gdb().is_some() || tell::is_ci();
    if !found {
        eprintln!(
            "skipped: machine::{}: gdb-multiarch is not installed",
            TESTS[0].0
        );
    }
    found
}

fn commands() -> Result<(), String> {
    let toolchain = toolchain::metal(false, true).map_err(|f| f.message)?;
    let image = image::build(Kind::Debugger, &toolchain).map_err(|f| f.message)?;
    let port = free_port(false).ok_or("no free port")?;
    let options = Options {
        smp: 2,
        http_port: 0,
        echo_port: 0,
        yes: true,
        extra: ["-gdb".into(), format!("tcp:127.0.0.1:{port}").into()].into(),
        ..Options::default()
    };
    let mut guest =
        Guest::start(&options, &image.flat, Terminal::Captured).map_err(|f| f.message)?;
    check(
        guest.wait_ready(Instant::now() + Duration::from_secs(90)),
        "it boots",
    )?;
    let mut command = Command::new(gdb().ok_or("no debugger")?);
    command.args(["-batch", "-nx"]).arg(&image.elf);
    command.arg("-x").arg(tree::root().join(GDB_COMMANDS));
    for line in [
        "set pagination off",
        &format!("target remote 127.0.0.1:{port}"),
        "rt-ps",
        "echo WQ\\n",
        "rt-wq",
        "echo TRACE\\n",
        "rt-trace 8",
        "echo BT\\n",
        "rt-bt 6",
        "detach",
    ] {
        command.args(["-ex", line]);
    }
    let ended = within(&mut command, LIMIT);
    guest.stop();
    let (said, errors) = ended?;
    judge(&said).map_err(|why| format!("{why}; the debugger said:\n{said}\n{errors}"))
}

/// What the program says on its two outputs; ended when it takes longer than `limit`.
fn within(command: &mut Command, limit: Duration) -> Result<(String, String), String> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let out = child.stdout.take().map(listen).ok_or("no output")?;
    let errors = child.stderr.take().map(listen).ok_or("no output")?;
    let end = Instant::now() + limit;
    let mut late = false;
    while child.try_wait().map_err(|e| e.to_string())?.is_none() {
        if Instant::now() > end {
            late = true;
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = |ear: JoinHandle<String>| ear.join().unwrap_or_default();
    let (out, errors) = (said(out), said(errors));
    match late {
        true => Err(format!(
            "the debugger took longer than {limit:?} and said:\n{out}\n{errors}"
        )),
        false => Ok((out, errors)),
    }
}

/// Reads to the end, whatever it is.
fn listen(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn judge(said: &str) -> Result<(), String> {
    let (threads, rest) = said.split_once("WQ\n").ok_or("no threads")?;
    let (queues, rest) = rest.split_once("TRACE\n").ok_or("no queues")?;
    let (events, frames) = rest.split_once("BT\n").ok_or("no events")?;
    let line = |text: &str, words: &[&str]| {
        let found = text.lines().any(|l| words.iter().all(|w| l.contains(w)));
        check(found, format!("a line with {words:?}"))
    };
    line(threads, &["init", "Sleeping", "Park"])?;
    line(threads, &["kworker/0:0H", " -20 "])?;
    line(threads, &["kworker/1:0", "Sleeping"])?;
    line(threads, &["idle/0"])?;
    line(threads, &["idle/1"])?;
    for (n, pool) in [(0, "0"), (1, "4")] {
        let wanted = |l: &str| {
            let mut words = l.split_whitespace();
            words.next() == Some(pool) && words.next() == Some(&n.to_string())
        };
        check(queues.lines().any(wanted), format!("core {n}'s pool"))?;
    }
    line(queues, &["any"])?;
    line(queues, &["http", "PerCpu", "2048"])?;
    line(queues, &["events", "1024"])?;
    for core in ["core 0: ", "core 1: "] {
        line(events, &[core, "events so far"])?;
    }
    line(events, &[" sched_switch ", "arg="])?;
    check(!events.contains("Sched"), "names are the tracepoints'")?;
    line(frames, &["#0", "kernel::"])?;
    line(frames, &["thread_main"])
}
