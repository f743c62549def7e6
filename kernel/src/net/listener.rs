//! Ports that accept connections, and what services implement.

use alloc::sync::Arc;
use core::fmt;

use heapless::Vec;
use sync::{BhOff, Rank, SpinLock};

use super::conn::Connection;
use super::{Conn, Interface, interface};

/// Most ports that accept connections.
const MAX_PORTS: usize = 8;

/// What a service does with new connections.
pub trait Acceptor: Send + Sync {
    /// A connection is established. BH context, without locks. The session returned hears of
    /// everything that happens on it; without one the connection is closed.
    fn accept(&self, conn: Conn) -> Option<Arc<dyn Session>>;
}

/// What a service keeps for one connection.
pub trait Session: Send + Sync {
    /// Something happened: bytes or the end of the stream arrived, there is room to send again, the
    /// deadline passed, or the connection is over. BH or thread context, without locks; usually
    /// queues a work item.
    fn ready(&self);
}

/// Why a port could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListenError {
    /// There is no network device.
    NoInterface,
    /// The port is taken.
    InUse,
    /// Too many ports are open.
    TooManyPorts,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoInterface => "no network device",
            Self::InUse => "port in use",
            Self::TooManyPorts => "too many open ports",
        })
    }
}

type PortList = Vec<(u16, Arc<dyn Acceptor>), MAX_PORTS>;

/// Acceptors by port.
pub(super) struct Ports {
    list: SpinLock<PortList, BhOff>,
}

impl Ports {
    pub(super) const fn new() -> Self {
        Self {
            list: SpinLock::new(Rank::Leaf, "ports", Vec::new()),
        }
    }

    /// Hands a new connection to its port's acceptor; called without locks.
    pub(super) fn accept(&self, connection: &Arc<Connection>) {
        let port = connection.local_port();
        let acceptor = self
            .list
            .lock()
            .iter()
            .find(|(p, _)| *p == port)
            .map(|(_, a)| Arc::clone(a));
        let conn = Conn::owned(Arc::clone(connection));
        // Without an acceptor (the port was closed meanwhile) the handle's drop closes.
        if let Some(session) = acceptor.and_then(|a| a.accept(conn)) {
            connection.set_session(session);
        }
    }
}

/// A port that accepts connections until this is dropped. Its connections live on.
pub struct Listener {
    interface: &'static Interface,
    port: u16,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Accepts connections on `port`.
///
/// # Errors
///
/// See [`ListenError`].
pub fn listen(port: u16, acceptor: Arc<dyn Acceptor>) -> Result<Listener, ListenError> {
    let interface = interface().ok_or(ListenError::NoInterface)?;
    let mut list = interface.ports.list.lock();
    if list.iter().any(|(p, _)| *p == port) {
        return Err(ListenError::InUse);
    }
    list.push((port, acceptor))
        .map_err(|_| ListenError::TooManyPorts)?;
    drop(list);
    let listener = Listener { interface, port };
    if interface.open_port(port) {
        Ok(listener)
    } else {
        Err(ListenError::TooManyPorts)
    }
}

impl Listener {
    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops accepting; connections live on.
    pub fn stop_accepting(&self) {
        self.interface.close_port(self.port);
        let mut list = self.interface.ports.list.lock();
        let found = list.iter().position(|(p, _)| *p == self.port);
        let old = found.map(|i| list.swap_remove(i));
        drop(list);
        drop(old);
    }

    /// Closes every connection of this port: politely, or with a reset.
    pub fn close_connections(&self, reset: bool) {
        self.interface
            .for_each_on(self.port, |c| if reset { c.abort() } else { c.close() });
    }

    /// Connections of this port at this moment.
    #[must_use]
    pub fn connections(&self) -> usize {
        let mut n = 0;
        self.interface.for_each_on(self.port, |_| n += 1);
        n
    }

    /// Frees the memory kept for further connections.
    pub fn trim(&self) {
        self.interface.trim();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop_accepting();
    }
}
