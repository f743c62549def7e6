//! How the cores of a machine lie to each other: who shares a core, a cache, a memory node.
//!
//! A plain value that a board fills from what it knows (the device tree's cpu-map, a scenario) and
//! that policies read. Groups are numbers: cores with the same number share the thing. A level
//! never splits a deeper one; [`Topology::new`] sees to that, whatever the board found, since
//! whoever divides cores by a level relies on it.
//!
//! References: Devicetree Specification, `cpus`; the kernel binding "cpu-topology"; rows G2 and G8.

use crate::{CpuId, CpuMask, MAX_CPUS};

/// Which groups one logical core belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CpuPlace {
    /// The physical core; those that share it are threads of it (SMT).
    pub core: u8,
    /// The cluster of cores.
    pub cluster: u8,
    /// The last cache that cores share.
    pub cache: u8,
    /// The package, or socket.
    pub package: u8,
    /// The memory node (NUMA).
    pub node: u8,
}

/// A level at which cores share something, the smallest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// A physical core.
    Core,
    /// The last cache.
    Cache,
    /// A memory node.
    Node,
}

/// The places of all cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Topology {
    places: [CpuPlace; MAX_CPUS],
    len: usize,
}

impl Topology {
    /// `n` cores, none of which shares anything smaller than the one cache and the one node: what a
    /// machine is taken for that says nothing.
    #[must_use]
    pub fn flat(n: usize) -> Self {
        let mut places = [CpuPlace::default(); MAX_CPUS];
        for (core, place) in places.iter_mut().enumerate() {
            place.core = core as u8;
        }
        Self {
            places,
            len: n.min(MAX_CPUS),
        }
    }

    /// The cores at these places, as far as there is room. A core whose threads were put into
    /// several caches or nodes is put into its first thread's, and a cache into one node likewise.
    #[must_use]
    pub fn new(places: impl IntoIterator<Item = CpuPlace>) -> Self {
        let mut topology = Self::flat(0);
        for place in places.into_iter().take(MAX_CPUS) {
            topology.places[topology.len] = place;
            topology.len += 1;
        }
        topology.mend();
        topology
    }

    /// Makes every level contain the deeper ones.
    fn mend(&mut self) {
        for n in 0..self.len {
            let core = self.places[n].core;
            if let Some(first) = self.places[..n].iter().find(|p| p.core == core).copied() {
                self.places[n].cache = first.cache;
            }
        }
        for n in 0..self.len {
            let cache = self.places[n].cache;
            if let Some(first) = self.places[..n].iter().find(|p| p.cache == cache).copied() {
                self.places[n].node = first.node;
            }
        }
    }

    /// Number of logical cores.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// No core at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All cores.
    #[must_use]
    pub const fn cpus(&self) -> CpuMask {
        CpuMask::first_n(self.len)
    }

    /// Where core `id` is.
    #[must_use]
    pub const fn place(&self, id: CpuId) -> CpuPlace {
        self.places[id.index()]
    }

    /// The number of core `id`'s group at `level`.
    #[must_use]
    pub const fn group(&self, level: Level, id: CpuId) -> u8 {
        let place = self.place(id);
        match level {
            Level::Core => place.core,
            Level::Cache => place.cache,
            Level::Node => place.node,
        }
    }

    /// The cores that share `level` with core `id`, itself included.
    #[must_use]
    pub fn siblings(&self, level: Level, id: CpuId) -> CpuMask {
        let own = self.group(level, id);
        let same = |&c: &CpuId| self.group(level, c) == own;
        self.cpus()
            .iter()
            .filter(same)
            .fold(CpuMask::NONE, CpuMask::with)
    }

    /// The memory nodes, counted from the highest number, so that they can index a table.
    #[must_use]
    pub fn nodes(&self) -> usize {
        let places = &self.places[..self.len];
        1 + places
            .iter()
            .map(|p| usize::from(p.node))
            .max()
            .unwrap_or(0)
    }

    /// The node that all cores of `mask` lie in, if there is one (G9).
    #[must_use]
    pub fn node_of(&self, mask: CpuMask) -> Option<usize> {
        let mut nodes = mask.and(self.cpus()).iter().map(|c| self.place(c).node);
        let first = nodes.next()?;
        nodes.all(|n| n == first).then_some(usize::from(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(core: u8, cache: u8, node: u8) -> CpuPlace {
        CpuPlace {
            core,
            cluster: cache,
            cache,
            package: node,
            node,
        }
    }

    #[test]
    fn flat_cores_share_cache_and_node_only() {
        let t = Topology::flat(3);
        let one = CpuId::new(1);
        assert_eq!(t.siblings(Level::Core, one), CpuMask::single(one));
        assert_eq!(t.siblings(Level::Cache, one), CpuMask(7));
        assert_eq!(t.siblings(Level::Node, one), CpuMask(7));
        assert_eq!((t.nodes(), t.len()), (1, 3));
    }

    #[test]
    fn groups_may_lie_interleaved() {
        let t = Topology::new([at(0, 0, 0), at(1, 1, 2), at(0, 0, 0), at(1, 1, 2)]);
        assert_eq!(t.siblings(Level::Core, CpuId::new(2)), CpuMask(0b0101));
        assert_eq!(t.siblings(Level::Node, CpuId::new(3)), CpuMask(0b1010));
        assert_eq!(t.nodes(), 3);
        assert_eq!(t.node_of(CpuMask(0b1010)), Some(2));
        assert_eq!(t.node_of(CpuMask(0b0110)), None);
        assert_eq!(t.node_of(CpuMask(0b1_0000)), None);
    }

    #[test]
    fn levels_contain_the_deeper_ones_whatever_was_told() {
        let t = Topology::new([at(0, 0, 0), at(0, 1, 1), at(1, 0, 1)]);
        assert_eq!(t.siblings(Level::Cache, CpuId::BOOT), CpuMask(0b111));
        assert_eq!(t.nodes(), 1);
    }
}
