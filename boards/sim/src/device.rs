//! Devices outside the cores, and their interrupt lines.
//!
//! A device acts at virtual times it names itself ([`Devices::next_event`]). Its code runs on the
//! engine's stack between two points of the kernel, never inside a kernel thread, so it may be as
//! deep as it likes and its panics unwind as usual. What the kernel does to a device (its registers
//! and rings) are calls of the driver's, which begin with [`touch`]: an interleaving point.
//!
//! Lines are edge-triggered, as virtio's are on QEMU's `virt`: an edge is latched until a core takes
//! it, and edges that come before that are one. A line raised before the board enabled it is
//! delivered when it is enabled.
//!
//! A device draws from generators of its own, forked from the seed, so that neither the strategy nor
//! another device changes its choices. What it keeps is the host's, not the world's memory.

use core::cell::Cell;
use std::cell::OnceCell;

use machine::{CpuId, IntId};

use crate::core::{DEVICE, NEVER};
use crate::engine::Sim;
use crate::net::Network;
use crate::options::Failure;
use crate::reclaim::outside;
use crate::rng::Rng;
use crate::trace::What;

/// Interrupt lines a world has; the others of a core's pending bits are its own interrupts.
pub(crate) const LINES: usize = 28;
/// Interrupt number of line 0, the first that cores share in Arm's numbering.
const FIRST_INT: u32 = 32;

/// The devices of a world and their way to the cores.
#[derive(Default)]
pub(crate) struct Devices {
    network: OnceCell<Network>,
    /// Something is due, and a flow waits for the engine to run it.
    due: Cell<bool>,
    /// Core each line is routed to.
    route: [Cell<u8>; LINES],
    enabled: Cell<u32>,
    /// Edges of lines that are not enabled.
    latched: Cell<u32>,
}

impl Devices {
    /// Gives the world its network; once.
    pub(crate) fn connect(&self, network: Network) {
        assert!(self.network.set(network).is_ok(), "a second network");
    }

    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.get()
    }

    /// Earliest event of any device.
    #[inline]
    pub(crate) fn next_event(&self) -> u64 {
        self.network.get().map_or(NEVER, Network::next_event)
    }
}

/// The interrupt number behind a pending bit.
pub(crate) fn int_of(bit: u32) -> IntId {
    IntId(FIRST_INT + (bit / DEVICE).ilog2())
}

/// The line behind an interrupt number.
pub(crate) fn line_of(int: IntId) -> usize {
    (int.0 - FIRST_INT) as usize
}

/// The interrupt number of `line`.
pub(crate) fn int_of_line(line: usize) -> IntId {
    IntId(FIRST_INT + line as u32)
}

/// The kernel is about to touch a device: others may go on first. `arg` says which and how.
pub(crate) fn touch(sim: &Sim, arg: u64) {
    sim.point(What::Device, arg);
}

impl Sim {
    /// What is due at the present time happens. On a flow: devices run on the engine's stack.
    pub(crate) fn happen(&self) {
        if self.devices.next_event() <= self.clock.get() {
            self.devices.due.set(true);
            self.flows.suspend(self.core().flow.get());
        }
        self.refresh();
    }

    /// Runs the devices if a flow waits for that; not on a flow.
    pub(crate) fn serve_devices(&self) {
        if !self.devices.due.replace(false) {
            return;
        }
        if let Some(network) = self.devices.network.get() {
            outside(|| network.advance(self));
        }
    }

    /// Something outside the kernel failed: the world ends with that, unless it has an end already.
    pub(crate) fn fail(&self, failure: Failure) {
        let earlier = self.result.take();
        self.result.set(earlier.or(Some(Err(failure))));
    }

    /// Lets the edges of `line` through to `cpu`.
    pub(crate) fn enable_line(&self, line: usize, cpu: CpuId) {
        let d = &self.devices;
        d.route[line].set(cpu.index() as u8);
        d.enabled.set(d.enabled.get() | 1 << line);
        if d.latched.get() & 1 << line != 0 {
            d.latched.set(d.latched.get() & !(1 << line));
            self.raise_line(line);
            self.refresh();
        }
    }

    /// Sends the edges of `line` to `cpu` from now on, with one that is pending.
    pub(crate) fn route_line_to(&self, line: usize, cpu: CpuId) {
        let old = self.devices.route[line].replace(cpu.index() as u8);
        self.take_along(line, usize::from(old), cpu.index());
    }

    /// Core `gone` goes: what a balancer routed to it in the last moment goes to `to`.
    pub(crate) fn reroute_lines(&self, gone: usize, to: usize) {
        for (line, route) in self.devices.route.iter().enumerate() {
            if usize::from(route.get()) == gone {
                route.set(to as u8);
            }
            self.take_along(line, gone, to);
        }
    }

    fn take_along(&self, line: usize, from: usize, to: usize) {
        let (from, bit) = (&self.cores[from], DEVICE << line);
        if from.pending.get() & bit != 0 {
            from.pending.set(from.pending.get() & !bit);
            self.cores[to].raise(bit);
            self.refresh();
        }
    }

    /// Sends the edges of `line` to any core that has started from now on, as a balancer would.
    pub(crate) fn route_line(&self, line: usize, rng: &Rng) {
        let cpu = rng.below(self.cores.len() as u32) as u8;
        if self.cores[usize::from(cpu)].started.get() {
            self.devices.route[line].set(cpu);
        }
    }

    /// An edge on `line`. The caller refreshes, or is the device's turn.
    pub(crate) fn raise_line(&self, line: usize) {
        let d = &self.devices;
        self.record(What::Line, line as u64);
        if d.enabled.get() & 1 << line == 0 {
            d.latched.set(d.latched.get() | 1 << line);
            return;
        }
        let core = &self.cores[usize::from(d.route[line].get())];
        core.raise(DEVICE << line);
    }
}
