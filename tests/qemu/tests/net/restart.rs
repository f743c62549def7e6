//! The service is stopped and started by an on-target test while clients of the host ask; and cores go
//! and come under it, which no client notices.
//!
//! The guest asserts ([`TEST`] in the image of on-target tests); the host only keeps asking, on kept
//! and on new connections, and takes every reset as a reason to connect again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use qemu_tests::http::{Client, get};
use qemu_tests::on_target;

/// Name of the test in the guest.
const TEST: &str = "95_services_stop_and_start_under_load";
/// Clients at once.
const CLIENTS: usize = 12;
/// How long the guest may take for it all.
const LIMIT: Duration = Duration::from_secs(150);

pub(crate) fn under_load() -> Result<(), String> {
    let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    on_target::run(TEST, 2, LIMIT, |guest| {
        guest.wait_for("SERVING")?;
        let at = guest.http();
        thread::scope(|scope| {
            for n in 0..CLIENTS {
                let (stop, answers) = (&stop, &answers);
                scope.spawn(move || keep_asking(at, n, stop, answers));
            }
            let passed = guest.wait_for(&format!("PASS {TEST}"));
            stop.store(true, Ordering::Relaxed);
            passed
        })
    })?;
    match answers.load(Ordering::Relaxed) {
        0 => Err("no request was answered".to_owned()),
        _ => Ok(()),
    }
}

/// Asks on one connection after the other, a few requests on each.
fn keep_asking(at: SocketAddr, n: usize, stop: &AtomicBool, answers: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut client) = Client::connect_within(at, Duration::from_secs(2)) else {
            continue;
        };
        for _ in 0..=n % 4 {
            let answer = client.ask(get("/hello")).and_then(|a| a.expect(200));
            if answer.is_err() {
                break;
            }
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Name of the test in the guest that takes cores away.
const HOTPLUG: &str = "95_services_while_cores_come_and_go";

pub(crate) fn while_cores_come_and_go() -> Result<(), String> {
    let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    on_target::run(HOTPLUG, 4, LIMIT, |guest| {
        guest.wait_for("SERVING")?;
        let at = guest.http();
        thread::scope(|scope| {
            let (stop, answers) = (&stop, &answers);
            let clients: Vec<_> = (0..4)
                .map(|_| scope.spawn(move || ask_steadily(at, stop, answers)))
                .collect();
            let cycled = guest.wait_for("CYCLED");
            stop.store(true, Ordering::Relaxed);
            let mut heard = clients.into_iter().map(|c| c.join());
            let heard = heard.try_for_each(|r| r.map_err(|_| "a client".to_owned())?);
            cycled.and(heard)
        })?;
        guest.wait_for(&format!("PASS {HOTPLUG}"))
    })?;
    match answers.load(Ordering::Relaxed) {
        0 => Err("no request was answered".to_owned()),
        _ => Ok(()),
    }
}

/// Asks for as long as it may; every request must be answered.
fn ask_steadily(at: SocketAddr, stop: &AtomicBool, answers: &AtomicUsize) -> Result<(), String> {
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::connect_within(at, Duration::from_secs(5))?;
        for _ in 0..8 {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            client.ask(get("/hello"))?.expect(200)?;
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}
