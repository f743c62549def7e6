//! `http` and `net`: the services, and on another port the count of instructions.
//!
//! The host is the client, and says on that port which settings hold from now on: `0` traces nothing, `1` what
//! is traced by default, `2` everything; `l` (lean) traces nothing and takes no latency anatomy either, `d` is the
//! default of both. The answer is the count of instructions up to there. So between two answers is nothing but the
//! host's requests, however long they take it.

use alloc::sync::Arc;
use core::fmt::Write;

use kernel::net::{Conn, IoError};
use kernel::thread::ThreadCx;
use kernel::trace::{self, Categories};
use kernel::wq;
use machine::Duration;
use services::echo::{self, Echo};
use services::http::{self, Http, Settings};
use services::server::{Next, Protocol};
use services::{Mode, QueueKind, Server, ServerConfig};

use crate::kit::count;

/// The port that the host's echo port leads to; for `http`, which has no echo.
const MARKS: u16 = echo::PORT;
/// The port that the host's monitor port leads to; for `net`.
const MARKS_BESIDE_ECHO: u16 = 23;

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
        match byte {
            [b'l'] => wq::set_anatomy(false),
            [b'd'] => wq::set_anatomy(true),
            _ => {}
        }
        trace::want(match byte {
            [b'0' | b'l'] => Categories::NONE,
            [b'1' | b'd'] => Categories::DEFAULT,
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

/// Serves until the host ends the machine; TCP echo as well, if `with_echo`.
pub(crate) fn run(cx: &ThreadCx<'_>, with_echo: bool) {
    // As a service has it.
    wq::set_anatomy(true);
    let config = |name, port| ServerConfig {
        name,
        port,
        mode: Mode::Event,
        queue: QueueKind::Bound,
    };
    let http = Server::<Http>::start(cx, config("http", http::PORT), Settings::default());
    let port = match with_echo {
        true => MARKS_BESIDE_ECHO,
        false => MARKS,
    };
    let marks = Server::<Marks>::start(cx, config("marks", port), ());
    let echo = with_echo
        .then(|| Server::<Echo>::start(cx, config("echo", echo::PORT), Default::default()));
    let _all = (
        http.expect("a free port"),
        marks.expect("a free port"),
        echo.map(|e| e.expect("a free port")),
    );
    kernel::println!("BENCH SERVES");
    loop {
        kernel::thread::sleep(cx, Duration::from_secs(1_000));
    }
}
