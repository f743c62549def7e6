//! The stack: one interface shared by all connections, and the tables that route a frame to one.
//!
//! A received frame takes one of three ways ([`Route`]): it belongs to a connection, whose owner then
//! calls [`Stack::deliver`] with that connection's endpoint; it opens one ([`Stack::open`]); or the
//! stack has dealt with it (ARP, ping, UDP echo, DHCP, TIME-WAIT, resets). The stack does not keep
//! endpoints: they stand under their connections' locks, the stack under its own.
//!
//! Invariants: a flow is in the table while its slot or its TIME-WAIT record lives; a slot is either
//! free or in the table; no method's work grows with the number of connections. Initial sequence
//! numbers come from smoltcp's generator, seeded by [`Config::random_seed`].

mod address;
mod connection;
mod frames;

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use machine::{Instant, NetTx, Offers, TxFull};
use smoltcp::iface::{Config as InterfaceConfig, Interface, SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Cidr};

use crate::address::AddressConfig;
use crate::buffer::try_with_capacity;
use crate::flow::FlowTable;
use crate::frame::Segment;
use crate::phy::{Link, OneFrame, OnePacket, Sender, Sending};
use crate::smol;
use crate::stats::Stats;
use crate::time_wait::TimeWait;
use crate::wheel::Wheel;

/// What a stack is made from.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Station address.
    pub mac: [u8; 6],
    /// Where the IP address comes from.
    pub address: AddressConfig,
    /// Entropy for initial sequence numbers and DHCP transactions.
    pub random_seed: u64,
    /// Entropy for the flow table.
    pub hash_key: [u64; 2],
    /// Most connections at once.
    pub connections: usize,
    /// Most unfinished handshakes at once.
    pub handshakes: usize,
    /// Most TIME-WAIT records at once.
    pub time_wait: usize,
    /// Answer UDP port 7.
    pub udp_echo: bool,
    /// What may be left to the device.
    pub offers: Offers,
}

impl Config {
    /// The defaults for a station.
    #[must_use]
    pub fn new(mac: [u8; 6], random_seed: u64, hash_key: [u64; 2]) -> Self {
        Self {
            mac,
            address: AddressConfig::Dhcp,
            random_seed,
            hash_key,
            connections: 1024,
            handshakes: 512,
            time_wait: 2048,
            udp_echo: true,
            offers: Offers::default(),
        }
    }
}

/// Number of a connection's slot; meaningful until its `closed` event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotId(u32);

impl SlotId {
    /// The slot as an index below [`Config::connections`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a received frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Route {
    /// Nowhere: the stack has dealt with it.
    Done,
    /// To a connection: call [`Stack::deliver`].
    Flow(SlotId, Segment),
    /// It opens a connection: call [`Stack::open`], or [`Stack::refuse`] without memory for one.
    Open(Segment),
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    handshake: bool,
}

/// Marks a TIME-WAIT index among the flow table's values.
const TIME_WAIT: u32 = 1 << 31;
const MAX_LISTENERS: usize = 8;
/// In the first byte of a link's address: of many stations.
const GROUP: u8 = 1;

