//! One TCP connection: a smoltcp socket in a set of its own, with its two buffers.
//!
//! The owner keeps it under the connection's lock. The application's side ([`Endpoint::recv`],
//! [`Endpoint::send`], [`Endpoint::shutdown`]...) only touches buffers and needs nothing else; what
//! it wants sent goes out when the stack polls the endpoint ([`crate::Stack::poll`]).
//!
//! An endpoint is recycled: buffers and set are allocated once and serve one connection after the
//! other, so that connection churn does not touch the heap.

use core::fmt;

use machine::{Duration, Instant};
use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{RecvError, Socket, SocketBuffer, State};

use crate::buffer::{try_with_capacity, try_zeroed};
use crate::flow::Flow;

/// How long a peer may leave sent data unacknowledged.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(60);
/// How long a closed connection may take to say goodbye.
pub(crate) const LINGER: Duration = Duration::from_secs(20);
/// How long a handshake may take.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(5);

/// Why an application's call did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoError {
    /// Nothing to read or no room to write now.
    WouldBlock,
    /// The connection is gone: reset, timed out, or closed by this side.
    Closed,
    /// The time limit passed.
    TimedOut,
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldBlock => "not ready",
            Self::Closed => "connection closed",
            Self::TimedOut => "timed out",
        })
    }
}

/// What a poll changed, for the application.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct Events {
    /// The handshake is complete.
    pub established: bool,
    /// There is something to read, or the peer has finished sending.
    pub readable: bool,
    /// There is room to send, after [`Endpoint::send`] had found too little.
    pub writable: bool,
    /// The application's deadline has passed.
    pub deadline: bool,
    /// The connection is over; the stack has forgotten it.
    pub closed: bool,
}

impl Events {
    /// True when the application should hear of it.
    #[must_use]
    pub fn any(self) -> bool {
        self.established || self.readable || self.writable || self.deadline || self.closed
    }
}

/// One connection's socket and buffers.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) sockets: SocketSet<'static>,
    handle: SocketHandle,
    pub(crate) flow: Option<Flow>,
    /// The application waits for room.
    want_write: bool,
    /// The application has gone: what arrives is discarded.
    pub(crate) orphan: bool,
    /// The application's deadline.
    deadline: Instant,
    /// The stack's deadline: handshake, linger.
    pub(crate) limit: Instant,
    /// When the peer was last heard, or began to owe an acknowledgment.
    pub(crate) heard: Instant,
    /// The peer owed an acknowledgment when the stack last looked.
    owed: bool,
}

impl Endpoint {
    /// An endpoint with buffers of the given sizes, or `None` when memory is out.
    #[must_use]
    pub fn new(receive: usize, send: usize) -> Option<Self> {
        let receive = SocketBuffer::new(try_zeroed(receive)?);
        let socket = Socket::new(receive, SocketBuffer::new(try_zeroed(send)?));
        let mut storage = try_with_capacity(1)?;
        storage.push(SocketStorage::EMPTY);
        let mut sockets = SocketSet::new(storage);
        let handle = sockets.add(socket);
        Some(Self {
            sockets,
            handle,
            flow: None,
            want_write: false,
            orphan: false,
            deadline: Instant::FOREVER,
            limit: Instant::FOREVER,
            heard: Instant::ZERO,
            owed: false,
        })
    }

    /// Makes the endpoint wait for the SYN of `flow`. Takes it out of and puts it back into its
    /// set, because the set remembers that a neighbour was missing.
    pub(crate) fn listen(&mut self, flow: Flow, now: Instant) -> bool {
        if let smoltcp::socket::Socket::Tcp(mut socket) = self.sockets.remove(self.handle) {
            socket.abort();
            socket.set_nagle_enabled(false);
            let listens = socket.listen(flow.local_port).is_ok();
            self.handle = self.sockets.add(socket);
            self.flow = Some(flow);
            self.want_write = false;
            self.orphan = false;
            self.deadline = Instant::FOREVER;
            self.limit = now + HANDSHAKE;
            self.heard = now;
            self.owed = false;
            return listens;
        }
        false
    }

