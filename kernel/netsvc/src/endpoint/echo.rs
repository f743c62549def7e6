//! Sending back what arrived, from one buffer to the other.

use super::{Endpoint, IoError};

impl Endpoint {
    /// Moves what arrived straight into the sending buffer, as far as there is room, and returns the
    /// number of bytes; the echo service's whole work.
    ///
    /// # Errors
    ///
    /// As [`Self::recv`]; `Ok(0)` means that the peer has finished and everything was moved.
    pub fn echo(&mut self) -> Result<usize, IoError> {
        // Most streams are of few bytes at a time; room for many costs its zeroing.
        let moved = if self.readable() <= 256 {
            self.shift::<256>()?
        } else {
            self.shift::<4096>()?
        };
        self.want_write = self.readable() > 0;
        if moved > 0 {
            return Ok(moved);
        }
        match self.socket().may_send() {
            true if self.want_write => Err(IoError::WouldBlock),
            false if self.want_write => Err(IoError::Closed),
            _ => self.recv(&mut [0; 1]),
        }
    }

    /// Moves bytes from the receiving to the sending buffer, by pieces of up to `N`.
    fn shift<const N: usize>(&mut self) -> Result<usize, IoError> {
        let mut piece = [0; N];
        let mut moved = 0;
        loop {
            let want = self.room().min(self.readable()).min(N);
            if want == 0 {
                return Ok(moved);
            }
            let socket = self.socket_mut();
            let Ok(n) = socket.recv_slice(&mut piece[..want]) else {
                return Ok(moved);
            };
            let sent = socket.send_slice(&piece[..n]);
            self.count_read(n);
            if sent != Ok(n) {
                return Err(IoError::Closed);
            }
            moved += n;
        }
    }

    /// True when there is nothing to read now and the peer may still send: whoever has read
    /// everything hears of what comes next.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.readable() == 0 && self.may_recv()
    }
}
