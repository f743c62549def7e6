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

/// How long a head, or the next piece of a body, may take.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long a connection may be idle between requests.
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

/// One HTTP connection.
#[derive(Debug)]
pub struct Http {
    machine: Machine,
    output: Output,
    /// Close once the output is out.
    closing: bool,
    /// When the current request began, or the connection became idle.
    since: Instant,
    was_idle: bool,
}

impl Protocol for Http {
    fn new() -> Option<Self> {
        Some(Self {
            machine: Machine::new()?,
            output: Output::new(),
            closing: false,
            since: Instant::ZERO,
            was_idle: true,
        })
    }

    fn reset(&mut self) {
        self.machine.reset();
        self.output.reset();
        self.closing = false;
        self.since = machine::now();
        self.was_idle = true;
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
                Event::NeedMore => match conn.recv_now(self.machine.space()) {
                    Ok(0) => return Next::Close,
                    Ok(n) => {
                        self.machine.filled(n);
                        if self.was_idle {
                            self.was_idle = false;
                            self.since = machine::now();
                        }
                    }
                    Err(IoError::WouldBlock) => return self.wait(conn, false),
                    Err(_) => return Next::Close,
                },
                Event::Continue => self.output.interim(CONTINUE),
                Event::Request(head, path, query) => {
                    served += 1;
                    let keep = head.keep_alive;
                    respond(cx, conn, &mut self.output, &head, path, query);
                    self.closing |= !keep;
                    self.since = machine::now();
                    self.was_idle = self.machine.is_idle();
                }
                Event::Error(status) => {
                    self.output
                        .reply(status, "close", Body::Static("text/plain", status.line()));
                    self.closing = true;
                }
            }
        }
    }
}

impl Http {
    /// Nothing to do now: sends what is written and says when to give up.
    fn wait(&mut self, conn: &Conn, writing: bool) -> Next {
        let limit = if self.was_idle && !writing {
            IDLE_TIME
        } else {
            REQUEST_TIME
        };
        // A client that reads slowly is the stack's business, which gives up after a minute.
        let deadline = if writing {
            Instant::FOREVER
        } else {
            self.since + limit
        };
        if machine::now() >= deadline {
            if !self.was_idle {
                let status = Status::RequestTimeout;
                self.output
                    .reply(status, "close", Body::Static("text/plain", status.line()));
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
