//! The example TCP service answers: run by an on-target test, asked from the host.
//!
//! The guest asserts that every client came and was let go ([`TEST`] in the image of on-target
//! tests), the host that each got its own message back in capitals.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use qemu_tests::catalogue;
use qemu_tests::http::said;
use qemu_tests::plan;
use xtask::guest::{Guest, Terminal};
use xtask::image::{self, Kind};
use xtask::options::Options;
use xtask::toolchain;

/// Name of the test in the guest.
const TEST: &str = "95_services_example_answers";
/// Clients the guest waits for.
const CLIENTS: usize = 8;
/// How long the guest may take for it all.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn answers() -> Result<(), String> {
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
    let pass = format!("PASS {TEST}");
    let mut result = Err("the guest does not serve".to_owned());
    if guest.console().wait_for("SERVING", &mut cursor, deadline) {
        result = talk(guest.echo());
    }
    if result.is_ok() && !guest.console().wait_for(&pass, &mut cursor, deadline) {
        result = Err("no PASS line".to_owned());
    }
    guest.stop();
    result.map_err(|why| format!("{why}; the console's end:\n{}", guest.console().tail(40)))
}

/// Clients that are there together, and are answered in another order than they came.
fn talk(at: SocketAddr) -> Result<(), String> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let stream = TcpStream::connect(at).map_err(said("connect"))?;
        let timeout = stream.set_read_timeout(Some(Duration::from_secs(20)));
        timeout.map_err(said("set a timeout"))?;
        clients.push(stream);
    }
    for round in 0..3 {
        for (i, client) in clients.iter_mut().enumerate().rev() {
            let message = format!("client {i}, round {round}: Grüße\n");
            client.write_all(message.as_bytes()).map_err(said("send"))?;
            let mut answer = vec![0; message.len()];
            client.read_exact(&mut answer).map_err(said("read"))?;
            if answer != message.to_ascii_uppercase().as_bytes() {
                return Err(format!("{message:?} became {answer:?}"));
            }
        }
    }
    for mut client in clients {
        client
            .shutdown(Shutdown::Write)
            .map_err(said("half-close"))?;
        let mut rest = Vec::new();
        client
            .read_to_end(&mut rest)
            .map_err(said("read the end"))?;
        if !rest.is_empty() {
            return Err(format!("more than the answers: {rest:?}"));
        }
    }
    Ok(())
}
