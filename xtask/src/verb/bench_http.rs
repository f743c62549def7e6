//! `bench http`: what a request costs, and how much of it is tracing.
//!
//! Two images of one core, which count instructions: the benchmarks' usual one, with tracing off, as it is by
//! default and with all categories, and one without any tracepoint. The client is here. Requests follow
//! each other on one connection. How frames share an interrupt is up to the host, and changes a request by
//! more than tracing does, so each is counted by itself and the least is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::bench;
use crate::guest::{Guest, Terminal};
use crate::image::{self, Kind};
use crate::options::{Net, Options as Machine};
use crate::{Failure, Outcome, toolchain};

/// Requests of each setting; the figure is the least, which no odd interrupt is in.
const ROUNDS: usize = 300;
/// Before those that count, so that pools and buffers are as they stay.
const WARM_UP: usize = 20;
/// What the guest says when it serves.
const SERVES: &str = "BENCH SERVES";
/// For a guest to boot, and for each answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Instructions of a request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Costs {
    /// Without any tracepoint in the image.
    pub without: f64,
    /// With all categories off.
    pub off: f64,
    /// With those that are on by default.
    pub default: f64,
    /// With all.
    pub all: f64,
}

impl Costs {
    /// What is more than it may be, if anything.
    #[must_use]
    pub fn excess(&self) -> Option<String> {
        let rules = [
            ("compiled in but off", self.off / self.without, 1.02),
            ("default categories", self.default / self.off, 1.15),
            ("all categories", self.all / self.off, 1.6),
        ];
        let worse = rules.iter().find(|(_, is, most)| is > most);
        worse.map(|(what, is, most)| {
            format!(
                "{what}: a request costs {is:.3} times as much, at most {most} is right; {self:?}"
            )
        })
    }
}

/// Measures and prints.
pub fn run(words: &[String]) -> Outcome<u8> {
    if let Some(word) = words.first() {
        return Err(Failure::usage(format!(
            "bench http takes no {word}; it always measures one core"
        )));
    }
    let c = measure()?;
    println!("instructions of a GET /hello, one core, least of {ROUNDS}:\n");
    for (what, n, to, of) in [
        (
            "no tracepoints in the image",
            c.without,
            c.without,
            "itself",
        ),
        ("tracing off", c.off, c.without, "without"),
        ("default categories", c.default, c.off, "off"),
        ("all categories", c.all, c.off, "off"),
    ] {
        println!("{what:<28} {n:>10.1}   {:.3} of {of}", n / to);
    }
    c.excess().map_or(Ok(0), |why| Err(Failure::failed(why)))
}

/// Builds and boots both images.
pub fn measure() -> Outcome<Costs> {
    let with = boot(Kind::Bench)?;
    let without = boot(Kind::BenchUntraced)?;
    Ok(Costs {
        without: without[0],
        off: with[0],
        default: with[1],
        all: with[2],
    })
}

/// Instructions of a request under each of the guest's settings.
fn boot(kind: Kind) -> Outcome<[f64; 3]> {
    with_guest(kind, &serving(1), count_all)
}

/// The machine of an image of benchmarks that serves.
pub(super) fn serving(smp: u32) -> Machine {
    Machine {
        net: Net::User,
        http_port: 0,
        echo_port: 0,
        ..bench::machine(&["http".to_owned()], smp, "cortex-a57")
    }
}

/// Boots a serving image of benchmarks, and measures.
pub(super) fn with_guest<T>(
    kind: Kind,
    machine: &Machine,
    measure: impl FnOnce(&Guest) -> Result<T, String>,
) -> Outcome<T> {
    let toolchain = toolchain::metal(false, false)?;
    let image = image::build(kind, &toolchain)?;
    let mut guest = Guest::start(machine, &image.flat, Terminal::Captured)?;
    let result = ready(&guest).and_then(|()| measure(&guest));
    guest.stop();
    result.map_err(|why| {
        let tail = guest.console().tail(20);
        Failure::failed(format!("{why}; the console's end:\n{tail}"))
    })
}

/// Waits until the image of benchmarks serves.
pub(super) fn ready(guest: &Guest) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    match guest.console().wait_for(SERVES, &mut 0, until) {
        true => Ok(()),
        false => Err("the guest does not serve".to_owned()),
    }
}

fn count_all(guest: &Guest) -> Result<[f64; 3], String> {
    let mut client = connect(guest.http())?;
    let mut marks = marks_of(guest)?;
    // Of a request between two marks, and of two marks alone.
    let mut least = [[u32::MAX; 2]; 3];
    for round in 0..WARM_UP + ROUNDS {
        for (least, setting) in least.iter_mut().zip([b'0', b'1', b'2']) {
            mark(&mut marks, setting)?;
            let begin = mark(&mut marks, setting)?;
            request(&mut client)?;
            let between = mark(&mut marks, setting)?;
            let end = mark(&mut marks, setting)?;
            if round >= WARM_UP {
                least[0] = least[0].min(between.wrapping_sub(begin));
                least[1] = least[1].min(end.wrapping_sub(between));
            }
        }
    }
    Ok(least.map(|[both, marks]| f64::from(both) - f64::from(marks)))
}

/// A connection to whoever answers with counts.
pub(super) fn marks_of(guest: &Guest) -> Result<TcpStream, String> {
    connect(SocketAddr::from((guest.http().ip(), guest.ports().echo)))
}

/// A connection that hands on at once, and waits for no answer for ever.
pub(super) fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE);
    let stream = stream.map_err(|e| e.to_string())?;
    let set = stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_nodelay(true));
    set.map_err(|e| e.to_string())?;
    Ok(stream)
}

/// Sets what is traced; the guest's count of instructions.
pub(super) fn mark(marks: &mut TcpStream, setting: u8) -> Result<u32, String> {
    let mut line = String::new();
    let mut talk = || -> std::io::Result<()> {
        marks.write_all(&[setting])?;
        let mut byte = [0];
        while byte != [b'\n'] {
            marks.read_exact(&mut byte)?;
            line.push(char::from(byte[0]));
        }
        Ok(())
    };
    talk().map_err(|e| format!("a mark: {e}"))?;
    line.trim().parse().map_err(|_| format!("no count: {line}"))
}

/// One request and its answer.
pub(super) fn request(client: &mut TcpStream) -> Result<(), String> {
    let mut answer = [0; 1024];
    let mut have = 0;
    let mut talk = || -> std::io::Result<bool> {
        client.write_all(b"GET /hello HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        while !answer[..have].ends_with(b"Hello World!") {
            let n = client.read(&mut answer[have..])?;
            if n == 0 {
                return Ok(false);
            }
            have += n;
        }
        Ok(answer.starts_with(b"HTTP/1.1 200 "))
    };
    match talk() {
        Ok(true) => Ok(()),
        Ok(false) => Err("no Hello World".to_owned()),
        Err(e) => Err(format!("a request: {e}")),
    }
}
