//! The monitor as a user meets it on its TCP port.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use xtask::options::Options;

use crate::monitor::{PROMPT, Shell};
use crate::{Body, check};

pub(crate) const TESTS: &[(&str, Body)] = &[
    ("monitor_serves_tcp_sessions", tcp),
    ("monitor_is_closed_on_tcp_unless_asked_for", closed),
];

fn tcp() -> Result<(), String> {
    let shell = Shell::boot(Options {
        smp: 2,
        http_port: 0,
        echo_port: 0,
        monitor_port: Some(0),
        yes: true,
        ..Options::default()
    })?;
    let mut guest = shell.guest;
    check(guest.wait_ready(shell.end), "it boots")?;
    let address = guest.monitor().ok_or("no port")?;
    let open = || TcpStream::connect(address).map_err(|e| e.to_string());
    let mut first = open()?;
    let mut second = open()?;
    for s in [&mut first, &mut second] {
        s.set_read_timeout(Some(Duration::from_secs(60)))
            .map_err(|e| e.to_string())?;
        until(s, PROMPT)?;
    }
    for (line, words) in [
        ("help", "poweroff"),
        ("ps", "waits for"),
        ("wq", "nr_running"),
        ("lat", "for a worker"),
        ("trace dump 3", " events"),
        ("irq", "TASKLET"),
        ("mem", "connections"),
        ("locks", "deadlocks"),
        ("cpu", "online"),
        ("bt cpu1", "core 1 is "),
        ("stress blocker 1", "blocker for 1 s"),
        ("x", "error: no command"),
    ] {
        for s in [&mut first, &mut second] {
            // In one piece, as a client sends it.
            let typed = format!("{line}\n");
            s.write_all(typed.as_bytes()).map_err(|e| e.to_string())?;
            let said = until(s, PROMPT)?;
            check(said.contains(words), format!("{line}: {said}"))?;
            // A whole line was shown by the client's terminal already.
            let again = said.starts_with(&format!("{line}\r\n"));
            check(!again, format!("{line} again: {said}"))?;
            check(said.contains("\r\n"), "lines end as terminals want it")?;
        }
    }
    // One ends, the other goes on.
    first.write_all(b"quit\n").map_err(|e| e.to_string())?;
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).map_err(|e| e.to_string())?;
    second.write_all(b"top 1\n").map_err(|e| e.to_string())?;
    until(&mut second, "q ends")?;
    until(&mut second, "q ends")?;
    second.write_all(b"q").map_err(|e| e.to_string())?;
    until(&mut second, PROMPT)?;
    // Not even an idle session is a service that answers nobody.
    guest.stop();
    let said = guest.console().since(0);
    check(!said.contains("BUG"), said)
}

/// What is said until `words`.
fn until(s: &mut TcpStream, words: &str) -> Result<String, String> {
    let mut said = Vec::new();
    let mut byte = [0];
    loop {
        match s.read(&mut byte) {
            Ok(1) => said.push(byte[0]),
            other => {
                let said = String::from_utf8_lossy(&said);
                return Err(format!("{other:?} before \"{words}\": {said}"));
            }
        }
        if said.ends_with(words.as_bytes()) {
            return Ok(String::from_utf8_lossy(&said).into_owned());
        }
    }
}

/// Nobody listens when the boot argument is not given.
fn closed() -> Result<(), String> {
    let shell = Shell::boot(Options {
        smp: 1,
        http_port: 0,
        echo_port: 0,
        monitor_port: Some(0),
        append: "monitor.tcp=off".to_owned(),
        yes: true,
        ..Options::default()
    })?;
    let mut guest = shell.guest;
    check(guest.wait_ready(shell.end), "it boots")?;
    let address = guest.monitor().ok_or("no port")?;
    let mut s = TcpStream::connect(address).map_err(|e| e.to_string())?;
    s.set_read_timeout(Some(Duration::from_secs(60)))
        .map_err(|e| e.to_string())?;
    let mut said = Vec::new();
    // The host's side accepts, and the guest refuses.
    let end = s.read_to_end(&mut said);
    let ended = match &end {
        Ok(n) => *n == 0,
        Err(e) => e.kind() == ErrorKind::ConnectionReset,
    };
    check(ended && said.is_empty(), format!("{end:?} {said:?}"))
}
