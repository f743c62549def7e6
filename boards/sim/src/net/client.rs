//! What a client's program can do: wait, connect ([`Stream`]), signal, and misbehave.
//!
//! Calls that wait do so in virtual time and give up, by a panic that fails the world, after
//! [`PATIENCE`]: whatever the kernel does, it must do something by then.

use core::cell::RefCell;
use core::fmt;
use std::rc::Rc;

use corosensei::Yielder;
use machine::{Duration, Instant};
use smoltcp::socket::tcp::State;

use super::Signals;
use super::host::{BUFFER, Host};
use super::script::{Go, end};
use super::stream::Stream;
use crate::rng::Rng;

/// How long a client waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// One client's hands.
pub struct Client<'y> {
    number: usize,
    rng: Rng,
    host: Rc<RefCell<Host>>,
    signals: Rc<Signals>,
    yielder: &'y Yielder<Go, u64>,
}

impl fmt::Debug for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The kernel answered a connection's first segment with a reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused;

impl<'y> Client<'y> {
    pub(super) const fn new(
        number: usize,
        rng: Rng,
        host: Rc<RefCell<Host>>,
        signals: Rc<Signals>,
        yielder: &'y Yielder<Go, u64>,
    ) -> Self {
        Self {
            number,
            rng,
            host,
            signals,
            yielder,
        }
    }

    /// Its number among the clients of its world.
    #[must_use]
    pub const fn number(&self) -> usize {
        self.number
    }

    /// Its own random numbers; no other client and no interleaving changes them.
    #[must_use]
    pub const fn rng(&self) -> &Rng {
        &self.rng
    }

    /// `n` random bytes.
    #[must_use]
    pub fn random_bytes(&self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.rng.next() as u8).collect()
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.host.borrow().now)
    }

    /// Does nothing for a while.
    pub fn sleep(&self, time: Duration) {
        let until = self.now() + time;
        while self.now() < until {
            self.pause(until);
        }
    }

    /// Puts a line on the world's console, for reports and tests.
    pub fn say(&self, line: &str) {
        self.signals.say(line);
    }

    /// Sets signal `n` (below 64), for the kernel's side and other clients.
    pub fn tell(&self, n: u32) {
        self.signals.tell(n);
    }

    /// Waits for signal `n`.
    pub fn wait_for(&self, n: u32) {
        self.wait("a signal", || self.signals.told(n).then_some(()));
    }

    /// Connects to `port`.
    ///
    /// # Panics
    ///
    /// If the kernel refuses.
    #[must_use]
    pub fn connect(&self, port: u16) -> Stream<'_, 'y> {
        let stream = self.try_connect(port);
        stream.unwrap_or_else(|Refused| panic!("the connection to port {port} was refused"))
    }

    /// Connects to `port`.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn try_connect(&self, port: u16) -> Result<Stream<'_, 'y>, Refused> {
        self.connect_with(port, BUFFER)
    }

    /// Connects to `port` with a receive buffer, and so a window, of so many bytes.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn connect_with(&self, port: u16, window: usize) -> Result<Stream<'_, 'y>, Refused> {
        let stream = self.begin(port, window);
        let state = self.wait("a connection", || {
            let state = stream.with(|s| s.state());
            (state != State::SynSent).then_some(state)
        });
        match state {
            State::Closed => Err(Refused),
            _ => Ok(stream),
        }
    }

    /// Sends a SYN to `port` and does not wait.
    #[must_use]
    pub fn begin(&self, port: u16, window: usize) -> Stream<'_, 'y> {
        let (handle, own_port) = self.host.borrow_mut().connect(port, window);
        Stream::new(self, handle, own_port)
    }

    /// Puts a frame of its own making on the wire.
    pub fn inject(&self, frame: Vec<u8>) {
        self.host.borrow_mut().card.leaving.push(frame);
    }

    /// Keeps the frames that arrive from now on for [`Self::heard`].
    pub fn listen(&self) {
        self.host.borrow_mut().listening = true;
    }

    /// The frames that have arrived since the last call.
    #[must_use]
    pub fn heard(&self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.host.borrow_mut().heard)
    }

    /// The host this client sits at.
    pub(super) const fn host(&self) -> &Rc<RefCell<Host>> {
        &self.host
    }

    /// Waits until `ready` says what.
    pub(super) fn wait<R>(&self, what: &str, mut ready: impl FnMut() -> Option<R>) -> R {
        let give_up = self.now() + PATIENCE;
        loop {
            if let Some(r) = ready() {
                return r;
            }
            let now = self.now();
            assert!(now < give_up, "waited {PATIENCE:?} for {what}");
            self.pause(give_up);
        }
    }

    /// Lets the world go on; comes back when something happened, or at `until`.
    fn pause(&self, until: Instant) {
        self.check(self.yielder.suspend(until.as_nanos()));
    }

    /// Ends the script if its world is over.
    pub(super) fn check(&self, go: Go) {
        if go == Go::Home {
            end();
        }
    }
}
