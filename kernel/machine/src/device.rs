//! Value traits of devices: what a driver offers and the executive consumes.

/// The transmit ring has no room; try again after the device completed something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TxFull;

/// Writes one frame of the requested length into a device buffer.
pub type Frame<'a> = &'a mut dyn FnMut(&mut [u8]);

/// The sending half of a network device.
pub trait NetTx {
    /// True when the next [`Self::transmit`] will find room. A stack asks before it commits itself
    /// to a segment, which would otherwise be lost until its retransmission.
    fn has_room(&mut self) -> bool {
        true
    }

    /// Sends one frame of `len` bytes (Ethernet header included, checksum sequence excluded).
    /// `fill` writes it in place. The device may be told later: see [`NetDevice::flush`].
    ///
    /// # Errors
    ///
    /// [`TxFull`] when the ring has no room; `fill` was not called.
    fn transmit(&mut self, len: usize, fill: Frame<'_>) -> Result<(), TxFull>;
}

/// An Ethernet device with polled receive and maskable interrupts.
pub trait NetDevice: NetTx + Send {
    /// The station address.
    fn mac(&self) -> [u8; 6];

    /// Largest frame in bytes, Ethernet header included.
    fn max_frame(&self) -> usize;

    /// Takes one received frame, hands it to `f` together with the sending half, and gives the
    /// buffer back to the device. False when nothing was waiting.
    fn receive(&mut self, f: &mut dyn FnMut(&[u8], &mut dyn NetTx)) -> bool;

    /// Acknowledges the device's interrupt line. True when this device had raised it.
    fn acknowledge(&mut self) -> bool;

    /// Allows (`true`) or suppresses receive interrupts. After allowing, returns true when frames
    /// are already waiting, in which case no interrupt may come for them and the caller polls again.
    fn set_interrupts(&mut self, on: bool) -> bool;

    /// Tells the device about everything transmitted and every buffer returned since the last call.
    fn flush(&mut self);
}
