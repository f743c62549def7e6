//! `GET /api/v1/events`: snapshots of the machine as server-sent events (HTML, section 9.2).
//!
//! ```text
//! retry: 2000
//!
//! id: 1
//! data: {"sequence":1,"skipped":0,"uptime_ns":...,"cores":[...],"pools":[...],"queues":[...],"http":{...}}
//! ```
//!
//! `?hz=N` asks for 1 to 20 of them a second, four unless it does. A stream is no thread and no worker:
//! between two snapshots the connection waits with a deadline, as any other does, so it costs whatever
//! its `http.mode` says a waiting connection costs. A snapshot is written only when the one before has
//! left for the connection's buffer and half of that is free; what a slow client misses is counted in
//! `skipped`. One that takes nothing at all is reset by the stack's patience, and the stream ends when
//! the client ends its side.

use alloc::sync::Arc;

use kernel::net::{Conn, IoError, SEND_BUFFER};
use kernel::wq;
use machine::{Duration, Instant};
use netsvc::http::Status;

use super::live;
use super::output::Output;
use super::shared::Shared;

/// Snapshots per second.
const HZ: u64 = 4;
/// Most of them.
const MOST_HZ: u64 = 20;
/// Reads of what a client sends into the void, per run.
const READS: usize = 8;

/// Begin of every stream.
pub(super) const HEAD: &str = "HTTP/1.1 200 OK\r\nServer: roundtable\r\n\
    Content-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
/// How soon a browser comes back after an end, in milliseconds.
pub(super) const RETRY: &str = "retry: 2000\n\n";

/// Why there is no stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoStream {
    /// The query is wrong.
    Query,
    /// All places are taken.
    Full,
    /// Memory is out.
    NoMemory,
}

impl NoStream {
    pub(super) const fn status(self) -> Status {
        match self {
            Self::Query => Status::BadRequest,
            Self::Full | Self::NoMemory => Status::Unavailable,
        }
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Query => "expected ?hz=1..20, snapshots per second\n",
            Self::Full => {
                "all 16 event streams are taken: close another page, or try again later\n"
            }
            Self::NoMemory => "no memory for another event stream\n",
        }
    }
}

/// What a stream wants after a step.
pub(super) enum Step {
    /// A snapshot is to be handed over.
    Wrote,
    /// Nothing until then, or until the client does something.
    WaitUntil(Instant),
    /// To end: the client has, or memory is out.
    End,
}

/// One client's stream.
#[derive(Debug)]
pub(super) struct Stream {
    shared: Arc<Shared>,
    tables: wq::Tables,
    period: Duration,
    due: Instant,
    sequence: u64,
    skipped: u64,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

impl Stream {
    /// A stream as `query` wants it, whose first snapshot is due at `now`.
    pub(super) fn open(shared: &Arc<Shared>, query: &str, now: Instant) -> Result<Self, NoStream> {
        let hz = rate(query).ok_or(NoStream::Query)?;
        let tables = wq::Tables::new().map_err(|_| NoStream::NoMemory)?;
        if !shared.enter() {
            return Err(NoStream::Full);
        }
        Ok(Self {
            shared: Arc::clone(shared),
            tables,
            period: Duration::from_nanos(1_000_000_000 / hz),
            due: now,
            sequence: 0,
            skipped: 0,
        })
    }

    /// Goes on; everything written before has been handed over.
    pub(super) fn step(&mut self, conn: &Conn, out: &mut Output) -> Step {
        if has_left(conn) {
            return Step::End;
        }
        let now = machine::now();
        if now < self.due {
            return Step::WaitUntil(self.due);
        }
        let late = self.late(now);
        self.skip(late);
        if conn.unacknowledged() > SEND_BUFFER / 2 {
            self.skip(1);
            return Step::WaitUntil(self.due);
        }
        self.sequence += 1;
        let (sequence, skipped) = (self.sequence, self.skipped);
        let written = out.event(sequence, |j| {
            live::snapshot(j, &mut self.tables, &self.shared, (sequence, skipped));
        });
        if written { Step::Wrote } else { Step::End }
    }

    /// Sets when the next snapshot is due, in step with the first one; how many were due before `now`
    /// beside this one.
    fn late(&mut self, now: Instant) -> u64 {
        let period = self.period.as_nanos();
        let late = now.since(self.due).as_nanos() / period;
        self.due += Duration::from_nanos((late + 1) * period);
        late
    }

    fn skip(&mut self, n: u64) {
        if n > 0 {
            self.skipped += n;
            self.shared.skip(n);
        }
    }
}

/// Reads what the client sends, which nobody wants; true when it has ended.
fn has_left(conn: &Conn) -> bool {
    let mut scrap = [0; 256];
    for _ in 0..READS {
        match conn.recv_now(&mut scrap) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(IoError::WouldBlock) => return false,
            Err(_) => return true,
        }
    }
    false
}

/// Snapshots per second that `query` asks for.
fn rate(query: &str) -> Option<u64> {
    if query.is_empty() {
        return Some(HZ);
    }
    let hz = query.strip_prefix("hz=")?.parse().ok()?;
    (1..=MOST_HZ).contains(&hz).then_some(hz)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_rates_are_taken() {
        assert_eq!(
            (rate(""), rate("hz=1"), rate("hz=20")),
            (Some(4), Some(1), Some(20))
        );
        for bad in [
            "hz=",
            "hz=0",
            "hz=21",
            "hz=4.5",
            "hz=-1",
            "hz=1&hz=2",
            "rate=4",
            "x",
        ] {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }
}
