//! TCP echo (RFC 862): what arrives goes back, until the peer has finished sending.
//!
//! The bytes move from the connection's receive buffer to its send buffer; the service itself
//! stores nothing but when that last happened: who sends nothing for too long is let go.

use alloc::sync::Arc;

use kernel::net::{Conn, IoError};
use kernel::thread::ThreadCx;
use machine::{Duration, Instant};

use crate::server::{Next, Protocol};

/// The echo port.
pub const PORT: u16 = 7;

/// Moves per run, so that one greedy peer does not keep a worker for ever.
const BUDGET: usize = 64;

/// How patient the service is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How long a connection may be idle (`echo.idle_ms=`).
    pub idle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(600),
        }
    }
}

/// One echo connection.
#[derive(Debug)]
pub struct Echo {
    settings: Settings,
    /// When something was last echoed.
    since: Instant,
}

impl Protocol for Echo {
    type Settings = Settings;
    type Common = ();

    fn new(settings: &Settings, _common: &Arc<()>) -> Option<Self> {
        Some(Self {
            settings: *settings,
            since: Instant::ZERO,
        })
    }

    fn reset(&mut self, _conn: &Conn) {
        self.since = machine::now();
    }

    fn run(&mut self, _cx: &ThreadCx<'_>, conn: &Conn) -> Next {
        for _ in 0..BUDGET {
            match conn.echo_now() {
                Ok((0, _)) => return Next::Close,
                Ok((_, all)) => {
                    self.since = machine::now();
                    if all {
                        return self.wait(conn);
                    }
                }
                Err(IoError::WouldBlock) => return self.wait(conn),
                Err(_) => return Next::Close,
            }
        }
        conn.flush();
        Next::Again
    }
}

impl Echo {
    /// Nothing to do now: says when to give up. A peer that does not read is the stack's business.
    fn wait(&self, conn: &Conn) -> Next {
        let deadline = self.since + self.settings.idle;
        if machine::now() >= deadline {
            return Next::Close;
        }
        conn.flush_until(deadline);
        Next::Wait
    }
}
