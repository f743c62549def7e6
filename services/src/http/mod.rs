//! The HTTP service.
//!
//! [`Http`] is one connection: it feeds the request machine of [`netsvc::http`] and writes replies.
//! Where a request goes is decided by one table (`ROUTES`); `api.rs`, `live.rs` and `workqueues.rs` write
//! the JSON, `events.rs` a stream of it, `metrics.rs` what Prometheus reads, `page.rs` what people do;
//! `demo.rs` and `demos.rs` hold what misbehaves on purpose.

mod api;
mod control;
mod demo;
mod demos;
mod events;
mod json;
mod latency;
mod live;
mod metrics;
mod order;
mod output;
mod page;
mod shared;
mod trace;
mod workqueues;

use alloc::sync::Arc;
use core::fmt;

use kernel::net::{Conn, IoError};
use kernel::thread::ThreadCx;
use machine::Instant;
use netsvc::http::{
    CONTINUE, Event, Head, Limits, Machine, Match, Method, MethodSet, Patience, Router, Status,
};

use crate::server::{Next, Protocol};
use events::{Step, Stream};
use order::Show;
use output::{Body, Output};
pub use shared::Shared;

/// The HTTP port.
pub const PORT: u16 = 80;

/// Requests served in one run, so that a pipelining client does not keep a worker for ever.
const BUDGET: usize = 32;

/// What the boot arguments say about the service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How patient it is: `http.head_ms=`, `http.body_ms=`, `http.idle_ms=`.
    pub limits: Limits,
    /// `control=`: requests may change things.
    pub control: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            control: true,
        }
    }
}

/// What a path means.
#[derive(Clone, Copy, Debug)]
enum Route {
    Hello,
    Page,
    System,
    Threads,
    Net,
    Memory,
    Pools,
    Queues,
    Params,
    Dump,
    Set,
    Latency,
    Http,
    Events,
    Metrics,
    Tables,
    Demo(Show),
    Trace,
    Tracing,
    Sleep,
    Burn,
}

static ROUTES: Router<Route> = Router::new(&[
    ("/hello", MethodSet::Read, Route::Hello),
    ("/", MethodSet::Read, Route::Page),
    ("/api/v1/system", MethodSet::Read, Route::System),
    ("/api/v1/threads", MethodSet::Read, Route::Threads),
    ("/api/v1/net", MethodSet::Read, Route::Net),
    ("/api/v1/memory", MethodSet::Read, Route::Memory),
    ("/api/v1/pools", MethodSet::Read, Route::Pools),
    ("/api/v1/queues", MethodSet::Read, Route::Queues),
    ("/api/v1/params", MethodSet::Read, Route::Params),
    ("/api/v1/dump", MethodSet::Read, Route::Dump),
    ("/api/v1/set", MethodSet::Post, Route::Set),
    ("/api/v1/latency", MethodSet::Read, Route::Latency),
    ("/api/v1/http", MethodSet::Read, Route::Http),
    ("/api/v1/events", MethodSet::Read, Route::Events),
    ("/metrics", MethodSet::Read, Route::Metrics),
    ("/tables", MethodSet::Read, Route::Tables),
    (
        "/api/v1/demo/sleepers",
        MethodSet::Post,
        Route::Demo(Show::Sleepers),
    ),
    ("/api/v1/demo/hog", MethodSet::Post, Route::Demo(Show::Hog)),
    (
        "/api/v1/demo/burst",
        MethodSet::Post,
        Route::Demo(Show::Burst),
    ),
    (
        "/api/v1/demo/blocker",
        MethodSet::Post,
        Route::Demo(Show::Blocker),
    ),
    ("/trace", MethodSet::Read, Route::Trace),
    ("/api/v1/trace", MethodSet::Read, Route::Tracing),
    ("/demo/sleep", MethodSet::Read, Route::Sleep),
    ("/demo/burn", MethodSet::Read, Route::Burn),
]);

/// One HTTP connection.
#[derive(Debug)]
pub struct Http {
    machine: Machine,
    output: Output,
    /// Close once the output is out.
    closing: bool,
    patience: Patience,
    settings: Settings,
    shared: Arc<Shared>,
    /// The connection has become a stream of events.
    stream: Option<Stream>,
}

