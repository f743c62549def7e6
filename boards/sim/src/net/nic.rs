//! The network card, and its driver: rings of bounded size and interrupts that can be suppressed.
//!
//! The rules are virtio's (1.2 2.7), taken strictly: the card sees transmitted frames only once it is
//! told ([`NetDevice::flush`]); a card that ran out of receive buffers drops frames until it is told
//! of new ones; a frame that comes while interrupts are off causes none later; the cause of an
//! interrupt stays set until acknowledged, and while it is set there is no further edge. Every
//! access is an interleaving point, so the card may act between any two of them.
//!
//! The kernel owns a [`Nic`], which is only a name; the state is the world's.

use std::collections::VecDeque;

use machine::{Frame, NetDevice, NetRx, NetTx, Received, TxFull};

use super::{MAC, Network, network};
use crate::core::NEVER;
use crate::device::touch;
use crate::engine::Sim;
use crate::reclaim::outside;
use crate::rng::Rng;

/// Largest Ethernet frame, without its checksum.
const MAX_FRAME: usize = 1514;

/// What the card counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NicStats {
    /// Frames the kernel sent.
    pub transmitted: u64,
    /// Frames put into the kernel's buffers.
    pub received: u64,
    /// Frames dropped because the kernel had no buffer ready.
    pub overrun: u64,
    /// Edges on the interrupt line.
    pub interrupts: u64,
    /// Times the kernel found the transmit ring full.
    pub full: u64,
}

/// The card's side of its rings.
pub(super) struct Card {
    /// Buffers the card may fill.
    posted: usize,
    /// The card ran out of buffers and waits to be told of more.
    starved: bool,
    /// Filled buffers the driver has not taken.
    filled: VecDeque<Vec<u8>>,
    receive_interrupts: bool,
    /// Unused transmit buffers.
    free: usize,
    /// Frames the card has not been told of.
    staged: Vec<Vec<u8>>,
    /// When each frame told of is out.
    sending: VecDeque<u64>,
    /// The driver wants an interrupt for the next completion.
    waiting: bool,
    /// The cause of an interrupt has not been acknowledged.
    cause: bool,
    /// When the line is raised.
    raise_at: u64,
    /// Nanoseconds a byte takes to leave.
    byte_ns: u64,
    /// The interrupt goes to any core, not always to the one the board said.
    wanders: bool,
    /// Longest time between a cause and its edge.
    delay: u32,
    rng: Rng,
    pub(super) stats: NicStats,
}

impl Card {
    pub(super) fn new(rng: Rng, byte_ns: u64) -> Self {
        // Small rings run full and dry, large ones let the kernel's budgets end first.
        let size = [8, 16, 64, 128][rng.below(4) as usize];
        Self {
            posted: size,
            starved: false,
            filled: VecDeque::with_capacity(size),
            receive_interrupts: false,
            free: size,
            staged: Vec::with_capacity(size),
            sending: VecDeque::with_capacity(size),
            waiting: false,
            cause: false,
            raise_at: NEVER,
            byte_ns,
            wanders: rng.one_in(2),
            delay: [1, 1_000, 20_000][rng.below(3) as usize],
            rng,
            stats: NicStats::default(),
        }
    }

    /// When the card does something by itself.
    pub(super) fn next_event(&self) -> u64 {
        let sent = self.sending.front().copied().filter(|_| self.waiting);
        self.raise_at.min(sent.unwrap_or(NEVER))
    }

