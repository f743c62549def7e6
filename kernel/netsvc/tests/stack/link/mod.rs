//! A stack under test and a client, joined by a wire that may lose, repeat, reorder and damage frames.
//!
//! The server's side does what the executive does, without locks: endpoints in a table by slot, free
//! ones in a pool, an echo application.

mod offload;
mod wire;

use std::collections::VecDeque;

use machine::{Duration, Instant, NetTx, Offers, Received, TxFull};
use netsvc::{AddressConfig, Config, Endpoint, Events, IoError, Route, SlotId, Stack};
use smoltcp::iface::{Config as ClientConfig, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use self::wire::Wire;
pub(crate) use self::wire::{Faults, Random};

pub(crate) const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(crate) const SERVER: [u8; 4] = [10, 0, 0, 1];
pub(crate) const CLIENT: [u8; 4] = [10, 0, 0, 2];

/// Collects what the server sends.
#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) frames: Vec<Vec<u8>>,
    /// The device has no room.
    pub(crate) full: bool,
    /// Bytes of the largest frame that the stack sent.
    pub(crate) largest: usize,
}

impl NetTx for Sent {
    fn has_room(&mut self) -> bool {
        !self.full
    }

    fn transmit(&mut self, len: usize, fill: machine::Frame<'_>) -> Result<bool, TxFull> {
        if self.full {
            return Err(TxFull);
        }
        let mut frame = vec![0; len];
        let finish = fill(&mut frame);
        self.largest = self.largest.max(len);
        self.frames.extend(offload::cut(frame, finish));
        // What a test makes full, it does between two frames.
        Ok(false)
    }
}

/// The stack with an echo application.
pub(crate) struct Server {
    pub(crate) stack: Stack,
    pub(crate) endpoints: Vec<Option<Endpoint>>,
    slots: Vec<Option<SlotId>>,
    pub(crate) pool: Vec<Endpoint>,
    /// Every endpoint ever made.
    pub(crate) made: usize,
    pub(crate) sent: Sent,
    /// The application does nothing.
    pub(crate) silent: bool,
}

impl Server {
    pub(crate) fn new(connections: usize, handshakes: usize) -> Self {
        Self::with(connections, handshakes, Offers::default())
    }

    /// A server whose device does more than move frames.
    pub(crate) fn with(connections: usize, handshakes: usize, offers: Offers) -> Self {
        let mut config = Config::new(SERVER_MAC, 0x1234_5678, [3, 5]);
        config.connections = connections;
        config.handshakes = handshakes;
        config.offers = offers;
        config.address = AddressConfig::Static {
            address: SERVER.into(),
            prefix: 24,
            gateway: None,
        };
        let mut stack = Stack::new(&config, Instant::ZERO).unwrap();
        assert!(stack.listen(7));
        Self {
            stack,
            endpoints: (0..connections).map(|_| None).collect(),
            slots: vec![None; connections],
            pool: Vec::new(),
            made: 0,
            sent: Sent::default(),
            silent: false,
        }
    }

    pub(crate) fn receive(&mut self, now: Instant, frame: &[u8]) {
        self.take(now, frame, false);
    }

    fn take(&mut self, now: Instant, frame: &[u8], vouched: bool) {
        let received = Received {
            bytes: frame,
            vouched,
        };
        match self.stack.receive(now, received, &mut self.sent) {
            Route::Done => {}
            Route::Flow(slot, segment) => {
                let mut e = self.endpoints[slot.index()]
                    .take()
                    .expect("routed to an empty slot");
                let events = self
                    .stack
                    .deliver(now, slot, &segment, frame, &mut e, &mut self.sent);
                self.after(now, slot, e, events);
            }
            Route::Open(segment) => {
                let mut e = self.pool.pop().unwrap_or_else(|| {
                    self.made += 1;
                    Endpoint::new(4096, 8192).unwrap()
                });
                match self
                    .stack
                    .open(now, &segment, frame, &mut e, &mut self.sent)
                {
                    Some(slot) => {
                        self.slots[slot.index()] = Some(slot);
                        self.endpoints[slot.index()] = Some(e);
                    }
                    None => self.pool.push(e),
                }
            }
        }
        self.due(now);
    }

    /// Polls every connection, as its application's flush would.
    pub(crate) fn flush(&mut self, now: Instant) {
        for slot in self.slots.clone().into_iter().flatten() {
            if let Some(mut e) = self.endpoints[slot.index()].take() {
                let events = self.stack.poll(now, slot, &mut e, &mut self.sent);
                self.after(now, slot, e, events);
            }
        }
    }

    pub(crate) fn due(&mut self, now: Instant) {
        self.stack.tick(now, &mut self.sent);
        while let Some(slot) = self.stack.pop_due(now) {
            if let Some(mut e) = self.endpoints[slot.index()].take() {
                let events = self.stack.poll(now, slot, &mut e, &mut self.sent);
                self.after(now, slot, e, events);
            }
        }
    }

