//! `bench net`: what a request costs the guest and the host, and how many are answered in a second.
//!
//! Everything is measured in several boots, of which the median is told. A boot that counts instructions answers slowly, so
//! rates and the host's processor time are taken in boots of their own, with the settings that the service has by default.
//! Where the host allows it, guest and clients are alone in a network namespace with a tap interface.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use super::bench;
use super::bench_http::{connect, mark, with_guest};
use super::bench_net_profile;
use crate::bench::host_time::processor_seconds;
use crate::bench::net::{Load, Measured, ROWS, Row};
use crate::guest::Guest;
use crate::image::{self, Kind};
use crate::load::wrk::Wrk;
use crate::load::{self, Ask, Seen, Until};
use crate::options::{Net, Options as Machine};
use crate::{Failure, Outcome, lab, packages, scatter, tell, toolchain, tree};

/// Requests of which instructions are counted, by each of our loads.
const COUNTED: u64 = 2_000;
/// Of wrk, which counts seconds.
const COUNTED_TIME: Duration = Duration::from_secs(1);
/// Before those that count.
pub(super) const WARM_UP: u64 = 200;
/// What [`at_once`] goes by among the rows.
const AT_ONCE_ROW: &str = "at-once";
/// Connections opened at once.
const AT_ONCE: usize = 1_000;
/// Bytes that each of them echoes.
const AT_ONCE_BYTES: usize = 64;
/// Settings in which instructions are counted: what the guest is told, and their name.
const SETTINGS: [(u8, &str); 2] = [(b'l', "lean"), (b'd', "default")];

/// Which network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Network {
    /// A tap interface where one can be made, else the user network
    Auto,
    /// A tap interface in a network namespace of its own
    Tap,
    /// QEMU's user network, whose cost to the host is many times the tap's
    User,
}

/// Measure the services under load.
#[derive(Parser, Clone, Debug)]
#[command(name = "xtask bench net", bin_name = "cargo xtask bench net")]
struct Options {
    /// Only these rows; at-once for connections opened at once
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Boots of which the median is told
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    boots: u32,
    /// Seconds for each rate
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// The network between the guest and the clients
    #[arg(long, value_enum, default_value_t = Network::Auto)]
    net: Network,
    /// Write the figures of the rows as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the times of connections opened at once go as a chart and CSV, instead of `target/net`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Say where the instructions of one row's request go, instead of measuring
    #[arg(long, conflicts_with_all = ["boots", "seconds", "json", "out"])]
    profile: bool,
    /// Never install anything
    #[arg(long)]
    no_install: bool,
}

/// Measures, prints, and draws.
pub fn run(words: &[String]) -> Outcome<u8> {
    let name = "xtask bench net".to_owned();
    let options = match Options::try_parse_from(std::iter::once(&name).chain(words)) {
        Ok(options) => options,
        Err(e) => e.exit(),
    };
    let rows = wanted(&options.rows)?;
    let with_at_once = options.rows.is_empty() || options.rows.iter().any(|r| r == AT_ONCE_ROW);
    if rows.is_empty() && options.json.is_some() {
        return Err(Failure::usage(format!(
            "--json holds the figures of rows, and {AT_ONCE_ROW} writes CSV; name a row or leave it out"
        )));
    }
    if !with_at_once && options.out.is_some() {
        return Err(Failure::usage(format!("--out is for {AT_ONCE_ROW} only")));
    }
    if options.profile && rows.len() != 1 {
        return Err(Failure::usage("--profile wants the name of one row"));
    }
    let wrk = match rows.iter().any(|r| r.load == Load::Wrk) {
        true => Some(Wrk::new(&packages::wrk(options.no_install)?)?),
        false => None,
    };
    let wrk = wrk.as_ref();
    let net = if lab::is_inside() {
        lab::set_up()?;
        Net::Tap(lab::TAP.to_owned())
    } else if options.net == Network::User {
        Net::User
    } else {
        match lab::possible() {
            Ok(()) => {
                // What it needs from outside is fetched before.
                image::build(Kind::Bench, &toolchain::metal(false, false)?)?;
                packages::qemu(options.no_install, false)?;
                let verb = ["bench".to_owned(), "net".to_owned()];
                return lab::again(&[&verb, words].concat());
            }
            Err(why) if options.net == Network::Tap => {
                return Err(Failure::missing(format!(
                    "no tap interface can be made here ({why}); leave out --net"
                )));
            }
            Err(why) => {
                tell::say(&format!("no tap interface ({why}): QEMU's user network"));
                Net::User
            }
        }
    };
    if options.profile {
        return bench_net_profile::run(&rows[0], &net, wrk);
    }
    if !rows.is_empty() {
        let measured = measure(&options, &rows, &net, wrk)?;
        println!("{}", measured.instructions_table(&rows));
        println!("{}", measured.rates_table(&rows));
        if let Some(path) = &options.json {
            let network = if net == Net::User { "user" } else { "tap" };
            let value = measured.json(network, &bench::head("cortex-a57")?);
            let text = format!("{value:#}\n");
            write(path, &text)?;
        }
    }
    if with_at_once {
        at_once(&options, &net)?;
    }
    Ok(0)
}

