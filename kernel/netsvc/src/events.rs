//! What a run of the stack changed on one connection, in the application's words.
//!
//! smoltcp does not say what a poll did. So a connection is looked at before and after, and the
//! difference is what the application hears of.

use smoltcp::socket::tcp::State;

/// What a poll changed, for the application.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct Events {
    /// The handshake is complete.
    pub established: bool,
    /// There is something to read, or the peer has finished sending.
    pub readable: bool,
    /// There is room to send, after [`Endpoint::send`](crate::Endpoint::send) had found too little.
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

/// What `Endpoint::take_events` compares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) state: State,
    pub(crate) readable: usize,
    pub(crate) queued: usize,
    pub(crate) may_recv: bool,
}
