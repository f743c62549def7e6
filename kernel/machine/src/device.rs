//! Value traits of devices: what a driver offers and the executive consumes.

/// The transmit ring has no room; try again after the device completed something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TxFull;

/// What is left to the device of a frame on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finish {
    /// Nothing: the frame is complete.
    Nothing,
    /// The checksum of the TCP segment that begins at byte `start`: its field holds the sum of the
    /// pseudo-header so far. Unless `size` is 0, the segment is first cut into ones of `size` bytes
    /// of payload. Only what the device [`Offers`].
    Tcp {
        /// Where the TCP header begins, counted from the frame's first byte.
        start: u16,
        /// Most bytes of payload in a segment; 0: the segment goes out as it is.
        size: u16,
    },
}

/// Writes one frame of the requested length into a device buffer, and says what is left to do.
pub type Frame<'a> = &'a mut dyn FnMut(&mut [u8]) -> Finish;

/// The sending half of a network device.
pub trait NetTx {
    /// True when the next [`Self::transmit`] will find room. A stack asks before it commits itself
    /// to a segment, which would otherwise be lost until its retransmission.
    fn has_room(&mut self) -> bool {
        true
    }

    /// Sends one frame of `len` bytes (Ethernet header included, checksum sequence excluded).
    /// `fill` writes it in place. The device may be told later: see [`NetDevice::flush`]. True when the next
    /// frame will find room for sure, as far as nobody else sends one before.
    ///
    /// # Errors
    ///
    /// [`TxFull`] when the ring has no room; `fill` was not called.
    fn transmit(&mut self, len: usize, fill: Frame<'_>) -> Result<bool, TxFull>;
}

/// What a device does beyond moving frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offers {
    /// It completes TCP checksums.
    pub checksums: bool,
    /// Largest frame, headers included, that it cuts into TCP segments; 0: it cuts none.
    pub cuts: usize,
}

/// An Ethernet device: all but its receive ring.
pub trait NetDevice: NetTx + Send {
    /// The station address.
    fn mac(&self) -> [u8; 6];

    /// What may be left to it.
    fn offers(&self) -> Offers {
        Offers::default()
    }

    /// Acknowledges the device's interrupt line. True when this device had raised it.
    fn acknowledge(&mut self) -> bool;

    /// Allows (`true`) or suppresses receive interrupts. For frames that wait already when they are
    /// allowed no interrupt may come: look afterwards ([`NetRx::is_waiting`]).
    fn set_interrupts(&mut self, on: bool);

    /// Tells the device about everything transmitted since the last call.
    fn flush(&mut self);

    /// How often the device returned a sent frame that it did not have.
    fn faults(&self) -> u64 {
        0
    }
}

/// A received frame, where the device has put it.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Its bytes. Larger than any the wire carries when the device has joined TCP segments.
    pub bytes: &'a [u8],
    /// The device vouches for the checksum of its TCP segment or UDP datagram; the field need not hold
    /// it.
    pub vouched: bool,
}

/// A network device's receive ring. Its owner polls it, and takes no lock for that.
pub trait NetRx: Send {
    /// Takes one received frame, hands it to `f`, and takes the buffers back for the device. False
    /// when nothing was waiting.
    fn receive(&mut self, f: &mut dyn FnMut(Received<'_>)) -> bool;

    /// True when a frame waits.
    fn is_waiting(&mut self) -> bool;

    /// Tells the device about every buffer it got since the last call.
    fn refill(&mut self);

    /// How often the device returned a buffer that it did not have.
    fn faults(&self) -> u64 {
        0
    }
}