/// The shared part of a network stack.
pub struct Stack {
    /// For what belongs to no connection: ARP, ping, DHCP, resets.
    interface: Interface,
    /// For connections, which know the stations they talk to: packets without the link's header, and any
    /// address, since what arrives was routed.
    packets: Interface,
    mac: EthernetAddress,
    local: u32,
    flows: FlowTable,
    slots: Vec<Slot>,
    free: Vec<u32>,
    handshakes: usize,
    handshake_limit: usize,
    time_wait: TimeWait,
    wheel: Wheel,
    listeners: [u16; MAX_LISTENERS],
    udp_echo: bool,
    nobody: SocketSet<'static>,
    dhcp: Option<(SocketSet<'static>, SocketHandle)>,
    dhcp_due: Instant,
    sender: Sender,
    offers: Offers,
    stats: Stats,
}

impl core::fmt::Debug for Stack {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stack")
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// A device without room, to ask smoltcp nothing but to remember the capabilities.
struct NoDevice;

impl NetTx for NoDevice {
    fn transmit(&mut self, _len: usize, _fill: machine::Frame<'_>) -> Result<bool, TxFull> {
        Err(TxFull)
    }
}

impl Stack {
    /// A stack, or `None` when memory is out.
    #[must_use]
    pub fn new(config: &Config, now: Instant) -> Option<Self> {
        let mac = EthernetAddress(config.mac);
        let mut sender = Sender::new(config.offers)?;
        let (mut none, how) = (NoDevice, Sending::of(config.offers));
        let mut iface = InterfaceConfig::new(HardwareAddress::Ethernet(mac));
        // Two generators, so that DHCP's transactions tell nothing of sequence numbers.
        iface.random_seed = config.random_seed.rotate_left(32);
        let mut device = OneFrame::new(None, &mut none, &mut sender, how);
        let interface = Interface::new(iface, &mut device, smol(now));
        let mut iface = InterfaceConfig::new(HardwareAddress::Ip);
        iface.random_seed = config.random_seed;
        let mut device = OnePacket::new(None, Link::default(), &mut none, &mut sender, how);
        let mut packets = Interface::new(iface, &mut device, smol(now));
        packets.set_any_ip(true);
        let mut slots = try_with_capacity(config.connections)?;
        slots.resize(config.connections, Slot::default());
        let mut free = try_with_capacity(config.connections)?;
        free.extend((0..config.connections as u32).rev());
        let mut stack = Self {
            interface,
            packets,
            mac,
            local: 0,
            flows: FlowTable::new(
                config.connections + config.time_wait.max(1),
                config.hash_key,
            )?,
            slots,
            free,
            handshakes: 0,
            handshake_limit: config.handshakes,
            time_wait: TimeWait::new(config.time_wait)?,
            wheel: Wheel::new(config.connections)?,
            listeners: [0; MAX_LISTENERS],
            udp_echo: config.udp_echo,
            nobody: SocketSet::new(Vec::new()),
            dhcp: None,
            dhcp_due: Instant::FOREVER,
            sender,
            offers: config.offers,
            stats: Stats::default(),
        };
        match config.address {
            AddressConfig::Static {
                address,
                prefix,
                gateway,
            } => {
                stack.set_address(Some(Ipv4Cidr::new(address, prefix)), gateway);
            }
            AddressConfig::Dhcp => {
                let mut set = SocketSet::new(try_with_capacity(1)?);
                let handle = set.add(dhcpv4::Socket::new());
                stack.dhcp = Some((set, handle));
                stack.dhcp_due = now;
            }
        }
        Some(stack)
    }

    /// Own address and prefix length, once there is one.
    #[must_use]
    pub fn address(&self) -> Option<(Ipv4Addr, u8)> {
        self.interface
            .ip_addrs()
            .iter()
            .map(|IpCidr::Ipv4(c)| (c.address(), c.prefix_len()))
            .next()
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Connections at this moment, handshakes included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Most connections at once.
    #[must_use]
    pub fn connection_limit(&self) -> usize {
        self.slots.len()
    }

    /// Unfinished handshakes at this moment.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.handshakes
    }

    /// TIME-WAIT records at this moment.
    #[must_use]
    pub fn time_waits(&self) -> usize {
        self.time_wait.len()
    }

    /// Accepts connections on `port`. False when too many ports are open.
    pub fn listen(&mut self, port: u16) -> bool {
        if port == 0 || self.listens(port) {
            return port != 0;
        }
        let free = self.listeners.iter_mut().find(|p| **p == 0);
        free.map(|p| *p = port).is_some()
    }

    /// Stops accepting on `port`; connections stay.
    pub fn unlisten(&mut self, port: u16) {
        self.listeners
            .iter_mut()
            .filter(|p| **p == port)
            .for_each(|p| *p = 0);
    }

    fn listens(&self, port: u16) -> bool {
        port != 0 && self.listeners.contains(&port)
    }

    /// When [`Self::tick`] is due next.
    #[inline]
    #[must_use]
    pub fn next_timer(&self) -> Instant {
        self.wheel.next().min(self.dhcp_due)
    }

    /// Runs the stack's own timers. Then call [`Self::pop_due`] until it returns `None`.
    pub fn tick(&mut self, now: Instant, tx: &mut dyn NetTx) {
        self.wheel.advance(now);
        if now >= self.dhcp_due {
            self.run_dhcp(now, None, tx);
        }
    }

    /// Takes one connection that wants [`Self::poll`]: its timer is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<SlotId> {
        self.wheel.pop_due(now).map(|i| SlotId(i as u32))
    }
}
