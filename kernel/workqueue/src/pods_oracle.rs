//! Pods of random machines, against what the rows say, word by word (G2, G4, G6, G8).

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use machine::{CpuId, CpuMask, CpuPlace, Level, Topology};
use proptest::prelude::*;

use crate::{Attrs, CPUS_PER_SHARD as SHARD, Pods, Scope, Surroundings};

/// Threads of a core, cores of a cache, caches of a node: a regular machine whose cores are numbered
/// in any order.
fn machines() -> impl Strategy<Value = Topology> {
    let shape = (1..=64usize, 1..=4usize, 1..=20usize, 1..=4usize);
    shape.prop_flat_map(|(n, threads, cores, caches)| {
        let regular: Vec<CpuPlace> = (0..n)
            .map(|i| CpuPlace {
                core: (i / threads) as u8,
                cluster: (i / threads / cores) as u8,
                cache: (i / threads / cores) as u8,
                package: 0,
                node: (i / threads / cores / caches) as u8,
            })
            .collect();
        Just(regular).prop_shuffle().prop_map(Topology::new)
    })
}

/// The group of each core, by the definition of the scope.
fn shares(t: &Topology, scope: Scope, a: CpuId, b: CpuId) -> bool {
    let (p, q) = (t.place(a), t.place(b));
    match scope {
        Scope::Cpu => a == b,
        Scope::Smt => p.core == q.core,
        Scope::Cache => p.cache == q.cache,
        Scope::CacheShard | Scope::Default => unreachable!("has a test of its own"),
        Scope::Numa => p.node == q.node,
        Scope::System => true,
    }
}

fn set(t: &Topology, f: impl Fn(CpuId) -> bool) -> CpuMask {
    (0..t.len())
        .map(CpuId::new)
        .filter(|&c| f(c))
        .fold(CpuMask::NONE, CpuMask::with)
}

/// G6, said as the row says it.
fn effective(t: &Topology, online: CpuMask, allowed: CpuMask, wish: CpuMask) -> CpuMask {
    let both = set(t, |c| wish.contains(c) && allowed.contains(c));
    if (0..t.len()).any(|n| both.contains(CpuId::new(n)) && online.contains(CpuId::new(n))) {
        return both;
    }
    let allowed = set(t, |c| allowed.contains(c));
    if !allowed.and(online).is_empty() {
        return allowed;
    }
    let online = set(t, |c| online.contains(c));
    if online.is_empty() {
        set(t, |_| true)
    } else {
        online
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn g2_pods_are_the_groups_of_their_scope(t in machines()) {
        for scope in Scope::ALL.into_iter().filter(|&s| s != Scope::Default) {
            let pods = Pods::new(&t, scope, SHARD);
            let numbers: BTreeSet<usize> = t.cpus().iter().map(|c| pods.pod_of(c)).collect();
            prop_assert!(numbers.into_iter().eq(0..pods.len()));
            for c in t.cpus().iter() {
                prop_assert!(pods.mask_of(c).contains(c));
                if scope != Scope::CacheShard {
                    prop_assert_eq!(pods.mask_of(c), set(&t, |d| shares(&t, scope, c, d)));
                }
            }
        }
    }

    #[test]
    fn g8_shards_are_even_and_split_no_core(t in machines(), size in 1..=12usize) {
        let pods = Pods::new(&t, Scope::CacheShard, size);
        prop_assert_eq!(pods, Pods::new(&t, Scope::CacheShard, size));
        // Of each cache: its shards, and of each shard its physical cores.
        let mut caches: BTreeMap<u8, BTreeMap<usize, BTreeSet<u8>>> = BTreeMap::new();
        for c in t.cpus().iter() {
            let mask = pods.mask_of(c);
            prop_assert_eq!(mask.and(t.siblings(Level::Cache, c)), mask);
            let siblings = t.siblings(Level::Core, c);
            prop_assert_eq!(siblings.and(mask), siblings);
            let place = t.place(c);
            let shards = caches.entry(place.cache).or_default();
            shards.entry(pods.pod_of(c)).or_default().insert(place.core);
        }
        for shards in caches.values() {
            let sizes: Vec<usize> = shards.values().map(BTreeSet::len).collect();
            let cores: usize = sizes.iter().sum();
            let wanted = (cores as f64 / size as f64).round().max(1.0);
            prop_assert_eq!(sizes.len(), wanted as usize);
            let (least, most) = (sizes.iter().min(), sizes.iter().max());
            prop_assert!(most.unwrap() - least.unwrap() <= 1, "{sizes:?}");
        }
    }

    #[test]
    fn g6_masks_fall_back(
        t in machines(), online: u64, allowed: u64, wish: u64, sparse: [bool; 3], strict: bool,
    ) {
        let thin = |m: u64, sparse: bool| CpuMask(if sparse { m & m >> 7 & m << 11 } else { m });
        let (online, allowed) = (thin(online, sparse[0]), thin(allowed, sparse[1]));
        let attrs = Attrs { nice: -3, cpus: thin(wish, sparse[2]), scope: Scope::Cache, strict };
        let around = Surroundings { topology: &t, online, allowed, default: Scope::System, shard: SHARD };
        let whole = effective(&t, online, allowed, attrs.cpus);
        prop_assert_eq!(around.effective(attrs.cpus), whole);
        let pods = around.pods(&attrs);
        for c in t.cpus().iter() {
            let key = around.key(&attrs, &pods, c);
            let cache = set(&t, |d| t.place(d).cache == t.place(c).cache && whole.contains(d));
            let reachable = !cache.and(online).is_empty();
            prop_assert_eq!(key.pod, if reachable { cache } else { whole });
            // G4: never outside the pod; G3: anywhere in the mask.
            prop_assert_eq!(key.cpus, if strict { key.pod } else { whole });
            prop_assert_eq!((key.nice, key.strict), (-3, strict));
        }
        let one = around.ordered_key(&attrs);
        prop_assert_eq!((one.pod, one.cpus), (whole, whole));
    }
}

#[test]
fn the_default_scope_is_what_the_system_says() {
    let t = Topology::flat(4);
    let mut around = Surroundings {
        topology: &t,
        online: t.cpus(),
        allowed: CpuMask::ALL,
        default: Scope::Cpu,
        shard: SHARD,
    };
    assert_eq!(around.pods(&Attrs::new()).len(), 4);
    around.default = Scope::System;
    assert_eq!(around.pods(&Attrs::new()).len(), 1);
    around.default = Scope::Default;
    let shards = |size| Pods::new(&t, Scope::CacheShard, size);
    assert_eq!(around.pods(&Attrs::new()), shards(SHARD));
    around.shard = 2;
    assert_eq!(around.pods(&Attrs::new()), shards(2));
    assert_eq!(shards(2).len(), 2);
}

#[test]
fn n2_scopes_have_names() {
    for scope in Scope::ALL {
        assert_eq!(Scope::by_name(scope.name()), Some(scope));
    }
    assert_eq!(Scope::by_name("Cache"), None);
}