impl Protocol for Http {
    type Settings = Settings;
    type Common = Shared;

    fn new(settings: &Settings, shared: &Arc<Shared>) -> Option<Self> {
        Some(Self {
            machine: Machine::new()?,
            output: Output::new(),
            closing: false,
            patience: Patience::new(settings.limits, Instant::ZERO),
            settings: *settings,
            shared: Arc::clone(shared),
            stream: None,
        })
    }

    fn turn_away(conn: &Conn) {
        let mut reply = [0; output::INLINE];
        let n = output::unavailable(&mut reply);
        // A new connection's buffer is empty, so it takes all of it; if the client has gone already
        // there is nobody to tell.
        let _ = conn.send_now(&reply[..n]);
    }

    fn reset(&mut self, conn: &Conn) {
        self.machine.reset();
        self.output.reset();
        self.closing = false;
        self.stream = None;
        self.patience = Patience::new(self.settings.limits, machine::now());
        conn.set_patience(self.settings.limits.idle);
    }

    fn run(&mut self, cx: &ThreadCx<'_>, conn: &Conn) -> Next {
        let next = self.serve(cx, conn);
        if next == Next::Close {
            // Its place is another client's at once.
            self.stream = None;
        }
        next
    }
}

impl Http {
    /// Answers what there is.
    fn serve(&mut self, cx: &ThreadCx<'_>, conn: &Conn) -> Next {
        let mut served = 0;
        // All that had arrived was read, as far as a reading can tell; who waits learns whether it was so.
        let mut all = false;
        loop {
            match self.output.drain(conn) {
                Ok(()) if self.closing => return Next::Close,
                Ok(()) => {}
                Err(IoError::WouldBlock) => return self.wait(conn, true),
                Err(_) => return Next::Close,
            }
            if let Some(stream) = &mut self.stream {
                match stream.step(conn, &mut self.output) {
                    Step::Wrote => continue,
                    Step::WaitUntil(at) => return doze(conn, at),
                    Step::End => return Next::Close,
                }
            }
            if served >= BUDGET {
                conn.flush();
                return Next::Again;
            }
            match self.machine.poll() {
                Event::NeedMore(awaits) => {
                    self.patience.notice(awaits, machine::now);
                    if served > 0 && all {
                        return self.wait(conn, false);
                    }
                    let space = self.machine.space();
                    let room = space.len();
                    match conn.recv_now(space) {
                        Ok(0) => return Next::Close,
                        Ok(n) => {
                            all = n < room;
                            self.machine.filled(n);
                        }
                        Err(IoError::WouldBlock) => return self.wait(conn, false),
                        Err(_) => return Next::Close,
                    }
                }
                Event::Continue => self.output.interim(CONTINUE),
                Event::Request(head, path, query) => {
                    served += 1;
                    conn.trace_request();
                    let begin = machine::now();
                    let keep = head.keep_alive;
                    let target = (path, query);
                    let service = (&self.settings, &self.shared);
                    let replied = respond(cx, conn, &mut self.output, service, &head, target);
                    match replied {
                        Replied::Whole => self.closing |= !keep,
                        Replied::Last => self.closing = true,
                        Replied::Stream(stream) => self.stream = Some(stream),
                    }
                    let (status, now) = (self.output.status(), machine::now());
                    conn.trace_reply(status.code());
                    self.shared.answered(status, now.since(begin));
                    self.patience.answered(self.machine.awaits(), now);
                }
                Event::Error(status) => {
                    self.refuse(conn, status);
                    self.closing = true;
                }
            }
        }
    }

    /// Writes an error reply. Always with a body: no request is known that it answers.
    fn refuse(&mut self, conn: &Conn, status: Status) {
        conn.trace_request();
        self.output.set_head_only(false);
        self.output
            .reply(status, "close", Body::Static("text/plain", status.line()));
        conn.trace_reply(status.code());
        self.shared.replied(status);
    }

    /// Nothing to do now: sends what is written and says when to give up.
    fn wait(&mut self, conn: &Conn, writing: bool) -> Next {
        // A client that does not read is the stack's business: it resets one that takes too little
        // within the patience set at the connection's begin.
        let deadline = match writing {
            true => Instant::FOREVER,
            false => self.patience.deadline(),
        };
        if machine::now() >= deadline {
            if self.patience.expects_more() {
                self.refuse(conn, Status::RequestTimeout);
                // Best effort: the client did not keep its side either.
                let _ = self.output.drain(conn);
            }
            return Next::Close;
        }
        match conn.flush_until(deadline) {
            // What has come meanwhile, or the end of the stream, waits here already.
            false if !writing => Next::Again,
            _ => Next::Wait,
        }
    }
}

