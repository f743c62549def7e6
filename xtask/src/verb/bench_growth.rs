//! `bench growth`: what operations cost beside many things of their kind: pending items, timers, threads, queues, open
//! connections, cores. One chart for each, with its data beside it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::bench;
use super::bench_http::{connect, mark, marks_of, request, serving, with_guest};
use crate::curve::{self, Point};
use crate::guest::Guest;
use crate::image::Kind;
use crate::options::Options as Machine;
use crate::{Failure, Outcome, tree};

/// For all figures of one core, on a slow host.
const LIMIT: Duration = Duration::from_secs(900);
/// What begins a line with a figure.
const LINE: &str = "GROWTH ";
const CORES: [u32; 5] = [1, 2, 4, 8, 16];
/// Rows of which the cost of one item is told by number of cores. Bound and BH items that one core queues never leave
/// it, whatever others there are, so they are none of these.
const ROWS: [(&str, &str); 2] = [
    (
        "batch-bound-each",
        "a bound item, each core queues 10,000 on a queue of its own",
    ),
    ("batch-unbound", "an unbound item, core 0 queues 10,000"),
];
const CONNECTIONS: [usize; 5] = [1, 10, 100, 1_000, 5_000];
/// A mark after which neither tracing nor the latency anatomy is on, as in all other figures here.
const LEAN: u8 = b'l';
/// Requests of which the least counts.
const REQUESTS: usize = 200;

/// Measure how costs grow.
#[derive(Parser, Clone, Debug)]
#[command(name = "xtask bench growth", bin_name = "cargo xtask bench growth")]
struct Options {
    /// Where the charts and their data go, instead of `target/growth`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Measures, prints, and draws.
pub(super) fn run(words: &[String]) -> Outcome<u8> {
    let name = "xtask bench growth".to_owned();
    let options = match Options::try_parse_from(std::iter::once(&name).chain(words)) {
        Ok(options) => options,
        Err(e) => e.exit(),
    };
    let mut points = on_one_core()?;
    points.extend(by_cores()?);
    points.extend(by_connections()?);
    println!(
        "| Operation | Beside | Instructions by number | Steepest rise for ten times as many |"
    );
    println!("| --- | --- | --- | ---: |");
    let dir = match options.out {
        Some(dir) => dir,
        None => tree::target_dir()?.join("growth"),
    };
    let mut files = Vec::new();
    for (things, points) in curve::by_things(&points) {
        for (operation, of) in curve::series(&points) {
            let costs: Vec<_> = of.iter().map(|p| format!("{}: {}", p.n, p.cost)).collect();
            let rise = curve::steepest(&of) * 100.0;
            println!(
                "| {operation} | {things} | {} | {rise:.0} % |",
                costs.join(", ")
            );
        }
        let title = title(&things);
        let name = things.replace(' ', "-");
        files.push((format!("{name}.svg"), curve::draw(&title, &points)));
        files.push((format!("{name}.csv"), curve::csv(&points)));
    }
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(&dir)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display())))?;
        println!("{}", path.display());
    }
    Ok(0)
}

/// What stands above a chart.
fn title(things: &str) -> String {
    match things {
        "cores" => {
            "Instructions of all cores for one item: each core queues its own (bound), core 0 queues all (unbound)".to_owned()
        }
        _ => format!("Instructions beside so many {things}"),
    }
}

/// Items, timers, threads and queues.
fn on_one_core() -> Outcome<Vec<Point>> {
    let machine = Machine {
        mem: "2G".to_owned(),
        ..bench::machine(&["growth".to_owned()], 1, "cortex-a57")
    };
    let said = bench::console(&machine, LIMIT)?;
    let lines = said.lines().filter_map(|l| l.split_once(LINE));
    lines
        .map(|(_, l)| Point::parse(l).ok_or_else(|| Failure::failed(format!("no figure: {l}"))))
        .collect()
}

/// Instructions of all cores together for one item.
fn by_cores() -> Outcome<Vec<Point>> {
    let rows = ROWS.map(|(row, _)| row.to_owned());
    let mut points = Vec::new();
    for smp in CORES {
        let mut machine = bench::machine(&rows, smp, "cortex-a57");
        machine.append.push_str(" settings=lean");
        let report = bench::boot(&machine, LIMIT)?;
        for (row, operation) in ROWS {
            let figures = report.get("lean", row);
            let figures = figures.ok_or_else(|| Failure::failed(format!("{row}: no figure")))?;
            points.push(Point {
                operation: operation.to_owned(),
                things: "cores".to_owned(),
                n: u64::from(smp),
                cost: figures.figure().round() as u64,
            });
        }
    }
    Ok(points)
}

/// A request beside connections at rest.
fn by_connections() -> Outcome<Vec<Point>> {
    let most = CONNECTIONS[CONNECTIONS.len() - 1];
    let mut machine = serving(1);
    machine.mem = "1G".to_owned();
    machine
        .append
        .push_str(&format!(" net.connections={}", most + 64));
    with_guest(Kind::Bench, &machine, requests)
}

fn requests(guest: &Guest) -> Result<Vec<Point>, String> {
    let mut marks = marks_of(guest)?;
    let mut idle = Vec::new();
    let mut points = Vec::new();
    let mut client = connect(guest.http())?;
    for n in CONNECTIONS {
        while idle.len() + 1 < n {
            let mut one = connect(guest.http())?;
            request(&mut one)?;
            idle.push(one);
        }
        // Of a request between two marks, and of two marks alone.
        let mut least = [u32::MAX; 2];
        for _ in 0..REQUESTS {
            let begin = mark(&mut marks, LEAN)?;
            request(&mut client)?;
            let between = mark(&mut marks, LEAN)?;
            let end = mark(&mut marks, LEAN)?;
            least[0] = least[0].min(between.wrapping_sub(begin));
            least[1] = least[1].min(end.wrapping_sub(between));
        }
        points.push(Point {
            operation: "GET /hello".to_owned(),
            things: "open connections".to_owned(),
            n: n as u64,
            cost: u64::from(least[0].saturating_sub(least[1])),
        });
    }
    Ok(points)
}
