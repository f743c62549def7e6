//! `trace`: what the guest does, recorded for a while and written to a file.
//!
//! The guest encodes the trace itself (`GET /trace?ms=N`); here it is fetched, checked, and written
//! as it is, as text, or as JSON. Without a guest that runs already, one is booted for it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use crate::guest::{Guest, Terminal};
use crate::image::{self, Kind};
use crate::options::Options as Machine;
use crate::pftrace::{self, json, schema::Trace, text};
use crate::{Failure, Outcome, ready, toolchain};

/// Where `cargo run` serves.
const USUAL: &str = "127.0.0.1:8080";
/// For a guest to boot, and for an answer besides the recording itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// From the recording's start to the requests that are to be in it.
const LEAD: Duration = Duration::from_millis(20);

/// Options of `trace`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Clone, Debug)]
enum Verb {
    /// Record a guest: open the file at ui.perfetto.dev, or read it as text
    Record(Record),
    /// Write a recorded trace as text or JSON
    Convert {
        /// The trace
        file: PathBuf,
        #[command(flatten)]
        form: Form,
        /// Where to; standard output if nowhere
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Args, Clone, Copy, Debug)]
struct Form {
    /// Lines as ftrace writes them
    #[arg(long)]
    text: bool,
    /// Chrome's trace format
    #[arg(long, conflicts_with = "text")]
    json: bool,
}

#[derive(Args, Clone, Debug)]
struct Record {
    /// Milliseconds
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    ms: u32,
    /// Where to; `trace.pftrace`, and standard output for text and JSON, unless this says otherwise
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
    /// The guest; if this is not given and none serves at 127.0.0.1:8080, one is booted
    #[arg(long, value_name = "HOST:PORT")]
    url: Option<String>,
    /// Trace these categories meanwhile, such as sched,irq or all
    #[arg(long, value_name = "LIST")]
    categories: Option<String>,
    /// Ask this of the guest while it records, such as '/demo/sleep?ms=100'; may be given again
    #[arg(long, value_name = "TARGET")]
    ask: Vec<String>,
    /// Cores of a guest that is booted
    #[arg(long, value_name = "N", conflicts_with = "url", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
}

/// Runs the command.
pub fn run(options: &Options) -> Outcome<u8> {
    match &options.verb {
        Verb::Record(record) => self::record(record),
        Verb::Convert { file, form, output } => {
            let bytes = std::fs::read(file)
                .map_err(|e| Failure::usage(format!("cannot read {}: {e}", file.display())))?;
            if !form.text && !form.json {
                return Err(Failure::usage("into what? Say --text or --json"));
            }
            let trace = pftrace::read(&bytes)?;
            put(output.as_deref(), converted(*form, &trace).as_bytes())
        }
    }
}

fn record(options: &Record) -> Outcome<u8> {
    for target in &options.ask {
        if !target.starts_with('/') {
            return Err(Failure::usage(format!(
                "--ask {target:?} is no target of a request: it begins with a slash, as /hello does"
            )));
        }
    }
    let mut booted = None;
    let address = match &options.url {
        Some(url) => {
            let host = url.strip_prefix("http://").unwrap_or(url);
            host.trim_end_matches('/').to_owned()
        }
        None if serves(USUAL) => USUAL.to_owned(),
        None => booted.insert(boot(options.smp)?).http().to_string(),
    };
    let bytes = fetched(&address, options);
    if let Some(mut guest) = booted {
        guest.stop();
    }
    let bytes = bytes?;
    let trace = pftrace::read(&bytes)?;
    eprintln!("{}", trace.summary());
    if options.form.text || options.form.json {
        let text = converted(options.form, &trace);
        return put(options.output.as_deref(), text.as_bytes());
    }
    let path = options.output.as_deref();
    let path = path.unwrap_or(Path::new("trace.pftrace"));
    put(Some(path), &bytes)?;
    eprintln!("{}: open it at https://ui.perfetto.dev", path.display());
    Ok(0)
}

