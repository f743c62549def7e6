//! Memory shared with devices.
//!
//! Rings and buffers are whole pages from the executive's page allocator, which this crate cannot
//! name (layers), so the board installs a hook. Physical and virtual addresses are the same and
//! devices are coherent on the machines served, so sharing a buffer is handing out its address.
#![expect(unsafe_code, reason = "implements the contract of virtio-drivers' Hal")]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

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

/// Pages that a device reads and writes while the driver does: words only, each access whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<const PAGES: usize>(NonNull<u8>);

// SAFETY: the memory is reached through atomics only, and is never freed.
unsafe impl<const PAGES: usize> Send for Words<PAGES> {}
// SAFETY: as above.
unsafe impl<const PAGES: usize> Sync for Words<PAGES> {}

impl<const PAGES: usize> Words<PAGES> {
    /// Zeroed pages.
    pub(crate) fn new() -> Option<Self> {
        let memory = pages(PAGES)?;
        Some(Self(NonNull::from(memory).cast()))
    }

    /// The device's address of byte `at`.
    pub(crate) fn address(&self, at: usize) -> u64 {
        (self.0.expose_provenance().get() + at) as u64
    }

    #[inline]
    fn at<T>(&self, at: usize) -> *mut T {
        let fits = at + size_of::<T>() <= PAGES * PAGE_SIZE && at.is_multiple_of(size_of::<T>());
        assert!(fits, "word outside its pages");
        // SAFETY: inside the pages, as just asserted.
        unsafe { self.0.add(at) }.cast().as_ptr()
    }

    #[inline]
    pub(crate) fn u16(&self, at: usize) -> &AtomicU16 {
        // SAFETY: aligned, inside pages that live for ever and are reached through atomics only.
        unsafe { AtomicU16::from_ptr(self.at(at)) }
    }

    #[inline]
    pub(crate) fn u32(&self, at: usize) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(self.at(at)) }
    }

    #[inline]
    pub(crate) fn u64(&self, at: usize) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { AtomicU64::from_ptr(self.at(at)) }
    }
}

/// Pages whose parts the driver and the device have in turn.
#[derive(Debug)]
pub(crate) struct Buffers {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the pages belong to this value alone, apart from what is lent to the device.
unsafe impl Send for Buffers {}

impl Buffers {
    /// `n` zeroed pages.
    pub(crate) fn new(n: usize) -> Option<Self> {
        let memory = pages(n)?;
        Some(Self {
            bytes: memory.len(),
            base: NonNull::from(memory).cast(),
        })
    }

    /// The device's address of byte `at`.
    pub(crate) fn address(&self, at: usize) -> u64 {
        (self.base.expose_provenance().get() + at) as u64
    }

    /// Bytes `at..at + len`.
    ///
    /// # Safety
    ///
    /// The device has none of them, and will not get them while the slice lives.
    #[inline]
    pub(crate) unsafe fn slice(&mut self, at: usize, len: usize) -> &mut [u8] {
        assert!(
            at <= self.bytes && len <= self.bytes - at,
            "outside the pages"
        );
        // SAFETY: inside the pages, as just asserted.
        let p = unsafe { self.base.add(at) };
        // SAFETY: initialised pages that live for ever; `&mut self` and the caller's promise make
        // this the only access.
        unsafe { NonNull::slice_from_raw_parts(p, len).as_mut() }
    }
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

/// Pages of the host's, for tests.
#[cfg(test)]
pub(crate) fn install_for_tests() {
    use std::alloc::{Layout, alloc, dealloc};
    fn layout(n: usize) -> Layout {
        Layout::from_size_align(n * PAGE_SIZE, PAGE_SIZE).unwrap()
    }
    let pages = DmaPages {
        // SAFETY: the tests ask for at least one page.
        alloc: |n| Some(unsafe { alloc(layout(n)) }.expose_provenance()),
        // SAFETY: came from `alloc` with the same number of pages.
        free: |at, n| unsafe { dealloc(core::ptr::with_exposed_provenance_mut(at), layout(n)) },
    };
    // SAFETY: the host's allocator keeps the contract.
    unsafe { install(pages) };
}
