//! Pods: which cores share a pool of an unbound workqueue, and who may run its items.
//!
//! One pool for the whole system moves items between caches; one for each core is a per-CPU queue.
//! A *scope* says how far an unbound queue spreads what is queued on one core: its pods are the
//! groups of cores that share the core, the cache, a part of a big cache, the memory node, or
//! nothing (G2). Items of a pod start in it; with *strict* affinity they never leave it (G3, G4).
//!
//! Queues whose wishes lead to the same [`PoolKey`] share a pool (A1). All of it is computed from
//! plain values; masks keep cores that are offline, so that a core's coming and going does not by
//! itself mean another pool.
//!
//! References: rows A1, G1-G8.

use machine::{CpuId, CpuMask, Level, MAX_CPUS, Topology};

/// Physical cores of a shard of a cache, about, unless somebody says otherwise (G8, N2).
pub const CPUS_PER_SHARD: usize = 8;

/// How far an unbound queue spreads (G2).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Scope {
    /// What the system's default is at the time; queues follow when that changes.
    #[default]
    Default,
    /// Each core by itself.
    Cpu,
    /// The threads of a physical core.
    Smt,
    /// The cores of a last-level cache.
    Cache,
    /// The cores of a last-level cache, divided into parts of about as many as the system says (G8).
    CacheShard,
    /// The cores of a memory node.
    Numa,
    /// All cores.
    System,
}

impl Scope {
    /// What the system's default is at first (main; 0.1).
    pub const FIRST_DEFAULT: Self = Self::CacheShard;

    /// This scope, or `default` if it asks for that.
    #[must_use]
    pub fn or(self, default: Self) -> Self {
        match (self, default) {
            (Self::Default, Self::Default) => Self::FIRST_DEFAULT,
            (Self::Default, default) => default,
            (own, _) => own,
        }
    }

    /// Its name, as boot arguments and reports spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Cpu => "cpu",
            Self::Smt => "smt",
            Self::Cache => "cache",
            Self::CacheShard => "cache_shard",
            Self::Numa => "numa",
            Self::System => "system",
        }
    }

    /// All scopes, the default first.
    pub const ALL: [Self; 7] = [
        Self::Default,
        Self::Cpu,
        Self::Smt,
        Self::Cache,
        Self::CacheShard,
        Self::Numa,
        Self::System,
    ];

    /// The scope of this [`Self::name`].
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// What an unbound queue asks for (G1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attrs {
    /// Nice level of its workers, -20 to 19.
    pub nice: i8,
    /// The cores its items may run on.
    pub cpus: CpuMask,
    /// How far it spreads.
    pub scope: Scope,
    /// Items never leave their pod.
    pub strict: bool,
}

impl Attrs {
    /// Nice 0, every core, the default scope, not strict.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            nice: 0,
            cpus: CpuMask::ALL,
            scope: Scope::Default,
            strict: false,
        }
    }
}

impl Default for Attrs {
    fn default() -> Self {
        Self::new()
    }
}

/// The groups of cores of one scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pods {
    of: [u8; MAX_CPUS],
    cpus: CpuMask,
    len: usize,
}