/// Sends what is written, and wants to run again at `deadline` or when something happens.
fn doze(conn: &Conn, deadline: Instant) -> Next {
    conn.flush_until(deadline);
    Next::Wait
}

/// What follows a reply.
enum Replied {
    /// The next request, if the client wants that.
    Whole,
    /// Nothing: this is the connection's last reply.
    Last,
    /// Events without end.
    Stream(Stream),
}

impl From<bool> for Replied {
    fn from(whole: bool) -> Self {
        if whole { Self::Whole } else { Self::Last }
    }
}

/// Answers one request.
fn respond(
    cx: &ThreadCx<'_>,
    conn: &Conn,
    out: &mut Output,
    (settings, shared): (&Settings, &Arc<Shared>),
    head: &Head,
    (path, query): (&[u8], &str),
) -> Replied {
    let connection = head.connection(head.keep_alive);
    out.set_head_only(head.method == Method::Head);
    let route = match ROUTES.find(head.method, path) {
        Match::Found(route) => route,
        Match::WrongMethod(allow) => {
            out.not_allowed(allow, connection);
            return Replied::Whole;
        }
        Match::NotFound => {
            let status = Status::NotFound;
            let body = Body::Static("text/plain", status.line());
            out.reply(status, connection, body);
            return Replied::Whole;
        }
    };
    let (status, body) = match route {
        Route::Hello => (Status::Ok, Body::Static("text/plain", "Hello World!")),
        Route::Page => {
            let body = Body::Static(output::HTML, page::PAGE);
            (Status::Ok, body)
        }
        Route::Sleep => demo::show(query, conn, |time| demo::sleep(cx, time)),
        Route::Burn => demo::show(query, conn, demo::burn),
        Route::System => return out.json(connection, |j| api::system(j, settings)).into(),
        Route::Threads => return out.json(connection, api::threads).into(),
        Route::Net => return out.json(connection, api::net).into(),
        Route::Memory => return out.json(connection, api::memory).into(),
        Route::Pools => return out.json(connection, workqueues::all_pools).into(),
        Route::Queues => return out.json(connection, |j| workqueues::queues(j, "")).into(),
        Route::Params => return out.json(connection, control::params).into(),
        Route::Dump => return out.text(connection, |out| kernel::wq::dump(out)).into(),
        Route::Set => {
            // Replies to earlier requests of a pipeline do not wait for this one.
            conn.flush();
            let done = control::set(cx, settings.control, head, query);
            let status = done.map_or_else(control::Refused::status, |()| Status::Ok);
            return out
                .json_of(status, connection, |j| control::answer(j, done))
                .into();
        }
        Route::Demo(show) => {
            conn.flush();
            let asked = (shared, show, query);
            let done = control::show(cx, settings.control, head, asked);
            let status = done.map_or_else(control::Refused::status, |_| Status::Ok);
            return out
                .json_of(status, connection, |j| control::shown(j, done))
                .into();
        }
        Route::Events => match Stream::open(shared, query, machine::now()) {
            Ok(stream) => {
                out.begin_events();
                return match head.method {
                    Method::Head => Replied::Last,
                    _ => Replied::Stream(stream),
                };
            }
            Err(e) => (e.status(), Body::Static("text/plain", e.text())),
        },
        Route::Http => return out.json(connection, |j| live::http(j, shared)).into(),
        Route::Metrics => {
            let written = |to: &mut dyn fmt::Write| metrics::write(to, shared);
            return out.text_of(output::PROMETHEUS, connection, written).into();
        }
        Route::Tables => return out.text_of(output::HTML, connection, page::tables).into(),
        Route::Latency => return out.json(connection, latency::latency).into(),
        Route::Trace => return trace::record(cx, conn, out, settings, head, query).into(),
        Route::Tracing => return out.json(connection, trace::tracing).into(),
    };
    out.reply(status, connection, body);
    Replied::Whole
}
