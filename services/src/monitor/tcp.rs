//! The monitor on TCP port 23: each connection is a session in a thread of its own, so it works while the
//! workqueues do not.
//!
//! `nc` and `telnet` in their usual mode send whole lines; a raw terminal (`socat -,raw,echo=0 tcp:...`)
//! gets editing and completion. Telnet's commands (RFC 854) are skipped: nothing is negotiated.

use alloc::sync::Arc;

use kernel::net::{Conn, IoError};
use kernel::thread::ThreadCx;
use machine::Instant;

use super::Session;
use crate::server::{Next, Protocol};

/// The monitor's port.
pub const PORT: u16 = 23;

/// Telnet: a command follows.
const IAC: u8 = 255;

/// One connection.
#[derive(Debug)]
pub struct Monitor {
    session: Session,
    /// What is sent of the session's output.
    sent: usize,
    /// The last byte sent was the first of a line's two ends.
    returned: bool,
    skip: u8,
}

impl Protocol for Monitor {
    type Settings = ();
    type Common = ();

    fn new((): &(), _common: &Arc<()>) -> Option<Self> {
        Some(Self {
            session: Session::new(),
            sent: 0,
            returned: false,
            skip: 0,
        })
    }

    fn reset(&mut self, _conn: &Conn) {
        self.session = Session::new();
        (self.sent, self.returned, self.skip) = (0, false, 0);
        self.session.greet();
    }

    fn run(&mut self, cx: &ThreadCx<'_>, conn: &Conn) -> Next {
        loop {
            match self.drain(conn) {
                Ok(()) if self.session.wants_to_quit() => return Next::Close,
                Ok(()) => {}
                Err(IoError::WouldBlock) => return wait(conn, Instant::FOREVER),
                Err(_) => return Next::Close,
            }
            self.session.tick(machine::now());
            if !self.session.output().is_empty() {
                continue;
            }
            let mut buffer = [0; 256];
            match conn.recv_now(&mut buffer) {
                Ok(0) => return Next::Close,
                Ok(n) => {
                    let n = self.without_telnet(&mut buffer, n);
                    self.session.input(cx, &buffer[..n]);
                }
                Err(IoError::WouldBlock) => return wait(conn, self.session.due()),
                Err(_) => return Next::Close,
            }
        }
    }
}

fn wait(conn: &Conn, at: Instant) -> Next {
    conn.flush_until(at);
    Next::Wait
}

impl Monitor {
    /// Sends what is to be shown, a line's end as carriage return and line feed.
    fn drain(&mut self, conn: &Conn) -> Result<(), IoError> {
        let text = self.session.output().as_bytes();
        while self.sent < text.len() {
            let rest = &text[self.sent..];
            if rest[0] == b'\n' {
                let end: &[u8] = if self.returned { b"\n" } else { b"\r\n" };
                match conn.send_now(end)? {
                    n if n == end.len() => {
                        self.returned = false;
                        self.sent += 1;
                    }
                    n => self.returned |= n > 0,
                }
                continue;
            }
            let line = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
            self.sent += conn.send_now(&rest[..line])?;
        }
        self.session.shown();
        self.sent = 0;
        Ok(())
    }

    /// Takes telnet's commands, of three bytes or two, out of the first `n` bytes; how many are left.
    fn without_telnet(&mut self, bytes: &mut [u8], n: usize) -> usize {
        let mut kept = 0;
        for i in 0..n {
            let byte = bytes[i];
            match self.skip {
                // Behind IAC: a command with an option, one without, or the byte itself.
                2 => self.skip = u8::from((251..=254).contains(&byte)),
                1 => self.skip = 0,
                _ if byte == IAC => self.skip = 2,
                _ => {
                    bytes[kept] = byte;
                    kept += 1;
                }
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telnet_commands_are_skipped_also_in_pieces() {
        let mut m = Monitor::new(&(), &Arc::new(())).expect("it needs no memory");
        let mut bytes = *b"p\xff\xfd\x01s\xff\xf1\r\xff";
        let n = bytes.len();
        let kept = m.without_telnet(&mut bytes, n);
        assert_eq!(&bytes[..kept], b"ps\r");
        let mut rest = *b"\xfb\x03w";
        assert_eq!(m.without_telnet(&mut rest, 3), 1);
        assert_eq!(rest[0], b'w');
    }
}