fn serves(address: &str) -> bool {
    let address: Option<SocketAddr> = address.parse().ok();
    address.is_some_and(|a| ready::answers(a, Duration::from_secs(1)))
}

fn boot(smp: u32) -> Outcome<Guest> {
    let toolchain = toolchain::metal(false, false)?;
    let image = image::build(Kind::Release, &toolchain)?;
    let machine = Machine {
        smp,
        http_port: 0,
        echo_port: 0,
        ..Machine::default()
    };
    let mut guest = Guest::start(&machine, &image.flat, Terminal::Captured)?;
    if guest.wait_ready(Instant::now() + PATIENCE) {
        return Ok(guest);
    }
    guest.stop();
    let tail = guest.console().tail(20);
    Err(Failure::failed(format!(
        "the guest that was booted does not answer; its console's end:\n{tail}"
    )))
}

/// The trace's bytes, with the categories set for as long and then set back.
fn fetched(address: &str, options: &Record) -> Outcome<Vec<u8>> {
    let before = match &options.categories {
        Some(list) => {
            let before = categories(address)?;
            set_categories(address, list)?;
            Some(before)
        }
        None => None,
    };
    let bytes = std::thread::scope(|scope| {
        for target in &options.ask {
            scope.spawn(move || {
                std::thread::sleep(LEAD);
                if let Err(e) = get(address, target, PATIENCE) {
                    eprintln!("{target}: {e}");
                }
            });
        }
        let time = Duration::from_millis(u64::from(options.ms));
        get(
            address,
            &format!("/trace?ms={}", options.ms),
            time + PATIENCE,
        )
    });
    // What was recorded is not dropped for it.
    if let Some(before) = before
        && let Err(e) = set_categories(address, &before)
    {
        eprintln!(
            "the guest goes on tracing {}: {e}",
            options.categories.as_deref().unwrap_or("?")
        );
    }
    bytes
}

/// What the guest traces, as a list.
fn categories(address: &str) -> Outcome<String> {
    let body = get(address, "/api/v1/trace", PATIENCE)?;
    let said: serde_json::Value = serde_json::from_slice(&body)
        .map_err(|e| Failure::failed(format!("{address} says in JSON that is none: {e}")))?;
    let names = said["categories"].as_array().into_iter().flatten();
    let names: Vec<&str> = names.filter_map(|n| n.as_str()).collect();
    Ok(match names.is_empty() {
        true => "off".to_owned(),
        false => names.join(","),
    })
}

fn set_categories(address: &str, list: &str) -> Outcome<()> {
    let url = format!("http://{address}/api/v1/set?trace={list}");
    answer(address, minreq::post(url), PATIENCE).map(drop)
}

fn get(address: &str, target: &str, patience: Duration) -> Outcome<Vec<u8>> {
    answer(
        address,
        minreq::get(format!("http://{address}{target}")),
        patience,
    )
}

/// The body of a good answer.
fn answer(address: &str, request: minreq::Request, patience: Duration) -> Outcome<Vec<u8>> {
    let request = request.with_timeout(patience.as_secs());
    let answer = request.send().map_err(|e| {
        Failure::failed(format!(
            "{address} does not answer ({e}); start a guest with `cargo run`, or say where one serves with --url"
        ))
    })?;
    let status = answer.status_code;
    if status == 200 {
        return Ok(answer.into_bytes());
    }
    let said = answer.as_str().unwrap_or_default().trim();
    Err(Failure::failed(format!(
        "{address} answers {status}: {said}"
    )))
}

fn converted(form: Form, trace: &Trace) -> String {
    match form.json {
        true => format!("{}\n", json::write(trace)),
        false => text::write(trace),
    }
}

/// Writes to a file or to standard output.
fn put(path: Option<&Path>, bytes: &[u8]) -> Outcome<u8> {
    use std::io::Write;
    let done = match path {
        Some(path) => std::fs::write(path, bytes)
            .map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display()))),
        None => match std::io::stdout().write_all(bytes) {
            // Whoever reads has seen enough.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            done => done.map_err(|e| Failure::failed(format!("cannot write: {e}"))),
        },
    };
    done.map(|()| 0)
}
