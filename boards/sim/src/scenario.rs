//! What a world runs: the body of the first thread, and what kind of machine it wants.
//!
//! A scenario is a `const`, built by chained `const` methods, so that a catalogue is a plain slice.
//! It must hold under every interleaving and under every fault it says it endures; the world ends
//! when its body returns.

use kernel::thread::ThreadCx;
use machine::{Duration, Topology};

use crate::baseline::Held;
use crate::faults::Kinds;
use crate::net::Peer;

/// Interleaving points after which a run has failed, unless the scenario says otherwise.
const MAX_STEPS: u64 = 5_000_000;
/// Virtual time after which a run has failed, unless the scenario says otherwise. Longer than the
/// pools' idle timeout of five minutes.
const VIRTUAL: Duration = Duration::from_secs(1_000);

/// What to run.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) cpus: usize,
    pub(crate) range: (usize, usize),
    pub(crate) among: &'static [usize],
    pub(crate) bootargs: &'static str,
    pub(crate) topology: fn(usize) -> Topology,
    pub(crate) max_steps: u64,
    pub(crate) virtual_time: Duration,
    pub(crate) endures: Kinds,
    pub(crate) leaves: &'static [Held],
    pub(crate) peer: Option<fn(&mut Peer)>,
    pub(crate) prepare: Option<fn(&ThreadCx<'_>)>,
    pub(crate) init: fn(&ThreadCx<'_>),
}

impl Scenario {
    /// `init` as the body of the first thread of a machine with `cpus` cores.
    pub const fn new(name: &'static str, cpus: usize, init: fn(&ThreadCx<'_>)) -> Self {
        Self {
            name,
            about: "",
            cpus,
            range: (cpus, cpus),
            among: &[],
            bootargs: "",
            topology: Topology::flat,
            max_steps: MAX_STEPS,
            virtual_time: VIRTUAL,
            endures: Kinds::DELAYS,
            leaves: &[],
            peer: None,
            prepare: None,
            init,
        }
    }

    /// Says in one sentence what must hold.
    pub const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Lets a sweep choose the number of cores, both bounds included.
    pub const fn cpus_range(mut self, fewest: usize, most: usize) -> Self {
        self.range = (fewest, most);
        self
    }

    /// Lets a sweep choose one of these numbers of cores, in ascending order.
    pub const fn cpus_among(mut self, counts: &'static [usize]) -> Self {
        self.range = (counts[0], counts[counts.len() - 1]);
        self.among = counts;
        self
    }

    /// Runs `prepare` first, on the first thread: what it does is neither counted nor disturbed by faults, and what it
    /// leaves belongs to the base line.
    pub const fn prepare(mut self, prepare: fn(&ThreadCx<'_>)) -> Self {
        self.prepare = Some(prepare);
        self
    }

    /// Connects a network card, and describes what is at the other end of its wire.
    pub const fn peer(mut self, describe: fn(&mut Peer)) -> Self {
        self.peer = Some(describe);
        self
    }

    /// The same scenario on another number of cores.
    pub const fn on(mut self, cpus: usize) -> Self {
        self.cpus = cpus;
        self.range = (cpus, cpus);
        self.among = &[];
        self
    }

    /// Sets the boot arguments.
    pub const fn bootargs(mut self, bootargs: &'static str) -> Self {
        self.bootargs = bootargs;
        self
    }

    /// Says how the cores lie to each other, given how many there are; flat otherwise.
    pub const fn topology(mut self, of: fn(usize) -> Topology) -> Self {
        self.topology = of;
        self
    }

    /// Sets the number of interleaving points after which a run has failed.
    pub const fn max_steps(mut self, steps: u64) -> Self {
        self.max_steps = steps;
        self
    }

    /// Sets the virtual time in milliseconds after which a run has failed.
    pub const fn virtual_ms(mut self, ms: u64) -> Self {
        self.virtual_time = Duration::from_millis(ms);
        self
    }

    /// Sets the faults it still holds under; those that only delay things, unless it says otherwise.
    /// One that measures time endures fewer, one that handles refused allocations endures all.
    pub const fn endures(mut self, kinds: Kinds) -> Self {
        self.endures = kinds;
        self
    }

    /// Lets the scenario end with something of these kinds still there, for this reason, which is for
    /// the reader.
    pub const fn leaves(mut self, what: &'static [Held], _reason: &'static str) -> Self {
        self.leaves = what;
        self
    }

    /// Its name in reports and on the command line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What must hold.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        self.about
    }

    /// Cores of a single run.
    #[must_use]
    pub const fn cpus(&self) -> usize {
        self.cpus
    }

    /// The numbers of cores a sweep chooses from.
    #[must_use]
    pub fn core_counts(&self) -> Vec<usize> {
        if self.among.is_empty() {
            (self.range.0..=self.range.1).collect()
        } else {
            self.among.to_vec()
        }
    }

    /// Fewest and most cores of a sweep.
    #[must_use]
    pub const fn bounds(&self) -> (usize, usize) {
        self.range
    }
}
