//! One TCP connection as a client's program sees it: send, receive, finish, reset, vanish.
//!
//! Each call sends what it makes due at once, so what one call writes is one segment: a program
//! decides where its stream is cut.

use core::cell::Cell;

use machine::Duration;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{RecvError, State};

use super::client::Client;
use super::host::BUFFER;

/// The connection is gone: reset by the kernel, or already finished by this side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone;

/// One TCP connection of a client's. Dropping it closes it politely.
#[derive(Debug)]
pub struct Stream<'c, 'y> {
    client: &'c Client<'y>,
    patience: Cell<Duration>,
    /// `None` once it was reset or abandoned.
    handle: Option<SocketHandle>,
    own_port: u16,
}

type Socket = smoltcp::socket::tcp::Socket<'static>;

impl<'c, 'y> Stream<'c, 'y> {
    pub(super) const fn new(client: &'c Client<'y>, handle: SocketHandle, own_port: u16) -> Self {
        Self {
            client,
            patience: Cell::new(Duration::MAX),
            handle: Some(handle),
            own_port,
        }
    }

    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Socket) -> R) -> R {
        let mut host = self.client.host().borrow_mut();
        let Some(handle) = self.handle else {
            panic!("a stream without a socket")
        };
        f(host.socket(handle))
    }

    /// Does something and sends what that made due.
    fn act<R>(&self, f: impl FnOnce(&mut Socket) -> R) -> R {
        let r = self.with(f);
        self.client.host().borrow_mut().poll();
        r
    }

    /// The client's port.
    #[must_use]
    pub const fn own_port(&self) -> u16 {
        self.own_port
    }

    /// Sends all of `bytes`, waiting while the kernel takes no more. What one call sends is one
    /// segment, if it is not too long.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn send(&self, bytes: &[u8]) -> Result<(), Gone> {
        let mut left = bytes;
        self.client.wait("room to send", || {
            match self.act(|s| s.send_slice(left)) {
                Ok(n) => left = &left[n..],
                Err(_) => return Some(Err(Gone)),
            }
            left.is_empty().then_some(Ok(()))
        })
    }

    /// Sends what the kernel takes at once, and says how much that was.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn send_some(&self, bytes: &[u8]) -> Result<usize, Gone> {
        self.act(|s| s.send_slice(bytes)).map_err(|_| Gone)
    }

    /// Gives the connection up when nothing has come for so long. A client without this fails its
    /// world after [`PATIENCE`](super::PATIENCE).
    pub fn give_up_after(&self, time: Duration) {
        self.patience.set(time);
    }

    /// Bytes that have arrived, waiting for at least one; none at the end of the stream.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn recv(&self, most: usize) -> Result<Vec<u8>, Gone> {
        let start = self.client.now();
        self.client.wait("data", || {
            let mut buffer = vec![0; most];
            match self.act(|s| s.recv_slice(&mut buffer)) {
                Ok(0) if self.client.now().since(start) >= self.patience.get() => {
                    self.act(Socket::abort);
                    Some(Err(Gone))
                }
                Ok(0) => None,
                Ok(n) => {
                    buffer.truncate(n);
                    Some(Ok(buffer))
                }
                Err(RecvError::Finished) => Some(Ok(Vec::new())),
                Err(RecvError::InvalidState) => Some(Err(Gone)),
            }
        })
    }

    /// Exactly `n` bytes.
    ///
    /// # Errors
    ///
    /// What came when the stream ended early, or the connection went.
    pub fn recv_exact(&self, n: usize) -> Result<Vec<u8>, Vec<u8>> {
        let mut all = Vec::with_capacity(n);
        while all.len() < n {
            match self.recv(n - all.len()) {
                Ok(bytes) if !bytes.is_empty() => all.extend(bytes),
                _ => return Err(all),
            }
        }
        Ok(all)
    }

    /// Everything up to the end of the stream.
    ///
    /// # Errors
    ///
    /// What came before the connection went without an orderly end.
    pub fn recv_to_end(&self) -> Result<Vec<u8>, Vec<u8>> {
        let mut all = Vec::new();
        loop {
            match self.recv(BUFFER) {
                Ok(bytes) if bytes.is_empty() => return Ok(all),
                Ok(bytes) => all.extend(bytes),
                Err(Gone) => return Err(all),
            }
        }
    }

    /// Bytes that have arrived and were not read.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.with(|s| s.recv_queue())
    }

    /// Says that it will send no more; it still reads.
    pub fn finish(&self) {
        self.act(Socket::close);
    }

    /// Waits until the kernel has acknowledged everything, the end included.
    pub fn wait_acknowledged(&self) {
        self.client.wait("acknowledgment", || {
            self.with(|s| {
                let saying = matches!(s.state(), State::FinWait1 | State::LastAck | State::Closing);
                (s.send_queue() == 0 && !saying).then_some(())
            })
        });
    }

    /// Ends the connection with a reset.
    pub fn reset(mut self) {
        self.act(Socket::abort);
        if let Some(handle) = self.handle.take() {
            self.client.host().borrow_mut().leave(handle);
        }
    }

    /// Pulls the plug: nothing is sent or answered any more.
    pub fn vanish(mut self) {
        if let Some(handle) = self.handle.take() {
            let mut host = self.client.host().borrow_mut();
            host.vanish(handle, self.own_port);
        }
    }
}

impl Drop for Stream<'_, '_> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.client.host().borrow_mut().leave(handle);
        }
    }
}
