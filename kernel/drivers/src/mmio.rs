//! Device registers: the one place that says "this address is a device".
//!
//! A driver that holds a [`Registers`] reads and writes without further claims; the claim was made
//! once, by whoever constructed it.
#![expect(unsafe_code, reason = "volatile access to device registers")]

/// A block of 32-bit device registers.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    base: usize,
    bytes: usize,
}

impl Registers {
    /// Claims the registers at `base`.
    ///
    /// # Safety
    ///
    /// `base..base + bytes` is mapped as device memory for ever and is a register block on which
    /// any 32-bit access at any offset is allowed.
    #[must_use]
    pub const unsafe fn new(base: usize, bytes: usize) -> Self {
        Self { base, bytes }
    }

    /// Reads the register at `offset`.
    ///
    /// # Panics
    ///
    /// If it lies outside the block.
    #[inline]
    #[must_use]
    pub fn read(&self, offset: usize) -> u32 {
        let p = core::ptr::with_exposed_provenance::<u32>(self.at(offset));
        // SAFETY: inside the block claimed by `new`.
        unsafe { p.read_volatile() }
    }

    /// Writes the register at `offset`.
    ///
    /// # Panics
    ///
    /// If it lies outside the block.
    #[inline]
    pub fn write(&self, offset: usize, value: u32) {
        let p = core::ptr::with_exposed_provenance_mut::<u32>(self.at(offset));
        // SAFETY: inside the block claimed by `new`.
        unsafe { p.write_volatile(value) }
    }

    fn at(&self, offset: usize) -> usize {
        assert!(
            offset + 4 <= self.bytes && offset.is_multiple_of(4),
            "register outside its block"
        );
        self.base + offset
    }
}
