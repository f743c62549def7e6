//! A connection as applications see it.
//!
//! [`Conn`] is the application's handle; dropping it closes the connection. The other references (the
//! interface's slot table, its list of spares) see a [`Connection`]. Reading and writing take the
//! connection's lock only; [`Conn::flush`] takes the stack's lock and sends. So an application that
//! reads a request and writes its reply in two pieces pays for one poll of the stack.
//!
//! Blocking: a reader that found nothing sleeps until the count of news has moved ([`EventCount`]).

use alloc::sync::Arc;
use core::fmt;
use core::net::Ipv4Addr;

use machine::{Duration, Instant};
use netsvc::{Endpoint, IoError, SlotId};
use sync::handshake::EventCount;
use sync::{BhOff, Rank, SpinGuard, SpinLock};

use super::interface;
use super::listener::Session;
use crate::thread::ThreadCx;
use crate::trace::{Head, Kind, emit_unmasked, name};
use crate::wait::WaitQueue;

/// What a connection's lock protects.
pub(super) struct Locked {
    pub(super) endpoint: Endpoint,
    /// The stack's number for it, while the stack knows it.
    pub(super) slot: Option<SlotId>,
    /// It is one beyond the limit, there to be turned away.
    pub(super) outside: bool,
}

/// One connection.
pub(super) struct Connection {
    locked: SpinLock<Locked, BhOff>,
    /// What may be waited for.
    news: EventCount,
    wait: WaitQueue,
    session: SpinLock<Option<Arc<dyn Session>>, BhOff>,
}

impl Connection {
    pub(super) const fn new(endpoint: Endpoint) -> Self {
        Self {
            locked: SpinLock::new(
                Rank::Connection,
                "connection",
                Locked {
                    endpoint,
                    slot: None,
                    outside: false,
                },
            ),
            news: EventCount::new(),
            wait: WaitQueue::new(),
            session: SpinLock::new(Rank::Leaf, "session", None),
        }
    }

    /// Forgets the last user.
    pub(super) fn recycle(&mut self) {
        self.news.reset();
        *self.session.get_mut() = None;
    }

    #[inline]
    pub(super) fn lock(&self) -> SpinGuard<'_, Locked, BhOff> {
        self.locked.lock()
    }

    pub(super) fn local_port(&self) -> u16 {
        self.port_and_place().0
    }

    /// The local port, and whether it is beyond the limit.
    pub(super) fn port_and_place(&self) -> (u16, bool) {
        let locked = self.lock();
        let port = locked.endpoint.flow().map_or(0, |f| f.local_port);
        (port, locked.outside)
    }

    pub(super) fn set_session(&self, session: Arc<dyn Session>) {
        let old = self.session.lock().replace(session);
        drop(old);
    }

    /// Lets go of the session: it usually holds the application's handle, which holds us.
    pub(super) fn forget_session(&self) {
        let old = self.session.lock().take();
        drop(old);
    }

    /// Tells whoever waits, and the session. Without locks.
    pub(super) fn notify(&self) {
        if self.news.post() {
            self.wait.wake_all();
        }
        let session = self.session.lock().clone();
        if let Some(session) = session {
            session.ready();
        }
    }

    /// Sleeps until there is news after the count `seen`.
    fn sleep(&self, cx: &ThreadCx<'_>, seen: u32, until: Instant) -> Result<(), IoError> {
        self.news.enter();
        let news = || self.news.moved(seen);
        let result = if until == Instant::FOREVER {
            self.wait.wait_until(cx, news);
            Ok(())
        } else {
            let left = until.since(machine::now());
            self.wait
                .wait_timeout(cx, left, news)
                .map_err(|_| IoError::TimedOut)
        };
        self.news.leave();
        result
    }
}

/// An application's handle to one TCP connection. Dropping it closes the connection: what was
/// written still goes out.
pub struct Conn {
    connection: Arc<Connection>,
    /// Dropping this handle closes.
    owner: bool,
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        if self.owner {
            self.close();
        }
    }
}

