//! `bench net ROW --profile`: where a request's instructions go.
//!
//! As `bench ROW --profile`, QEMU tells every instruction executed. The host's client asks between two marks, each of
//! which reads the counter; what a mark costs by itself is subtracted. Told of each instruction QEMU is slow beside its
//! clients, so that more frames share an interrupt than otherwise: a request of many connections costs less here.

use std::io::{BufRead, BufReader};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::bench_http::{connect, mark, ready};
use super::bench_net::{Reach, WARM_UP, ask, machine};
use super::bench_profile::{SAY_EACH, tell};
use crate::bench::net::{Load, Row};
use crate::guest::{Guest, Terminal};
use crate::image::{self, Kind};
use crate::load::Until;
use crate::load::wrk::Wrk;
use crate::options::Net;
use crate::profile::{Between, Marks};
use crate::{Failure, Outcome, toolchain};

/// Requests of our own clients.
const REQUESTS: u64 = 1_000;
/// How long wrk asks.
const TIME: Duration = Duration::from_secs(5);

/// Records the row, prints who takes its instructions, and writes the stacks for a flame graph.
pub(super) fn run(row: &Row, net: &Net, wrk: Option<&Wrk>) -> Outcome<u8> {
    let image = image::build(Kind::Bench, &toolchain::metal(false, false)?)?;
    let elf = std::fs::read(&image.elf)
        .map_err(|e| Failure::failed(format!("cannot read {}: {e}", image.elf.display())))?;
    let between = Arc::new(Mutex::new(Some(Between::new(Marks::find(&elf)?))));
    let mut machine = machine(net, 1, true);
    machine.extra = SAY_EACH.map(Into::into).to_vec();
    let recorder = Arc::clone(&between);
    let mut guest = Guest::start_logged(&machine, &image.flat, Terminal::Captured, |_, log| {
        std::thread::spawn(move || {
            let mut recorded = recorder.lock().ok().and_then(|mut b| b.take());
            let mut log = BufReader::with_capacity(1 << 20, log);
            let mut line = Vec::new();
            while log.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                if let Some(b) = &mut recorded {
                    b.line(&line);
                }
                line.clear();
            }
            if let Ok(mut b) = recorder.lock() {
                *b = recorded;
            }
        })
    })?;
    let asked = ready(&guest).and_then(|()| requests(row, &Reach::of(&guest, net), wrk));
    // Its end is the log's.
    guest.stop();
    let requests = asked.map_err(|why| {
        Failure::failed(format!(
            "{why}; the console's end:\n{}",
            guest.console().tail(20)
        ))
    })?;
    let recorded = between.lock().ok().and_then(|mut b| b.take());
    let counts = recorded.map(Between::counts).unwrap_or_default();
    let of = format!("each of {requests} requests");
    tell(&image.elf, &counts, requests, row.name, [row.what, &of])?;
    Ok(0)
}

/// Asks between two marks; how often it was answered.
fn requests(row: &Row, reach: &Reach, wrk: Option<&Wrk>) -> Result<u64, String> {
    let mut marks = connect(reach.marks)?;
    if let Load::Ours(_) = row.load {
        ask(row, reach, wrk, Until::Requests(WARM_UP), TIME)?;
    }
    for _ in 0..3 {
        mark(&mut marks, b'l')?;
    }
    let seen = ask(row, reach, wrk, Until::Requests(REQUESTS), TIME)?;
    mark(&mut marks, b'l')?;
    Ok(seen.requests)
}
