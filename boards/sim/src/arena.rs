//! A world's physical memory: one anonymous mapping, paid for by the page touched.
//!
//! Guard pages are real: [`Arena::protect`] takes the host's access rights away, so a thread of the
//! simulated kernel that overruns its stack dies at once instead of writing into its neighbour.
#![expect(unsafe_code, reason = "mmap, mprotect, munmap")]

use core::ptr::null_mut;

use machine::Protection;

/// Alignment of the memory handed to the kernel (its largest page alignment).
const ALIGN: usize = 2 << 20;

/// The mapping; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Arena {
    map: usize,
    map_bytes: usize,
    start: usize,
    bytes: usize,
}

impl Arena {
    /// `bytes` of zeroed memory.
    ///
    /// # Panics
    ///
    /// If the host has no address space left.
    pub(crate) fn new(bytes: usize) -> Self {
        let map_bytes = bytes + ALIGN;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping touches nothing that exists.
        let p = unsafe { libc::mmap(null_mut(), map_bytes, rights, flags, -1, 0) };
        assert!(
            p != libc::MAP_FAILED,
            "the host refused {bytes} bytes of memory for a world"
        );
        let map = p.expose_provenance();
        Self {
            map,
            map_bytes,
            start: map.next_multiple_of(ALIGN),
            bytes,
        }
    }

    /// First address.
    pub(crate) const fn start(&self) -> usize {
        self.start
    }

    /// One past the last address.
    pub(crate) const fn end(&self) -> usize {
        self.start + self.bytes
    }

    /// Changes the rights of whole pages inside the arena.
    ///
    /// # Panics
    ///
    /// If the range is not inside, or the host refuses.
    pub(crate) fn protect(&self, address: usize, bytes: usize, rights: Protection) {
        assert!(
            address >= self.start && address + bytes <= self.end(),
            "protecting memory outside the world"
        );
        let rights = match rights {
            Protection::None => libc::PROT_NONE,
            Protection::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        };
        let p = core::ptr::with_exposed_provenance_mut(address);
        // SAFETY: the range lies inside this arena's own mapping.
        let r = unsafe { libc::mprotect(p, bytes, rights) };
        assert!(r == 0, "the host refused to protect a page");
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let p = core::ptr::with_exposed_provenance_mut(self.map);
        // SAFETY: mapped in `new`; the world that used it is over.
        unsafe { libc::munmap(p, self.map_bytes) };
    }
}
