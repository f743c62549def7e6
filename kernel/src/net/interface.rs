//! The interface: a device, a stack, and the BH work item that moves frames between them.
//!
//! Interrupt to reply: the handler acknowledges the device, suppresses further interrupts and queues
//! the poll item on the system's BH queue (`poll.rs`).
//!
//! Invariant: interrupts of the device are suppressed from the handler until the item has found the
//! device empty. The timer is armed no later than the stack's next deadline; both are read and
//! written under the stack's lock.
#![expect(unsafe_code, reason = "arms the interface's own timer")]

mod poll;
mod spare;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use machine::{Instant, NetDevice, NetRx, NetTx, TxFull};
use netsvc::{Config, Endpoint, Events, SlotId, Stack};
use sync::{BhOff, IrqOff, Rank, SpinLock};

use self::spare::Spares;
use super::conn::{Connection, Locked};
use super::listener::Ports;
use super::stats::NetStats;
use super::{Conn, NetConfig, RECEIVE_BUFFER, SEND_BUFFER};
use crate::mem::{try_arc, try_vec_with_capacity};
use crate::softirq::BhCx;
use crate::timer::Timer;
use crate::trace::{Head, Kind, emit_unmasked};
use crate::wq::{self, DelayedWork, Run, Softirq, Threaded, Work};

/// Connections beyond the limit that are let in at once, to be told that they cannot be served.
const LOBBY: usize = 16;
/// The network interface.
pub struct Interface {
    mac: [u8; 6],
    device: SpinLock<Box<dyn NetDevice>, IrqOff>,
    /// The receive ring, while the poll item does not have it.
    receiver: SpinLock<Option<Box<dyn NetRx>>, BhOff>,
    stack: SpinLock<Shared, BhOff>,
    /// Who accepts on which port; read without the stack's lock.
    pub(super) ports: Ports,
    timer: Timer,
    poll: Work<(), Softirq>,
    /// Pending while closed connections may be kept.
    tidy: DelayedWork<(), Threaded>,
    /// What the receive ring had found wrong when it was last looked at.
    receive_faults: AtomicU64,
    interrupts: AtomicU64,
    polls: AtomicU64,
    full_polls: AtomicU64,
}

/// What the stack's lock protects.
struct Shared {
    stack: Stack,
    /// Connections by slot.
    slots: Vec<Option<Arc<Connection>>>,
    spares: Spares,
    /// Most connections served at once.
    limit: usize,
    /// Connections beyond it, on their way out.
    outside: usize,
    turned_away: u64,
    /// When the timer fires; `FOREVER` when it is not armed.
    timer_at: Instant,
}

impl fmt::Debug for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interface")
            .field("mac", &self.mac)
            .finish_non_exhaustive()
    }
}

/// Sends frames under the device's lock.
struct Sender<'a>(&'a SpinLock<Box<dyn NetDevice>, IrqOff>);

impl NetTx for Sender<'_> {
    fn has_room(&mut self) -> bool {
        self.0.lock().has_room()
    }

    fn transmit(&mut self, len: usize, fill: machine::Frame<'_>) -> Result<bool, TxFull> {
        let room = self.0.lock().transmit(len, fill)?;
        emit_unmasked(Kind::NetTx, Head::of(len as u32), 0, 0);
        Ok(room)
    }
}

/// Device interrupt: hard-interrupt context.
pub(super) fn interrupt(_arg: usize) {
    if let Some(interface) = super::interface() {
        let mut device = interface.device.lock();
        if device.acknowledge() {
            device.set_interrupts(false);
            drop(device);
            interface.interrupts.fetch_add(1, Ordering::Relaxed);
            interface.queue_poll();
        }
    }
}

fn timer_due(_timer: &Timer) {
    if let Some(interface) = super::interface() {
        interface.run_timers();
    }
}

fn poll_item(_cx: &BhCx<'_>, _run: &Run<'_, (), Softirq>) {
    if let Some(interface) = super::interface() {
        interface.poll_device();
    }
}

impl Interface {
    /// An interface for `device`, or `None` when memory is out.
    pub(super) fn new(
        device: Box<dyn NetDevice>,
        receiver: Box<dyn NetRx>,
        config: &NetConfig,
    ) -> Option<Self> {
        let mac = device.mac();
        let key = [machine::entropy(), machine::entropy()];
        let mut stack = Config::new(mac, machine::entropy(), key);
        stack.address = config.address;
        stack.connections = config.connections + LOBBY;
        stack.offers = device.offers();
        // As many as connections: of a crowd that comes at once half would else wait for a second to try
        // again. The lobby stays out of a flood's reach.
        stack.handshakes = config.connections;
        let mut slots = try_vec_with_capacity(stack.connections).ok()?;
        slots.resize_with(stack.connections, || None);
        let shared = Shared {
            stack: Stack::new(&stack, machine::now())?,
            slots,
            spares: Spares::new()?,
            limit: config.connections,
            outside: 0,
            turned_away: 0,
            timer_at: Instant::FOREVER,
        };
        Some(Self {
            mac,
            device: SpinLock::new(Rank::Device, "network device", device),
            receiver: SpinLock::new(Rank::Leaf, "receive ring", Some(receiver)),
            stack: SpinLock::new(Rank::NetStack, "network stack", shared),
            ports: Ports::new(),
            timer: Timer::new(timer_due),
            poll: Work::<(), Softirq>::new((), poll_item),
            tidy: spare::tidy_item(),
            receive_faults: AtomicU64::new(0),
            interrupts: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            full_polls: AtomicU64::new(0),
        })
    }

    /// Starts receiving and asking for an address.
    pub(super) fn start(&'static self) {
        self.run_timers();
        self.queue_poll();
    }