impl Conn {
    pub(super) const fn owned(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            owner: true,
        }
    }

    pub(super) const fn borrowed(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            owner: false,
        }
    }

    /// Another handle to the same connection, which closes nothing when it is dropped.
    #[must_use]
    pub fn observer(&self) -> Self {
        Self::borrowed(Arc::clone(&self.connection))
    }

    /// The count of news: it moves when something happened.
    #[must_use]
    pub fn news(&self) -> u32 {
        self.connection.news.count()
    }

    /// Sleeps until the count of news has left `seen`.
    pub fn wait_news(&self, cx: &ThreadCx<'_>, seen: u32) {
        // Without a limit it cannot time out.
        let _ = self.connection.sleep(cx, seen, Instant::FOREVER);
    }

    /// The peer's address and port, while the connection lives.
    #[must_use]
    pub fn peer(&self) -> Option<(Ipv4Addr, u16)> {
        let flow = self.connection.lock().endpoint.flow()?;
        Some((Ipv4Addr::from_bits(flow.remote), flow.remote_port))
    }

    /// Reads what is there, or the begin of it, without waiting. `Ok(0)` means that the peer has finished sending.
    ///
    /// # Errors
    ///
    /// [`IoError::WouldBlock`] when nothing is there, [`IoError::Closed`] when nothing will come.
    pub fn recv_now(&self, buffer: &mut [u8]) -> Result<usize, IoError> {
        self.connection.lock().endpoint.recv(buffer)
    }

    /// Writes as much as fits, without waiting; [`Self::flush`] sends it. After a short count the
    /// session hears when there is room again.
    ///
    /// # Errors
    ///
    /// [`IoError::WouldBlock`] when nothing fits, [`IoError::Closed`] when sending has ended.
    pub fn send_now(&self, bytes: &[u8]) -> Result<usize, IoError> {
        self.connection.lock().endpoint.send(bytes)
    }

    /// Moves what arrived into the sending buffer, without waiting and without an own copy. The
    /// number of bytes, and whether nothing is left: then the session hears of what comes next.
    ///
    /// # Errors
    ///
    /// As [`Self::recv_now`].
    pub fn echo_now(&self) -> Result<(usize, bool), IoError> {
        let endpoint = &mut self.connection.lock().endpoint;
        let moved = endpoint.echo()?;
        Ok((moved, endpoint.is_drained()))
    }

    /// Sends what was written, and tells the peer about room that reading made.
    pub fn flush(&self) {
        if let Some(i) = interface() {
            i.flush(&self.connection, None);
        }
    }

    /// Bytes written that the peer has not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.connection.lock().endpoint.unacknowledged()
    }

    /// As [`Self::flush`], and asks to be told at `at` ([`Session::ready`], or the end of a blocking
    /// call); `FOREVER` takes the wish back. True when everything that arrived was read and the peer may still
    /// send, so that the session hears of what comes next.
    pub fn flush_until(&self, at: Instant) -> bool {
        interface().is_some_and(|i| i.flush(&self.connection, Some(at)))
    }

    /// How long the peer may take to acknowledge a kibibyte, or all that is sent if that is less; then
    /// the connection is reset. A minute unless this is called. Takes effect with the next
    /// [`Self::flush`].
    pub fn set_patience(&self, patience: Duration) {
        self.connection.lock().endpoint.set_patience(patience);
    }

    /// Ends the sending direction; what was written still goes out.
    pub fn shutdown(&self) {
        self.connection.lock().endpoint.shutdown();
        self.flush();
    }

    /// Leaves the connection: what was written still goes out, what arrives is discarded, and the
    /// stack ends it by itself in bounded time.
    pub fn close(&self) {
        let mut locked = self.connection.lock();
        if locked.slot.is_none() || locked.endpoint.is_orphan() {
            return;
        }
        locked.endpoint.close(machine::now());
        drop(locked);
        self.flush();
    }

    /// Ends the connection at once, with a reset to the peer.
    pub fn abort(&self) {
        self.connection.lock().endpoint.abort();
        self.flush();
    }

    /// True when the stack has forgotten the connection.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.connection.lock().slot.is_none()
    }

    /// Traces that a request begins on this connection.
    #[inline]
    pub fn trace_request(&self) {
        let who = name(&*self.connection);
        emit_unmasked(Kind::HttpRequestStart, Head::of(0), who, 0);
    }

    /// Traces that it was answered with `status`.
    #[inline]
    pub fn trace_reply(&self, status: u16) {
        let (who, head) = (name(&*self.connection), Head::of(u32::from(status)));
        emit_unmasked(Kind::HttpRequestEnd, head, who, 0);
    }

    /// Reads at least one byte, sleeping until there is one. `Ok(0)` means that the peer has finished
    /// sending.
    ///
    /// # Errors
    ///
    /// [`IoError::Closed`], or [`IoError::TimedOut`] after `timeout`.
    pub fn recv(
        &self,
        cx: &ThreadCx<'_>,
        buffer: &mut [u8],
        timeout: Option<Duration>,
    ) -> Result<usize, IoError> {
        self.blocking(cx, timeout, || self.recv_now(buffer))
    }

    /// Writes and sends all of `bytes`, sleeping while there is no room.
    ///
    /// # Errors
    ///
    /// [`IoError::Closed`], or [`IoError::TimedOut`] after `timeout` without any progress.
    pub fn send_all(
        &self,
        cx: &ThreadCx<'_>,
        bytes: &[u8],
        timeout: Option<Duration>,
    ) -> Result<(), IoError> {
        let mut left = bytes;
        while !left.is_empty() {
            let n = self.blocking(cx, timeout, || self.send_now(left))?;
            left = left.get(n..).unwrap_or_default();
        }
        self.flush();
        Ok(())
    }

    /// Echoes, sleeping until something was moved; `Ok(0)` at the end of the stream.
    ///
    /// # Errors
    ///
    /// As [`Self::recv`].
    pub fn echo(&self, cx: &ThreadCx<'_>, timeout: Option<Duration>) -> Result<usize, IoError> {
        let n = self.blocking(cx, timeout, || self.echo_now().map(|(n, _)| n))?;
        self.flush();
        Ok(n)
    }

    /// Repeats `attempt` until it does not ask to wait.
    fn blocking(
        &self,
        cx: &ThreadCx<'_>,
        timeout: Option<Duration>,
        mut attempt: impl FnMut() -> Result<usize, IoError>,
    ) -> Result<usize, IoError> {
        let until = timeout.map_or(Instant::FOREVER, |t| machine::now() + t);
        let mut flushed = false;
        loop {
            let seen = self.connection.news.count();
            match attempt() {
                Err(IoError::WouldBlock) if self.is_closed() => return Err(IoError::Closed),
                Err(IoError::WouldBlock) if flushed => self.connection.sleep(cx, seen, until)?,
                Err(IoError::WouldBlock) => self.flush(),
                done => return done,
            }
            flushed = true;
        }
    }
}
