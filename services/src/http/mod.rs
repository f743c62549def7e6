//! The HTTP service.
//!
//! [`Http`] is one connection: it feeds the request machine of [`netsvc::http`] and writes replies.
//! Where a request goes is decided by one table (`ROUTES`); `api.rs` writes the JSON, `demo.rs`
//! holds the handlers that misbehave on purpose.

mod api;
mod control;
mod demo;
mod json;
mod latency;
mod output;
mod page;

use kernel::net::{Conn, IoError};
use kernel::thread::ThreadCx;
use machine::Instant;
use netsvc::http::{
    CONTINUE, Event, Head, Limits, Machine, Match, Method, MethodSet, Patience, Router, Status,
};

use crate::server::{Next, Protocol};
use output::{Body, Output};

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
}

impl Protocol for Http {
    type Settings = Settings;

    fn new(settings: &Settings) -> Option<Self> {
        Some(Self {
            machine: Machine::new()?,
            output: Output::new(),
            closing: false,
            patience: Patience::new(settings.limits, Instant::ZERO),
            settings: *settings,
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
        self.patience = Patience::new(self.settings.limits, machine::now());
        conn.set_patience(self.settings.limits.idle);
    }

    fn run(&mut self, cx: &ThreadCx<'_>, conn: &Conn) -> Next {
        let mut served = 0;
        loop {
            match self.output.drain(conn) {
                Ok(()) if self.closing => return Next::Close,
                Ok(()) => {}
                Err(IoError::WouldBlock) => return self.wait(conn, true),
                Err(_) => return Next::Close,
            }
            if served >= BUDGET {
                conn.flush();
                return Next::Again;
            }
            match self.machine.poll() {
                Event::NeedMore => {
                    self.patience.notice(self.machine.awaits(), machine::now);
                    match conn.recv_now(self.machine.space()) {
                        Ok(0) => return Next::Close,
                        Ok(n) => self.machine.filled(n),
                        Err(IoError::WouldBlock) => return self.wait(conn, false),
                        Err(_) => return Next::Close,
                    }
                }
                Event::Continue => self.output.interim(CONTINUE),
                Event::Request(head, path, query) => {
                    served += 1;
                    conn.trace_request();
                    let keep = head.keep_alive;
                    let target = (path, query);
                    let whole = respond(cx, conn, &mut self.output, &self.settings, &head, target);
                    self.closing |= !keep || !whole;
                    conn.trace_reply(self.output.status().code());
                    self.patience
                        .answered(self.machine.awaits(), machine::now());
                }
                Event::Error(status) => {
                    self.refuse(conn, status);
                    self.closing = true;
                }
            }
        }
    }
}

impl Http {
    /// Writes an error reply. Always with a body: no request is known that it answers.
    fn refuse(&mut self, conn: &Conn, status: Status) {
        conn.trace_request();
        self.output.set_head_only(false);
        self.output
            .reply(status, "close", Body::Static("text/plain", status.line()));
        conn.trace_reply(status.code());
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
        conn.set_deadline(deadline);
        conn.flush();
        Next::Wait
    }
}

/// Answers one request; false when this must be the connection's last reply.
fn respond(
    cx: &ThreadCx<'_>,
    conn: &Conn,
    out: &mut Output,
    settings: &Settings,
    head: &Head,
    (path, query): (&str, &str),
) -> bool {
    let connection = head.connection(head.keep_alive);
    out.set_head_only(head.method == Method::Head);
    let route = match ROUTES.find(head.method, path) {
        Match::Found(route) => route,
        Match::WrongMethod(allow) => {
            out.not_allowed(allow, connection);
            return true;
        }
        Match::NotFound => {
            let status = Status::NotFound;
            let body = Body::Static("text/plain", status.line());
            out.reply(status, connection, body);
            return true;
        }
    };
    let (status, body) = match route {
        Route::Hello => (Status::Ok, Body::Static("text/plain", "Hello World!")),
        Route::Page => {
            let body = Body::Static("text/html; charset=utf-8", page::PAGE);
            (Status::Ok, body)
        }
        Route::Sleep | Route::Burn => demonstrate(cx, conn, route, query),
        Route::System => return out.json(connection, |j| api::system(j, settings)),
        Route::Threads => return out.json(connection, api::threads),
        Route::Net => return out.json(connection, api::net),
        Route::Memory => return out.json(connection, api::memory),
        Route::Pools => return out.json(connection, api::pools),
        Route::Queues => return out.json(connection, api::queues),
        Route::Params => return out.json(connection, control::params),
        Route::Dump => return out.text(connection, |out| kernel::wq::dump(out)),
        Route::Set => {
            // Replies to earlier requests of a pipeline do not wait for this one.
            conn.flush();
            let done = control::set(cx, settings.control, head, query);
            let status = done.map_or_else(control::Refused::status, |()| Status::Ok);
            return out.json_of(status, connection, |j| control::answer(j, done));
        }
        Route::Latency => return out.json(connection, latency::latency),
    };
    out.reply(status, connection, body);
    true
}

/// Sleeps or computes as asked; the answer.
fn demonstrate(cx: &ThreadCx<'_>, conn: &Conn, route: Route, query: &str) -> (Status, Body) {
    let Some(time) = demo::time(query) else {
        let body = Body::Static("text/plain", "expected ?ms=0..10000");
        return (Status::BadRequest, body);
    };
    // Replies to earlier requests of a pipeline do not wait for this one.
    conn.flush();
    if matches!(route, Route::Sleep) {
        demo::sleep(cx, time);
    } else {
        demo::burn(time);
    }
    (Status::Ok, Body::Static("text/plain", "done\n"))
}