impl Pods {
    /// The pods of `scope`; of [`Scope::FIRST_DEFAULT`] for the default. They are numbered by their
    /// lowest core. Shards of a cache have about `shard` physical cores, at least one.
    #[must_use]
    pub fn new(topology: &Topology, scope: Scope, shard: usize) -> Self {
        let mut pods = Self {
            of: [0; MAX_CPUS],
            cpus: topology.cpus(),
            len: 0,
        };
        let mut done = CpuMask::NONE;
        for id in topology.cpus().iter() {
            if done.contains(id) {
                continue;
            }
            let group = match scope.or(Scope::FIRST_DEFAULT) {
                Scope::Cpu => CpuMask::single(id),
                Scope::Smt => topology.siblings(Level::Core, id),
                Scope::Cache => topology.siblings(Level::Cache, id),
                Scope::CacheShard | Scope::Default => piece_of_cache(topology, id, shard.max(1)),
                Scope::Numa => topology.siblings(Level::Node, id),
                Scope::System => topology.cpus(),
            };
            for c in group.iter() {
                pods.of[c.index()] = pods.len as u8;
            }
            done = CpuMask(done.0 | group.0);
            pods.len += 1;
        }
        pods
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// There are none: the machine has no cores.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of core `id`'s pod.
    #[must_use]
    pub const fn pod_of(&self, id: CpuId) -> usize {
        self.of[id.index()] as usize
    }

    /// The cores of core `id`'s pod.
    #[must_use]
    pub fn mask_of(&self, id: CpuId) -> CpuMask {
        let same = |&c: &CpuId| self.pod_of(c) == self.pod_of(id);
        let all = self.cpus.iter().filter(same);
        all.fold(CpuMask::NONE, CpuMask::with)
    }
}

/// The part of its cache that core `id` belongs to (G8): the cache's physical cores, in the order of
/// their lowest thread, are cut into pieces as equal as can be, about `size` long.
fn piece_of_cache(topology: &Topology, id: CpuId, size: usize) -> CpuMask {
    let cache = topology.siblings(Level::Cache, id);
    let siblings = |c: CpuId| topology.siblings(Level::Core, c);
    let first_thread = |&c: &CpuId| siblings(c).lowest() == Some(c);
    let cores = cache.iter().filter(first_thread).count();
    let shards = ((cores + size / 2) / size).max(1);
    // The first so many shards have one core more than the others.
    let (least, longer) = (cores / shards, cores % shards);
    let mut rest = cache.iter().filter(first_thread);
    for n in 0..shards {
        let size = least + usize::from(n < longer);
        let piece = rest.by_ref().take(size);
        let mask = piece.fold(CpuMask::NONE, |m, c| CpuMask(m.0 | siblings(c).0));
        if mask.contains(id) {
            return mask;
        }
    }
    cache
}

/// What distinguishes the unbound pools (A1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolKey {
    /// Nice level of the workers.
    pub nice: i8,
    /// They may not leave the pod.
    pub strict: bool,
    /// Where they start.
    pub pod: CpuMask,
    /// Where they may run; the pod if strict.
    pub cpus: CpuMask,
}

/// What an unbound queue's wishes meet.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// How the cores lie to each other.
    pub topology: &'a Topology,
    /// The cores that run threads.
    pub online: CpuMask,
    /// The cores that unbound items may run on at all (G7).
    pub allowed: CpuMask,
    /// What [`Scope::Default`] means.
    pub default: Scope,
    /// About how many physical cores a shard of a cache has (G8).
    pub shard: usize,
}

impl Surroundings<'_> {
    /// The cores a queue that wishes for `cpus` gets: those that are allowed too; if none of them
    /// is online, all allowed ones (G6); if no allowed one is online, all there are, since its items
    /// would never run.
    #[must_use]
    pub fn effective(&self, cpus: CpuMask) -> CpuMask {
        let all = self.topology.cpus();
        let usable = |m: &CpuMask| !m.and(self.online).is_empty();
        let wishes = [
            cpus.and(self.allowed).and(all),
            self.allowed.and(all),
            all.and(self.online),
        ];
        wishes.into_iter().find(usable).unwrap_or(all)
    }

    /// The pool of what is queued on core `id`. A pod without an online core of the effective mask
    /// has the pool of the whole mask (G6).
    #[must_use]
    pub fn key(&self, attrs: &Attrs, pods: &Pods, id: CpuId) -> PoolKey {
        let effective = self.effective(attrs.cpus);
        let pod = pods.mask_of(id).and(effective);
        let pod = if pod.and(self.online).is_empty() {
            effective
        } else {
            pod
        };
        PoolKey {
            nice: attrs.nice,
            strict: attrs.strict,
            pod,
            cpus: if attrs.strict { pod } else { effective },
        }
    }

    /// The pool of an ordered queue, whose items have one pool wherever they are queued (D8): the
    /// whole effective mask is its pod.
    #[must_use]
    pub fn ordered_key(&self, attrs: &Attrs) -> PoolKey {
        let effective = self.effective(attrs.cpus);
        PoolKey {
            nice: attrs.nice,
            strict: attrs.strict,
            pod: effective,
            cpus: effective,
        }
    }

    /// The pods of a queue with these attributes.
    #[must_use]
    pub fn pods(&self, attrs: &Attrs) -> Pods {
        Pods::new(self.topology, attrs.scope.or(self.default), self.shard)
    }
}
