//! The network: a card in the machine, a wire, and a peer with many clients at its other end.
//!
//! ```text
//!   kernel::net --- Nic ~~~ Card ===== to_peer  =====> Host (smoltcp) --- Client --- script
//!             touches    interrupts    to_kernel <====                    (coroutines)
//! ```
//!
//! The peer is a device: it lives in virtual time beside the cores. A scenario describes it with a
//! function from [`Peer`]; each client is a straight-line program ([`Client`]) that connects, sends,
//! stalls, resets and lies:
//!
//! ```
//! use sim::net::{Client, Peer};
//!
//! fn peer(peer: &mut Peer) {
//!     peer.clients(3, "greeter", |client: &Client<'_>| {
//!         let stream = client.connect(7);
//!         stream.send(b"hello").expect("a live connection");
//!         stream.finish();
//!         assert_eq!(stream.recv_to_end(), Ok(b"hello".to_vec()));
//!     });
//! }
//! ```
//!
//! Everything the network does is drawn from generators of its own: card, lanes and clients do not
//! change their minds when the kernel is interleaved in another way.

mod client;
mod dhcp;
mod host;
mod nic;
mod peer;
mod raw;
mod script;
mod signals;
mod stream;
mod wire;

use core::cell::{Cell, RefCell};
use core::net::Ipv4Addr;
use std::rc::Rc;

use kernel::thread::{ThreadCx, sleep};
use machine::{CpuId, Duration};

use crate::core::NEVER;
use crate::current;
use crate::device::int_of_line;
use crate::engine::Sim;
use crate::options::Failure;
use host::Host;
use nic::Card;
use script::{Go, Script};
use signals::Signals;
use wire::Lane;

pub(crate) use peer::build;
pub(crate) use script::note_panic;

pub use client::{Client, PATIENCE, Refused};
pub use nic::NicStats;
pub use peer::{Peer, Program};
pub use raw::{Flag, Forged};
pub use stream::{Gone, Stream};
pub use wire::WireStats;

/// The kernel's station address.
pub const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// The kernel's address, which scenarios give it by the boot argument [`STATIC`] or the peer by DHCP.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The peer's station address.
pub const PEER_MAC: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];
/// The peer's address.
pub const PEER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The boot argument that gives the kernel its address without DHCP.
pub const STATIC: &str = "ip=10.0.2.15/24,10.0.2.2";
const PREFIX: u8 = 24;

/// The card's interrupt line.
const LINE: usize = 0;

/// What the network did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NetworkStats {
    /// The card.
    pub card: NicStats,
    /// Towards the kernel.
    pub to_kernel: WireStats,
    /// Towards the peer.
    pub to_peer: WireStats,
}

/// A world's network.
pub(crate) struct Network {
    card: RefCell<Card>,
    to_peer: RefCell<Lane>,
    to_kernel: RefCell<Lane>,
    host: Rc<RefCell<Host>>,
    scripts: RefCell<Vec<Script>>,
    signals: Rc<Signals>,
    /// The clients have begun.
    begun: Cell<bool>,
    /// The kernel's side has news for the clients.
    told: Cell<bool>,
    done: Cell<bool>,
    /// When the peer wants to run.
    peer_at: Cell<u64>,
    next: Cell<u64>,
}

impl Network {
    /// Recomputes when something happens by itself.
    fn plan(&self) {
        let at = [
            self.card.borrow().next_event(),
            self.to_peer.borrow().next_event(),
            self.to_kernel.borrow().next_event(),
            self.peer_at.get(),
        ];
        self.next.set(at.into_iter().min().unwrap_or(NEVER));
    }

    /// Gives the peer's side its turn: frames that arrived, the stack, the clients.
    fn run_peer(&self, now: u64) -> Result<(), String> {
        self.host.borrow_mut().now = now;
        while let Some(frame) = self.to_peer.borrow_mut().take(now) {
            self.host.borrow_mut().receive(frame);
        }
        self.host.borrow_mut().poll();
        self.told.set(false);
        if self.begun.get() {
            let mut done = true;
            for script in self.scripts.borrow_mut().iter_mut() {
                script.go(Go::On)?;
                done &= script.is_done();
            }
            self.done.set(done);
        }
        let mut host = self.host.borrow_mut();
        host.poll();
        let mut lane = self.to_kernel.borrow_mut();
        for frame in host.card.leaving.drain(..) {
            lane.send(now, frame);
        }
        drop(lane);
        let scripts = self.scripts.borrow();
        let script = scripts.iter().map(Script::next_event).min();
        let script = script.filter(|_| self.begun.get());
        let at = host.next_event().min(script.unwrap_or(NEVER));
        // A script that waits for the present would be asked for ever.
        self.peer_at.set(at.max(now + 1));
        Ok(())
    }

