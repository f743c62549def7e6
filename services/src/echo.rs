//! TCP echo (RFC 862): what arrives goes back, until the peer has finished sending.
//!
//! The bytes move from the connection's receive buffer to its send buffer; the service itself
//! stores nothing.

use kernel::net::{Conn, IoError};
use kernel::thread::ThreadCx;

use crate::server::{Next, Protocol};

/// The echo port.
pub const PORT: u16 = 7;

/// Moves per run, so that one greedy peer does not keep a worker for ever.
const BUDGET: usize = 64;

/// One echo connection.
#[derive(Debug)]
pub struct Echo;

impl Protocol for Echo {
    type Settings = ();

    fn new((): &()) -> Option<Self> {
        Some(Self)
    }

    fn reset(&mut self) {}

    fn run(&mut self, _cx: &ThreadCx<'_>, conn: &Conn) -> Next {
        for _ in 0..BUDGET {
            match conn.echo_now() {
                Ok(0) => return Next::Close,
                Ok(_) => {}
                Err(IoError::WouldBlock) => {
                    conn.flush();
                    return Next::Wait;
                }
                Err(_) => return Next::Close,
            }
        }
        conn.flush();
        Next::Again
    }
}
