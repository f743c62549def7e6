//! Memory shared with devices.
//!
//! Rings and buffers are whole pages from the executive's page allocator, which this crate cannot
//! name (layers), so the board installs a hook. Physical and virtual addresses are the same and
//! devices are coherent on the machines served, so sharing a buffer is handing out its address.
#![expect(unsafe_code, reason = "implements the contract of virtio-drivers' Hal")]

use core::ptr::NonNull;

use spin::once::Once;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Where DMA pages come from.
#[derive(Clone, Copy, Debug)]
pub struct DmaPages {
    /// Address of `n` consecutive pages nobody else uses, or `None`.
    pub alloc: fn(usize) -> Option<usize>,
    /// Gives `n` pages at this address back.
    pub free: fn(usize, usize),
}

struct Relax;

impl spin::RelaxStrategy for Relax {
    fn relax() {
        machine::relax();
    }
}

static PAGES: Once<DmaPages, Relax> = Once::new();

/// Installs the page source; the first call counts.
///
/// # Safety
///
/// `alloc` returns page-aligned, identity-mapped, writable normal memory that is used by nothing
/// else until it is given to `free`.
pub unsafe fn install(pages: DmaPages) {
    PAGES.call_once(|| pages);
}

/// `n` zeroed pages that live for ever.
#[must_use]
pub fn pages(n: usize) -> Option<&'static mut [u8]> {
    let at = (PAGES.get()?.alloc)(n)?;
    let p = core::ptr::with_exposed_provenance_mut::<u8>(at);
    // SAFETY: `install`'s contract: writable pages used by nothing else.
    unsafe { p.write_bytes(0, n * PAGE_SIZE) };
    // SAFETY: as above; initialised by the line above and never freed.
    Some(unsafe { core::slice::from_raw_parts_mut(p, n * PAGE_SIZE) })
}

/// The platform interface of `virtio-drivers`.
#[derive(Debug)]
pub struct Platform;

// SAFETY: pages are zeroed and unaliased (see `pages`); identity mapping, coherent devices.
unsafe impl Hal for Platform {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        match self::pages(pages) {
            Some(memory) => (
                memory.as_ptr().addr() as PhysAddr,
                NonNull::from(memory).cast(),
            ),
            // The crate takes address 0 for "no memory".
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(paddr: PhysAddr, _vaddr: NonNull<u8>, pages: usize) -> i32 {
        if let Some(source) = PAGES.get() {
            (source.free)(paddr as usize, pages);
        }
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        let p = core::ptr::with_exposed_provenance_mut::<u8>(paddr as usize);
        NonNull::new(p).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().expose_provenance().get() as PhysAddr
    }

    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
