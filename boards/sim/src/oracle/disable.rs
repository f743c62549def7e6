//! Disabled items (B9, 7.10): refused as long as somebody has disabled them, and no longer.
//!
//! The depth is counted here once more, from the events alone, so that a kernel which loses count is
//! found out. What was disabled may be freed and another item be made in its place: [`Disables::freed`].

use std::collections::BTreeMap;

use trace::Kind;

use super::item::Items;
use super::{Seen, Verdict, ensure};

/// How often each item is disabled, by its address; the enabled ones are not here.
#[derive(Default, Debug)]
pub(crate) struct Disables {
    depths: BTreeMap<u64, u32>,
}

impl Disables {
    fn depth(&self, address: u64) -> u32 {
        self.depths.get(&address).copied().unwrap_or_default()
    }

    pub(crate) fn see(&mut self, s: &Seen, items: &Items) -> Verdict {
        let e = &s.event;
        match e.kind {
            Kind::DisableWork => {
                *self.depths.entry(e.a).or_default() += 1;
                if let Some(i) = items.get(e.a) {
                    ensure!(
                        i.pending.is_none(),
                        "7.10",
                        "item #{} is disabled and stays {i}",
                        i.name
                    );
                }
            }
            Kind::EnableWork => {
                let depth = self.depth(e.a);
                let last = e.head.flags & Kind::ENABLED != 0;
                ensure!(
                    depth > 0 && last == (depth == 1),
                    "B9",
                    "an item that is disabled {depth} times is enabled once, and then {}",
                    if last { "accepts" } else { "still refuses" }
                );
                if last {
                    self.depths.remove(&e.a);
                } else {
                    self.depths.insert(e.a, depth - 1);
                }
            }
            Kind::QueueWork => {
                let depth = self.depth(e.a);
                ensure!(
                    depth == 0,
                    "B9",
                    "an item is queued while it is disabled {depth} times"
                );
            }
            Kind::RefuseWork => ensure!(
                self.depth(e.a) > 0,
                "B9",
                "an item is refused as disabled, and nobody has disabled it"
            ),
            Kind::CancelSync => ensure!(
                self.depth(e.a) > 0 || e.head.flags & Kind::AT_REST != 0,
                "7.10",
                "an item was cancelled and waited for, and is not disabled meanwhile"
            ),
            _ => {}
        }
        Ok(())
    }

    /// `bytes` at `address` are free: no item is there any more.
    pub(crate) fn freed(&mut self, address: u64, bytes: u64) {
        if !self.depths.is_empty() {
            self.depths
                .retain(|a, _| !(address..address + bytes).contains(a));
        }
    }
}
