//! GICv2: a distributor and a memory-mapped CPU interface whose registers are banked per core.
//!
//! The `arm-gic` driver for it wants `&mut self` on the interrupt path, which would mean a lock
//! around registers every core has for itself. The handful of registers needed is here instead.
//! Ending a software-generated interrupt takes the acknowledged word with the sender in it
//! (Arm GICv2 spec 4.4.5), so that word is kept per core between the two.
#![expect(unsafe_code, reason = "device registers at addresses the board gave")]

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use machine::CpuId;

use crate::clock::TIMER_INTID;
use crate::gic::{GicError, IPI_INTID, PRIORITY};

/// Cores a GICv2 can have.
pub(crate) const MAX_CORES: usize = 8;

const GICD_CTLR: usize = 0x000;
const GICD_TYPER: usize = 0x004;
const GICD_ISENABLER: usize = 0x100;
const GICD_ICENABLER: usize = 0x180;
const GICD_IPRIORITYR: usize = 0x400;
const GICD_ITARGETSR: usize = 0x800;
const GICD_ICFGR: usize = 0xc00;
const GICD_SGIR: usize = 0xf00;
const GICC_CTLR: usize = 0x00;
const GICC_PMR: usize = 0x04;
const GICC_IAR: usize = 0x0c;
const GICC_EOIR: usize = 0x10;
const ID_MASK: u32 = 0x3ff;

static DISTRIBUTOR: AtomicUsize = AtomicUsize::new(0);
static CPU_INTERFACE: AtomicUsize = AtomicUsize::new(0);
/// Acknowledged word of the software-generated interrupt a core is handling.
static SGI_TAKEN: [AtomicU32; MAX_CORES] = [const { AtomicU32::new(0) }; MAX_CORES];
/// Core interface number of each core as the distributor's target masks name it.
static TARGET_MASK: [AtomicU32; MAX_CORES] = [const { AtomicU32::new(0) }; MAX_CORES];

#[inline(always)]
fn read(base: &AtomicUsize, offset: usize) -> u32 {
    let p = core::ptr::with_exposed_provenance::<u32>(base.load(Ordering::Relaxed) + offset);
    // SAFETY: a register of the controller, mapped as device memory, which `init` was given.
    unsafe { p.read_volatile() }
}

#[inline(always)]
fn write(base: &AtomicUsize, offset: usize, value: u32) {
    let p = core::ptr::with_exposed_provenance_mut::<u32>(base.load(Ordering::Relaxed) + offset);
    // SAFETY: as in `read`.
    unsafe { p.write_volatile(value) }
}

fn write_byte(base: &AtomicUsize, offset: usize, value: u8) {
    let p = core::ptr::with_exposed_provenance_mut::<u8>(base.load(Ordering::Relaxed) + offset);
    // SAFETY: as in `read`; priority and target registers are byte-accessible.
    unsafe { p.write_volatile(value) }
}

pub(crate) fn init(distributor: usize, cpu_interface: usize) {
    DISTRIBUTOR.store(distributor, Ordering::Relaxed);
    CPU_INTERFACE.store(cpu_interface, Ordering::Relaxed);
    write(&DISTRIBUTOR, GICD_CTLR, 0);
    for group in 1..=(read(&DISTRIBUTOR, GICD_TYPER) & 31) as usize {
        write(&DISTRIBUTOR, GICD_ICENABLER + 4 * group, u32::MAX);
    }
    write(&DISTRIBUTOR, GICD_CTLR, 1);
}

pub(crate) fn init_core() {
    for id in [IPI_INTID, TIMER_INTID] {
        write_byte(&DISTRIBUTOR, GICD_IPRIORITYR + id as usize, PRIORITY);
    }
    write(
        &DISTRIBUTOR,
        GICD_ISENABLER,
        1 << IPI_INTID | 1 << TIMER_INTID,
    );
    write(&CPU_INTERFACE, GICC_PMR, 0xff);
    write(&CPU_INTERFACE, GICC_CTLR, 1);
    // The first target register reads as this core's own mask; the uniprocessor form reads 0.
    let own = (read(&DISTRIBUTOR, GICD_ITARGETSR) & 0xff).max(1);
    let index = (crate::cpu::own_mpidr() & 7) as usize;
    TARGET_MASK[index].store(own, Ordering::Relaxed);
}

pub(crate) fn leave_core() {
    write(&CPU_INTERFACE, GICC_CTLR, 0);
}

pub(crate) fn route(id: u32, target: CpuId) {
    write_byte(
        &DISTRIBUTOR,
        GICD_ITARGETSR + id as usize,
        mask(target) as u8,
    );
}

/// Target mask of core `cpu`.
fn mask(cpu: CpuId) -> u32 {
    let affinity = crate::cpu::mpidr(cpu).unwrap_or(cpu.index() as u64);
    let index = (affinity & 7) as usize;
    match TARGET_MASK[index].load(Ordering::Relaxed) {
        0 => 1 << index,
        mask => mask,
    }
}

pub(crate) fn enable_spi(id: u32, target: CpuId) -> Result<(), GicError> {
    let lines = ((read(&DISTRIBUTOR, GICD_TYPER) & 31) + 1) * 32;
    if id >= lines {
        return Err(GicError::NoSuchInterrupt);
    }
    let id = id as usize;
    write_byte(&DISTRIBUTOR, GICD_IPRIORITYR + id, PRIORITY);
    write_byte(&DISTRIBUTOR, GICD_ITARGETSR + id, mask(target) as u8);
    // Two bits per interrupt; the upper one set means edge.
    let state = machine::irq_save();
    let config = GICD_ICFGR + id / 16 * 4;
    let value = read(&DISTRIBUTOR, config) & !(2 << (id % 16 * 2));
    write(&DISTRIBUTOR, config, value);
    machine::irq_restore(state);
    write(&DISTRIBUTOR, GICD_ISENABLER + id / 32 * 4, 1 << (id % 32));
    Ok(())
}

pub(crate) fn disable_spi(id: u32) {
    write(
        &DISTRIBUTOR,
        GICD_ICENABLER + id as usize / 32 * 4,
        1 << (id % 32),
    );
}

pub(crate) fn send_ipi(target: CpuId) {
    write(&DISTRIBUTOR, GICD_SGIR, mask(target) << 16 | IPI_INTID);
}

#[inline(always)]
pub(crate) fn ack(cpu: CpuId) -> u32 {
    let word = read(&CPU_INTERFACE, GICC_IAR);
    let id = word & ID_MASK;
    if id == IPI_INTID {
        SGI_TAKEN[cpu.index() % MAX_CORES].store(word, Ordering::Relaxed);
    }
    id
}

#[inline(always)]
pub(crate) fn end(cpu: CpuId, id: u32) {
    let word = if id == IPI_INTID {
        SGI_TAKEN[cpu.index() % MAX_CORES].load(Ordering::Relaxed)
    } else {
        id
    };
    write(&CPU_INTERFACE, GICC_EOIR, word);
}