    fn after(&mut self, now: Instant, slot: SlotId, mut e: Endpoint, events: Events) {
        if events.closed {
            self.pool.push(e);
            return;
        }
        if events.any() && !self.silent {
            loop {
                match e.echo() {
                    Ok(0) => break e.close(now),
                    Err(IoError::Closed) => break e.abort(),
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
            let events = self.stack.poll(now, slot, &mut e, &mut self.sent);
            if events.closed {
                self.pool.push(e);
                return;
            }
        }
        self.endpoints[slot.index()] = Some(e);
    }

    pub(crate) fn open_endpoints(&self) -> usize {
        self.endpoints.iter().flatten().count()
    }
}

#[derive(Default)]
pub(crate) struct Nic {
    rx: VecDeque<Vec<u8>>,
    tx: Vec<Vec<u8>>,
}

pub(crate) struct NicRx(Vec<u8>);
pub(crate) struct NicTx<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for NicRx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for NicTx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let r = f(&mut frame);
        self.0.push(frame);
        r
    }
}

impl Device for Nic {
    type RxToken<'a> = NicRx;
    type TxToken<'a> = NicTx<'a>;

    fn receive(&mut self, _now: SmolInstant) -> Option<(NicRx, NicTx<'_>)> {
        let frame = self.rx.pop_front()?;
        Some((NicRx(frame), NicTx(&mut self.tx)))
    }

    fn transmit(&mut self, _now: SmolInstant) -> Option<NicTx<'_>> {
        Some(NicTx(&mut self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut c = DeviceCapabilities::default();
        c.medium = Medium::Ethernet;
        c.max_transmission_unit = 1514;
        c
    }
}

/// Server, client and the wire between them.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) server: Server,
    pub(crate) client: Interface,
    pub(crate) sockets: SocketSet<'static>,
    pub(crate) nic: Nic,
    pub(crate) faults: Faults,
    pub(crate) random: Random,
    /// The server's device joins segments.
    joins: bool,
    /// Frames that it made so.
    pub(crate) joined: usize,
    to_server: Wire,
    to_client: Wire,
}

impl World {
    pub(crate) fn new(seed: u64, connections: usize, faults: Faults) -> Self {
        Self::with(seed, connections, faults, Offers::default())
    }

    /// A world whose server's device does more than move frames, and joins segments if it cuts them.
    pub(crate) fn with(seed: u64, connections: usize, faults: Faults, offers: Offers) -> Self {
        let mut nic = Nic::default();
        let mac = HardwareAddress::Ethernet(EthernetAddress(CLIENT_MAC));
        let mut config = ClientConfig::new(mac);
        config.random_seed = seed;
        let mut client = Interface::new(config, &mut nic, SmolInstant::ZERO);
        let address = IpCidr::new(IpAddress::v4(10, 0, 0, 2), 24);
        client.update_ip_addrs(|a| a.push(address).unwrap());
        Self {
            now: 0,
            server: Server::with(connections, connections, offers),
            client,
            sockets: SocketSet::new(Vec::new()),
            nic,
            faults,
            random: Random(seed | 1),
            joins: offers.cuts > 0,
            joined: 0,
            to_server: Wire::default(),
            to_client: Wire::default(),
        }
    }

    pub(crate) fn at(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    fn smol(&self) -> SmolInstant {
        SmolInstant::from_micros((self.now / 1000) as i64)
    }

    pub(crate) fn connect(&mut self, port: u16) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 8192]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket
            .connect(self.client.context(), (IpAddress::v4(10, 0, 0, 1), 7), port)
            .unwrap();
        self.sockets.add(socket)
    }

    pub(crate) fn socket(&mut self, h: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(h)
    }

    /// Lets everything that is due now happen.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut quiet = true;
            let at = self.at();
            self.server.due(at);
            let mut next = self.to_server.take(self.now);
            while let Some(mut frame) = next {
                next = self.to_server.take(self.now);
                let mut joined = false;
                while self.joins && next.as_ref().is_some_and(|n| offload::join(&mut frame, n)) {
                    next = self.to_server.take(self.now);
                    joined = true;
                }
                self.joined += usize::from(joined);
                self.server.take(at, &frame, joined);
                quiet = false;
            }
            while let Some(frame) = self.to_client.take(self.now) {
                self.nic.rx.push_back(frame);
                quiet = false;
            }
            self.client
                .poll(self.smol(), &mut self.nic, &mut self.sockets);
            for frame in std::mem::take(&mut self.nic.tx) {
                self.to_server
                    .put(self.now, self.faults, &mut self.random, frame);
                quiet = false;
            }
            for frame in std::mem::take(&mut self.server.sent.frames) {
                self.to_client
                    .put(self.now, self.faults, &mut self.random, frame);
                quiet = false;
            }
            if quiet {
                return;
            }
        }
    }

    /// Steps to the next event, at most `limit` ahead.
    pub(crate) fn step(&mut self, limit: Duration) {
        self.settle();
        let end = self.now + limit.as_nanos();
        let client = self.client.poll_at(self.smol(), &self.sockets);
        let client = client.map_or(u64::MAX, |t| t.total_micros() as u64 * 1000);
        let wires = [self.to_server.next(), self.to_client.next()];
        let wire = wires.iter().flatten().copied().min().unwrap_or(u64::MAX);
        let server = self.server.stack.next_timer().as_nanos();
        self.now = client.min(wire).min(server).clamp(self.now + 1_000, end);
        self.settle();
    }

    /// Steps until `done` or for at most `limit` of virtual time; whether it was done.
    pub(crate) fn until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let end = self.now + limit.as_nanos();
        while self.now < end {
            if done(self) {
                return true;
            }
            self.step(Duration::from_millis(500));
        }
        done(self)
    }
}
