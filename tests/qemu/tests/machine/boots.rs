//! Machines at the edges of what is supported: many cores, little and much memory, the other interrupt
//! controller entered at the other exception level. On each the service answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use qemu_tests::service;
use xtask::guest::{Guest, Terminal};
use xtask::options::Options;

use crate::{Body, check};

pub(crate) const TESTS: &[(&str, Body)] = &[
    ("ready_on_16_cores", || ready(16, "256M", 3, false)),
    // The least that `--mem` accepts.
    ("ready_with_6_mib", || ready(4, "6M", 3, false)),
    ("ready_with_64_mib", || ready(4, "64M", 3, false)),
    ("ready_with_4_gib", || ready(4, "4G", 3, false)),
    ("ready_with_gicv2_at_el2", || ready(4, "256M", 2, true)),
    ("ready_with_single_threaded_queues", || ready_with("st")),
    ("ready_with_multi_threaded_queues", || ready_with("mt")),
];

const LIMIT: Duration = Duration::from_secs(90);

/// Boots the service with queues of this kind, and asks it which it has.
fn ready_with(backend: &str) -> Result<(), String> {
    let options = Options {
        append: format!("wq.backend={backend}"),
        http_port: 0,
        echo_port: 0,
        yes: true,
        ..Options::default()
    };
    let image = service::image()?;
    let mut guest = Guest::start(&options, &image, Terminal::Captured).map_err(|f| f.message)?;
    let up = guest.wait_ready(Instant::now() + LIMIT);
    let queues = if up {
        get(guest.http(), "/api/v1/queues")
    } else {
        Ok(String::new())
    };
    guest.stop();
    check(
        up,
        format!("no answer within {LIMIT:?}\n{}", guest.console().since(0)),
    )?;
    let (queues, wanted) = (queues?, format!("\"backend\":\"{backend}\""));
    check(queues.contains(&wanted), format!("{wanted} in {queues}"))
}

/// What the service answers.
fn get(from: SocketAddr, path: &str) -> Result<String, String> {
    let ask = || -> std::io::Result<String> {
        let mut s = TcpStream::connect(from)?;
        s.set_read_timeout(Some(LIMIT))?;
        write!(
            s,
            "GET {path} HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        s.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().map_err(|e| format!("{path}: {e}"))
}

/// Boots the service on this machine and asks it, as `READY` on the host's terminal does.
fn ready(smp: u32, mem: &str, gic: u8, el2: bool) -> Result<(), String> {
    let options = Options {
        smp,
        mem: mem.to_owned(),
        gic,
        el2,
        http_port: 0,
        echo_port: 0,
        yes: true,
        ..Options::default()
    };
    let image = service::image()?;
    let mut guest = Guest::start(&options, &image, Terminal::Captured).map_err(|f| f.message)?;
    let up = guest.wait_ready(Instant::now() + LIMIT);
    guest.stop();
    let said = guest.console().since(0);
    check(up, format!("no answer within {LIMIT:?}\n{said}"))?;
    let cores = format!("{smp} of {smp} cores");
    check(said.contains(&cores), format!("{cores}\n{said}"))
}
