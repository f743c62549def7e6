//! How a workqueue is made: what can be said about a queue of each kind, and what can go wrong.

use core::fmt;
use core::marker::PhantomData;

use workqueue::{Attrs, DEFAULT_MIN_ACTIVE, clamp_max_active};

use super::QueueName;
use super::attrs::{self, AttrsError};
use super::dedicated::Backend;
use super::item::Threaded;
use super::queue::{Attributes, Queue};
use super::registry::{self, Added};
use super::typed::{Kind, Limited, PerCpu, Placed, Unbound, Workqueue, private};
use crate::thread::cut;

/// A queue could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CreateError {
    /// There is no memory for another queue, or its pools.
    NoMemory,
    /// Its attributes make no sense.
    Attrs(AttrsError),
    /// It is to be exported, and another exported queue has its name (F8).
    NameTaken,
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory => f.write_str("no memory for a workqueue"),
            Self::Attrs(e) => e.fmt(f),
            Self::NameTaken => f.write_str("another exported workqueue has this name"),
        }
    }
}

impl core::error::Error for CreateError {}

impl From<AttrsError> for CreateError {
    fn from(e: AttrsError) -> Self {
        match e {
            AttrsError::NoMemory => Self::NoMemory,
            other => Self::Attrs(other),
        }
    }
}

/// Describes a workqueue to be made.
#[derive(Debug)]
pub struct Builder<K> {
    attributes: Attributes,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Builder<K> {
    pub(super) fn new(name: &str) -> Self {
        let attributes = Attributes {
            name: QueueName::from(cut(name)),
            class: <K as private::Kind>::CLASS,
            backend: super::default_backend().of(<K as private::Kind>::CLASS),
            highpri: false,
            cpu_intensive: false,
            preemption_aware: false,
            mem_reclaim: false,
            freezable: false,
            exported: false,
            max_active: <K as private::Kind>::MAX_ACTIVE,
            min_active: DEFAULT_MIN_ACTIVE,
            attrs: Attrs::new(),
        };
        Self {
            attributes,
            kind: PhantomData,
        }
    }

    /// Uses the pools of nice -20, or the HI softirq (F3, K1).
    #[must_use]
    pub fn highpri(mut self) -> Self {
        self.attributes.highpri = true;
        self.attributes.attrs.nice = -20;
        self
    }

    /// Exports it: it can be looked at and changed by its name, with [`super::set_attribute`] and over
    /// HTTP (F8, N1).
    #[must_use]
    pub fn sysfs(mut self) -> Self {
        self.attributes.exported = true;
        self
    }

    /// Makes the queue.
    ///
    /// # Errors
    ///
    /// [`CreateError`] without memory, also for the rescuer's thread, or with attributes that make
    /// no sense.
    pub fn build(self) -> Result<Workqueue<K>, CreateError> {
        attrs::check(&self.attributes.attrs)?;
        let queue = Queue::make(self.attributes).ok_or(CreateError::NoMemory)?;
        let mut global = registry::global();
        loop {
            if queue.is_placed() {
                attrs::settle_new(&queue, global)?;
            }
            match registry::add(&queue, global) {
                Added::Yes => break,
                Added::Changed(now) => global = now,
                Added::NoMemory => return Err(CreateError::NoMemory),
                Added::NameTaken => return Err(CreateError::NameTaken),
            }
        }
        if queue.has_rescuer() && queue.start_rescuer().is_err() {
            registry::remove(&queue);
            return Err(CreateError::NoMemory);
        }
        // It is listed, so from here on it hears of a change.
        queue.follow_freezer();
        Ok(Workqueue::of(queue))
    }
}

impl<K: Kind<Context = Threaded>> Builder<K> {
    /// Its items make progress also when no memory is left for workers: the queue gets a thread of
    /// its own, its rescuer (F4, H5). That is one thread: items that wait for each other belong on
    /// different queues.
    #[must_use]
    pub fn mem_reclaim(mut self) -> Self {
        self.attributes.mem_reclaim = true;
        self
    }

    /// Who executes its items; the boot argument `wq.backend` says so for queues that do not. An ordered
    /// queue has one thread in either of the old ways.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.attributes.backend = backend.of(K::CLASS);
        self
    }

    /// Its items do not start while the freezer is on (F5, [`crate::freezer`]).
    #[must_use]
    pub fn freezable(mut self) -> Self {
        self.attributes.freezable = true;
        self
    }
}

impl<K: Limited> Builder<K> {
    /// At most `n` items active at a time: per core, or in the whole system for an unbound queue
    /// (D2, D3). 0 is the default of 1024; more than 2048 is 2048 (D1).
    #[must_use]
    pub fn max_active(mut self, n: u32) -> Self {
        self.attributes.max_active = clamp_max_active(n);
        self
    }
}

impl<K: Placed> Builder<K> {
    /// Sets all attributes; [`Builder::highpri`] sets the nice level only.
    #[must_use]
    pub fn attrs(mut self, attrs: Attrs) -> Self {
        self.attributes.attrs = attrs;
        self
    }
}

impl Builder<Unbound> {
    /// Each memory node lets at least `n` items be active, if `max_active` is not lower: so many
    /// items may wait for each other (D4). 8 unless said otherwise.
    #[must_use]
    pub fn min_active(mut self, n: u32) -> Self {
        self.attributes.min_active = n.max(1);
        self
    }
}

impl Builder<PerCpu> {
    /// Its running items do not hold back other items of their core (E13, F7).
    #[must_use]
    pub fn cpu_intensive(mut self) -> Self {
        self.attributes.cpu_intensive = true;
        self
    }

    /// An item of it that other threads keep off its core for longer than
    /// [`preempted_threshold`](super::preempted_threshold) holds back the other items of its core no
    /// more, until it has the core back (beyond Linux, where it does). Without effect on items that are
    /// outside concurrency management anyway, such as those of a [`Self::cpu_intensive`] queue.
    #[must_use]
    pub fn preemption_aware(mut self) -> Self {
        self.attributes.preemption_aware = true;
        self
    }
}
