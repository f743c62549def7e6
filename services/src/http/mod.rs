//! The HTTP service.
//!
//! [`Http`] is one connection: it feeds the request machine of [`netsvc::http`] and writes replies.
//! Where a request goes is decided by one table (`ROUTES`); `api.rs` writes the JSON, `demo.rs`
//! holds the handlers that misbehave on purpose.

mod api;
mod demo;
mod json;
mod output;
mod page;

use kernel::net::{Conn, IoError};
use kernel::thread::ThreadCx;
use machine::{Duration, Instant};
use netsvc::http::{CONTINUE, Event, Head, Machine, Match, Method, MethodSet, Router, Status};

use crate::server::{Next, Protocol};
use output::{Body, Output};

/// The HTTP port.
pub const PORT: u16 = 80;

/// How long a head may take, from its first byte to its last.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a connection may be idle: between requests, and between two pieces of a body.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// Requests served in one run, so that a pipelining client does not keep a worker for ever.
const BUDGET: usize = 32;

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
    ("/demo/sleep", MethodSet::Read, Route::Sleep),
    ("/demo/burn", MethodSet::Read, Route::Burn),
]);

/// What a connection waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// A request's first byte.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
}

/// One HTTP connection.
#[derive(Debug)]
pub struct Http {
    machine: Machine,
    output: Output,
    /// Close once the output is out.
    closing: bool,
    phase: Phase,
    /// When the connection became idle, the head began, or the last piece of the body came.
    since: Instant,
    /// The last bytes of the stream.
    tail: [u8; 4],
}

impl Protocol for Http {
    fn new() -> Option<Self> {
        Some(Self {
            machine: Machine::new()?,
            output: Output::new(),
            closing: false,
            phase: Phase::Idle,
            since: Instant::ZERO,
            tail: [0; 4],
        })
    }

    fn reset(&mut self) {
        self.machine.reset();
        self.output.reset();
        self.closing = false;
        self.phase = Phase::Idle;
        self.since = machine::now();
        self.tail = [0; 4];
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
            let room = self.machine.space().len();
            match self.machine.poll() {
                Event::NeedMore => {
                    self.notice_body(room);
                    match conn.recv_now(self.machine.space()) {
                        Ok(0) => return Next::Close,
                        Ok(n) => self.received(n),
                        Err(IoError::WouldBlock) => return self.wait(conn, false),
                        Err(_) => return Next::Close,
                    }
                }
                Event::Continue => self.output.interim(CONTINUE),
                Event::Request(head, path, query) => {
                    served += 1;
                    let keep = head.keep_alive;
                    respond(cx, conn, &mut self.output, &head, path, query);
                    self.closing |= !keep;
                    self.since = machine::now();
                    self.phase = match self.machine.is_idle() {
                        true => Phase::Idle,
                        false => Phase::Head,
                    };
                }
                Event::Error(status) => {
                    self.refuse(status);
                    self.closing = true;
                }
            }
        }
    }
}

impl Http {
    /// Takes the `n` bytes just put into the machine's space.
    fn received(&mut self, n: usize) {
        let bytes = &self.machine.space()[..n];
        let kept = n.min(self.tail.len());
        self.tail.copy_within(kept.., 0);
        let from = self.tail.len() - kept;
        self.tail[from..].copy_from_slice(&bytes[n - kept..]);
        self.machine.filled(n);
        if self.phase != Phase::Head {
            self.since = machine::now();
        }
        if self.phase == Phase::Idle {
            self.phase = Phase::Head;
        }
    }

    /// Notices that the head is complete, when the machine wants more; it had `room` before it
    /// looked at what it has. It keeps a head and discards a body as it comes, so its room grows
    /// only in a body; a head without any of its body yet is one that ends the stream so far.
    fn notice_body(&mut self, room: usize) {
        let in_body = self.machine.space().len() > room || self.tail == *b"\r\n\r\n";
        if self.phase == Phase::Head && in_body && !self.machine.is_idle() {
            self.phase = Phase::Body;
            self.since = machine::now();
        }
    }

    /// Writes an error reply. Always with a body: no request is known that it answers.
    fn refuse(&mut self, status: Status) {
        self.output.set_head_only(false);
        self.output
            .reply(status, "close", Body::Static("text/plain", status.line()));
    }

    /// Nothing to do now: sends what is written and says when to give up.
    fn wait(&mut self, conn: &Conn, writing: bool) -> Next {
        // A client that reads slowly is the stack's business, which gives up after a minute.
        let deadline = match self.phase {
            _ if writing => Instant::FOREVER,
            Phase::Head => self.since + HEAD_TIME,
            Phase::Idle | Phase::Body => self.since + IDLE_TIME,
        };
        if machine::now() >= deadline {
            if self.phase != Phase::Idle {
                self.refuse(Status::RequestTimeout);
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

/// Answers one request.
fn respond(cx: &ThreadCx<'_>, conn: &Conn, out: &mut Output, head: &Head, path: &str, query: &str) {
    let connection = head.connection(head.keep_alive);
    out.set_head_only(head.method == Method::Head);
    let route = match ROUTES.find(head.method, path) {
        Match::Found(route) => route,
        Match::WrongMethod(allow) => return out.not_allowed(allow, connection),
        Match::NotFound => {
            let status = Status::NotFound;
            return out.reply(
                status,
                connection,
                Body::Static("text/plain", status.line()),
            );
        }
    };
    let json = match route {
        Route::Hello => {
            return out.reply(
                Status::Ok,
                connection,
                Body::Static("text/plain", "Hello World!"),
            );
        }
        Route::Page => {
            let body = Body::Static("text/html; charset=utf-8", page::PAGE);
            return out.reply(Status::Ok, connection, body);
        }
        Route::Sleep | Route::Burn => {
            let Some(time) = demo::time(query) else {
                let body = Body::Static("text/plain", "expected ?ms=0..10000");
                return out.reply(Status::BadRequest, connection, body);
            };
            // Replies to earlier requests of a pipeline do not wait for this one.
            conn.flush();
            if matches!(route, Route::Sleep) {
                demo::sleep(cx, time);
            } else {
                demo::burn(time);
            }
            return out.reply(Status::Ok, connection, Body::Static("text/plain", "done\n"));
        }
        Route::System => api::system,
        Route::Threads => api::threads,
        Route::Net => api::net,
        Route::Memory => api::memory,
        Route::Pools => api::pools,
        Route::Queues => api::queues,
    };
    out.json(connection, json);
}
