//! The service is stopped and started by an on-target test while clients of the host ask.
//!
//! The guest asserts ([`TEST`] in the image of on-target tests); the host only keeps asking, on kept
//! and on new connections, and takes every reset as a reason to connect again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use qemu_tests::catalogue;
use qemu_tests::http::{Client, get};
use qemu_tests::plan;
use xtask::guest::{Guest, Terminal};
use xtask::image::{self, Kind};
use xtask::options::Options;
use xtask::toolchain;

/// Name of the test in the guest.
const TEST: &str = "95_services_stop_and_start_under_load";
/// Clients at once.
const CLIENTS: usize = 12;
/// How long the guest may take for it all.
const LIMIT: Duration = Duration::from_secs(150);

pub(crate) fn under_load() -> Result<(), String> {
    let toolchain = toolchain::metal(false, true).map_err(|f| f.message)?;
    let image = image::build(Kind::Tests, &toolchain).map_err(|f| f.message)?;
    let elf = std::fs::read(&image.elf).map_err(|e| e.to_string())?;
    let tests = catalogue::read(&elf)?;
    let test = tests.into_iter().find(|t| t.name == TEST);
    let test = test.ok_or_else(|| format!("the image has no test {TEST}"))?;
    let options = Options {
        smp: 2,
        http_port: 0,
        echo_port: 0,
        append: plan::selection(&[test]),
        yes: true,
        ..Options::default()
    };
    let mut guest =
        Guest::start(&options, &image.flat, Terminal::Captured).map_err(|f| f.message)?;
    let deadline = Instant::now() + LIMIT;
    let mut cursor = 0;
    let serving = guest.console().wait_for("SERVING", &mut cursor, deadline);
    let stop = Arc::new(AtomicBool::new(!serving));
    let answers = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (stop, answers, at) = (Arc::clone(&stop), Arc::clone(&answers), guest.http());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Ok(mut client) = Client::connect_within(at, Duration::from_secs(2)) else {
                        continue;
                    };
                    for _ in 0..=n % 4 {
                        if client
                            .ask(get("/hello"))
                            .and_then(|a| a.expect(200))
                            .is_err()
                        {
                            break;
                        }
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    let passed = serving
        && guest
            .console()
            .wait_for(&format!("PASS {TEST}"), &mut cursor, deadline);
    stop.store(true, Ordering::Relaxed);
    guest.stop();
    for client in clients {
        client.join().map_err(|_| "a client panicked".to_owned())?;
    }
    let answered = answers.load(Ordering::Relaxed);
    if passed && answered > 0 {
        return Ok(());
    }
    Err(format!(
        "no PASS line; {answered} requests were answered; the console's end:\n{}",
        guest.console().tail(40)
    ))
}
