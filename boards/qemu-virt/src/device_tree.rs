//! What the device tree says about this machine (Devicetree Specification 0.4, in place).
//!
//! Nothing about the machine is assumed that the tree can say: addresses, interrupt numbers, cores
//! and their affinities, the firmware's conduit, boot arguments. The tree stays where the boot
//! loader put it, and its memory is never given away, so strings of it are `'static`.
//!
//! Context: early boot, no heap.
#![expect(unsafe_code, reason = "reads the tree the boot loader left in memory")]

use arch_aarch64::gic::Controller;
use arch_aarch64::mmu::Region;
use arch_aarch64::psci::Conduit;
use arch_aarch64::{cpu, image};
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use heapless::Vec;
use machine::{IntId, MAX_CPUS, Topology};

mod cpu_map;

/// First word of a tree, big endian.
const MAGIC: u32 = 0xd00d_feed;
/// Largest tree the boot protocol allows.
const MAX_BYTES: usize = 2 << 20;
const FIRST_SPI: u32 = 32;
const BLOCK: usize = 2 << 20;

/// A virtio-mmio slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) base: usize,
    pub(crate) bytes: usize,
    pub(crate) int: IntId,
}

/// The machine as the tree describes it.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) ram: Vec<Region, 8>,
    /// Ranges of RAM that are taken: the tree itself and its reservations.
    pub(crate) reserved: Vec<Region, 16>,
    /// Register blocks to map, widened to 2 MiB and merged.
    pub(crate) devices: Vec<Region, 16>,
    /// Affinities; the boot core first.
    pub(crate) mpidrs: Vec<u64, MAX_CPUS>,
    /// How the cores lie to each other, in the same order.
    pub(crate) topology: Topology,
    pub(crate) conduit: Option<Conduit>,
    pub(crate) gic: Option<Controller>,
    pub(crate) uart: Option<usize>,
    pub(crate) uart_int: Option<IntId>,
    pub(crate) slots: Vec<Slot, 64>,
    pub(crate) bootargs: &'static str,
    /// Random bytes from the boot loader.
    pub(crate) seeds: Vec<&'static [u8], 2>,
}

/// The tree at `dtb`, else at the start of RAM, where QEMU puts it for an ELF.
pub(crate) fn find(dtb: usize) -> Option<Fdt<'static>> {
    [dtb, image::start() - BLOCK]
        .into_iter()
        .filter(|&at| at != 0)
        .find_map(at)
}

fn at(address: usize) -> Option<Fdt<'static>> {
    if !address.is_multiple_of(4) {
        return None;
    }
    let words = core::ptr::with_exposed_provenance::<[u32; 2]>(address);
    // SAFETY: RAM in the early map: the start of RAM, or the address the boot loader passed, whose
    // gigabyte the entry code mapped.
    let [magic, bytes] = unsafe { words.read_volatile() }.map(u32::from_be);
    let bytes = bytes as usize;
    if magic != MAGIC || bytes > MAX_BYTES {
        return None;
    }
    // SAFETY: as above; the header gives the length, and nobody writes the tree.
    let data = unsafe { core::slice::from_raw_parts(words.cast::<u8>(), bytes) };
    Fdt::new(data).ok()
}

impl Machine {
    /// Reads the tree once, top to bottom.
    pub(crate) fn read(tree: &Fdt<'static>) -> Self {
        let mut m = Self {
            ram: Vec::new(),
            reserved: Vec::new(),
            devices: Vec::new(),
            mpidrs: Vec::new(),
            topology: Topology::flat(0),
            conduit: None,
            gic: None,
            uart: None,
            uart_int: None,
            slots: Vec::new(),
            bootargs: "",
            seeds: Vec::new(),
        };
        let data = tree.data();
        m.reserve(data.as_ptr().addr(), data.len());
        for r in tree.memory_reservations() {
            m.reserve(r.address() as usize, r.size() as usize);
        }
        for node in tree.root().children() {
            m.read_node(node);
        }
        m
    }

    fn reserve(&mut self, start: usize, bytes: usize) {
        let _ = self.reserved.push(Region {
            start,
            end: start + bytes,
        });
    }

    /// True when the tree, which is read for ever, lies in memory it names itself.
    pub(crate) fn tree_is_in_memory(&self) -> bool {
        // The tree is what was reserved first.
        self.reserved.first().is_some_and(|tree| {
            self.ram
                .iter()
                .any(|r| r.start <= tree.start && tree.end <= r.end)
        })
    }

