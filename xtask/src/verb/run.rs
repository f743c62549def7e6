//! `run`: build the service, boot it, say READY, and end with the agreed exit code.
//!
//! Four things may end a run: the guest (power-off or panic), Ctrl-C, `--timeout`, QEMU itself. One
//! loop watches all of them; the thread that asks the service only ever reports success.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::guest::{Guest, Terminal};
use crate::image::{self, Kind};
use crate::options::{Net, Options};
use crate::{Failure, Outcome, failure, guest, machine, packages, ready, tell, toolchain};

/// The line of the guest that says it is up, for when there is no network to ask.
const UP: &str = "roundtable: up";
/// Commands of the debugger that know threads, workqueues and the trace.
pub const GDB_COMMANDS: &str = "tools/gdb/roundtable.py";
/// How often the loop looks around.
const BEAT: Duration = Duration::from_millis(20);

/// Set by Ctrl-C, SIGTERM and SIGHUP; read by the loop.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Builds and boots the service; returns the exit code.
pub fn run(options: &Options) -> Outcome<u8> {
    tell::set_quiet(options.quiet);
    options.check()?;
    let kind = match (options.debug, options.gdb) {
        (true, _) => Kind::Debug,
        (false, true) => Kind::Debugger,
        (false, false) => Kind::Release,
    };
    // Before the build: a busy port must not cost a minute of compiling.
    if !options.dry_run {
        let _ = guest::reserve(options)?;
    }
    packages::qemu(options.no_install, options.yes)?;
    let toolchain = toolchain::metal(options.no_install, options.yes)?;
    let image = image::build(kind, &toolchain)?;
    if options.gdb && !options.dry_run {
        gdb_hint(&image.elf);
    }
    boot(options, &image.flat)
}

/// Boots an image with the console on the terminal; returns the exit code.
pub fn boot(options: &Options, flat: &Path) -> Outcome<u8> {
    if options.dry_run {
        let program = packages::qemu(options.no_install, options.yes)?;
        let ports = machine::Ports {
            http: options.http_port,
            echo: options.echo_port,
            monitor: options.monitor_port,
        };
        let arguments = machine::arguments(options, &ports, flat);
        println!("{}", machine::display(&program, &arguments));
        return Ok(0);
    }
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Release))
        .map_err(|e| Failure::failed(format!("cannot catch Ctrl-C: {e}")))?;
    let started = Instant::now();
    let guest = Guest::start(options, flat, Terminal::Attached)?;
    watch(guest, options, started)
}

fn watch(mut guest: Guest, options: &Options, started: Instant) -> Outcome<u8> {
    let over = Arc::new(AtomicBool::new(false));
    let asker = ask(&guest, options, Arc::clone(&over));
    let limit = options.timeout.map(Duration::from_secs);
    let code = loop {
        if INTERRUPTED.load(Ordering::Acquire) {
            guest.stop();
            break failure::INTERRUPTED;
        }
        if guest.ended().is_some() {
            // Ctrl-C reaches QEMU as well; the handler may be a moment behind QEMU's end.
            std::thread::sleep(BEAT);
            if INTERRUPTED.load(Ordering::Acquire) {
                break failure::INTERRUPTED;
            }
            break guest.exit_code();
        }
        if limit.is_some_and(|limit| started.elapsed() >= limit) {
            tell::say("time is up; ending the guest");
            guest.stop();
            break failure::TIMEOUT;
        }
        std::thread::sleep(BEAT);
    };
    over.store(true, Ordering::Release);
    guest.stop();
    let _ = asker.join();
    if code == failure::FAILED {
        return Err(Failure::failed(
            "QEMU or the guest failed; the messages above say why",
        ));
    }
    Ok(code)
}

/// Starts the thread that prints the READY line.
fn ask(guest: &Guest, options: &Options, over: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let console = Arc::clone(guest.console());
    let target = match &options.net {
        Net::User => Some((guest.http(), guest.ports().echo)),
        Net::Tap(_) => static_address(&options.append).map(|ip| (SocketAddr::from((ip, 80)), 7)),
        Net::None | Net::Dgram { .. } => None,
    };
    std::thread::spawn(move || {
        let over = || over.load(Ordering::Acquire);
        if let Some((http, echo)) = target {
            if ready::poll(http, over) {
                console.announce(&format!("READY http://{http}/ echo={}:{echo}", http.ip()));
            }
            return;
        }
        let mut cursor = 0;
        while !over() {
            if console.wait_for(UP, &mut cursor, Instant::now() + BEAT) {
                console.announce("READY console");
                return;
            }
        }
    })
}

/// The address the guest was told to use: behind a tap nobody else can tell.
fn static_address(append: &str) -> Option<IpAddr> {
    let value = append
        .split_whitespace()
        .find_map(|word| word.strip_prefix("ip="))?;
    value.split(['/', ',']).next()?.parse().ok()
}

fn gdb_hint(elf: &Path) {
    let debugger = ["gdb-multiarch", "aarch64-none-elf-gdb", "gdb"];
    let program = debugger
        .iter()
        .find(|p| crate::tree::which(p).is_some())
        .unwrap_or(&debugger[0]);
    eprintln!(
        "xtask: the guest waits; attach with: {program} {} -x {} -ex 'target remote 127.0.0.1:1234'",
        elf.display(),
        crate::tree::root().join(GDB_COMMANDS).display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_static_address_is_read_from_the_boot_arguments() {
        let ip = |text: &str| static_address(text).map(|ip| ip.to_string());
        assert_eq!(
            ip("a=b ip=10.0.0.2/24,10.0.0.1"),
            Some("10.0.0.2".to_owned())
        );
        assert_eq!(ip("ip=10.0.0.2"), Some("10.0.0.2".to_owned()));
        assert_eq!(ip("trace=all"), None);
    }
}
