//! Devices behind the virtio-mmio slots, connected once threads run.
//!
//! DMA pages come from the heap at page alignment. The entropy device is read once into the
//! architecture layer's pool; the first network device goes to the executive.
#![expect(unsafe_code, reason = "claims virtio slots; pages of the heap for DMA")]

use alloc::alloc::{Layout, alloc, dealloc};
use alloc::boxed::Box;

use arch_aarch64::{entropy, gic};
use drivers::dma::{self, DmaPages};
use drivers::mmio::Registers;
use drivers::transport::probe;
use drivers::virtio_net;
use drivers::virtio_rng;
use kernel::{input, irq, net};
use machine::{CpuId, IntId};
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceType, Transport};

use crate::device_tree::{Machine, Slot};

const PAGE: usize = 4096;

/// Connects every device this image has a driver for.
pub(crate) fn connect(machine: &Machine) {
    // SAFETY: the heap gives whole, page-aligned, identity-mapped pages used by nothing else.
    unsafe {
        dma::install(DmaPages {
            alloc: alloc_pages,
            free: free_pages,
        })
    };
    if let Some(int) = machine.uart_int {
        connect_console(int);
    }
    for slot in &machine.slots {
        // SAFETY: the slot the device tree names, mapped as device memory; visited once.
        let Some(transport) = (unsafe { probe(slot.base, slot.bytes) }) else {
            continue;
        };
        match transport.device_type() {
            DeviceType::EntropySource => {
                let mut seed = [0; 32];
                let n = virtio_rng::read(transport, &mut seed);
                entropy::add(&seed[..n]);
            }
            DeviceType::Network => connect_net(transport, slot),
            other => kernel::log!("virtio slot {:#x}: no driver for {other:?}", slot.base),
        }
    }
}

/// Has the console's interrupt deliver what is typed.
fn connect_console(int: IntId) {
    if irq::register(int, input::interrupt, 0).is_err() {
        return kernel::log!("console: too many devices; nothing can be typed");
    }
    crate::allow_input();
    if let Err(e) = gic::enable_spi(int, CpuId::BOOT) {
        kernel::log!("console: interrupt {}: {e:?}", int.0);
    }
    // What was typed before raises no interrupt.
    let masked = machine::irq_save();
    input::interrupt(0);
    machine::irq_restore(masked);
}

/// Gives a network device to the executive and enables its interrupt.
fn connect_net(transport: MmioTransport<'static>, slot: &Slot) {
    // SAFETY: the same slot; the driver's queues share it with its transport.
    let registers = unsafe { Registers::new(slot.base, slot.bytes) };
    let (device, receiver) = match virtio_net::start(transport, registers) {
        Ok(halves) => halves,
        Err(e) => return kernel::log!("virtio slot {:#x}: network device: {e:?}", slot.base),
    };
    let config = services::boot::network();
    match net::attach(Box::new(device), Box::new(receiver), slot.int, &config) {
        Ok(()) => {
            if let Err(e) = gic::enable_spi(slot.int, CpuId::BOOT) {
                kernel::log!(
                    "virtio slot {:#x}: interrupt {}: {e:?}",
                    slot.base,
                    slot.int.0
                );
            }
        }
        Err(e) => kernel::log!("virtio slot {:#x}: network device: {e}", slot.base),
    }
}

fn layout(pages: usize) -> Option<Layout> {
    Layout::from_size_align(pages * PAGE, PAGE)
        .ok()
        .filter(|l| l.size() > 0)
}

fn alloc_pages(pages: usize) -> Option<usize> {
    let layout = layout(pages)?;
    // SAFETY: the size is not zero.
    let p = unsafe { alloc(layout) };
    (!p.is_null()).then(|| p.expose_provenance())
}

fn free_pages(address: usize, pages: usize) {
    if let Some(layout) = layout(pages) {
        // SAFETY: came from `alloc_pages` with the same number of pages.
        unsafe { dealloc(core::ptr::with_exposed_provenance_mut(address), layout) };
    }
}
