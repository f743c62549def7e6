//! The chain of waits that begins at a stuck item, in words, for the watchdog (N8).
//!
//! Nothing is refused here and no circle is looked for: from one who waits to one whom it waits for,
//! up to [`MOST_LINKS`] of them, until somebody waits for nothing that is in the graph. That one is told
//! by what it does: it runs, or sleeps in something of which nobody knows who ends it.
//!
//! A report comes from a softirq, which may have interrupted a thread that has the graph's lock. So
//! that lock is tried only; whoever finds it taken comes again later. Nothing is allocated.
#![expect(unsafe_code, reason = "published waits live on their threads' stacks")]

use core::fmt::Write as _;
use core::sync::atomic::Ordering;

use machine::CpuId;

use super::place::SleepsIn;
use super::{Chain, Found, Wait};
use crate::kernel;
use crate::thread::{Name, State, Thread};
use crate::wq::QueueName;

/// Longest chain that is told.
pub const MOST_LINKS: usize = 12;

/// The type of an item's value, and its queue's name.
pub(crate) type ItemName = (&'static str, QueueName);

/// What a thread does that has published no wait.
enum Does {
    Runs(CpuId),
    Sleeps(SleepsIn),
    Dead,
}

/// Somebody on the chain; for as long as the graph is locked.
pub(crate) struct Someone {
    /// Its published wait, or null.
    wait: *const Wait<'static>,
    id: u32,
    name: Name,
    item: Option<ItemName>,
    does: Does,
    /// Whether what it executes, if it is a worker, was looked up.
    known: bool,
}

impl Someone {
    /// `thread`, which somebody's lock keeps, and what it executes if that is known. Under the graph's
    /// lock.
    pub(crate) fn of(thread: &Thread, item: Option<ItemName>) -> Self {
        let does = match thread.state() {
            State::Running => Does::Runs(thread.cpu()),
            State::Sleeping => Does::Sleeps(thread.sleeps_in.get()),
            State::Dead => Does::Dead,
        };
        let worker = thread.worker.load(Ordering::Relaxed);
        Self {
            wait: thread.waits.get(),
            id: thread.id(),
            name: thread.name.clone(),
            known: item.is_some() || worker.is_null(),
            item,
            does,
        }
    }

    /// Whether it executes an item of this type and queue; with `None` nothing that has a name.
    pub(crate) fn executes(&self, item: Option<&str>, queue: &str) -> bool {
        match (&self.item, item) {
            (Some((name, of)), Some(item)) => *name == item && of == queue,
            (None, None) => true,
            _ => false,
        }
    }

    /// The item it executes.
    pub(crate) fn into_item(self) -> Option<ItemName> {
        self.item
    }

    /// Makes it the one of interest, which is rather one who waits itself.
    pub(crate) fn prefer(self, to: &mut Option<Self>) {
        let worse = |before: &Self| !before.is_waiting() && self.is_waiting();
        if to.as_ref().is_none_or(worse) {
            *to = Some(self);
        }
    }

    fn is_waiting(&self) -> bool {
        !self.wait.is_null()
    }

    fn tell(&self, to: &mut Chain) -> core::fmt::Result {
        match &self.item {
            Some((item, queue)) => write!(to, "item {item} (queue {queue}, thread {})", self.id),
            None => write!(to, "thread {} ({})", self.id, self.name),
        }
    }

    /// What it does instead of waiting for somebody.
    fn tell_end(&self, to: &mut Chain) -> core::fmt::Result {
        match self.does {
            Does::Runs(core) => write!(to, ", which runs on core {core}"),
            Does::Sleeps(what) => write!(to, ", which {what}"),
            Does::Dead => to.write_str(", which has ended"),
        }
    }
}

/// Those whom one wait depends on, as far as a report wants to know.
#[derive(Default)]
pub(super) struct Named {
    next: Option<Someone>,
    all: u32,
    /// Somebody without a thread goes on.
    help: Option<&'static str>,
}

impl Named {
    pub(super) fn add(&mut self, who: Someone) {
        self.all += 1;
        who.prefer(&mut self.next);
    }

    pub(super) fn has_help(&mut self, who: &'static str) {
        self.help = Some(who);
    }
}

/// Writes the chain that begins at whom `start` gives, after what that wrote itself. `start` is called
/// under the graph's lock. False: the graph is locked, and nothing was done.
pub(crate) fn try_tell(to: &mut Chain, start: impl FnOnce(&mut Chain) -> Option<Someone>) -> bool {
    let Some(_graph) = kernel().waits.try_lock() else {
        return false;
    };
    if let Some(first) = start(to) {
        // What has no room is cut.
        let _cut = follow(to, first);
    }
    true
}

/// Under the graph's lock.
fn follow(to: &mut Chain, first: Someone) -> core::fmt::Result {
    let mut told = heapless::Vec::<*const Wait<'static>, MOST_LINKS>::new();
    let mut at = first;
    let mut waits = if to.is_empty() {
        " waits for "
    } else {
        ", which waits for "
    };
    loop {
        if !at.known && !at.is_waiting() {
            at.item = crate::wq::item_of_worker(at.id);
        }
        // SAFETY: published, and the graph's lock keeps it so.
        let Some(wait) = (unsafe { at.wait.as_ref() }) else {
            at.tell(to)?;
            return at.tell_end(to);
        };
        wait.who(to)?;
        if told.contains(&at.wait) || told.push(at.wait).is_err() {
            return to.write_str(" and so on");
        }
        let mut named = Named::default();
        wait.what.look(&mut Found::named(wait, &mut named));
        to.write_str(core::mem::replace(&mut waits, ", which waits for "))?;
        wait.what.tell(to)?;
        let Some(next) = named.next else {
            return match named.help {
                Some(who) => write!(to, " {who}"),
                None => Ok(()),
            };
        };
        if named.all > 1 {
            write!(to, " {} others and", named.all - 1)?;
        }
        to.write_str(" ")?;
        at = next;
    }
}
