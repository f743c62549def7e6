//! A scenario's description of what is at the other end of the wire.

use core::cell::{Cell, RefCell};
use core::fmt;
use std::rc::Rc;

use machine::Duration;

use super::Network;
use super::client::Client;
use super::host::Host;
use super::nic::Card;
use super::script::Script;
use super::signals::Signals;
use super::wire::Lane;
use crate::faults::{Faults, Kinds, Packets};
use crate::rng::Rng;

/// What a client does, from its start to its end.
pub type Program = fn(&Client<'_>);

/// The other end, in the making.
pub struct Peer {
    rng: Rng,
    packets: Packets,
    answers_from: Option<Duration>,
    clients: Vec<(String, Program)>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("clients", &self.clients.len())
            .finish_non_exhaustive()
    }
}

impl Peer {
    /// Adds a client that runs `body`.
    pub fn client(&mut self, name: &str, body: Program) {
        self.clients.push((name.to_owned(), body));
    }

    /// Adds `n` clients that run `body`.
    pub fn clients(&mut self, n: usize, name: &str, body: Program) {
        for i in 0..n {
            self.clients.push((format!("{name} {i}"), body));
        }
    }

    /// Random numbers for choices about the peer.
    #[must_use]
    pub const fn rng(&self) -> &Rng {
        &self.rng
    }

    /// What happens to packets, whatever faults the run asks for.
    pub fn wire(&mut self, packets: Packets) {
        self.packets = packets;
    }

    /// From when on DHCP is answered; never, unless told.
    pub fn dhcp_from(&mut self, start: Duration) {
        self.answers_from = Some(start);
    }
}

/// The network of a world under `seed`, as `describe` wants it.
pub(crate) fn build(seed: u64, faults: Faults, describe: fn(&mut Peer)) -> Network {
    let rng = Rng::new(seed ^ 0x6e65_7477_6f72_6b73);
    let [card, wire, host, peer, clients] = core::array::from_fn(|_| rng.fork());
    let packets = match faults.kinds.has(Kinds::PACKETS) {
        true => faults.packets,
        false => Packets::NONE,
    };
    let mut peer = Peer {
        rng: peer,
        packets,
        answers_from: None,
        clients: Vec::new(),
    };
    describe(&mut peer);
    let mut shared = Host::new(host.next());
    shared.dhcp.answers_from = peer.answers_from;
    let shared = Rc::new(RefCell::new(shared));
    let signals = Rc::new(Signals::default());
    let all = peer.clients.into_iter().enumerate();
    let scripts = all.map(|(number, (name, body))| {
        let own = clients.fork();
        let (host, signals) = (Rc::clone(&shared), Rc::clone(&signals));
        Script::new(name, number, own, host, signals, body)
    });
    // From a neighbouring machine to another town.
    let latency = [5_000, 50_000, 2_000_000][wire.below(3) as usize];
    // A gigabit or a tenth of it a second.
    let byte_ns = [8, 80][wire.below(2) as usize];
    let lane = || RefCell::new(Lane::new(wire.next(), latency, byte_ns, peer.packets));
    Network {
        card: RefCell::new(Card::new(card, byte_ns)),
        to_peer: lane(),
        to_kernel: lane(),
        scripts: RefCell::new(scripts.collect()),
        host: shared,
        signals,
        begun: Cell::new(false),
        told: Cell::new(false),
        done: Cell::new(false),
        peer_at: Cell::new(0),
        next: Cell::new(0),
    }
}
