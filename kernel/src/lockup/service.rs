//! Services that answer nobody: requests wait, and none is served for as long as the watchdog's limit.
//!
//! A service says how it gets on ([`Service::progress`]); who keeps the time and tells is here. What is
//! told with it is a picture of the whole machine ([`crate::dump`], [`crate::wq::show_all`]), because the
//! reason may be anywhere: no worker, no memory, a core that is gone.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use machine::{Duration, Instant};
use sync::{Rank, SpinLock};

use crate::cpu::this_cpu;
use crate::log::Lines;
use crate::{dump, kernel, wq};

/// Most services that are watched.
pub const MOST_SERVICES: usize = 8;

/// How a service gets on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Nobody waits for it.
    Idle,
    /// Somebody waits; with how often somebody was served so far.
    Busy(u64),
}

/// A service that can be watched.
pub trait Service: Send + Sync {
    /// Its name in reports.
    fn name(&self) -> &str;

    /// How it gets on. BH context, without a lock: may take spin locks, and may not sleep.
    fn progress(&self) -> Progress;
}

struct Watched {
    service: Arc<dyn Service>,
    seen: Progress,
    since: Instant,
    told: bool,
}

/// The services of a kernel that are watched.
pub(crate) struct Services {
    watched: SpinLock<heapless::Vec<Watched, MOST_SERVICES>>,
    /// Address of the one that is asked at this moment, or 0.
    asking: AtomicUsize,
    /// Somebody looks: the watchdog that leaves a core may overlap with the one on the next.
    looking: AtomicBool,
    count: AtomicU64,
}

impl core::fmt::Debug for Services {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

impl Services {
    pub(super) const fn new() -> Self {
        Self {
            watched: SpinLock::new(Rank::Leaf, "watched services", heapless::Vec::new()),
            asking: AtomicUsize::new(0),
            looking: AtomicBool::new(false),
            count: AtomicU64::new(0),
        }
    }
}

/// Watches `service` until [`unwatch_service`]. False if [`MOST_SERVICES`] are watched already: it is not.
pub fn watch_service(service: Arc<dyn Service>) -> bool {
    let watched = Watched {
        service,
        seen: Progress::Idle,
        since: machine::now(),
        told: false,
    };
    kernel()
        .lockups
        .services
        .watched
        .lock()
        .push(watched)
        .is_ok()
}

/// Watches `service` no more, and waits until a look that asks it is over, so that nobody else has a count
/// on it. Thread context.
pub fn unwatch_service(service: &Arc<dyn Service>) {
    let services = &kernel().lockups.services;
    let mut list = services.watched.lock();
    let at = list.iter().position(|w| Arc::ptr_eq(&w.service, service));
    let gone = at.map(|n| list.swap_remove(n));
    drop(list);
    drop(gone);
    while services.asking.load(Ordering::Acquire) == address(service) {
        machine::relax();
    }
}

fn address(service: &Arc<dyn Service>) -> usize {
    Arc::as_ptr(service).addr()
}

/// Lockups of services that were told so far.
#[must_use]
pub fn service_lockup_count() -> u64 {
    kernel().lockups.services.count.load(Ordering::Relaxed)
}

/// Asks each service, unless somebody does at this moment. BH context, no lock held.
pub(super) fn look(now: Instant, limit: Duration) {
    let services = &kernel().lockups.services;
    // Acquire and release, so that `asking` has one writer at a time.
    if services.looking.swap(true, Ordering::Acquire) {
        return;
    }
    ask_all(services, now, limit);
    services.looking.store(false, Ordering::Release);
}

fn ask_all(services: &Services, now: Instant, limit: Duration) {
    // Nobody is served while the machine is suspended.
    let awake = this_cpu().clock.awake_since().unwrap_or(now);
    let mut n = 0;
    loop {
        let list = services.watched.lock();
        let Some(service) = list.get(n).map(|w| Arc::clone(&w.service)) else {
            return;
        };
        services.asking.store(address(&service), Ordering::Relaxed);
        drop(list);
        // It takes locks of its own, so the list's is not held.
        let seen = service.progress();
        let mut list = services.watched.lock();
        let lasted = list
            .get_mut(n)
            .filter(|w| Arc::ptr_eq(&w.service, &service))
            .and_then(|w| {
                w.since = w.since.max(awake);
                w.note(seen, now, limit)
            });
        drop(list);
        if let Some(lasted) = lasted {
            services.count.fetch_add(1, Ordering::Relaxed);
            tell(service.name(), lasted);
        }
        drop(service);
        services.asking.store(0, Ordering::Release);
        n += 1;
    }
}

impl Watched {
    /// What is new; for how long nobody was served, if that is to be told now.
    fn note(&mut self, seen: Progress, now: Instant, limit: Duration) -> Option<Duration> {
        if seen == Progress::Idle || seen != self.seen {
            (self.seen, self.since, self.told) = (seen, now, false);
            return None;
        }
        let lasted = now.since(self.since);
        (lasted >= limit && !core::mem::replace(&mut self.told, true)).then_some(lasted)
    }
}

fn tell(name: &str, lasted: Duration) {
    crate::log!(
        "BUG: service lockup: {name} has answered nobody for {} ms, and somebody waits",
        lasted.as_millis()
    );
    let mut lines = Lines::new();
    // The console takes everything.
    let _ = dump::write(&mut lines);
    let _ = wq::show_all(&mut lines);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;
    impl Service for Nobody {
        fn name(&self) -> &str {
            "nobody"
        }
        fn progress(&self) -> Progress {
            Progress::Idle
        }
    }

    /// Told once when nobody was served for the limit; progress and rest begin anew.
    #[test]
    fn only_lasting_neglect_is_told_and_once() {
        let mut w = Watched {
            service: Arc::new(Nobody),
            seen: Progress::Idle,
            since: Instant::ZERO,
            told: false,
        };
        let limit = Duration::from_secs(4);
        let at = |s| Instant::ZERO + Duration::from_secs(s);
        let mut note = |seen, s| w.note(seen, at(s), limit);
        assert_eq!(note(Progress::Idle, 100), None);
        assert_eq!(note(Progress::Busy(7), 101), None);
        assert_eq!(note(Progress::Busy(7), 104), None);
        assert_eq!(note(Progress::Busy(7), 105), Some(limit));
        assert_eq!(note(Progress::Busy(7), 200), None, "told once");
        assert_eq!(note(Progress::Busy(8), 201), None, "somebody was served");
        assert_eq!(note(Progress::Idle, 204), None);
        assert_eq!(note(Progress::Busy(8), 205), None, "it rested");
        assert_eq!(note(Progress::Busy(8), 209), Some(limit));
    }
}
