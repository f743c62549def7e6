//! `GET /trace?ms=N`: records for N milliseconds and answers with a trace that Perfetto opens, while it
//! records. `GET /api/v1/trace`: what is traced, and what was lost.
//!
//! The handler sleeps in its work item and looks into the rings from time to time, the sooner the fuller they are.
//! What it finds is encoded ([`perfetto`]) and sent in chunks; it keeps some kibibytes
//! for each core and nothing of what was sent. If the client reads too slowly, rings are overwritten
//! meanwhile, and the trace says where and how much.
//!
//! ```text
//! GET /api/v1/trace
//! {"categories":["sched","workqueue"],"ring_events":2048,
//!  "cores":[{"id":0,"events":84123,"lost":0},...]}
//! ```

mod recorder;

use core::fmt::Write;

use kernel::kernel;
use kernel::net::{Conn, IoError};
use kernel::thread::ThreadCx;
use kernel::trace::{self, Categories};
use machine::Duration;
use netsvc::http::{Head, Method, Status};

use super::Settings;
use super::control::Refused;
use super::json::Json;
use super::output::Output;
use recorder::Recorder;

/// What a list of categories may be.
pub(super) const EXPECTS: &str =
    "all, off, or some of sched,workqueue,irq,softirq,ipi,timer,lock,net,http,latency";

/// Milliseconds that are recorded unless the query says how many, and the most.
const USUAL_MS: u64 = 500;
const MOST_MS: u64 = 10_000;
/// The milliseconds that a query asks for; `None` for what is not understood.
fn time(query: &str) -> Option<u64> {
    if query.is_empty() {
        return Some(USUAL_MS);
    }
    let ms = query.strip_prefix("ms=")?.parse().ok()?;
    (1..=MOST_MS).contains(&ms).then_some(ms)
}

/// Records and answers; false when this must be the connection's last reply. Sleeps.
pub(super) fn record(
    cx: &ThreadCx<'_>,
    conn: &Conn,
    out: &mut Output,
    settings: &Settings,
    head: &Head,
    query: &str,
) -> bool {
    let keep = head.keep_alive && !head.http10;
    let connection = head.connection(head.keep_alive);
    let Some(ms) = time(query) else {
        let text = format_args!("expected /trace?ms=N, N from 1 to {MOST_MS} milliseconds\n");
        return out.say(Status::BadRequest, connection, text);
    };
    let stream = Stream {
        cx,
        conn,
        chunked: !head.http10,
        patience: settings.limits.idle,
    };
    // Before it says anything: a client may not hear of a trace that cannot be.
    let recorder = match Recorder::begin(stream, Duration::from_millis(ms)) {
        Ok(recorder) => recorder,
        Err(refusal) => {
            let text = format_args!("{refusal}\n");
            return out.say(Status::Unavailable, connection, text);
        }
    };
    out.sent_apart(Status::Ok);
    let sent = stream
        .head(head.connection(keep))
        .and_then(|()| match head.method {
            Method::Head => Ok(()),
            _ => recorder.run(),
        });
    sent.is_ok() && keep
}

/// The reply's way to the client.
#[derive(Clone, Copy)]
struct Stream<'a> {
    cx: &'a ThreadCx<'a>,
    conn: &'a Conn,
    /// HTTP/1.0 knows no chunks: the end of the connection is the end.
    chunked: bool,
    patience: Duration,
}

impl Stream<'_> {
    fn head(&self, connection: &str) -> Result<(), IoError> {
        let mut head = heapless::String::<256>::new();
        let framing = match self.chunked {
            true => "Transfer-Encoding: chunked\r\n",
            false => "",
        };
        let field = match connection {
            "" => "",
            _ => "Connection: ",
        };
        let end = match connection {
            "" => "",
            _ => "\r\n",
        };
        // Shorter than the buffer, whatever the connection's word is.
        let _ = write!(
            head,
            "HTTP/1.1 200 OK\r\nServer: roundtable\r\nContent-Type: application/octet-stream\r\n\
             Content-Disposition: attachment; filename=roundtable.pftrace\r\n\
             {framing}{field}{connection}{end}\r\n"
        );
        self.put(head.as_bytes())?;
        self.conn.flush();
        Ok(())
    }

    /// Sends one chunk, not an empty one.
    fn chunk(&self, bytes: &[u8]) -> Result<(), IoError> {
        if self.chunked {
            let mut size = heapless::String::<20>::new();
            let _ = write!(size, "{:x}\r\n", bytes.len());
            self.put(size.as_bytes())?;
            self.put(bytes)?;
            self.put(b"\r\n")?;
        } else {
            self.put(bytes)?;
        }
        self.conn.flush();
        Ok(())
    }

    fn end(&self) -> Result<(), IoError> {
        if self.chunked {
            self.put(b"0\r\n\r\n")?;
        }
        self.conn.flush();
        Ok(())
    }

    /// Writes without sending, unless the buffer is full: then it sleeps until there is room.
    fn put(&self, bytes: &[u8]) -> Result<(), IoError> {
        let mut left = bytes;
        while !left.is_empty() {
            match self.conn.send_now(left) {
                Ok(n) => left = left.get(n..).unwrap_or_default(),
                Err(IoError::WouldBlock) => {
                    return self.conn.send_all(self.cx, left, Some(self.patience));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// `GET /api/v1/trace`
pub(super) fn tracing(j: &mut Json<'_>) {
    j.object("", |j| {
        j.array("categories", |j| {
            trace::wanted().names().for_each(|name| j.string("", name));
        });
        j.number("ring_events", trace::EVENTS as u64);
        j.array("cores", |j| {
            for i in 0..kernel().info().mpidrs.len() {
                let (events, lost) = trace::written(machine::CpuId::new(i));
                j.object("", |j| {
                    j.number("id", i as u64);
                    j.number("events", events);
                    j.number("lost", lost);
                });
            }
        });
    });
}

/// Changes what is traced.
pub(super) fn want(list: &str) -> Result<(), Refused> {
    let categories = Categories::parse(list).map_err(|_| Refused::Categories)?;
    // An empty list is nothing by accident.
    if categories == Categories::NONE && list != "off" {
        return Err(Refused::Categories);
    }
    trace::want(categories);
    kernel::log!("control: trace={list}");
    Ok(())
}

/// What is traced, as one of the parameters.
pub(super) fn param(j: &mut Json<'_>) {
    j.object("", |j| {
        j.string("name", "trace");
        let mut list = heapless::String::<80>::new();
        for name in trace::wanted().names() {
            // All names together are shorter.
            let comma = if list.is_empty() { "" } else { "," };
            let _ = write!(list, "{comma}{name}");
        }
        j.string("value", if list.is_empty() { "off" } else { &list });
        j.string("expects", EXPECTS);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_times_are_taken() {
        assert_eq!(time(""), Some(USUAL_MS));
        assert_eq!(time("ms=1"), Some(1));
        assert_eq!(time("ms=10000"), Some(MOST_MS));
        for bad in ["ms=", "ms=0", "ms=10001", "ms=-1", "ms=1&ms=2", "MS=1", "x"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_expected_list_names_every_category() {
        let names = EXPECTS.rsplit(' ').next().expect("a word");
        assert_eq!(Categories::parse(names), Ok(Categories::ALL));
    }
}
