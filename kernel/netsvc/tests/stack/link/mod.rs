//! A stack under test and a client, joined by a wire that may lose, repeat, reorder and damage frames.
//!
//! The server's side does what the executive does, without locks: endpoints in a table by slot, free
//! ones in a pool, an echo application.

use std::collections::VecDeque;

use machine::{Duration, Instant, NetTx, TxFull};
use netsvc::{AddressConfig, Config, Endpoint, Events, IoError, Route, SlotId, Stack};
use smoltcp::iface::{Config as ClientConfig, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

pub(crate) const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(crate) const SERVER: [u8; 4] = [10, 0, 0, 1];
pub(crate) const CLIENT: [u8; 4] = [10, 0, 0, 2];

/// A small generator, so that a seed repeats a run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

/// What a wire does, in percent of frames.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) lose: u64,
    pub(crate) repeat: u64,
    pub(crate) delay: u64,
    pub(crate) damage: u64,
}

#[derive(Default)]
pub(crate) struct Wire {
    frames: Vec<(u64, u64, Vec<u8>)>,
    count: u64,
}

impl Wire {
    fn put(&mut self, now: u64, faults: Faults, random: &mut Random, mut frame: Vec<u8>) {
        if random.chance(faults.lose) {
            return;
        }
        if random.chance(faults.damage) {
            let i = random.next() as usize % frame.len();
            frame[i] ^= 1 << (random.next() % 8);
        }
        for _ in 0..=u32::from(random.chance(faults.repeat)) {
            let extra = if random.chance(faults.delay) {
                random.next() % 20_000_000
            } else {
                0
            };
            self.count += 1;
            self.frames
                .push((now + 100_000 + extra, self.count, frame.clone()));
        }
    }

    fn take(&mut self, now: u64) -> Option<Vec<u8>> {
        let i = (0..self.frames.len()).min_by_key(|&i| (self.frames[i].0, self.frames[i].1))?;
        (self.frames[i].0 <= now).then(|| self.frames.swap_remove(i).2)
    }

    fn next(&self) -> Option<u64> {
        self.frames.iter().map(|f| f.0).min()
    }
}

/// Collects what the server sends.
#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) frames: Vec<Vec<u8>>,
    /// The device has no room.
    pub(crate) full: bool,
}

impl NetTx for Sent {
    fn has_room(&mut self) -> bool {
        !self.full
    }

    fn transmit(&mut self, len: usize, fill: machine::Frame<'_>) -> Result<(), TxFull> {
        if self.full {
            return Err(TxFull);
        }
        let mut frame = vec![0; len];
        fill(&mut frame);
        self.frames.push(frame);
        Ok(())
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
}

impl Server {
    pub(crate) fn new(connections: usize, handshakes: usize) -> Self {
        let mut config = Config::new(SERVER_MAC, 0x1234_5678, [3, 5]);
        config.connections = connections;
        config.handshakes = handshakes;
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
        }
    }

    pub(crate) fn receive(&mut self, now: Instant, frame: &[u8]) {
        match self.stack.receive(now, frame, &mut self.sent) {
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
        if events.any() {
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
    to_server: Wire,
    to_client: Wire,
}

impl World {
    pub(crate) fn new(seed: u64, connections: usize, faults: Faults) -> Self {
        let mut nic = Nic::default();
        let mac = HardwareAddress::Ethernet(EthernetAddress(CLIENT_MAC));
        let mut config = ClientConfig::new(mac);
        config.random_seed = seed;
        let mut client = Interface::new(config, &mut nic, SmolInstant::ZERO);
        let address = IpCidr::new(IpAddress::v4(10, 0, 0, 2), 24);
        client.update_ip_addrs(|a| a.push(address).unwrap());
        Self {
            now: 0,
            server: Server::new(connections, connections),
            client,
            sockets: SocketSet::new(Vec::new()),
            nic,
            faults,
            random: Random(seed | 1),
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
            while let Some(frame) = self.to_server.take(self.now) {
                self.server.receive(at, &frame);
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
