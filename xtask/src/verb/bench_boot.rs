//! `bench boot`: until the service answers, and what an idle machine does.

use std::time::{Duration, Instant};

use super::bench_http::{mark, marks_of, serving, with_guest};
use crate::bench::figures::Figure;
use crate::guest::{Guest, Terminal};
use crate::image::{self, Kind};
use crate::options::Options as Machine;
use crate::{Failure, Outcome, ready, toolchain};

/// For a guest to boot.
const PATIENCE: Duration = Duration::from_secs(60);
/// For the first answer.
const FIRST_PATIENCE: Duration = Duration::from_millis(10);
/// For how long an idle machine is watched.
const IDLE: Duration = Duration::from_secs(10);
/// Boots whose median is told.
const BOOTS: usize = 5;
/// What stands behind the time at which the service is up.
const UP: &str = " ms after entry";

/// Target of [`guest_time`].
pub const GUEST_MS: f64 = 20.0;
/// Linux's figures and our targets, of 1, 2 and 4 cores (`docs/performance.md`).
const WALL: ([f64; 3], f64) = ([3.35, 3.64, 4.47], 0.3);
const GUEST: ([f64; 2], f64) = ([1_110.0, 1_510.0], GUEST_MS);
const IDLING: (f64, f64) = (83_000.0, 2_000.0);

/// Measures on 1, 2 and 4 cores, and prints.
pub(super) fn run() -> Outcome<Vec<Figure>> {
    let mut all = Vec::new();
    println!("| What | Cores | Linux | Target | Ours |\n| --- | ---: | ---: | ---: | ---: |");
    for (smp, linux) in [1, 4].into_iter().zip(GUEST.0) {
        let ms = guest_time(smp)?;
        println!(
            "| guest time at which the service is up, ms | {smp} | {linux} | {} | {ms:.2} |",
            GUEST.1
        );
        let what = "guest time at which the service is up, ms";
        all.push(Figure::new(what, smp, ms).against(linux, GUEST.1));
    }
    for (smp, linux) in [1, 2, 4].into_iter().zip(WALL.0) {
        let s = wall(smp)?;
        println!(
            "| QEMU's start to the first answer, s (median of {BOOTS}; the host's time) | {smp} | {linux} | {} | {s:.2} |",
            WALL.1
        );
        let what = "QEMU's start to the first answer, s";
        all.push(Figure::new(what, smp, s).against(linux, WALL.1));
    }
    for smp in [1, 4] {
        let n = idling(smp)?;
        println!(
            "| instructions a second when idle | {smp} | {} | {} | {n:.0} |",
            IDLING.0, IDLING.1
        );
        let what = "instructions a second when idle";
        all.push(Figure::new(what, smp, n).against(IDLING.0, IDLING.1));
    }
    Ok(all)
}

fn start(smp: u32, icount: bool) -> Outcome<(Guest, f64)> {
    let image = image::build(Kind::Release, &toolchain::metal(false, false)?)?;
    let machine = Machine {
        smp,
        icount,
        http_port: 0,
        echo_port: 0,
        ..Machine::default()
    };
    let begin = Instant::now();
    let mut guest = Guest::start(&machine, &image.flat, Terminal::Captured)?;
    // A connection that comes too early may hang for long: many short attempts, for the time is wanted exactly.
    while guest.ended().is_none() && begin.elapsed() < PATIENCE {
        // The longer it takes, the slower the host is.
        let patience = FIRST_PATIENCE + begin.elapsed() / 4;
        if ready::answers(guest.http(), patience) {
            return Ok((guest, begin.elapsed().as_secs_f64()));
        }
    }
    guest.stop();
    let tail = guest.console().tail(20);
    Err(Failure::failed(format!(
        "the guest does not answer; the console's end:\n{tail}"
    )))
}

/// Milliseconds of the guest's own time from its first instruction to where its services listen; an instruction is a
/// nanosecond.
///
/// # Errors
///
/// The image cannot be built, or the guest does not answer.
pub fn guest_time(smp: u32) -> Outcome<f64> {
    let (mut guest, _) = start(smp, true)?;
    guest.stop();
    let said = guest.console().since(0);
    let before = said.split_once(UP).map(|(before, _)| before);
    let word = before.and_then(|text| text.split_whitespace().next_back());
    word.and_then(|w| w.parse().ok())
        .ok_or_else(|| Failure::failed(format!("no time in\n{said}")))
}

/// Seconds of the host's time.
fn wall(smp: u32) -> Outcome<f64> {
    let mut all = Vec::new();
    for _ in 0..BOOTS {
        let (mut guest, seconds) = start(smp, false)?;
        guest.stop();
        all.push(seconds);
    }
    all.sort_by(f64::total_cmp);
    Ok(all[BOOTS / 2])
}

/// Instructions in a second in which nobody asks for anything, with HTTP served.
fn idling(smp: u32) -> Outcome<f64> {
    with_guest(Kind::Bench, &serving(smp), |guest| {
        let mut marks = marks_of(guest)?;
        // What the connection left to do is done.
        mark(&mut marks, b'1')?;
        std::thread::sleep(Duration::from_secs(2));
        mark(&mut marks, b'1')?;
        let begin = mark(&mut marks, b'1')?;
        let at = Instant::now();
        let next = mark(&mut marks, b'1')?;
        std::thread::sleep(IDLE);
        let end = mark(&mut marks, b'1')?;
        let seconds = at.elapsed().as_secs_f64();
        // Without what the marks themselves cost.
        let n = f64::from(end.wrapping_sub(next)) - f64::from(next.wrapping_sub(begin));
        Ok(n.max(0.0) / seconds)
    })
}