fn wanted(names: &[String]) -> Outcome<Vec<Row>> {
    let known: Vec<_> = ROWS.iter().map(|r| r.name).chain([AT_ONCE_ROW]).collect();
    if let Some(name) = names.iter().find(|n| !known.contains(&n.as_str())) {
        return Err(Failure::usage(format!(
            "bench net has no row {name}; rows: {}",
            known.join(", ")
        )));
    }
    let wanted = |row: &&Row| names.is_empty() || names.iter().any(|n| n == row.name);
    Ok(ROWS.iter().filter(wanted).copied().collect())
}

fn write(path: &std::path::Path, text: &str) -> Outcome<()> {
    path.parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display())))?;
    println!("{}", path.display());
    Ok(())
}

fn measure(options: &Options, rows: &[Row], net: &Net, wrk: Option<&Wrk>) -> Outcome<Measured> {
    let mut measured = Measured::default();
    let counted: Vec<_> = rows.iter().filter(|r| is_counted(r)).collect();
    let mut cores: Vec<u32> = rows.iter().flat_map(|r| r.rates).map(|r| r.0).collect();
    cores.sort_unstable();
    cores.dedup();
    for boot in 1..=options.boots {
        tell::say(&format!("boot {boot} of {}", options.boots));
        if !counted.is_empty() {
            with_guest(Kind::Bench, &machine(net, 1, true), |guest| {
                let reach = Reach::of(guest, net);
                let mut marks = connect(reach.marks)?;
                for row in &counted {
                    for (byte, settings) in SETTINGS {
                        let n = instructions(row, &reach, wrk, &mut marks, byte)?;
                        let key = (row.name, settings);
                        measured.instructions.entry(key).or_default().push(n);
                    }
                }
                Ok(())
            })?;
        }
        for &smp in &cores {
            with_guest(Kind::Bench, &machine(net, smp, false), |guest| {
                let reach = Reach::of(guest, net);
                for row in rows {
                    if row.rates.iter().any(|r| r.0 == smp) {
                        let time = Duration::from_secs(options.seconds);
                        let figures = rate(guest, row, &reach, wrk, time)?;
                        let all = measured.rates.entry((row.name, smp)).or_default();
                        all.iter_mut().zip(figures).for_each(|(to, f)| to.push(f));
                    }
                }
                Ok(())
            })?;
        }
    }
    Ok(measured)
}

/// With many connections a figure of one core would say what one with few says.
fn is_counted(row: &Row) -> bool {
    row.connections <= 16
}

pub(super) fn machine(net: &Net, smp: u32, icount: bool) -> Machine {
    let mut machine = Machine {
        net: net.clone(),
        icount,
        http_port: 0,
        echo_port: 0,
        monitor_port: Some(0),
        ..bench::machine(&["net".to_owned()], smp, "cortex-a57")
    };
    let room = format!(" net.connections={}", AT_ONCE + 64);
    machine.append.push_str(&room);
    if *net != Net::User {
        machine.append.push_str(&format!(" {}", lab::BOOT_ARGUMENT));
    }
    machine
}

/// Addresses of the guest's services.
pub(super) struct Reach {
    http: SocketAddr,
    echo: SocketAddr,
    pub(super) marks: SocketAddr,
}

impl Reach {
    pub(super) fn of(guest: &Guest, net: &Net) -> Self {
        let marks = guest.monitor();
        match (net, marks) {
            (Net::User, Some(marks)) => Self {
                http: guest.http(),
                echo: guest.echo(),
                marks,
            },
            _ => Self {
                http: (lab::GUEST, 80).into(),
                echo: (lab::GUEST, 7).into(),
                marks: (lab::GUEST, 23).into(),
            },
        }
    }
}

