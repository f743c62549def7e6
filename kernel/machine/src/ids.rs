//! Identifiers of cores and interrupts.

use core::fmt;

/// Highest number of cores one image supports.
pub const MAX_CPUS: usize = 64;

/// Logical number of a core: dense, 0 is the boot CPU. Not the MPIDR.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct CpuId(u32);

impl CpuId {
    /// The core that entered the image first.
    pub const BOOT: Self = Self(0);

    /// Names core `n`.
    ///
    /// # Panics
    ///
    /// If `n` is not below [`MAX_CPUS`].
    #[must_use]
    pub const fn new(n: usize) -> Self {
        assert!(n < MAX_CPUS, "core number out of range");
        Self(n as u32)
    }

    /// The number as an index into per-core tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu{}", self.0)
    }
}

/// Interrupt number of a device as the interrupt controller counts (GIC INTID, 32.. for SPIs).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct IntId(pub u32);