    /// A frame comes from the wire.
    pub(super) fn arrive(&mut self, now: u64, frame: Vec<u8>) {
        if self.posted == 0 {
            self.starved = true;
        }
        if self.starved {
            self.stats.overrun += 1;
            return;
        }
        self.posted -= 1;
        self.stats.received += 1;
        self.filled.push_back(frame);
        if self.receive_interrupts {
            self.interrupt(now);
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: u64, sim: &Sim, line: usize) {
        if self.waiting && self.sending.front().is_some_and(|&at| at <= now) {
            self.waiting = false;
            self.interrupt(now);
        }
        if self.raise_at <= now {
            self.raise_at = NEVER;
            self.stats.interrupts += 1;
            if self.wanders {
                sim.route_line(line, &self.rng);
            }
            sim.raise_line(line);
        }
    }

    fn interrupt(&mut self, now: u64) {
        if !self.cause {
            self.cause = true;
            self.raise_at = now + u64::from(self.rng.below(self.delay));
        }
    }

    /// Takes back the buffers of frames that are out.
    fn reap(&mut self, now: u64) {
        while self.sending.front().is_some_and(|&at| at <= now) {
            self.sending.pop_front();
            self.free += 1;
        }
    }
}

/// The kernel's handle to the world's network card.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nic;

/// What the kernel does to the card, as the trace numbers it.
#[derive(Clone, Copy)]
enum Access {
    Receive,
    Acknowledge,
    Suppress,
    Allow,
    Kick,
    Reap,
}

impl Nic {
    /// An access of the driver's.
    fn access<R>(access: Access, f: impl FnOnce(&Network, &mut Card, u64) -> R) -> R {
        let (sim, network) = network();
        touch(sim, access as u64);
        let now = sim.clock.get();
        let r = outside(|| f(network, &mut network.card.borrow_mut(), now));
        network.plan();
        sim.refresh();
        r
    }

    /// Tells the card of the frames it has been given: they go out one after the other.
    fn kick(network: &Network, card: &mut Card, now: u64) {
        let mut lane = network.to_peer.borrow_mut();
        for frame in card.staged.drain(..) {
            let start = card.sending.back().map_or(now, |&at| at.max(now));
            let out = start + frame.len() as u64 * card.byte_ns;
            card.sending.push_back(out);
            lane.send(out, frame);
        }
    }
}

impl NetTx for Nic {
    fn has_room(&mut self) -> bool {
        let room = Self::access(Access::Reap, |_, card, now| {
            if card.free == 0 {
                card.reap(now);
            }
            card.free > 0
        });
        if room {
            return true;
        }
        Self::access(Access::Kick, |network, card, now| {
            card.stats.full += 1;
            card.waiting = true;
            Self::kick(network, card, now);
        });
        Self::access(Access::Reap, |_, card, now| {
            card.reap(now);
            card.free > 0
        })
    }

    fn transmit(&mut self, len: usize, fill: Frame<'_>) -> Result<bool, TxFull> {
        assert!(len <= MAX_FRAME, "the kernel sends a frame of {len} bytes");
        if !self.has_room() {
            return Err(TxFull);
        }
        let mut frame = outside(|| vec![0; len]);
        fill(&mut frame);
        let (_, network) = network();
        let mut card = network.card.borrow_mut();
        card.free -= 1;
        card.stats.transmitted += 1;
        card.staged.push(frame);
        // So that it is asked each time, which faults want.
        Ok(false)
    }
}

impl NetDevice for Nic {
    fn mac(&self) -> [u8; 6] {
        MAC
    }

    fn acknowledge(&mut self) -> bool {
        Self::access(Access::Acknowledge, |_, card, _| {
            card.waiting = false;
            core::mem::take(&mut card.cause)
        })
    }

    fn set_interrupts(&mut self, on: bool) {
        let how = if on { Access::Allow } else { Access::Suppress };
        Self::access(how, |_, card, _| card.receive_interrupts = on);
    }

    fn flush(&mut self) {
        Self::access(Access::Kick, |network, card, now| {
            card.reap(now);
            Self::kick(network, card, now);
        });
    }
}

impl NetRx for Nic {
    fn receive(&mut self, f: &mut dyn FnMut(Received<'_>)) -> bool {
        let taken = Self::access(Access::Receive, |_, card, _| card.filled.pop_front());
        let Some(frame) = taken else {
            return false;
        };
        f(Received {
            bytes: &frame,
            vouched: false,
        });
        let (_, network) = network();
        network.card.borrow_mut().posted += 1;
        outside(|| drop(frame));
        true
    }

    fn is_waiting(&mut self) -> bool {
        Self::access(Access::Receive, |_, card, _| !card.filled.is_empty())
    }

    fn refill(&mut self) {
        Self::access(Access::Kick, |_, card, _| card.starved = false);
    }
}
