//! The topology of the cores: `cpu-map`, `next-level-cache` and `numa-node-id`.
//!
//! The map is a tree of sockets, clusters, cores and threads whose leaves name cores by phandle. A
//! cluster may contain clusters; the innermost one counts. The last cache is the end of a core's
//! chain of `next-level-cache`; a tree without caches (QEMU's has none) is taken to have one for
//! each cluster. A core that the map does not name, or a tree without a map, gives cores that share
//! nothing but their cluster.
//!
//! References: Devicetree Specification 3.8 and 3.9; the kernel binding "cpu-topology".

use dtoolkit::Node;
use dtoolkit::fdt::FdtNode;
use heapless::Vec;
use machine::{CpuPlace, MAX_CPUS, Topology};

use super::cell;

/// Longest chain of caches that is followed.
const CACHE_LEVELS: usize = 8;

/// What a core's own node says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Core {
    phandle: Option<u32>,
    cache: Option<u32>,
    node: u8,
}

impl Core {
    pub(super) fn read(core: FdtNode<'static>) -> Self {
        Self {
            phandle: cell(core, "phandle"),
            cache: cell(core, "next-level-cache"),
            node: cell(core, "numa-node-id").unwrap_or(0).min(255) as u8,
        }
    }
}

/// Walks the map and counts what it passes.
struct Walk<'a> {
    cores: &'a [Core],
    found: [Option<CpuPlace>; MAX_CPUS],
    /// Numbers for the next package, cluster and core.
    next: CpuPlace,
}

/// The topology of `cores`, children of `cpus`.
pub(super) fn read(cpus: FdtNode<'static>, cores: &[Core]) -> Topology {
    let mut walk = Walk {
        cores,
        found: [None; MAX_CPUS],
        next: CpuPlace::default(),
    };
    let map = cpus.children().find(|n| n.name() == "cpu-map");
    if let Some(map) = map {
        walk.level(map, CpuPlace::default());
    }
    let mut caches: Vec<u32, MAX_CPUS> = Vec::new();
    let mut spare = walk.next;
    let places = cores.iter().enumerate().map(|(n, core)| {
        let mut place = walk.found[n].unwrap_or_else(|| {
            spare.core += 1;
            CpuPlace {
                core: spare.core - 1,
                cluster: spare.cluster,
                package: spare.package,
                ..CpuPlace::default()
            }
        });
        place.node = core.node;
        place.cache = place.cluster;
        if let Some(last) = core.cache.map(|first| last_cache(cpus, first)) {
            let known = caches.iter().position(|&c| c == last).unwrap_or_else(|| {
                let _ = caches.push(last);
                caches.len() - 1
            });
            place.cache = known as u8;
        }
        place
    });
    Topology::new(places)
}

/// The end of the chain of caches that begins with phandle `cache`.
fn last_cache(cpus: FdtNode<'static>, mut cache: u32) -> u32 {
    for _ in 0..CACHE_LEVELS {
        let mut nodes = cpus.children().flat_map(|n| n.children().chain([n]));
        let own = nodes.find(|&n| cell(n, "phandle") == Some(cache));
        match own.and_then(|n| cell(n, "next-level-cache")) {
            Some(next) => cache = next,
            None => break,
        }
    }
    cache
}

impl Walk<'_> {
    /// Goes through the children of `node`, which lies at `at`.
    fn level(&mut self, node: FdtNode<'static>, mut at: CpuPlace) {
        for child in node.children() {
            let name = child.name().trim_end_matches(|c: char| c.is_ascii_digit());
            match name {
                "socket" => {
                    at.package = self.next.package;
                    self.next.package = self.next.package.saturating_add(1);
                }
                "cluster" => {
                    at.cluster = self.next.cluster;
                    self.next.cluster = self.next.cluster.saturating_add(1);
                }
                "core" => {
                    at.core = self.next.core;
                    self.next.core = self.next.core.saturating_add(1);
                }
                _ => {}
            }
            let phandle = cell(child, "cpu");
            let known = |c: &Core| c.phandle.is_some() && c.phandle == phandle;
            if let Some(n) = self.cores.iter().position(known) {
                self.found[n] = Some(at);
            }
            self.level(child, at);
        }
    }
}
