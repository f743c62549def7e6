//! Network devices and connections.
//!
//! ```text
//!   interrupt ──> BH work item ──> netsvc::Stack ──> connection ──> session.ready()
//!   (device.rs)   (interface.rs)   (routes a frame)  (conn.rs)      (a service queues its item)
//!
//!   service's work item ──> Conn::recv_now, send_now ──> Conn::flush ──> device
//! ```
//!
//! One interface. Its locks, in the order they are taken: the stack (`Rank::NetStack`, BH off), one
//! connection (`Rank::Connection`, BH off), the device (`Rank::Device`, interrupts off: the handler
//! acknowledges under it). The receive ring has none: the poll item, which never runs twice at once,
//! takes it out of its place and owns it while it runs. So a received frame is read where the device
//! has put it, interrupts are never masked for longer than one frame takes to write, and a reply can
//! take the device's lock inside the connection's. Sessions are called without any lock.
//!
//! Services use [`listen`] in two forms, which may be mixed: event form ([`Session::ready`] says that
//! something happened; the session queues a work item that uses [`Conn::recv_now`]) and blocking form
//! ([`Conn::recv`] sleeps).

mod conn;
mod interface;
mod listener;
mod stats;

use core::fmt;

use machine::{IntId, NetDevice, NetRx};
use netsvc::AddressConfig;
use spin::Once;

use crate::kernel;
use crate::mem::try_box;

use alloc::boxed::Box;

pub use self::conn::Conn;
pub use self::interface::Interface;
pub use self::listener::{Acceptor, ListenError, Listener, Session, Trimmed, listen};
pub use self::stats::{NetStats, stats};
pub use netsvc::IoError;

/// Bytes of each connection's receive buffer, and so of the window it offers. Linux sends at most half of it
/// in one piece, of whole segments: here six, so that 16 KiB come in two.
pub const RECEIVE_BUFFER: usize = 18 * 1024;
/// Bytes of each connection's send buffer.
pub const SEND_BUFFER: usize = 16 * 1024;

/// System-wide network state.
pub struct System {
    interface: Once<Box<Interface>>,
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System").finish_non_exhaustive()
    }
}

impl System {
    pub(crate) const fn new() -> Self {
        Self {
            interface: Once::new(),
        }
    }
}

/// What an interface is made with.
#[derive(Clone, Copy, Debug)]
pub struct NetConfig {
    /// Where the address comes from.
    pub address: AddressConfig,
    /// Most connections served at once. A few more are let in to be told so
    /// ([`Acceptor::turn_away`]), further ones are reset.
    pub connections: usize,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            address: AddressConfig::Dhcp,
            connections: 1024,
        }
    }
}

/// Why a device could not be attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttachError {
    /// Memory is out.
    OutOfMemory,
    /// There is an interface already.
    Occupied,
    /// The interrupt table is full.
    TooManyDevices,
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfMemory => "out of memory",
            Self::Occupied => "only one network device is served",
            Self::TooManyDevices => "too many interrupts",
        })
    }
}

/// Makes `device`, whose receive ring is `receiver`, the system's network interface. Its interrupt
/// `irq` is registered here; the board enables the line afterwards.
///
/// # Errors
///
/// See [`AttachError`]; the device is dropped.
pub fn attach(
    device: Box<dyn NetDevice>,
    receiver: Box<dyn NetRx>,
    irq: IntId,
    config: &NetConfig,
) -> Result<(), AttachError> {
    let once = &kernel().net.interface;
    if once.is_completed() {
        return Err(AttachError::Occupied);
    }
    let interface = Interface::new(device, receiver, config).ok_or(AttachError::OutOfMemory)?;
    let interface = try_box(interface).map_err(|_| AttachError::OutOfMemory)?;
    let interface = once.call_once(|| interface);
    crate::irq::register(irq, interface::interrupt, 0).map_err(|_| AttachError::TooManyDevices)?;
    interface.start();
    Ok(())
}

/// The system's interface, once a device is attached.
#[must_use]
pub fn interface() -> Option<&'static Interface> {
    kernel().net.interface.get().map(|b| &**b)
}