/// Lets the row's clients ask.
pub(super) fn ask(
    row: &Row,
    reach: &Reach,
    wrk: Option<&Wrk>,
    ours: Until,
    wrks: Duration,
) -> Result<Seen, String> {
    match row.load {
        Load::Wrk => match wrk {
            Some(wrk) => wrk.run(reach.http, row.connections, wrks),
            None => Err("no wrk".to_owned()),
        },
        Load::Ours(what) => {
            let address = match what {
                Ask::Echo(_) => reach.echo,
                Ask::FreshHello => reach.http,
            };
            load::run(address, row.connections, what, ours)
        }
    }
    .map_err(|why| format!("{}: {why}", row.name))
}

/// Instructions of a request.
fn instructions(
    row: &Row,
    reach: &Reach,
    wrk: Option<&Wrk>,
    marks: &mut TcpStream,
    settings: u8,
) -> Result<f64, String> {
    if let Load::Ours(_) = row.load {
        ask(row, reach, wrk, Until::Requests(WARM_UP), COUNTED_TIME)?;
    }
    mark(marks, settings)?;
    let first = mark(marks, settings)?;
    let begin = mark(marks, settings)?;
    let seen = ask(row, reach, wrk, Until::Requests(COUNTED), COUNTED_TIME)?;
    let end = mark(marks, settings)?;
    // A mark costs something itself. What wrk connects, and leaves unanswered at its end, is counted with the thousands of
    // requests between.
    let all = f64::from(end.wrapping_sub(begin)) - f64::from(begin.wrapping_sub(first));
    if all <= 0.0 || all > f64::from(u32::MAX / 2) {
        return Err(format!("{}: the guest counts {all} instructions", row.name));
    }
    Ok(all / seen.requests as f64)
}

/// The figures of [`Measured::rates`].
fn rate(
    guest: &Guest,
    row: &Row,
    reach: &Reach,
    wrk: Option<&Wrk>,
    time: Duration,
) -> Result<[f64; 5], String> {
    if let Load::Ours(_) = row.load {
        ask(row, reach, wrk, Until::Requests(WARM_UP), time)?;
    }
    let before = processor_seconds(guest.pid());
    let seen = ask(row, reach, wrk, Until::Time(time), time)?;
    let spent = processor_seconds(guest.pid()) - before;
    let [p50, p99, p999] = seen.latency_us;
    let host = spent / seen.requests as f64 * 1_000.0;
    Ok([seen.rate(), p50, p99, p999, host])
}

/// Many connections opened at once, each of which asks once.
fn at_once(options: &Options, net: &Net) -> Outcome<()> {
    let times = with_guest(Kind::Bench, &machine(net, 1, false), |guest| {
        let reach = Reach::of(guest, net);
        // While it looks for the guest's station, Linux keeps some hundred packets and drops the others.
        drop(connect(reach.echo)?);
        load::at_once(reach.echo, AT_ONCE, AT_ONCE_BYTES)
    })?;
    let seen = Seen::of(times.clone(), 1.0);
    let [p50, p99, _] = seen.latency_us;
    println!(
        "{AT_ONCE} connections opened at once, one core, each an echo of {AT_ONCE_BYTES} bytes: \
         median {p50:.0} us, p99 {p99:.0} us, last {:.0} us",
        times.iter().max().map_or(0.0, |t| t.as_secs_f64() * 1e6)
    );
    let dir = match &options.out {
        Some(dir) => dir.clone(),
        None => tree::target_dir()?.join("net"),
    };
    let title = format!("{AT_ONCE} connections at once: time to the echo of each");
    write(&dir.join("at-once.svg"), &scatter::draw(&title, &times))?;
    write(&dir.join("at-once.csv"), &scatter::csv(&times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name() {
        assert_eq!(wanted(&[]).map(|r| r.len()).ok(), Some(ROWS.len()));
        let one = wanted(&["http-16".to_owned()]).expect("a row");
        assert_eq!(one.len(), 1);
        let failure = wanted(&["http".to_owned()]).expect_err("no row");
        assert!(failure.message.contains("http-16"), "{failure}");
        let none = wanted(&[AT_ONCE_ROW.to_owned()]).expect("known");
        assert!(none.is_empty());
    }

    #[test]
    fn a_tap_gives_the_guest_its_address() {
        let tap = machine(&Net::Tap("rt0".to_owned()), 2, false);
        assert!(tap.append.contains("ip=10.77.0.2/24"), "{}", tap.append);
        assert!(!machine(&Net::User, 1, true).append.contains("ip="));
    }
}
