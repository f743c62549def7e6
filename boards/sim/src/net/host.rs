//! The peer's TCP/IP: smoltcp on a card without rings, in virtual time.
//!
//! One address; its clients are told apart by port. A port that has *gone dark* belongs to a client
//! that vanished: what arrives for it is dropped without a reset.
//!
//! The kernel's stack is smoltcp, too, so a mistake both ends share would go unseen: what must not
//! depend on it (sequence numbers, checksums) scenarios check with forged frames.

use std::collections::{BTreeSet, VecDeque};

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Cidr};

use super::dhcp::Dhcp;
use super::{ADDRESS, PEER_ADDRESS, PEER_MAC, PREFIX};
use crate::core::NEVER;

/// Bytes of each of a socket's buffers, unless a client asks for others.
pub(super) const BUFFER: usize = 16 << 10;

/// Frames between the stack and the wire.
#[derive(Default)]
pub(super) struct Card {
    arrived: VecDeque<Vec<u8>>,
    pub(super) leaving: Vec<Vec<u8>>,
}

pub(super) struct Arrived(Vec<u8>);
pub(super) struct Leaving<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let r = f(&mut frame);
        self.0.push(frame);
        r
    }
}

impl Device for Card {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Leaving<'a>;

    fn receive(&mut self, _now: SmolInstant) -> Option<(Arrived, Leaving<'_>)> {
        let frame = self.arrived.pop_front()?;
        Some((Arrived(frame), Leaving(&mut self.leaving)))
    }

    fn transmit(&mut self, _now: SmolInstant) -> Option<Leaving<'_>> {
        Some(Leaving(&mut self.leaving))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut c = DeviceCapabilities::default();
        c.medium = Medium::Ethernet;
        c.max_transmission_unit = 1514;
        c
    }
}

/// The host.
pub(super) struct Host {
    interface: Interface,
    sockets: SocketSet<'static>,
    pub(super) card: Card,
    pub(super) dhcp: Dhcp,
    /// Virtual time of the present turn.
    pub(super) now: u64,
    dark: BTreeSet<u16>,
    next_port: u16,
    /// Sockets nobody holds any more that still say goodbye.
    leaving: Vec<SocketHandle>,
    /// Frames that arrived since somebody last looked.
    pub(super) heard: Vec<Vec<u8>>,
    /// Somebody wants to look at frames.
    pub(super) listening: bool,
}

fn smol(now: u64) -> SmolInstant {
    SmolInstant::from_micros((now / 1_000).cast_signed())
}

impl Host {
    pub(super) fn new(seed: u64) -> Self {
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(PEER_MAC)));
        config.random_seed = seed;
        let mut card = Card::default();
        let mut interface = Interface::new(config, &mut card, SmolInstant::ZERO);
        interface.update_ip_addrs(|list| {
            // The list is empty, so there is room.
            let _ = list.push(IpCidr::Ipv4(Ipv4Cidr::new(PEER_ADDRESS, PREFIX)));
        });
        Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            card,
            dhcp: Dhcp::default(),
            now: 0,
            dark: BTreeSet::new(),
            next_port: 49_152 + (seed % 8_192) as u16,
            leaving: Vec::new(),
            heard: Vec::new(),
            listening: false,
        }
    }

    /// A frame comes from the wire.
    pub(super) fn receive(&mut self, frame: Vec<u8>) {
        if self.listening {
            self.heard.push(frame.clone());
        }
        if let Some(answer) = self.dhcp.answer(self.now, &frame) {
            self.card.leaving.push(answer);
        } else if !tcp_port(&frame).is_some_and(|port| self.dark.contains(&port)) {
            self.card.arrived.push_back(frame);
        }
    }

    /// Runs the stack; true when a socket may have changed.
    pub(super) fn poll(&mut self) -> bool {
        let at = smol(self.now);
        let changed = self.interface.poll(at, &mut self.card, &mut self.sockets)
            == PollResult::SocketStateChanged;
        let sockets = &mut self.sockets;
        self.leaving.retain(|&handle| {
            let over = sockets.get::<Socket<'_>>(handle).state() == State::Closed;
            if over {
                sockets.remove(handle);
            }
            !over
        });
        changed
    }

    /// When the stack wants to run.
    pub(super) fn next_event(&mut self) -> u64 {
        let at = self.interface.poll_at(smol(self.now), &self.sockets);
        // What it wants now it would have done when it was polled.
        at.map_or(NEVER, |t| {
            (t.total_micros().cast_unsigned() * 1_000).max(self.now + 1_000)
        })
    }

    /// Starts a connection with buffers of `receive` and [`BUFFER`] bytes.
    pub(super) fn connect(&mut self, port: u16, receive: usize) -> (SocketHandle, u16) {
        let buffer = |n| SocketBuffer::new(vec![0; n]);
        let mut socket = Socket::new(buffer(receive), buffer(BUFFER));
        socket.set_nagle_enabled(false);
        let own = self.next_port;
        self.next_port = own.checked_add(1).unwrap_or(49_152);
        let begun = socket.connect(self.interface.context(), (ADDRESS, port), own);
        assert!(begun.is_ok(), "a connection to port {port}: {begun:?}");
        let handle = self.sockets.add(socket);
        self.poll();
        (handle, own)
    }

    pub(super) fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Lets the socket end by itself.
    pub(super) fn leave(&mut self, handle: SocketHandle) {
        self.socket(handle).close();
        self.leaving.push(handle);
        self.poll();
    }

    /// Forgets the socket without a word; its port falls silent.
    pub(super) fn vanish(&mut self, handle: SocketHandle, port: u16) {
        self.sockets.remove(handle);
        self.dark.insert(port);
    }
}

/// The destination port of a TCP frame.
fn tcp_port(frame: &[u8]) -> Option<u16> {
    if frame.get(12..14)? != [8, 0] || *frame.get(23)? != 6 {
        return None;
    }
    let tcp = 14 + usize::from(frame[14] & 15) * 4;
    let port = frame.get(tcp + 2..tcp + 4)?;
    Some(u16::from_be_bytes([port[0], port[1]]))
}
