//! `bench mem`: bytes of the image, of an idle machine, and of each thing that one may have many of.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use self::in_use::Part;
use super::{bench, bench_http, size};
use crate::bench::figures::Figure;
use crate::guest::{Guest, Terminal};
use crate::image::{self, Image, Kind};
use crate::options::{Net, Options as Machine};
use crate::{Failure, Outcome, toolchain};

mod in_use;
mod stacks;

/// For a guest to boot or to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// For one that may never.
const SHORT: Duration = Duration::from_secs(8);
/// Connections whose memory is measured.
const CONNECTIONS: usize = 128;
/// What begins a line of the image of benchmarks.
const LINE: &str = "BYTES ";
const MIB: f64 = 1_048_576.0;
const MB: f64 = 1e6;
/// Target in MB of the image.
pub const IMAGE_MB: f64 = 1.0;
/// The image of the Linux kernel that we compare with.
const LINUX_IMAGE_MB: f64 = 34.9;
/// What is in use when idle.
pub const IDLE_MIB: f64 = 8.0;
/// Largest memory that is tried, in MiB; the image serves in 64 by far.
const MOST: u32 = 64;

/// Measures on 1 and 4 cores, and prints.
pub(super) fn run() -> Outcome<Vec<Figure>> {
    let mut all = Vec::new();
    let toolchain = toolchain::metal(false, false)?;
    let image = image::build(Kind::Release, &toolchain)?;
    println!(
        "| Image and machine | Cores | Linux | Target | Ours |\n| --- | ---: | ---: | ---: | ---: |"
    );
    let whole = megabytes(&image);
    println!("| image, MB | | {LINUX_IMAGE_MB} | {IMAGE_MB} | {whole:.3} |");
    all.push(Figure::new("image, MB", None, whole).against(LINUX_IMAGE_MB, IMAGE_MB));
    let size::Parts { file, memory } = size::parts(&image)?;
    for (of, parts) in [("of it", file), ("besides, in memory only:", memory)] {
        for (what, bytes) in parts {
            println!("| {of} {what}, bytes | | | | {bytes} |");
            let what = format!("image: {what}, bytes");
            all.push(Figure::new(what, None, bytes as f64));
        }
    }
    let mut parts = Vec::new();
    for smp in [1, 4] {
        let (used, of) = idle(&image, smp)?;
        println!("| in use when idle, MiB | {smp} | 57 | {IDLE_MIB} | {used:.2} |");
        all.push(Figure::new("in use when idle, MiB", smp, used).against(57.0, IDLE_MIB));
        for &(what, bytes) in &of {
            let what = format!("{what}, bytes");
            all.push(Figure::new(what, smp, bytes as f64));
        }
        parts.push(of);
    }
    for smp in [1, 4] {
        let least = smallest(&image, smp)?;
        println!("| smallest `--mem` that serves, MiB | {smp} | 64 | 16 | {least} |");
        let what = "smallest --mem that serves, MiB";
        all.push(Figure::new(what, smp, f64::from(least)).against(64.0, 16.0));
    }
    println!("\n| In use when idle, KiB | 1 core | 4 cores |\n| --- | ---: | ---: |");
    for ((what, one), (_, four)) in parts[0].iter().zip(&parts[1]) {
        println!("| {what} | {} | {} |", one / 1024, four / 1024);
    }
    println!("\n| Bytes of one (4 cores) | All | On the heap |\n| --- | ---: | ---: |");
    let mut things = things()?;
    let (whole, heap) = connection(&image)?;
    things.push(("open HTTP connection, at rest".to_owned(), whole, heap));
    for (what, whole, heap) in things {
        println!("| {what} | {whole} | {heap} |");
        all.push(Figure::new(format!("{what}, bytes"), 4, whole as f64));
        let what = format!("{what}, bytes on the heap");
        all.push(Figure::new(what, 4, heap as f64));
    }
    println!("\n| Most used of a stack (4 cores), bytes | Size | Used |\n| --- | ---: | ---: |");
    for (what, size, used) in stacks::measure(&image)? {
        println!("| {what} | {size} | {used} |");
        let what = format!("most used of a stack: {what}, bytes");
        all.push(Figure::new(what, 4, used as f64));
    }
    println!();
    Ok(all)
}

fn megabytes(image: &Image) -> f64 {
    image.sizes.whole() as f64 / MB
}

/// MB of the release image, and MiB of what is in use when it idles on `smp` cores.
///
/// # Errors
///
/// The image cannot be built, or the guest does not answer.
pub fn sizes(smp: u32) -> Outcome<(f64, f64)> {
    let image = image::build(Kind::Release, &toolchain::metal(false, false)?)?;
    Ok((megabytes(&image), idle(&image, smp)?.0))
}

fn machine(smp: u32, mem: &str) -> Machine {
    Machine {
        smp,
        mem: mem.to_owned(),
        http_port: 0,
        echo_port: 0,
        ..Machine::default()
    }
}