    #[inline]
    pub(crate) fn socket(&self) -> &Socket<'static> {
        self.sockets.get(self.handle)
    }

    #[inline]
    pub(crate) fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// The 4-tuple, while the stack knows the connection.
    #[must_use]
    pub fn flow(&self) -> Option<Flow> {
        self.flow
    }

    /// Bytes waiting to be read.
    #[inline]
    #[must_use]
    pub fn readable(&self) -> usize {
        self.socket().recv_queue()
    }

    /// Room to send into.
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        let s = self.socket();
        if s.may_send() {
            s.send_capacity() - s.send_queue()
        } else {
            0
        }
    }

    /// Bytes sent and not yet acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.socket().send_queue()
    }

    /// Reads what is there. `Ok(0)` means that the peer has finished sending.
    ///
    /// # Errors
    ///
    /// [`IoError::WouldBlock`] when nothing is there, [`IoError::Closed`] when nothing will come.
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
        match self.socket_mut().recv_slice(buffer) {
            Ok(0) if buffer.is_empty() => Ok(0),
            Ok(0) => Err(IoError::WouldBlock),
            Ok(n) => Ok(n),
            Err(RecvError::Finished) => Ok(0),
            Err(RecvError::InvalidState) => Err(IoError::Closed),
        }
    }

    /// Queues bytes for sending and returns how many fitted. After a short count
    /// [`Events::writable`] tells when there is room again.
    ///
    /// # Errors
    ///
    /// [`IoError::WouldBlock`] when none fitted, [`IoError::Closed`] when sending has ended.
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize, IoError> {
        let n = self
            .socket_mut()
            .send_slice(bytes)
            .map_err(|_| IoError::Closed)?;
        self.want_write = n < bytes.len();
        if n == 0 && !bytes.is_empty() {
            Err(IoError::WouldBlock)
        } else {
            Ok(n)
        }
    }

    /// Moves what arrived straight into the sending buffer, as far as there is room, and returns the
    /// number of bytes; the echo service's whole work.
    ///
    /// # Errors
    ///
    /// As [`Self::recv`]; `Ok(0)` means that the peer has finished and everything was moved.
    pub fn echo(&mut self) -> Result<usize, IoError> {
        let mut moved = 0;
        loop {
            let room = self.room();
            if self.readable() == 0 || room == 0 {
                break;
            }
            let socket = self.socket_mut();
            // At most twice per buffer: a ring buffer is two contiguous pieces.
            let mut chunk = [0; 512];
            let want = room.min(chunk.len());
            let Ok(n) = socket.recv_slice(&mut chunk[..want]) else {
                break;
            };
            if socket.send_slice(&chunk[..n]) != Ok(n) {
                return Err(IoError::Closed);
            }
            moved += n;
        }
        if moved > 0 {
            self.want_write = self.readable() > 0;
            return Ok(moved);
        }
        if self.readable() > 0 {
            self.want_write = true;
            return if self.socket().may_send() {
                Err(IoError::WouldBlock)
            } else {
                Err(IoError::Closed)
            };
        }
        self.recv(&mut [0; 1])
    }

    /// Says that nothing more will be sent; what is queued still goes out.
    pub fn shutdown(&mut self) {
        self.socket_mut().close();
    }

    /// The application leaves: what is queued goes out, what arrives is discarded, and the stack
    /// ends the connection by itself within a bounded time.
    pub fn close(&mut self, now: Instant) {
        if !self.orphan {
            self.orphan = true;
            self.deadline = Instant::FOREVER;
            self.want_write = false;
            self.limit = self.limit.min(now + LINGER);
            if self.state() == State::SynReceived {
                // Nobody there yet to say goodbye to.
                self.socket_mut().abort();
            }
            self.shutdown();
        }
        self.discard();
    }

    /// Ends the connection at once, with a reset to the peer.
    pub fn abort(&mut self) {
        self.orphan = true;
        self.socket_mut().abort();
    }

    /// Asks for [`Events::deadline`] at `at`; `FOREVER` takes the wish back. Takes effect with the
    /// next poll.
    pub fn set_deadline(&mut self, at: Instant) {
        self.deadline = at;
    }

    /// True once the application has closed or aborted.
    #[must_use]
    pub fn is_orphan(&self) -> bool {
        self.orphan
    }

    /// True while the peer may still send or has left something to read.
    #[must_use]
    pub fn may_recv(&self) -> bool {
        self.socket().may_recv()
    }

    pub(crate) fn discard(&mut self) {
        while let Ok(n) = self.socket_mut().recv(|b| (b.len(), b.len())) {
            if n == 0 {
                break;
            }
        }
    }

    pub(crate) fn state(&self) -> State {
        self.socket().state()
    }

    /// True while the peer has not finished sending.
    pub(crate) fn awaits_end(&self) -> bool {
        matches!(
            self.state(),
            State::Established | State::FinWait1 | State::FinWait2
        )
    }

    /// When the endpoint wants attention apart from TCP's own timers.
    pub(crate) fn own_deadline(&self) -> Instant {
        let stuck = if self.owes() {
            self.heard + GIVE_UP
        } else {
            Instant::FOREVER
        };
        self.deadline.min(self.limit).min(stuck)
    }

    /// True while the peer has something to acknowledge.
    pub(crate) fn owes(&self) -> bool {
        let closing = matches!(
            self.state(),
            State::FinWait1 | State::Closing | State::LastAck
        );
        closing || self.unacknowledged() > 0
    }

    /// Lets the peer's time begin when it first owes something: before, it had no reason to speak.
    pub(crate) fn watch_debt(&mut self, now: Instant) {
        let owes = self.owes();
        if owes && !self.owed {
            self.heard = now;
        }
        self.owed = owes;
    }

    /// Takes the application's events out: what changed since `before`.
    pub(crate) fn take_events(&mut self, before: &Snapshot, now: Instant) -> Events {
        let s = self.socket();
        let state = s.state();
        let open = !matches!(state, State::Listen | State::SynReceived);
        let events = Events {
            established: open && matches!(before.state, State::Listen | State::SynReceived),
            readable: s.recv_queue() != before.readable || (before.may_recv && !s.may_recv()),
            writable: self.want_write && s.send_queue() < before.queued,
            deadline: now >= self.deadline,
            closed: false,
        };
        if events.writable {
            self.want_write = false;
        }
        if events.deadline {
            self.deadline = Instant::FOREVER;
        }
        if self.orphan {
            Events::default()
        } else {
            events
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let s = self.socket();
        Snapshot {
            state: s.state(),
            readable: s.recv_queue(),
            queued: s.send_queue(),
            may_recv: s.may_recv(),
        }
    }
}

/// What [`Endpoint::take_events`] compares with.
pub(crate) struct Snapshot {
    pub(crate) state: State,
    readable: usize,
    queued: usize,
    may_recv: bool,
}
