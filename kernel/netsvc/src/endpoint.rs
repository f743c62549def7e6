//! One TCP connection: a smoltcp socket in a set of its own, with its two buffers.
//!
//! The owner keeps it under the connection's lock. The application's side ([`Endpoint::recv`],
//! [`Endpoint::send`], [`Endpoint::shutdown`]...) only touches buffers and needs nothing else; what
//! it wants sent goes out when the stack polls the endpoint ([`crate::Stack::poll`]).
//!
//! An endpoint is recycled: buffers and set are allocated once and serve one connection after the
//! other, so that connection churn does not touch the heap.

mod echo;

use core::fmt;

use machine::{Duration, Instant};
use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{RecvError, SendError, Socket, SocketBuffer, State};

use crate::buffer::{try_with_capacity, try_zeroed};
use crate::debt::Debt;
use crate::events::{Events, Snapshot};
use crate::flow::Flow;
use crate::frame::Segment;
use crate::mss;
use crate::phy::{Link, answer_to};
use crate::smol_duration;

/// How long a peer may leave sent data unacknowledged, unless the application says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// After how much silence a peer is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long a peer may say nothing at all: it left three questions unanswered.
pub(crate) const VANISHED: Duration = Duration::from_secs(120);
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
    /// When a segment was last accepted.
    pub(crate) heard: Instant,
    /// What the peer has to acknowledge, and by when.
    debt: Debt,
    patience: Duration,
    /// Sequence number of the stream's first byte.
    first: u32,
    /// Bytes that the application has read.
    read: u32,
    /// Most bytes of payload that the peer takes in a segment.
    pub(crate) mss: u16,
    /// What stands before its packets: they go to the station that the last accepted segment came from.
    pub(crate) link: Link,
}

/// Queues bytes for sending, nearly always in one piece; how many fitted.
#[inline]
fn put(socket: &mut Socket<'_>, bytes: &[u8]) -> Result<usize, SendError> {
    let n = socket.send(|room| {
        let n = room.len().min(bytes.len());
        room[..n].copy_from_slice(&bytes[..n]);
        (n, n)
    })?;
    if n == bytes.len() {
        return Ok(n);
    }
    // The ring buffer begins again, or is full.
    Ok(n + socket.send_slice(&bytes[n..])?)
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
            debt: Debt::NONE,
            patience: PATIENCE,
            first: 0,
            read: 0,
            mss: 0,
            link: Link::default(),
        })
    }

    /// Makes the endpoint wait for the SYN `s`, which came in `frame`.
    pub(crate) fn listen(&mut self, s: &Segment, frame: &[u8], now: Instant) -> bool {
        let socket = self.socket_mut();
        socket.abort();
        socket.set_nagle_enabled(false);
        socket.set_keep_alive(Some(smol_duration(KEEP_ALIVE)));
        let listens = socket.listen(s.flow.local_port).is_ok();
        self.flow = Some(s.flow);
        self.want_write = false;
        self.orphan = false;
        self.deadline = Instant::FOREVER;
        self.limit = now + HANDSHAKE;
        self.heard = now;
        self.debt = Debt::NONE;
        self.patience = PATIENCE;
        self.first = s.seq.wrapping_add(1);
        self.read = 0;
        self.mss = mss::allowed(frame);
        self.link = answer_to(frame);
        listens
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

    /// Reads what is there, in one piece: less than all of it where the ring buffer begins again. `Ok(0)` means
    /// that the peer has finished sending.
    ///
    /// # Errors
    ///
    /// [`IoError::WouldBlock`] when nothing is there, [`IoError::Closed`] when nothing will come.
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
        let copied = |there: &mut [u8]| {
            let n = there.len().min(buffer.len());
            buffer[..n].copy_from_slice(&there[..n]);
            (n, n)
        };
        match self.socket_mut().recv(copied) {
            Ok(0) if buffer.is_empty() => Ok(0),
            Ok(0) => Err(IoError::WouldBlock),
            Ok(n) => {
                self.count_read(n);
                Ok(n)
            }
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
        let n = put(self.socket_mut(), bytes).map_err(|_| IoError::Closed)?;
        self.want_write = n < bytes.len();
        if n == 0 && !bytes.is_empty() {
            Err(IoError::WouldBlock)
        } else {
            Ok(n)
        }
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

    /// How long the peer may take to acknowledge a kibibyte, or all that is sent if that is less; then
    /// the connection is reset. A minute unless this is called. Takes effect with the next poll.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
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
            self.count_read(n);
        }
    }

    #[inline]
    fn count_read(&mut self, n: usize) {
        self.read = self.read.wrapping_add(n as u32);
    }

    /// Sequence number of the first byte that is missing.
    pub(crate) fn expected(&self) -> u32 {
        let arrived = self.read.wrapping_add(self.readable() as u32);
        self.first.wrapping_add(arrived)
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
        self.deadline.min(self.given_up())
    }

    /// When the stack gives the connection up, unless the peer does something before.
    pub(crate) fn given_up(&self) -> Instant {
        let vanished = self.heard + VANISHED;
        self.limit.min(vanished).min(self.debt.due(self.patience))
    }

    /// Looks what the peer owes, and how much of it came between two looks.
    pub(crate) fn watch_debt(&mut self, before: &Snapshot, after: &Snapshot, now: Instant) {
        let queued = after.queued;
        let closing = matches!(
            after.state,
            State::FinWait1 | State::Closing | State::LastAck
        );
        let acknowledged = before.queued.saturating_sub(queued);
        self.debt
            .look(now, acknowledged, queued, closing || queued > 0);
    }

    /// Takes the application's events out: what changed between two looks.
    pub(crate) fn take_events(
        &mut self,
        before: &Snapshot,
        after: &Snapshot,
        now: Instant,
    ) -> Events {
        let open = !matches!(after.state, State::Listen | State::SynReceived);
        let events = Events {
            established: open && matches!(before.state, State::Listen | State::SynReceived),
            readable: after.readable != before.readable || (before.may_recv && !after.may_recv),
            writable: self.want_write && after.queued < before.queued,
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
