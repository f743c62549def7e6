//! What the machine costs: time to serve, size, memory, and the host's processor while nobody talks.

use std::time::{Duration, Instant};

use qemu_tests::http::{Client, get};
use xtask::guest::{Guest, Terminal};
use xtask::image::{self, Image, Kind};
use xtask::options::Options;
use xtask::toolchain;
use xtask::verb::size::within_budgets;

use crate::{Body, check};

pub(crate) const TESTS: &[(&str, Body)] = &[("boots_within_its_budgets", budgets)];

/// Tests that need the host to tell what a process costs.
pub(crate) const MEASURED: &[(&str, Body)] = &[("idle_machine_costs_next_to_nothing", idle)];

/// Whether the host tells.
pub(crate) fn can_measure() -> bool {
    processor_time(std::process::id()).is_some()
}

const READY: Duration = Duration::from_secs(60);

fn boot(icount: bool) -> Result<(Image, Guest), String> {
    let toolchain = toolchain::metal(false, true).map_err(|f| f.message)?;
    let image = image::build(Kind::Release, &toolchain).map_err(|f| f.message)?;
    let options = Options {
        smp: 4,
        icount,
        http_port: 0,
        echo_port: 0,
        yes: true,
        ..Options::default()
    };
    let mut guest =
        Guest::start(&options, &image.flat, Terminal::Captured).map_err(|f| f.message)?;
    match guest.wait_ready(Instant::now() + READY) {
        true => Ok((image, guest)),
        false => Err(format!("not ready:\n{}", guest.console().tail(40))),
    }
}

/// The number right before `unit` in `text`.
fn number_before(text: &str, unit: &str) -> Result<f64, String> {
    let end = text.find(unit).ok_or(format!("no {unit:?} in {text:?}"))?;
    let word = text[..end].split_whitespace().next_back();
    word.and_then(|w| w.parse().ok())
        .ok_or(format!("no number before {unit:?} in {text:?}"))
}

/// The banner's figures keep to the budgets, and are those of the image and of the service.
fn budgets() -> Result<(), String> {
    let (built, guest) = boot(true)?;
    let said = guest.console().since(0);
    let line = |what: &str| {
        let found = said.lines().find(|l| l.contains(what));
        found.ok_or_else(|| format!("no line with {what:?}:\n{said}"))
    };
    let (first, second) = (line("cores, ")?, line("after entry")?);
    check(first.contains("4 of 4 cores"), format!("cores: {first}"))?;
    let up_ms = number_before(second, " ms after entry")?;
    check(
        up_ms > 0.0 && up_ms < 50.0,
        format!("serving {up_ms} ms after entry"),
    )?;
    let used_kib = number_before(first, " KiB of ")?;
    let image = first.rsplit("image ").next().unwrap_or_default();
    let image_kib = number_before(image, " KiB")?;
    // Memory that the image takes, bss included, which its file is not.
    let memory_kib = (built.sizes.memory >> 10) as f64;
    check(
        (image_kib - memory_kib).abs() <= 4.0,
        format!("the banner says {image_kib} KiB, the image takes {memory_kib}"),
    )?;
    // The file and what it takes of memory each have their own.
    within_budgets(&built.sizes)?;
    check(used_kib < 8.0 * 1024.0, format!("{used_kib} KiB in use"))?;
    let answer = Client::connect(guest.http())?.ask(get("/api/v1/system"))?;
    let system: serde_json::Value =
        serde_json::from_slice(&answer.expect(200)?.body).map_err(|e| e.to_string())?;
    let bytes = |key: &str| system[key].as_u64().ok_or(format!("no {key}"));
    let (used, total) = (bytes("mem_used_bytes")?, bytes("mem_total_bytes")?);
    let grown_kib = (used >> 10) as f64 - used_kib;
    check(
        (-64.0..1024.0).contains(&grown_kib),
        format!("{used_kib} KiB in use in the banner, {used} bytes now"),
    )?;
    check(
        number_before(first, " MiB in use")?.to_bits() == ((total >> 20) as f64).to_bits(),
        format!("{total} bytes in all, the banner says {first}"),
    )
}

/// Share of one host core the machine may use while nobody talks to it, all its cores together.
const IDLE_SHARE: f64 = 0.03;
const WATCHED: Duration = Duration::from_secs(4);

fn idle() -> Result<(), String> {
    let (_, guest) = boot(false)?;
    // The answer that told us that it is ready may still be on its way out.
    std::thread::sleep(Duration::from_secs(1));
    let settled = processor_time(guest.pid()).ok_or("the guest is gone")?;
    check(settled > 0.0, "booting costs something")?;
    let begin = Instant::now();
    std::thread::sleep(WATCHED);
    let used = processor_time(guest.pid()).ok_or("the guest is gone")? - settled;
    let share = used / begin.elapsed().as_secs_f64();
    Client::connect(guest.http())?
        .ask(get("/hello"))?
        .expect(200)?;
    check(
        share < IDLE_SHARE,
        format!("{:.1} % of a core while idle", share * 100.0),
    )
}

/// Seconds of processor time that a process has used (`proc(5)`: fields 14 and 15, in hundredths on
/// every Linux).
fn processor_time(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may contain anything, also blanks.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}
