//! `cargo xtask trace` as a person meets it: bad use, and a recording of a guest that runs.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use xtask::guest::{Guest, Terminal};
use xtask::image::{self, Kind};
use xtask::options::Options;
use xtask::toolchain;

/// Exit code and both outputs of `cargo xtask trace`.
fn trace(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("trace").args(arguments).stdin(Stdio::null());
    let output = command.output().expect("the tool starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output.status.code().unwrap_or(-1), stdout, stderr)
}

/// A file of this test binary.
fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn bad_use_is_2_and_a_sentence() {
    let none = scratch("none.pftrace");
    std::fs::write(&none, "no trace").unwrap();
    let none = none.to_str().unwrap();
    for (arguments, word) in [
        (
            &["record", "--url", "127.0.0.1:1", "--smp", "2"][..],
            "--smp",
        ),
        (&["record", "--ms", "0"], "--ms"),
        (&["record", "--ms", "10001"], "--ms"),
        (&["record", "--smp", "65"], "--smp"),
        (&["record", "--text", "--json"], "--json"),
        (&["record", "--ask", "hello"], "begins with a slash"),
        (&["convert", none], "--text or --json"),
        (&["convert", "/nonexistent", "--text"], "/nonexistent"),
        (&["play"], "play"),
    ] {
        let (code, stdout, stderr) = trace(arguments);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(stderr.contains(word), "{arguments:?}: {stderr}");
        assert_eq!(stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_file_that_is_no_trace_and_a_guest_that_is_none_are_4() {
    let (garbage, empty) = (scratch("garbage.pftrace"), scratch("empty.pftrace"));
    std::fs::write(&garbage, "no trace").unwrap();
    std::fs::write(&empty, "").unwrap();
    for (arguments, word) in [
        (
            &["convert", garbage.to_str().unwrap(), "--text"][..],
            "no trace",
        ),
        (
            &["convert", empty.to_str().unwrap(), "--json"],
            "the trace is empty",
        ),
        // Nobody listens at the port that needs privileges.
        (&["record", "--url", "127.0.0.1:1"], "does not answer"),
    ] {
        let (code, stdout, stderr) = trace(arguments);
        assert_eq!(code, 4, "{arguments:?}: {stderr}");
        assert!(stderr.contains(word), "{arguments:?}: {stderr}");
        assert_eq!(stdout, "", "{arguments:?}");
    }
}

/// The service on two cores.
fn guest() -> Guest {
    let toolchain = toolchain::metal(false, true).expect("a bare-metal compiler");
    let image = image::build(Kind::Release, &toolchain).expect("the image builds");
    let options = Options {
        smp: 2,
        http_port: 0,
        echo_port: 0,
        yes: true,
        ..Options::default()
    };
    let mut guest = Guest::start(&options, &image.flat, Terminal::Captured).expect("a guest");
    let up = guest.wait_ready(Instant::now() + Duration::from_secs(90));
    assert!(up, "it boots");
    guest
}

#[test]
fn a_guest_is_recorded_and_the_file_converted() {
    let mut guest = guest();
    let url = format!("http://{}/", guest.http());
    let file = scratch("recorded.pftrace");
    let file = file.to_str().unwrap();
    let recorded = trace(&[
        "record", "--ms", "200", "--url", &url, "--ask", "/hello", "-o", file,
    ]);
    // Categories are set for as long as it takes, and set back.
    let timers = trace(&[
        "record",
        "--ms",
        "200",
        "--url",
        &url,
        "--categories",
        "timer",
        "--text",
    ]);
    let after = trace(&["record", "--ms", "200", "--url", &url, "--text"]);
    guest.stop();
    let (code, stdout, stderr) = recorded;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stdout, "", "it goes to the file");
    assert!(stderr.contains("ui.perfetto.dev"), "{stderr}");
    let (code, text, stderr) = trace(&["convert", file, "--text"]);
    assert_eq!(code, 0, "{stderr}");
    for name in ["sched_switch: ", "workqueue_execute_start: "] {
        assert!(text.contains(name), "{name} in {text}");
    }
    let (code, json, stderr) = trace(&["convert", file, "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let events = json["traceEvents"].as_array().expect("events");
    assert!(events.len() > 10, "{events:?}");
    let other = scratch("recorded.txt");
    let (code, stdout, _) = trace(&["convert", file, "--text", "-o", other.to_str().unwrap()]);
    assert_eq!((code, stdout.as_str()), (0, ""));
    assert_eq!(std::fs::read_to_string(other).unwrap(), text);
    let (code, text, stderr) = timers;
    assert_eq!(code, 0, "{stderr}");
    assert!(text.contains("timer_start: "), "{text}");
    assert!(!text.contains("sched_switch: "), "{text}");
    let (code, text, stderr) = after;
    assert_eq!(code, 0, "{stderr}");
    assert!(text.contains("sched_switch: "), "{text}");
}
