//! The slots that the pools of a memory node share (7.3, D3): no more items active than there are.
//!
//! Whoever takes a slot tells the limit that he saw, but tells it later, under his own pool's lock:
//! meanwhile the limit may have been changed and another pool have told the new one. So the highest
//! of the last two is what counts. Slots that are free while somebody waits for one are found by the
//! audit, which sees those that are on their way.

use super::names::Map;
use super::{Verdict, ensure};

/// What a queue has in a node.
#[derive(Clone, Copy, Default, Debug)]
struct Node {
    active: u32,
    /// The last limit that was told, and the one before it.
    told: [u32; 2],
}

/// The slots of all queues that share them by node.
#[derive(Default, Debug)]
pub(crate) struct Limits {
    nodes: Map<(u64, u8), Node>,
}

impl Limits {
    /// An item of `queue` got one of the `limit` slots of `node`.
    pub(super) fn one_more(&mut self, queue: u64, node: u8, limit: u32, name: u32) -> Verdict {
        let n = self.nodes.entry((queue, node)).or_default();
        n.active += 1;
        if n.told[0] != limit {
            n.told = [limit, n.told[0]];
        }
        let most = n.told[0].max(n.told[1]);
        ensure!(
            limit == u32::from(u16::MAX) || n.active <= most,
            "7.3",
            "item #{name} is active number {} of {most} in node {}",
            n.active,
            node - 1
        );
        Ok(())
    }

    /// An item of `queue` gives its slot of `node` back (0: it was none of a node's).
    pub(super) fn one_less(&mut self, queue: u64, node: u8) {
        if let Some(n) = self.nodes.get_mut(&(queue, node)) {
            n.active = n.active.saturating_sub(1);
        }
    }

    /// The queue is gone.
    pub(super) fn forget(&mut self, queue: u64) {
        self.nodes.retain(|(q, _), _| *q != queue);
    }
}