    fn queue_poll(&'static self) {
        // Pending already is fine: the coming run polls the device.
        let _ = wq::bh().queue(&self.poll);
    }

    /// Runs the stack's timers and the connections that are due.
    fn run_timers(&'static self) {
        loop {
            let now = machine::now();
            let mut tx = Sender(&self.device);
            let mut shared = self.stack.lock();
            shared.timer_at = Instant::FOREVER;
            shared.stack.tick(now, &mut tx);
            let Some(slot) = shared.stack.pop_due(now) else {
                self.arm(&mut shared);
                break;
            };
            let connection = shared.slots.get(slot.index()).and_then(Clone::clone);
            let told = connection.map(|c| {
                let mut locked = c.lock();
                let events = shared.stack.poll(now, slot, &mut locked.endpoint, &mut tx);
                shared.settle(&mut locked, slot, events);
                drop(locked);
                (c, events)
            });
            drop(shared);
            if let Some((connection, events)) = told {
                self.tell(connection, events);
            }
        }
        self.device.lock().flush();
    }

    /// Sends what an application made due on a connection, and sets its deadline if there is a new
    /// one. True when nothing is left to read ([`Endpoint::is_drained`]). Thread or BH context, without locks.
    pub(super) fn flush(&'static self, connection: &Connection, deadline: Option<Instant>) -> bool {
        let now = machine::now();
        let mut tx = Sender(&self.device);
        let mut shared = self.stack.lock();
        let mut locked = connection.lock();
        let Some(slot) = locked.slot else {
            return false;
        };
        if let Some(at) = deadline {
            locked.endpoint.set_deadline(at);
        }
        let events = shared.stack.poll(now, slot, &mut locked.endpoint, &mut tx);
        shared.settle(&mut locked, slot, events);
        let drained = locked.endpoint.is_drained();
        drop(locked);
        self.arm(&mut shared);
        drop(shared);
        self.device.lock().flush();
        self.notify(connection, events);
        drained
    }

    /// Passes events on; called without locks.
    #[inline(always)]
    fn tell(&'static self, connection: Arc<Connection>, events: Events) {
        if events.established && !events.closed {
            self.ports.accept(&connection);
        }
        self.notify(&connection, events);
    }

    /// As [`Self::tell`], for a connection that was accepted before.
    #[inline(always)]
    fn notify(&'static self, connection: &Connection, events: Events) {
        if events.any() {
            connection.notify();
        }
        if events.closed {
            self.end(connection);
        }
    }

    /// What is left of a connection that is over, when it was told so.
    fn end(&'static self, connection: &Connection) {
        connection.forget_session();
        self.tidy_later();
    }

    fn arm(&self, shared: &mut Shared) {
        let at = shared.stack.next_timer();
        if at < shared.timer_at {
            shared.timer_at = at;
            // SAFETY: the interface is never moved or freed once attached.
            unsafe { self.timer.arm(at) };
        }
    }

    pub(super) fn open_port(&self, port: u16) -> bool {
        self.stack.lock().stack.listen(port)
    }

    pub(super) fn close_port(&self, port: u16) {
        self.stack.lock().stack.unlisten(port);
    }

    /// Calls `f` with every connection to `port`; for stopping a service, not for a hot path.
    pub(super) fn for_each_on(&self, port: u16, mut f: impl FnMut(Conn)) {
        let n = self.stack.lock().slots.len();
        for i in 0..n {
            let connection = self.stack.lock().slots[i].clone();
            if let Some(c) = connection.filter(|c| c.local_port() == port) {
                f(Conn::borrowed(c));
            }
        }
    }

    /// A snapshot of the counters.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        // While a poll has the receive ring, what that found is told the next time.
        let found = &self.receive_faults;
        if let Some(receiver) = self.receiver.lock().as_ref() {
            found.store(receiver.faults(), Ordering::Relaxed);
        }
        let received = found.load(Ordering::Relaxed);
        let device_faults = received + self.device.lock().faults();
        let shared = self.stack.lock();
        NetStats {
            mac: self.mac,
            address: shared.stack.address(),
            connections: shared.stack.connections(),
            connection_limit: shared.limit,
            turned_away: shared.turned_away,
            handshakes: shared.stack.handshakes(),
            time_waits: shared.stack.time_waits(),
            interrupts: self.interrupts.load(Ordering::Relaxed),
            polls: self.polls.load(Ordering::Relaxed),
            full_polls: self.full_polls.load(Ordering::Relaxed),
            device_faults,
            stack: *shared.stack.stats(),
        }
    }
}

impl Shared {
    /// A connection nobody else knows: a used one if there is one, else a new one.
    fn connection(&mut self) -> Option<Arc<Connection>> {
        if let Some(c) = self.spares.take() {
            return Some(c);
        }
        let endpoint = Endpoint::new(RECEIVE_BUFFER, SEND_BUFFER)?;
        try_arc(Connection::new(endpoint)).ok()
    }

    /// True when the next connection is one beyond the limit.
    fn is_full(&self) -> bool {
        self.stack.connections() - self.outside >= self.limit
    }

    fn keep(&mut self, c: Arc<Connection>) {
        // One too many is freed here: rare, and two buffers only.
        let _ = self.spares.put(c);
    }

    /// Takes a connection that is over out of its slot.
    fn settle(&mut self, locked: &mut Locked, slot: SlotId, events: Events) {
        if events.closed {
            locked.slot = None;
            self.outside -= usize::from(core::mem::take(&mut locked.outside));
            if let Some(c) = self.slots.get_mut(slot.index()).and_then(Option::take) {
                self.keep(c);
            }
        }
    }
}
