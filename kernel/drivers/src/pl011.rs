//! PL011 UART, polled (Arm DDI 0183).
//!
//! QEMU: `-serial stdio` or `-nographic`. Output waits for room in the FIFO, so a panic prints
//! everything; input is taken byte by byte when somebody asks, or announced by the receive
//! interrupt. Firmware or QEMU set the line speed; this driver only makes sure the UART is on.

use crate::mmio::Registers;

const DR: usize = 0x000;
const FR: usize = 0x018;
const CR: usize = 0x030;
const IMSC: usize = 0x038;
const ICR: usize = 0x044;
const FR_RX_EMPTY: u32 = 1 << 4;
const FR_TX_FULL: u32 = 1 << 5;
const CR_ENABLED: u32 = 1 | 1 << 8 | 1 << 9;
/// Receive and receive-timeout interrupts.
const RECEIVE: u32 = 1 << 4 | 1 << 6;

/// Bytes of the register block.
pub const BYTES: usize = 0x1000;

/// A UART.
#[derive(Clone, Copy, Debug)]
pub struct Pl011 {
    registers: Registers,
}

impl Pl011 {
    /// Turns on the UART behind `registers`, interrupts off.
    #[must_use]
    pub fn new(registers: Registers) -> Self {
        registers.write(IMSC, 0);
        registers.write(CR, registers.read(CR) | CR_ENABLED);
        Self { registers }
    }

    /// Sends all bytes; a line feed goes out as carriage return and line feed.
    pub fn write(&self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.put(b'\r');
            }
            self.put(byte);
        }
    }

    /// Takes a received byte.
    #[must_use]
    pub fn read(&self) -> Option<u8> {
        // The upper bits are receive errors; a broken character is still a key press.
        (self.registers.read(FR) & FR_RX_EMPTY == 0).then(|| self.registers.read(DR) as u8)
    }

    /// Allows or forbids the receive interrupt.
    pub fn set_receive_interrupt(&self, on: bool) {
        self.registers.write(ICR, RECEIVE);
        self.registers.write(IMSC, if on { RECEIVE } else { 0 });
    }

    fn put(&self, byte: u8) {
        while self.registers.read(FR) & FR_TX_FULL != 0 {
            machine::relax();
        }
        self.registers.write(DR, u32::from(byte));
    }
}
