//! Ports that accept connections, and what services implement.

use alloc::sync::Arc;
use core::fmt;
use core::ops::AddAssign;

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

    /// A connection beyond the limit is established: tell the peer, if the service has words for
    /// that, and let go. Context as for [`Self::accept`].
    fn turn_away(&self, conn: Conn) {
        drop(conn);
    }

    /// Frees what is kept for connections and was not needed since the last call. Called once a
    /// second in thread context, for as long as something is kept.
    fn trim(&self) -> Trimmed {
        Trimmed::default()
    }
}

/// What a trim did, in places for connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trimmed {
    /// Freed now.
    pub freed: usize,
    /// Kept for connections to come.
    pub kept: usize,
}

impl AddAssign for Trimmed {
    fn add_assign(&mut self, other: Self) {
        self.freed += other.freed;
        self.kept += other.kept;
    }
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
        let (port, outside) = connection.port_and_place();
        let acceptor = self
            .list
            .lock()
            .iter()
            .find(|(p, _)| *p == port)
            .map(|(_, a)| Arc::clone(a));
        let conn = Conn::owned(Arc::clone(connection));
        let session = match acceptor {
            Some(a) if outside => {
                a.turn_away(conn);
                None
            }
            Some(a) => a.accept(conn),
            // The port was closed meanwhile: the handle's drop closes.
            None => None,
        };
        if let Some(session) = session {
            connection.set_session(session);
        }
    }

    /// Lets every acceptor give back what it does not need; thread context, without locks.
    pub(super) fn trim(&self) -> Trimmed {
        let acceptors: Vec<Arc<dyn Acceptor>, MAX_PORTS> = self
            .list
            .lock()
            .iter()
            .map(|(_, a)| Arc::clone(a))
            .collect();
        let mut all = Trimmed::default();
        acceptors.iter().for_each(|a| all += a.trim());
        all
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