    fn read_node(&mut self, node: FdtNode<'static>) {
        // A secure UART, for one, is there but not for this world.
        if !matches!(text(node, "status"), None | Some("okay" | "ok")) {
            return;
        }
        match node.name_without_address() {
            "chosen" => return self.read_chosen(node),
            "cpus" => return self.read_cpus(node),
            "reserved-memory" => {
                for child in node.children() {
                    for (start, bytes) in ranges(child) {
                        self.reserve(start, bytes);
                    }
                }
                return;
            }
            _ => {}
        }
        if text(node, "device_type") == Some("memory") {
            for (start, bytes) in ranges(node) {
                let _ = self.ram.push(Region {
                    start,
                    end: start + bytes,
                });
            }
        }
        let is = |name| {
            node.compatible()
                .is_some_and(|mut all| all.any(|c| c == name))
        };
        if is("arm,psci") || is("arm,psci-0.2") || is("arm,psci-1.0") {
            self.conduit = match text(node, "method") {
                Some("hvc") => Some(Conduit::Hvc),
                Some("smc") => Some(Conduit::Smc),
                _ => None,
            };
        } else if is("arm,gic-v3") {
            if let Some([distributor, redistributors]) = self.two_blocks(node) {
                self.gic = Some(Controller::V3 {
                    distributor,
                    redistributors,
                });
            }
        } else if is("arm,cortex-a15-gic") || is("arm,gic-400") {
            if let Some([distributor, cpu_interface]) = self.two_blocks(node) {
                self.gic = Some(Controller::V2 {
                    distributor,
                    cpu_interface,
                });
            }
        } else if is("arm,pl011") && self.uart.is_none() {
            self.uart = ranges(node)
                .next()
                .map(|(base, bytes)| self.device(base, bytes));
            self.uart_int = interrupt(node);
        } else if is("virtio,mmio")
            && let Some((base, bytes)) = ranges(node).next()
            && let Some(int) = interrupt(node)
        {
            self.device(base, bytes);
            let _ = self.slots.push(Slot { base, bytes, int });
        }
    }

    fn read_chosen(&mut self, node: FdtNode<'static>) {
        self.bootargs = text(node, "bootargs").unwrap_or("");
        for name in ["rng-seed", "kaslr-seed"] {
            if let Some(seed) = bytes(node, name) {
                let _ = self.seeds.push(seed);
            }
        }
    }

    fn read_cpus(&mut self, node: FdtNode<'static>) {
        let mut cores: Vec<cpu_map::Core, MAX_CPUS> = Vec::new();
        for core in node.children() {
            if text(core, "device_type") == Some("cpu")
                && let Some(reg) = core.reg().ok().flatten().and_then(|mut all| all.next())
                && let Ok(mpidr) = reg.address::<u64>()
                && self.mpidrs.push(mpidr).is_ok()
            {
                let _ = cores.push(cpu_map::Core::read(core));
            }
        }
        // The boot core is core 0, whatever the order in the tree.
        if let Some(own) = self.mpidrs.iter().position(|&id| id == cpu::own_mpidr()) {
            self.mpidrs.swap(0, own);
            cores.swap(0, own);
        }
        self.topology = cpu_map::read(node, &cores);
    }

    /// Addresses of the first two register blocks, both mapped.
    fn two_blocks(&mut self, node: FdtNode<'static>) -> Option<[usize; 2]> {
        let mut all = ranges(node);
        let (first, second) = (all.next()?, all.next()?);
        Some([
            self.device(first.0, first.1),
            self.device(second.0, second.1),
        ])
    }

    /// Has the register block mapped; returns its address.
    fn device(&mut self, base: usize, bytes: usize) -> usize {
        let start = base / BLOCK * BLOCK;
        let end = (base + bytes).next_multiple_of(BLOCK);
        match self
            .devices
            .iter_mut()
            .find(|r| start <= r.end && r.start <= end)
        {
            Some(r) => {
                *r = Region {
                    start: r.start.min(start),
                    end: r.end.max(end),
                }
            }
            None => {
                let _ = self.devices.push(Region { start, end });
            }
        }
        base
    }
}

/// The `reg` ranges of a node.
fn ranges(node: FdtNode<'static>) -> impl Iterator<Item = (usize, usize)> {
    node.reg()
        .ok()
        .flatten()
        .into_iter()
        .flatten()
        .filter_map(|r| {
            let (address, size) = (r.address::<u64>().ok()?, r.size::<u64>().ok()?);
            Some((address as usize, size as usize))
        })
}

fn bytes(node: FdtNode<'static>, name: &str) -> Option<&'static [u8]> {
    node.properties()
        .find(|p| p.name() == name)
        .and_then(|p| p.value_as().ok())
}

fn cell(node: FdtNode<'static>, name: &str) -> Option<u32> {
    Some(u32::from_be_bytes(bytes(node, name)?.try_into().ok()?))
}

fn text(node: FdtNode<'static>, name: &str) -> Option<&'static str> {
    let value = bytes(node, name)?;
    core::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
}

/// The first interrupt of a node, when it is a shared one: cells are type, number, flags.
fn interrupt(node: FdtNode<'static>) -> Option<IntId> {
    let cells = bytes(node, "interrupts")?;
    let cell = |i: usize| {
        let word = cells.get(i * 4..i * 4 + 4)?;
        Some(u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
    };
    (cell(0)? == 0).then_some(IntId(FIRST_SPI + cell(1)?))
}
