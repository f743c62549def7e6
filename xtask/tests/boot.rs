//! The service as a person starts it: `cargo run`, and cargo's own runner for the metal target.
//!
//! READY is the promise that the guest answers, so each test that reads it asks. Every run ends by an
//! interrupt or, should READY not come, by `--timeout`.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Seconds from the command to READY at most, the build not counted.
const LIMIT: &str = "120";

/// Starts a command and reads its output up to a line that begins with `word`, which it returns.
fn until(word: &str, command: &mut Command) -> (Child, String) {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let (mut all, mut line) = (String::new(), String::new());
    while output.read_line(&mut line).expect("text") > 0 {
        if line.starts_with(word) {
            // Whoever writes the rest must not find the pipe closed.
            std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
            return (child, line.trim_end().to_owned());
        }
        all.push_str(&line);
        line.clear();
    }
    let status = child.wait().expect("it ended");
    panic!("no {word} before {status}: {all}");
}

/// Interrupts a run; it must say so by its exit code.
fn interrupt(mut child: Child) {
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
}

/// Asks for `/hello` at `host:port`.
fn hello(at: &str) -> String {
    let mut stream = TcpStream::connect(at).expect("an open port");
    let request = "GET /hello HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn ready_names_a_service_that_answers() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["--http-port", "0", "--echo-port", "0", "--timeout", LIMIT]);
    let (child, line) = until("READY", &mut command);
    let ports = line
        .strip_prefix("READY http://127.0.0.1:")
        .and_then(|rest| rest.split_once("/ echo=127.0.0.1:"));
    let (http, echo) = ports.unwrap_or_else(|| panic!("{line}"));
    assert!(hello(&format!("127.0.0.1:{http}")).ends_with("Hello World!"));
    let mut stream = TcpStream::connect(format!("127.0.0.1:{echo}")).expect("an open port");
    stream.write_all(b"over tcp").expect("sent");
    let mut back = [0; 8];
    stream.read_exact(&mut back).expect("an echo");
    assert_eq!(&back, b"over tcp");
    interrupt(child);
}

#[test]
fn ready_without_a_network_is_the_consoles() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["--net", "none", "--timeout", LIMIT]);
    let (child, line) = until("READY", &mut command);
    assert_eq!(line, "READY console");
    interrupt(child);
}

/// The profile is the one that other tests build as well.
#[test]
fn cargos_own_runner_boots_the_image() {
    let mut command = xtask::tree::cargo();
    command.args(["run", "--quiet", "--release", "--package", "qemu-virt"]);
    command.args(["--target", xtask::tree::METAL, "--"]);
    command.args(["--net", "none", "--timeout", LIMIT]);
    let (child, line) = until("READY", &mut command);
    assert_eq!(line, "READY console");
    // Cargo and its alias each become what they run.
    interrupt(child);
}
