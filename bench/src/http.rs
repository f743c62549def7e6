//! `http`: what a request costs with tracing off, as it is by default, and with all of it.
//!
//! The host is the client, and says on a second port what is to be traced from now on: `0` nothing, `1` what
//! is by default, `2` everything. The answer is the count of instructions up to there. So between two
//! answers is nothing but the host's requests, however long they take it.

use alloc::sync::Arc;
use core::fmt::Write;

use kernel::net::{Conn, IoError};
use kernel::thread::ThreadCx;
use kernel::trace::{self, Categories};
use kernel::wq;
use machine::Duration;
use services::http::{self, Http, Settings};
use services::server::{Next, Protocol};
use services::{Mode, QueueKind, Server, ServerConfig};

use crate::kit::count;

/// The port that the host's echo port leads to.
const MARKS: u16 = 7;

/// Answers each byte with the count.
#[derive(Debug)]
struct Marks;

impl Protocol for Marks {
    type Settings = ();
    type Common = ();

    fn new((): &(), _common: &Arc<()>) -> Option<Self> {
        Some(Self)
    }

    fn reset(&mut self, _conn: &Conn) {}

    fn run(&mut self, _cx: &ThreadCx<'_>, conn: &Conn) -> Next {
        let mut byte = [0];
        match conn.recv_now(&mut byte) {
            Ok(1) => {}
            Err(IoError::WouldBlock) => {
                conn.flush();
                return Next::Wait;
            }
            _ => return Next::Close,
        }
        trace::want(match byte {
            [b'0'] => Categories::NONE,
            [b'1'] => Categories::DEFAULT,
            _ => Categories::ALL,
        });
        let mut line = heapless::String::<16>::new();
        // Ten digits and an end.
        let _ = writeln!(line, "{}", count());
        match conn.send_now(line.as_bytes()) {
            Ok(_) => Next::Again,
            Err(_) => Next::Close,
        }
    }
}

/// Serves until the host ends the machine.
pub(crate) fn run(cx: &ThreadCx<'_>) {
    // As a service has it.
    wq::set_anatomy(true);
    let config = |name, port| ServerConfig {
        name,
        port,
        mode: Mode::Event,
        queue: QueueKind::Bound,
    };
    let http = Server::<Http>::start(cx, config("http", http::PORT), Settings::default());
    let marks = Server::<Marks>::start(cx, config("marks", MARKS), ());
    let _both = (http.expect("a free port"), marks.expect("a free port"));
    kernel::println!("BENCH SERVES");
    loop {
        kernel::thread::sleep(cx, Duration::from_secs(1_000));
    }
}
