//! What may go wrong in a world: kinds of faults, and which of them a run wants.
//!
//! Every fault is drawn from the run's decision source, so it is part of the seed.

use core::fmt;
use core::str::FromStr;

/// A set of kinds of faults.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Kinds(u16);

impl Kinds {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The kernel cannot make a thread: once, several times, or for ever.
    pub const THREAD: Self = Self(1);
    /// An allocation from the heap fails.
    pub const HEAP: Self = Self(1 << 1);
    /// An allocation of pages fails.
    pub const PAGES: Self = Self(1 << 2);
    /// An inter-processor interrupt comes late, or one for two.
    pub const IPI: Self = Self(1 << 3);
    /// The timer interrupt comes late.
    pub const TIMER: Self = Self(1 << 4);
    /// The interrupt controller has nothing to say, or a device nobody knows.
    pub const SPURIOUS: Self = Self(1 << 5);
    /// A core stands still for a while.
    pub const STALL: Self = Self(1 << 6);
    /// A core gets one interrupt after the other.
    pub const STORM: Self = Self(1 << 7);
    /// Packets are lost, duplicated, reordered, delayed, corrupted, cut.
    pub const PACKETS: Self = Self(1 << 8);
    /// From some moment on no thread can be made, ever.
    pub const FOREVER: Self = Self(1 << 9);
    /// What the kernel has to answer with an error or a later try.
    pub const MEMORY: Self = Self::THREAD.or(Self::HEAP).or(Self::PAGES);
    /// What no caller can see except by the clock.
    pub const DELAYS: Self = Self(0x1f8);
    /// Everything that passes.
    pub const ALL: Self = Self(0x1ff);
    /// Everything, also what never ends; "all" on the command line.
    pub const EVERY: Self = Self(0x3ff);
    /// How many kinds there are.
    pub(crate) const COUNT: usize = NAMES.len();

    /// The known kinds among these bits.
    pub(crate) const fn of_bits(bits: u16) -> Self {
        Self(bits & Self::EVERY.0)
    }

    /// The number of a single kind.
    pub(crate) const fn index(self) -> usize {
        self.0.trailing_zeros() as usize
    }

    /// Both sets.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both sets have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// This set without the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// True when all of `other` is in this set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Each kind of the set.
    pub fn iter(self) -> impl Iterator<Item = Self> {
        let kinds = NAMES.iter().map(|(_, kind)| *kind);
        kinds.filter(move |kind| self.has(*kind))
    }

    /// True for the empty set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The kinds by the names the command line uses.
const NAMES: [(&str, Kinds); 10] = [
    ("thread", Kinds::THREAD),
    ("heap", Kinds::HEAP),
    ("pages", Kinds::PAGES),
    ("ipi", Kinds::IPI),
    ("timer", Kinds::TIMER),
    ("spurious", Kinds::SPURIOUS),
    ("stall", Kinds::STALL),
    ("storm", Kinds::STORM),
    ("packets", Kinds::PACKETS),
    ("forever", Kinds::FOREVER),
];

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => return f.write_str("none"),
            Self::EVERY => return f.write_str("all"),
            _ => {}
        }
        let names = NAMES.iter().filter(|(_, kind)| self.has(*kind));
        for (i, (name, _)) in names.enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kinds({self})")
    }
}

impl FromStr for Kinds {
    type Err = String;

    /// `none`, `all`, or names separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::NONE),
            "all" => return Ok(Self::EVERY),
            _ => {}
        }
        text.split(',').try_fold(Self::NONE, |set, word| {
            let known = NAMES.iter().find(|(name, _)| *name == word);
            known.map(|(_, kind)| set.or(*kind)).ok_or_else(|| {
                let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                format!(
                    "no fault is called `{word}`; there are none, all, {}",
                    names.join(", ")
                )
            })
        })
    }
}

/// How many faults of each kind there were.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Injected(pub(crate) [u64; Kinds::COUNT]);

impl Injected {
    /// Faults of this kind.
    #[must_use]
    pub const fn of(&self, kind: Kinds) -> u64 {
        self.0[kind.index()]
    }

    /// Faults of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Adds faults of one kind.
    pub(crate) const fn add_of(&mut self, kind: Kinds, n: u64) {
        self.0[kind.index()] += n;
    }

    /// Adds the faults of another run.
    pub fn add(&mut self, other: &Self) {
        self.0
            .iter_mut()
            .zip(other.0)
            .for_each(|(sum, n)| *sum += n);
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total() == 0 {
            return f.write_str("none");
        }
        let some = NAMES.iter().zip(self.0).filter(|(_, n)| *n > 0);
        for (i, ((name, _), n)) in some.enumerate() {
            write!(f, "{}{name} {n}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// How often packets suffer what, each once in so many packets (0: never).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packets {
    /// Lost on the way.
    pub lost: u32,
    /// Arriving twice.
    pub duplicated: u32,
    /// Overtaken by the next one.
    pub reordered: u32,
    /// Arriving late, up to seconds.
    pub delayed: u32,
    /// Arriving with wrong bits.
    pub corrupted: u32,
    /// Arriving without its end.
    pub cut: u32,
}

impl Packets {
    /// A sound wire.
    pub const NONE: Self = Self {
        lost: 0,
        duplicated: 0,
        reordered: 0,
        delayed: 0,
        corrupted: 0,
        cut: 0,
    };
    /// The usual rates: one frame in ten suffers something.
    pub const LOSSY: Self = Self {
        lost: 50,
        duplicated: 80,
        reordered: 40,
        delayed: 150,
        corrupted: 100,
        cut: 150,
    };
}

/// What may go wrong in a run, and how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Faults {
    /// The kinds that are switched on.
    pub kinds: Kinds,
    /// Rates for packets, once [`Kinds::PACKETS`] is on.
    pub packets: Packets,
}

impl Faults {
    /// These kinds at the usual rates.
    #[must_use]
    pub const fn of(kinds: Kinds) -> Self {
        Self {
            kinds,
            packets: Packets::LOSSY,
        }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::of(Kinds::NONE)
    }
}
