//! From a thread to its party in lending ([`crate::lend`]), and back.
#![expect(unsafe_code, reason = "container_of")]

use core::mem::offset_of;

use super::Thread;
use crate::lend::Party;

impl Thread {
    /// Its party. Nobody else reaches it, so the way back is open to whoever has it.
    #[inline(always)]
    pub(crate) fn party(&self) -> &Party {
        // That way leads to all of the thread, of which a reference to the field knows nothing.
        core::ptr::from_ref(self).expose_provenance();
        &self.party
    }

    /// The thread whose party is at this address.
    ///
    /// # Safety
    ///
    /// The address is that of what [`Self::party`] of a live thread returned.
    pub(crate) unsafe fn of_party<'a>(address: usize) -> &'a Self {
        let p = core::ptr::with_exposed_provenance::<Self>(address - offset_of!(Self, party));
        // SAFETY: promised by the caller.
        unsafe { &*p }
    }
}
