//! Strategies: how the next core is chosen at an interleaving point.

use core::fmt;
use core::str::FromStr;

use crate::faults::Kinds;
use crate::scenario::Scenario;

/// How the next core is chosen at an interleaving point.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Strategy {
    /// Stays on the core with a probability drawn once per world from its seed, else takes any
    /// other one that can run: some worlds interleave finely, in others a core runs far ahead.
    #[default]
    RandomWalk,
    /// Takes turns, one point each.
    RoundRobin,
    /// Probabilistic concurrency testing: cores have random priorities, the highest that can run
    /// goes on, and at `depth - 1` random points the running one drops to the lowest. Finds each bug
    /// that needs `depth` ordered events with a known probability (Burckhardt et al., ASPLOS 2010).
    Pct {
        /// Ordered events a bug may need.
        depth: u32,
    },
    /// One of the others, drawn from the seed.
    Mixed,
}

impl Strategy {
    /// The strategy that runs under `seed`: [`Strategy::Mixed`] is replaced, and all are by a fair one
    /// if `fair` is set. A run's options and report name what came of it.
    #[must_use]
    pub const fn resolve(self, seed: u64, fair: bool) -> Self {
        match self {
            Self::Pct { .. } if fair => Self::RandomWalk,
            Self::Mixed => match seed % 8 {
                7 => Self::RoundRobin,
                n @ (1 | 3 | 5) if !fair => Self::Pct {
                    depth: n as u32 / 2 + 2,
                },
                _ => Self::RandomWalk,
            },
            other => other,
        }
    }
}

impl Scenario {
    /// True when every core must go on now and then for the scenario to hold: it does not endure a
    /// core that stands still.
    pub(crate) const fn wants_fairness(&self) -> bool {
        !self.endures.has(Kinds::STALL)
    }

    /// Whether `strategy` can run it as it is: PCT starves cores, which not every scenario endures.
    #[must_use]
    pub const fn can_run_by(&self, strategy: Strategy) -> bool {
        !(matches!(strategy, Strategy::Pct { .. }) && self.wants_fairness())
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RandomWalk => f.write_str("walk"),
            Self::RoundRobin => f.write_str("turns"),
            Self::Pct { depth } => write!(f, "pct:{depth}"),
            Self::Mixed => f.write_str("mixed"),
        }
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, number) = text.split_once(':').unwrap_or((text, ""));
        match (word, number) {
            ("walk", "") => Ok(Self::RandomWalk),
            ("turns", "") => Ok(Self::RoundRobin),
            ("mixed", "") => Ok(Self::Mixed),
            ("pct", "") => Ok(Self::Pct { depth: 3 }),
            ("pct", n) => match n.parse() {
                Ok(depth @ 1..=100) => Ok(Self::Pct { depth }),
                _ => Err(format!("a depth of {n}; it lies between 1 and 100")),
            },
            _ => Err(format!(
                "no strategy is called `{text}`; there are walk, turns, pct:DEPTH, mixed"
            )),
        }
    }
}
