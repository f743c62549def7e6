//! 97: how the cores lie to each other, and where unbound items run because of that (G rows).

use kernel::cpu::{online, topology};
use kernel::thread::ThreadCx;
use machine::{CpuId, CpuMask, Level};

use super::work_kit::cores;
use crate::ktest;
use crate::registry::Needs;

ktest!("97_topology_without_parts_is_flat", flat_topology);
ktest!(
    "97_topology_is_the_device_trees",
    topology_of_the_tree,
    Needs::new().parted()
);

/// G2: QEMU's usual machine: one cluster, one thread for each core, one node.
fn flat_topology(_: &ThreadCx<'_>) {
    let t = topology();
    assert_eq!(t.len(), cores());
    assert_eq!(t.nodes(), 1);
    for c in online().iter() {
        assert_eq!(t.siblings(Level::Core, c), CpuMask::single(c));
        assert_eq!(t.siblings(Level::Cache, c), online());
        assert_eq!(t.siblings(Level::Node, c), online());
    }
}

/// G2: `-smp 8,sockets=1,clusters=2,cores=2,threads=2`, and a memory node for each cluster.
fn topology_of_the_tree(_: &ThreadCx<'_>) {
    let t = topology();
    assert_eq!((t.len(), t.nodes()), (8, 2));
    for n in 0..8 {
        let (c, place) = (CpuId::new(n), t.place(CpuId::new(n)));
        assert_eq!(place.package, 0);
        assert_eq!(usize::from(place.node), n / 4, "node of core {n}");
        assert_eq!(t.siblings(Level::Core, c), CpuMask(0b11 << (n / 2 * 2)));
        assert_eq!(t.siblings(Level::Cache, c), CpuMask(0xf << (n / 4 * 4)));
        assert_eq!(t.siblings(Level::Node, c), CpuMask(0xf << (n / 4 * 4)));
    }
}
