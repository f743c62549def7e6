//! The service over a tap, with what the network device offers taken away piece by piece.
//!
//! The user network of the other tests offers nothing; a tap offers all. So each case here forbids
//! the device something, and checks bytes in both directions, and how many frames they took. The tests start
//! themselves anew in a network namespace of their own (`xtask::lab`); where none can be made they say so and
//! test nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use qemu_tests::service;
use xtask::guest::{Guest, Terminal};
use xtask::lab;
use xtask::options::{Net, Options};

/// Name, properties of the device that are switched off, most frames received for a mebibyte.
const CASES: &[(&str, &[&str], u64)] = &[
    ("all_offered", &[], 700),
    ("nothing_merged", &["mrg_rxbuf"], 20_000),
    ("nothing_joined", &["guest_tso4"], 20_000),
    ("nothing_cut", &["host_tso4"], 700),
    ("received_unverified", &["guest_csum"], 20_000),
    ("sent_unfinished", &["csum"], 700),
    (
        "nothing_offered",
        &["mrg_rxbuf", "guest_csum", "csum"],
        20_000,
    ),
];

const PATIENCE: Duration = Duration::from_secs(60);
const MEBIBYTE: usize = 1 << 20;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share one interface.
    arguments.test_threads = Some(1);
    if arguments.list {
        return libtest_mimic::run(&arguments, trials()).exit_code();
    }
    let prepared = if lab::is_inside() {
        lab::set_up().map_err(|f| f.message)
    } else if let Err(why) = lab::possible() {
        eprintln!("no tap interface can be made here ({why}): nothing is tested");
        return ExitCode::SUCCESS;
    } else {
        // Inside there is no network to fetch anything over.
        service::image().and_then(|_| {
            let words: Vec<_> = std::env::args().skip(1).collect();
            lab::again(&words).map(drop).map_err(|f| f.message)
        })
    };
    if let Err(why) = prepared {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    libtest_mimic::run(&arguments, trials()).exit_code()
}

fn trials() -> Vec<Trial> {
    let trial = |&(name, off, frames): &'static (_, &'static [&str], _)| {
        Trial::test(name, move || case(off, frames).map_err(Failed::from))
    };
    CASES.iter().map(trial).collect()
}

fn case(off: &[&str], most_frames: u64) -> Result<(), String> {
    let forbid = |what: &&str| {
        let property = format!("virtio-net-device.{what}=off");
        ["-global".to_owned(), property]
    };
    let options = Options {
        net: Net::Tap(lab::TAP.to_owned()),
        append: lab::BOOT_ARGUMENT.to_owned(),
        extra: off.iter().flat_map(forbid).map(Into::into).collect(),
        yes: true,
        ..Options::default()
    };
    let image = service::image()?;
    let mut guest = Guest::start(&options, &image, Terminal::Captured).map_err(|f| f.message)?;
    let result = serves(most_frames);
    guest.stop();
    result.map_err(|why| format!("{why}\nthe console's end:\n{}", guest.console().tail(20)))
}

fn serves(most_frames: u64) -> Result<(), String> {
    wait_ready()?;
    datagram()?;
    let before = frames()?;
    round_trip(1, MEBIBYTE)?;
    let taken = frames()? - before;
    if taken > most_frames {
        return Err(format!("{taken} frames for a mebibyte"));
    }
    // Several at once, of lengths that end anywhere.
    std::thread::scope(|scope| {
        let clients: Vec<_> = (2..8)
            .map(|seed| scope.spawn(move || round_trip(seed, seed as usize * 77_777)))
            .collect();
        clients.into_iter().try_for_each(|c| {
            c.join()
                .map_err(|_| "a client panicked".to_owned())
                .flatten()
        })
    })
}

fn said(what: &'static str) -> impl Fn(std::io::Error) -> String {
    move |e| format!("{what}: {e}")
}

fn wait_ready() -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect_timeout(&at(80), Duration::from_secs(1)).is_err() {
        if Instant::now() > end {
            return Err("the service did not answer".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn at(port: u16) -> SocketAddr {
    (lab::GUEST, port).into()
}

/// Bytes that do not repeat within a buffer (xorshift).
fn noise(mut seed: u64, length: usize) -> Vec<u8> {
    let next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Has bytes echoed and compares them.
fn round_trip(seed: u64, length: usize) -> Result<(), String> {
    let data = noise(seed, length);
    let mut reader = TcpStream::connect_timeout(&at(7), PATIENCE).map_err(said("connect"))?;
    reader
        .set_read_timeout(Some(PATIENCE))
        .map_err(said("set a timeout"))?;
    let mut writer = reader.try_clone().map_err(said("clone"))?;
    let mut got = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            writer
                .write_all(&data)
                .and_then(|()| writer.shutdown(Shutdown::Write))
        });
        reader.read_to_end(&mut got).map_err(said("read"))
    })?;
    let same = got.iter().zip(&data).take_while(|(a, b)| a == b).count();
    if got == data {
        return Ok(());
    }
    let (sent, back) = (data.len(), got.len());
    Err(format!("{sent} sent, {back} back, {same} the same"))
}

fn datagram() -> Result<(), String> {
    let data = noise(9, 1_400);
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(said("bind"))?;
    socket
        .set_read_timeout(Some(PATIENCE))
        .map_err(said("set a timeout"))?;
    socket.send_to(&data, at(7)).map_err(said("send"))?;
    let mut back = [0; 2_000];
    let n = socket.recv(&mut back).map_err(said("receive"))?;
    if back.get(..n) == Some(&data[..]) {
        return Ok(());
    }
    Err("another datagram came back".to_owned())
}

/// What `/metrics` calls the frames that the guest has received.
const RECEIVED: &str = "network_receive_packets_total ";

/// Their number.
fn frames() -> Result<u64, String> {
    let mut stream = TcpStream::connect_timeout(&at(80), PATIENCE).map_err(said("connect"))?;
    let request = "GET /metrics HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n";
    stream
        .write_all(request.as_bytes())
        .map_err(said("request"))?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .map_err(said("metrics"))?;
    let mut lines = answer.lines();
    let line = lines.find(|l| !l.starts_with('#') && l.contains(RECEIVED));
    line.and_then(|l| l.rsplit(' ').next()?.parse().ok())
        .ok_or_else(|| "no count of frames".to_owned())
}