fn start(image: &Image, smp: u32) -> Outcome<Guest> {
    start_with(image, &machine(smp, "256M"))
}

fn start_with(image: &Image, machine: &Machine) -> Outcome<Guest> {
    let mut guest = Guest::start(machine, &image.flat, Terminal::Captured)?;
    if guest.wait_ready(Instant::now() + PATIENCE) {
        return Ok(guest);
    }
    guest.stop();
    let tail = guest.console().tail(20);
    Err(Failure::failed(format!(
        "the guest does not answer; the console's end:\n{tail}"
    )))
}

fn ask(address: SocketAddr, path: &str) -> Outcome<Value> {
    let failed = |e: String| Failure::failed(format!("{path}: {e}"));
    let request = minreq::get(format!("http://{address}{path}")).with_timeout(PATIENCE.as_secs());
    let answer = request.send().map_err(|e| failed(e.to_string()))?;
    serde_json::from_slice(answer.as_bytes()).map_err(|e| failed(e.to_string()))
}

fn number(of: &Value, key: &str) -> u64 {
    of[key].as_u64().unwrap_or(0)
}

/// What is in use some seconds after the last request: MiB in all, and bytes by part.
fn idle(image: &Image, smp: u32) -> Outcome<(f64, Vec<Part>)> {
    let mut guest = start(image, smp)?;
    std::thread::sleep(Duration::from_secs(3));
    let asked = ask(guest.http(), "/api/v1/memory")
        .and_then(|memory| Ok((memory, ask(guest.http(), "/api/v1/trace")?)));
    guest.stop();
    let (memory, trace) = asked?;
    let parts = in_use::parts(&memory, &trace).map_err(Failure::failed)?;
    Ok((number(&memory, "mem_used_bytes") as f64 / MIB, parts))
}

/// The least memory with which the service answers, by halving.
fn smallest(image: &Image, smp: u32) -> Outcome<u32> {
    let (mut too_small, mut serves) = (1, MOST);
    while serves - too_small > 1 {
        let middle = too_small.midpoint(serves);
        let machine = machine(smp, &format!("{middle}M"));
        let mut guest = Guest::start(&machine, &image.flat, Terminal::Captured)?;
        let answers = guest.wait_ready(Instant::now() + SHORT);
        guest.stop();
        match answers {
            true => serves = middle,
            false => too_small = middle,
        }
    }
    Ok(serves)
}

/// What the image of benchmarks says of bytes: what, in all, on the heap.
fn things() -> Outcome<Vec<(String, u64, u64)>> {
    let machine = Machine {
        net: Net::None,
        ..bench::machine(&["footprint".to_owned()], 4, "cortex-a57")
    };
    let said = bench::console(&machine, PATIENCE)?;
    let thing = |line: &str| {
        let mut fields = line.split_once(LINE)?.1.trim_end().split('|');
        let what = fields.next()?.to_owned();
        Some((
            what,
            fields.next()?.parse().ok()?,
            fields.next()?.parse().ok()?,
        ))
    };
    let all: Vec<_> = said.lines().filter_map(thing).collect();
    match all.is_empty() {
        true => Err(Failure::failed(format!("no bytes in\n{said}"))),
        false => Ok(all),
    }
}

/// Bytes of a connection that has had an answer and is kept: in all, and on the heap.
fn connection(image: &Image) -> Outcome<(u64, u64)> {
    let mut guest = start(image, 4)?;
    let bytes = measured(guest.http());
    guest.stop();
    bytes
}

fn measured(address: SocketAddr) -> Outcome<(u64, u64)> {
    let now = || -> Outcome<(u64, u64)> {
        std::thread::sleep(Duration::from_secs(1));
        let memory = ask(address, "/api/v1/memory")?;
        let heap = number(&memory, "heap_live_bytes");
        // Blocks of whole pages are in no chunk, and in `heap` already.
        let told = number(&memory, "heap_chunk_bytes") + number(&memory, "heap_page_bytes");
        Ok((heap, number(&memory, "mem_used_bytes").saturating_sub(told)))
    };
    // The first ones make what all share.
    let some = connect(address, CONNECTIONS / 4)?;
    let before = now()?;
    let more = connect(address, CONNECTIONS)?;
    let after = now()?;
    drop((some, more));
    let each = |a: u64, b: u64| a.saturating_sub(b) / CONNECTIONS as u64;
    let (heap, outside) = (each(after.0, before.0), each(after.1, before.1));
    Ok((heap + outside, heap))
}

/// As many connections, each with one request answered.
fn connect(address: SocketAddr, n: usize) -> Outcome<Vec<TcpStream>> {
    let one = || {
        let mut stream = bench_http::connect(address)?;
        bench_http::request(&mut stream)?;
        Ok(stream)
    };
    let all: Result<Vec<_>, String> = (0..n).map(|_| one()).collect();
    all.map_err(|e| Failure::failed(format!("a connection: {e}")))
}