    /// The peer runs at the next opportunity.
    fn wake(&self, sim: &Sim) {
        self.told.set(true);
        self.next.set(sim.clock.get());
        sim.refresh();
    }

    fn stats(&self) -> NetworkStats {
        NetworkStats {
            card: self.card.borrow().stats,
            to_kernel: self.to_kernel.borrow().stats,
            to_peer: self.to_peer.borrow().stats,
        }
    }

    /// Faults of the wire so far.
    pub(crate) fn faults(&self) -> u64 {
        self.to_kernel.borrow().stats.faults + self.to_peer.borrow().stats.faults
    }

    /// When something happens by itself.
    #[inline]
    pub(crate) fn next_event(&self) -> u64 {
        self.next.get()
    }

    /// Does what is due at the present time; afterwards the next event lies in the future.
    pub(crate) fn advance(&self, sim: &Sim) {
        let now = sim.clock.get();
        loop {
            while let Some(frame) = self.to_kernel.borrow_mut().take(now) {
                self.card.borrow_mut().arrive(now, frame);
            }
            self.card.borrow_mut().tick(now, sim, LINE);
            let due = self.to_peer.borrow().next_event().min(self.peer_at.get());
            if due <= now || self.told.get() {
                let result = self.run_peer(now);
                let said = self.signals.take_lines();
                sim.console.borrow_mut().extend_from_slice(said.as_bytes());
                if let Err(message) = result {
                    return sim.fail(Failure::Panic(message));
                }
            }
            self.plan();
            if self.next.get() > now {
                return;
            }
        }
    }
}

/// The running world and its network.
fn network() -> (&'static Sim, &'static Network) {
    let sim = current::sim().unwrap_or_else(|| panic!("a network outside a world"));
    let network = sim.devices.network();
    let network = network.unwrap_or_else(|| panic!("the scenario has no peer"));
    (sim, network)
}

/// Gives the card to the kernel and lets its interrupts through, as the metal's board does.
pub(crate) fn connect(sim: &Sim) {
    if sim.devices.network().is_none() {
        return;
    }
    let config = services::boot::network();
    match kernel::net::attach(
        Box::new(nic::Nic),
        Box::new(nic::Nic),
        int_of_line(LINE),
        &config,
    ) {
        Ok(()) => sim.enable_line(LINE, CpuId::BOOT),
        Err(e) => kernel::log!("network device: {e}"),
    }
}

/// Lets the clients begin. A kernel thread calls this once somebody listens.
pub fn begin() {
    let (sim, network) = network();
    network.begun.set(true);
    network.wake(sim);
}

/// Lets the clients begin, unless they have, and waits until every one's program has ended. A kernel
/// thread calls this.
pub fn wait_for_clients(cx: &ThreadCx<'_>) {
    begin();
    let (_, network) = network();
    wait(cx, || network.done.get());
}

/// Waits for signal `n`. A kernel thread calls this.
pub fn wait_for(cx: &ThreadCx<'_>, n: u32) {
    let (_, network) = network();
    wait(cx, || network.signals.told(n));
}

/// Sets signal `n` for the clients. A kernel thread calls this.
pub fn tell(n: u32) {
    let (sim, network) = network();
    network.signals.tell(n);
    network.wake(sim);
}

/// What the network did so far. A kernel thread calls this.
#[must_use]
pub fn stats() -> NetworkStats {
    network().1.stats()
}

/// Looks again and again, seldom when it takes long.
fn wait(cx: &ThreadCx<'_>, mut ready: impl FnMut() -> bool) {
    let mut ms = 1;
    while !ready() {
        sleep(cx, Duration::from_millis(ms));
        ms = (ms * 2).min(256);
    }
}
