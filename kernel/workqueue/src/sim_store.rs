//! The store of the simulated pool: a slab for each kind of thing.

use links::{Arena, Handle, Slab};

use crate::sim_node::Node;
use crate::{Flusher, Item, Pwq, Worker};

#[derive(Default)]
pub(crate) struct Slabs {
    pub(crate) items: Slab<Item>,
    pub(crate) workers: Slab<Worker>,
    pub(crate) pwqs: Slab<Pwq>,
    pub(crate) flushers: Slab<Flusher>,
    pub(crate) node: Option<Node>,
    /// Workers pass barriers ([`crate::Pool::pass`]); otherwise they execute them.
    pub(crate) passes: bool,
}

macro_rules! arena {
    ($t:ty, $f:ident) => {
        impl Arena<$t> for Slabs {
            fn get(&self, h: Handle<$t>) -> &$t {
                self.$f.get(h)
            }
            fn get_mut(&mut self, h: Handle<$t>) -> &mut $t {
                self.$f.get_mut(h)
            }
        }
    };
}
arena!(Item, items);
arena!(Worker, workers);
arena!(Pwq, pwqs);
arena!(Flusher, flushers);
