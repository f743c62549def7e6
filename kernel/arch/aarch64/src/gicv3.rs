//! GICv3 through the `arm-gic` crate: distributor and redistributors at set-up, system registers
//! on the interrupt path.
//!
//! Redistributors are found by the affinity each one reports, not by position. Beyond 16 cores an
//! IPI needs affinity level 1, taken from the target's MPIDR (Arm GIC spec 12.2.33 `ICC_SGI1R_EL1`).
#![expect(unsafe_code, reason = "claims the controller's registers once")]

use core::ptr::NonNull;

use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicV3, SgiTarget, SgiTargetGroup};
use arm_gic::{IntId, InterruptGroup, Trigger, UniqueMmioPointer};
use machine::CpuId;
use spin::mutex::SpinMutex;

use crate::Relax;
use crate::clock::TIMER_INTID;
use crate::cpu;
use crate::gic::{GicError, IPI_INTID, PRIORITY};

/// Distributor and redistributors. Taken with interrupts masked, at set-up and when a device's
/// interrupt is enabled; never on the interrupt path.
static GIC: SpinMutex<Option<Gic>, Relax> = SpinMutex::new(None);

struct Gic {
    gic: GicV3<'static>,
    cpus: usize,
}

fn with<R>(f: impl FnOnce(&mut Gic) -> R) -> Option<R> {
    let state = machine::irq_save();
    let result = GIC.lock().as_mut().map(f);
    machine::irq_restore(state);
    result
}

const PPI_BASE: u32 = 16;
const SPI_BASE: u32 = 32;

pub(crate) fn init(distributor: usize, redistributors: usize, cpus: usize) -> Result<(), GicError> {
    let distributor = core::ptr::with_exposed_provenance_mut::<Gicd>(distributor);
    let redistributors = core::ptr::with_exposed_provenance_mut::<GicrSgi>(redistributors);
    let (Some(d), Some(r)) = (NonNull::new(distributor), NonNull::new(redistributors)) else {
        return Err(GicError::Redistributors);
    };
    // SAFETY: the distributor the device tree names, mapped as device memory, claimed only here.
    let d = unsafe { UniqueMmioPointer::new(d) };
    // SAFETY: the redistributor region the device tree names, with a frame pair per core, mapped
    // as device memory, claimed only here.
    let gic = unsafe { GicV3::new(d, r, cpus) };
    let mut gic = gic.map_err(|_| GicError::Redistributors)?;
    // Covers every redistributor and the boot core's interface; cores add theirs in `init_core`.
    gic.setup(0);
    let state = machine::irq_save();
    *GIC.lock() = Some(Gic { gic, cpus });
    machine::irq_restore(state);
    Ok(())
}

impl Gic {
    /// The running core's redistributor.
    fn mine(&mut self) -> usize {
        let own = cpu::own_mpidr();
        (0..self.cpus)
            .find(|&i| {
                let typer = self.gic.gicr_typer(i);
                typer.is_ok_and(|t| t.core_mpidr() == own)
            })
            .unwrap_or(0)
    }
}

/// The interface first, so that nothing is pending there when the redistributor goes to sleep
/// (Arm GIC spec 11.1).
pub(crate) fn leave_core() {
    GicCpuInterface::enable_group1(false);
    with(|g| {
        let mine = g.mine();
        let _ = g.gic.redistributor_mark_core_asleep(mine);
    });
}

pub(crate) fn route(id: u32, target: CpuId) {
    let (spi, mpidr) = (IntId::spi(id - SPI_BASE), cpu::mpidr(target));
    with(|g| g.gic.distributor().set_routing(spi, mpidr));
}

pub(crate) fn init_core() {
    with(|g| {
        let mine = g.mine();
        g.gic.init_cpu(mine);
        for id in [IntId::sgi(IPI_INTID), IntId::ppi(TIMER_INTID - PPI_BASE)] {
            let _ = g.gic.set_interrupt_priority(id, Some(mine), PRIORITY);
            let _ = g.gic.enable_interrupt(id, Some(mine), true);
        }
    });
    GicCpuInterface::set_priority_mask(0xff);
    GicCpuInterface::enable_group1(true);
}

pub(crate) fn enable_spi(id: u32, target: CpuId) -> Result<(), GicError> {
    let spi = IntId::spi(id - SPI_BASE);
    let mpidr = cpu::mpidr(target);
    with(|g| {
        if id - SPI_BASE >= g.gic.typer().num_spis() {
            return Err(GicError::NoSuchInterrupt);
        }
        g.gic
            .set_interrupt_priority(spi, None, PRIORITY)
            .and_then(|()| g.gic.set_trigger(spi, None, Trigger::Level))
            .and_then(|()| g.gic.distributor().set_routing(spi, mpidr))
            .and_then(|()| g.gic.enable_interrupt(spi, None, true))
            .map_err(|_| GicError::NoSuchInterrupt)
    })
    .unwrap_or(Err(GicError::NoSuchInterrupt))
}

pub(crate) fn disable_spi(id: u32) {
    with(|g| {
        g.gic
            .enable_interrupt(IntId::spi(id - SPI_BASE), None, false)
    });
}

/// Sends the IPI to the core with this affinity.
pub(crate) fn send_ipi(mpidr: u64) {
    let [affinity0, affinity1, affinity2, _, affinity3, ..] = mpidr.to_le_bytes();
    let target = SgiTarget::List {
        affinity3,
        affinity2,
        affinity1,
        target_list: 1 << (affinity0 & 15),
    };
    let _ = GicCpuInterface::send_sgi(IntId::sgi(IPI_INTID), target, SgiTargetGroup::CurrentGroup1);
}

#[inline(always)]
pub(crate) fn ack() -> u32 {
    GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1)
        .map_or(u32::from(IntId::SPECIAL_NONE), u32::from)
}

#[inline(always)]
pub(crate) fn end(id: u32) {
    let id = match id {
        0..PPI_BASE => IntId::sgi(id),
        PPI_BASE..SPI_BASE => IntId::ppi(id - PPI_BASE),
        _ => IntId::spi(id - SPI_BASE),
    };
    GicCpuInterface::end_interrupt(id, InterruptGroup::Group1);
}
