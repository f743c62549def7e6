//! Sending back what arrived, from one buffer to the other.

use core::mem::MaybeUninit;

use super::{Endpoint, IoError, put};

/// Most bytes moved at once, on the stack.
const PIECE: usize = 8 * 1024;

impl Endpoint {
    /// Moves what arrived straight into the sending buffer, as far as there is room, and returns the
    /// number of bytes; the echo service's whole work.
    ///
    /// # Errors
    ///
    /// As [`Self::recv`]; `Ok(0)` means that the peer has finished and everything was moved.
    pub fn echo(&mut self) -> Result<usize, IoError> {
        let readable = self.readable();
        let moved = self.shift(self.room().min(readable))?;
        self.want_write = moved < readable;
        if moved > 0 {
            return Ok(moved);
        }
        match self.socket().may_send() {
            true if self.want_write => Err(IoError::WouldBlock),
            false if self.want_write => Err(IoError::Closed),
            _ => self.recv(&mut [0; 1]),
        }
    }

    /// Moves `left` bytes from the receiving to the sending buffer, which are there and have room.
    fn shift(&mut self, mut left: usize) -> Result<usize, IoError> {
        // smoltcp lends one of its buffers at a time.
        let mut piece = [const { MaybeUninit::uninit() }; PIECE];
        let mut moved = 0;
        while left > 0 {
            let socket = self.socket_mut();
            // Up to where the ring buffer begins again.
            let there = socket.peek(left.min(PIECE)).unwrap_or_default();
            let n = there.len();
            if n == 0 {
                break;
            }
            let bytes = piece[..n].write_copy_of_slice(there);
            let sent = put(socket, bytes);
            let taken = socket.recv(|_| (n, ()));
            self.count_read(n);
            if sent != Ok(n) || taken.is_err() {
                return Err(IoError::Closed);
            }
            moved += n;
            left -= n;
        }
        Ok(moved)
    }

    /// True when there is nothing to read now and the peer may still send: whoever has read
    /// everything hears of what comes next.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.readable() == 0 && self.may_recv()
    }
}
