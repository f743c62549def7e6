//! The tool as a person meets it: options, exit codes, sentences.
//!
//! The guest is the image of on-target tests, which powers off by itself, panics on request, or
//! waits; so these tests need no service and no network.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use xtask::image::{self, Kind};
use xtask::toolchain;

fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = tool(arguments).output().expect("the tool starts");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (status.code().unwrap_or(-1), text(&stdout), text(&stderr))
}

/// The linked image of on-target tests.
fn kernel() -> &'static str {
    static ELF: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let toolchain = toolchain::metal(false, true).expect("a bare-metal compiler");
        image::build(Kind::Tests, &toolchain)
            .expect("the image builds")
            .elf
    };
    ELF.get_or_init(build).to_str().expect("a path in UTF-8")
}

/// Boots the on-target tests with these boot arguments and options.
fn boot(append: &str, more: &[&str]) -> (i32, String, String) {
    let mut arguments = vec!["qemu", kernel(), "--net", "none", "--append", append];
    arguments.extend(more);
    run(&arguments)
}

#[test]
fn bad_usage_is_2() {
    for arguments in [
        &["--smp", "0"][..],
        &["--smp", "65"],
        &["--smp", "9", "--gic", "2", "--dry-run"],
        &["--gic", "4"],
        &["--mem", "12X"],
        &["--net", "bridge"],
        &["--no-such-option"],
        &["no-such-verb"],
        &["--icount", "--accel", "kvm", "--dry-run"],
    ] {
        let (code, _, stderr) = run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(!stderr.is_empty(), "{arguments:?} gets no sentence");
    }
}

#[test]
fn a_busy_port_is_3_and_names_the_option() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let begin = Instant::now();
    let (code, stdout, stderr) = run(&["--http-port", &port, "--echo-port", "0"]);
    assert_eq!(code, 3, "{stderr}");
    assert!(
        stderr.contains(&port) && stderr.contains("--http-port"),
        "{stderr}"
    );
    assert_eq!(stdout, "");
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "it is said before anything is built"
    );
}

#[test]
fn a_missing_qemu_is_3_and_says_how_to_get_it() {
    let mut command = tool(&["--no-install", "--http-port", "0", "--echo-port", "0"]);
    let output = command.env("PATH", "/nonexistent").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("qemu-system-aarch64") && stderr.contains("install"),
        "{stderr}"
    );
}

#[cfg(unix)]
#[test]
fn a_missing_target_is_3_and_says_how_to_get_it() {
    if xtask::toolchain_debian::find().is_some() {
        // The target cannot be missing: Debian's compiler stands in.
        return;
    }
    let mut command = tool(&["--no-install", "--dry-run"]);
    // A compiler whose libraries are nowhere.
    let output = command.env("RUSTC", "/bin/echo").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("aarch64-unknown-none-softfloat")
            && stderr.contains("rustup toolchain install"),
        "{stderr}"
    );
}

#[cfg(unix)]
#[test]
fn an_image_that_does_not_build_is_4_and_one_sentence() {
    let mut command = tool(&["--no-install", "--dry-run"]);
    // Stands before every call of the compiler, and fails.
    let output = command.env("RUSTC_WRAPPER", "/bin/false").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    let said = "the kernel does not build (package qemu-virt)";
    assert!(stderr.contains(said), "{stderr}");
    assert!(stderr.contains("above"), "where to look: {stderr}");
}

#[test]
fn an_image_that_is_none_is_4() {
    let (code, _, stderr) = run(&["qemu", env!("CARGO_BIN_EXE_xtask"), "--net", "none"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("no bootable kernel"), "{stderr}");
}

#[test]
fn dry_run_prints_one_command_line() {
    let (code, stdout, stderr) = run(&["qemu", kernel(), "--dry-run", "--append", "a=b c"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    for part in [
        "qemu-system-aarch64",
        "hostfwd=tcp:127.0.0.1:8080-:80",
        "-append 'a=b c",
    ] {
        assert!(stdout.contains(part), "{part} in {stdout}");
    }
}

#[test]
fn a_debugger_is_waited_for() {
    let (code, stdout, stderr) = run(&["--gdb", "--dry-run"]);
    assert_eq!(code, 0, "{stderr}");
    let words: Vec<&str> = stdout.split_whitespace().collect();
    assert!(words.contains(&"-S"), "{stdout}");
    let port = ["-gdb", "tcp:127.0.0.1:1234"];
    assert!(words.windows(2).any(|pair| pair == port), "{stdout}");
}

#[test]
fn power_off_is_0() {
    let (code, stdout, stderr) = boot("tests=none", &["--timeout", "60"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("TESTS DONE"), "{stdout}");
}

#[test]
fn a_panic_is_101() {
    // The argument is no list, so the first thread panics.
    let (code, stdout, stderr) = boot("tests=nonsense", &["--timeout", "60"]);
    assert_eq!(code, 101, "{stdout}{stderr}");
    assert!(
        stdout.contains("kernel panic: boot argument tests="),
        "{stdout}"
    );
}

#[test]
fn a_timeout_is_124() {
    // It may have to be built first, which takes longer than what is timed.
    let _built = kernel();
    let begin = Instant::now();
    let (code, stdout, stderr) = boot("tests=wait", &["--timeout", "2"]);
    assert_eq!(code, 124, "{stdout}{stderr}");
    assert!(begin.elapsed() < Duration::from_secs(30));
}

#[cfg(unix)]
#[test]
fn an_interrupt_is_130_and_leaves_no_qemu() {
    use rustix::process::{Pid, Signal, kill_process, test_kill_process};
    use std::io::{BufRead, BufReader};
    let arguments = ["qemu", kernel(), "--net", "none", "--append", "tests=wait"];
    let mut child = tool(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut console = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        console.any(|line| line.is_ok_and(|l| l.contains("TESTS WAIT"))),
        "it booted"
    );
    let pid = Pid::from_child(&child);
    let task = format!("/proc/{0}/task/{0}/children", child.id());
    let qemu = std::fs::read_to_string(task)
        .ok()
        .and_then(|t| t.trim().parse::<i32>().ok());
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Only Linux names the children of a process.
    if let Some(qemu) = qemu.and_then(Pid::from_raw) {
        assert!(test_kill_process(qemu).is_err(), "QEMU is still there");
    }
}

/// What is piped in reaches the guest's console only if that is asked for.
#[test]
fn piped_input_is_passed_on_request_only() {
    use std::io::Write;
    let run = |more: &[&str], limit: &str| {
        let mut arguments = vec!["--net", "none", "--smp", "1", "--timeout", limit];
        arguments.extend(more);
        let mut command = tool(&arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        // A tool that reads nothing may be gone already.
        let _ = pipe.write_all(b"\rpoweroff\r");
        let output = child.wait_with_output().unwrap();
        drop(pipe);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = run(&["--stdin"], "60");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("power off: asked for at the monitor"),
        "{said}"
    );
    let (code, said) = run(&[], "12");
    assert_eq!(code, Some(124), "{said}");
    assert!(said.contains("roundtable: up"), "{said}");
    assert!(!said.contains("roundtable>"), "{said}");
}

#[test]
fn a_log_that_is_none_is_2_and_decode_says_so() {
    let (code, _, stderr) = run(&["decode", "/nonexistent.log"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("/nonexistent.log"), "{stderr}");
}
