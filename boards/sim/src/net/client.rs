//! What a client's program can do: wait, connect, talk, and misbehave.
//!
//! Calls that wait do so in virtual time and give up, by a panic that fails the world, after
//! [`PATIENCE`]: whatever the kernel does, it must do something by then.

use core::cell::{Cell, RefCell};
use core::fmt;
use std::rc::Rc;

use corosensei::Yielder;
use machine::{Duration, Instant};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{RecvError, State};

use super::Signals;
use super::host::{BUFFER, Host};
use super::script::{Go, end};
use crate::rng::Rng;

/// How long a client waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// One client's hands.
pub struct Client<'y> {
    number: usize,
    rng: Rng,
    host: Rc<RefCell<Host>>,
    signals: Rc<Signals>,
    yielder: &'y Yielder<Go, u64>,
}

impl fmt::Debug for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The kernel answered a connection's first segment with a reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused;

/// The connection is gone: reset by the kernel, or already finished by this side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone;

impl<'y> Client<'y> {
    pub(super) const fn new(
        number: usize,
        rng: Rng,
        host: Rc<RefCell<Host>>,
        signals: Rc<Signals>,
        yielder: &'y Yielder<Go, u64>,
    ) -> Self {
        Self {
            number,
            rng,
            host,
            signals,
            yielder,
        }
    }

    /// Its number among the clients of its world.
    #[must_use]
    pub const fn number(&self) -> usize {
        self.number
    }

    /// Its own random numbers; no other client and no interleaving changes them.
    #[must_use]
    pub const fn rng(&self) -> &Rng {
        &self.rng
    }

    /// `n` random bytes.
    #[must_use]
    pub fn random_bytes(&self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.rng.next() as u8).collect()
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.host.borrow().now)
    }

    /// Does nothing for a while.
    pub fn sleep(&self, time: Duration) {
        let until = self.now() + time;
        while self.now() < until {
            self.pause(until);
        }
    }

    /// Sets signal `n` (below 64), for the kernel's side and other clients.
    pub fn tell(&self, n: u32) {
        self.signals.tell(n);
    }

    /// Waits for signal `n`.
    pub fn wait_for(&self, n: u32) {
        self.wait("a signal", || self.signals.told(n).then_some(()));
    }

    /// Connects to `port`.
    ///
    /// # Panics
    ///
    /// If the kernel refuses.
    #[must_use]
    pub fn connect(&self, port: u16) -> Stream<'_, 'y> {
        let stream = self.try_connect(port);
        stream.unwrap_or_else(|Refused| panic!("the connection to port {port} was refused"))
    }

    /// Connects to `port`.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn try_connect(&self, port: u16) -> Result<Stream<'_, 'y>, Refused> {
        self.connect_with(port, BUFFER)
    }

    /// Connects to `port` with a receive buffer, and so a window, of so many bytes.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn connect_with(&self, port: u16, window: usize) -> Result<Stream<'_, 'y>, Refused> {
        let stream = self.begin(port, window);
        let state = self.wait("a connection", || {
            let state = stream.with(|s| s.state());
            (state != State::SynSent).then_some(state)
        });
        match state {
            State::Closed => Err(Refused),
            _ => Ok(stream),
        }
    }

    /// Sends a SYN to `port` and does not wait.
    #[must_use]
    pub fn begin(&self, port: u16, window: usize) -> Stream<'_, 'y> {
        let (handle, own_port) = self.host.borrow_mut().connect(port, window);
        Stream {
            client: self,
            patience: Cell::new(Duration::MAX),
            handle: Some(handle),
            own_port,
        }
    }

    /// Puts a frame of its own making on the wire.
    pub fn inject(&self, frame: Vec<u8>) {
        self.host.borrow_mut().card.leaving.push(frame);
    }

    /// Keeps the frames that arrive from now on for [`Self::heard`].
    pub fn listen(&self) {
        self.host.borrow_mut().listening = true;
    }

    /// The frames that have arrived since the last call.
    #[must_use]
    pub fn heard(&self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.host.borrow_mut().heard)
    }

    /// Waits until `ready` says what.
    fn wait<R>(&self, what: &str, mut ready: impl FnMut() -> Option<R>) -> R {
        let give_up = self.now() + PATIENCE;
        loop {
            if let Some(r) = ready() {
                return r;
            }
            let now = self.now();
            assert!(now < give_up, "waited {PATIENCE:?} for {what}");
            self.pause(give_up);
        }
    }

    /// Lets the world go on; comes back when something happened, or at `until`.
    fn pause(&self, until: Instant) {
        self.check(self.yielder.suspend(until.as_nanos()));
    }

    /// Ends the script if its world is over.
    pub(super) fn check(&self, go: Go) {
        if go == Go::Home {
            end();
        }
    }
}

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

impl Stream<'_, '_> {
    fn with<R>(&self, f: impl FnOnce(&mut Socket) -> R) -> R {
        let mut host = self.client.host.borrow_mut();
        let Some(handle) = self.handle else {
            panic!("a stream without a socket")
        };
        f(host.socket(handle))
    }

    /// Does something and sends what that made due.
    fn act<R>(&self, f: impl FnOnce(&mut Socket) -> R) -> R {
        let r = self.with(f);
        self.client.host.borrow_mut().poll();
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
    /// world after [`PATIENCE`].
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
            self.client.host.borrow_mut().leave(handle);
        }
    }

    /// Pulls the plug: nothing is sent or answered any more.
    pub fn vanish(mut self) {
        if let Some(handle) = self.handle.take() {
            let mut host = self.client.host.borrow_mut();
            host.vanish(handle, self.own_port);
        }
    }
}

impl Drop for Stream<'_, '_> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.client.host.borrow_mut().leave(handle);
        }
    }
}
