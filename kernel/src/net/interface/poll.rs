//! The poll item: from the device's receive ring to the sessions.
//!
//! It takes up to [`BUDGET`] frames, then either queues itself again or enables interrupts and looks
//! once more, because a frame that came before the enabling causes no interrupt (virtio 1.2 2.7.10).

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use machine::{Instant, NetRx, Received};
use netsvc::{Events, Route, Segment, SlotId};

use super::super::conn::Connection;
use super::{Interface, Sender, Shared};
use crate::trace::{Head, Kind, emit_unmasked};

/// Frames taken in one run of the poll item.
const BUDGET: usize = 64;
/// Frames after which a long run tells the device what there is to send.
const KICK: usize = 16;

impl Interface {
    /// Body of the poll item.
    pub(super) fn poll_device(&'static self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
        let Some(mut receiver) = self.receiver.lock().take() else {
            debug_assert!(false, "the poll item runs twice at once");
            return;
        };
        let again = self.drain(&mut *receiver);
        *self.receiver.lock() = Some(receiver);
        if again {
            self.queue_poll();
        }
    }

    /// Takes up to [`BUDGET`] frames; true when there may be more, and no interrupt will tell.
    fn drain(&'static self, receiver: &mut dyn NetRx) -> bool {
        for n in 1..=BUDGET {
            if !receiver.receive(&mut |frame| self.receive(frame)) {
                receiver.refill();
                let mut device = self.device.lock();
                device.flush();
                device.set_interrupts(true);
                let more = receiver.is_waiting();
                if more {
                    device.set_interrupts(false);
                }
                return more;
            }
            if n % KICK == 0 {
                // The device sends and receives while we do: its rings neither fill up nor run dry.
                receiver.refill();
                self.device.lock().flush();
            }
        }
        self.full_polls.fetch_add(1, Ordering::Relaxed);
        receiver.refill();
        self.device.lock().flush();
        true
    }

    /// Gives one frame to the stack and tells the session concerned.
    fn receive(&'static self, received: Received<'_>) {
        let frame = received.bytes;
        emit_unmasked(Kind::NetRx, Head::of(frame.len() as u32), 0, 0);
        let now = machine::now();
        let mut tx = Sender(&self.device);
        let mut shared = self.stack.lock();
        let concerned = match shared.stack.receive(now, received, &mut tx) {
            Route::Done => None,
            Route::Flow(slot, segment) => shared.deliver(now, slot, &segment, frame, &mut tx),
            Route::Open(segment) => {
                shared.open(now, &segment, frame, &mut tx);
                None
            }
        };
        self.arm(&mut shared);
        drop(shared);
        if let Some((connection, events)) = concerned {
            self.tell(connection, events);
        }
    }
}

impl Shared {
    /// Gives a segment to its connection.
    fn deliver(
        &mut self,
        now: Instant,
        slot: SlotId,
        segment: &Segment,
        frame: &[u8],
        tx: &mut Sender<'_>,
    ) -> Option<(Arc<Connection>, Events)> {
        let connection = self.slots.get(slot.index())?.clone()?;
        let mut locked = connection.lock();
        let endpoint = &mut locked.endpoint;
        let events = self.stack.deliver(now, slot, segment, frame, endpoint, tx);
        self.settle(&mut locked, slot, events);
        drop(locked);
        Some((connection, events))
    }

    /// Opens the connection that a SYN asks for, if there is memory for one.
    fn open(&mut self, now: Instant, segment: &Segment, frame: &[u8], tx: &mut Sender<'_>) {
        let Some(c) = self.connection() else {
            return self.stack.refuse(now, frame, tx);
        };
        let outside = self.is_full();
        let mut locked = c.lock();
        let endpoint = &mut locked.endpoint;
        let slot = self.stack.open(now, segment, frame, endpoint, tx);
        locked.slot = slot;
        locked.outside = outside && slot.is_some();
        drop(locked);
        match slot {
            Some(slot) => {
                self.slots[slot.index()] = Some(c);
                self.outside += usize::from(outside);
                self.turned_away += u64::from(outside);
            }
            None => self.keep(c),
        }
    }
}
