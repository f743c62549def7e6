//! BH items (7.13): in softirq context, on their pool's core, in order, one at a time, at most ten
//! in one go.

use trace::Kind;

use super::item::Items;
use super::{Seen, Verdict, ensure};

/// Most items in one go (K4).
const BATCH: u32 = 10;

#[derive(Clone, Copy, Default, Debug)]
struct Core {
    /// The softirq that runs.
    vector: Option<u32>,
    /// BH items started by it.
    started: u32,
    /// A BH item runs.
    busy: bool,
}

/// The softirqs of all cores.
#[derive(Default, Debug)]
pub(crate) struct Softirqs {
    cores: Vec<Core>,
}

impl Softirqs {
    pub(crate) fn see(&mut self, s: &Seen, items: &Items) -> Verdict {
        let (e, cpu) = (&s.event, s.cpu);
        if self.cores.len() <= cpu {
            self.cores.resize_with(cpu + 1, Core::default);
        }
        let core = &mut self.cores[cpu];
        let is_bh = || items.queue(e.b).flags & Kind::BH != 0;
        match e.kind {
            Kind::SoftirqEntry => {
                let n = e.head.arg;
                let other = core.vector;
                ensure!(
                    other.is_none(),
                    "S7",
                    "softirq {n} starts on core {cpu} inside softirq {other:?}"
                );
                core.vector = Some(n);
                core.started = 0;
            }
            Kind::SoftirqExit => core.vector = None,
            Kind::ExecuteStart if is_bh() => {
                let pool = e.head.arg;
                ensure!(
                    core.vector.is_some(),
                    "7.13",
                    "a BH item of pool {pool} starts outside softirq context on core {cpu}"
                );
                ensure!(!core.busy, "7.13", "two BH items run at once on core {cpu}");
                let home = kernel::wq::core_of_pool(pool as usize);
                ensure!(
                    home.is_none_or(|c| c.index() == cpu),
                    "7.13",
                    "a BH item of pool {pool} starts on core {cpu}"
                );
                core.busy = true;
                core.started += 1;
                ensure!(
                    core.started <= BATCH,
                    "7.13",
                    "one softirq on core {cpu} starts {} BH items",
                    core.started
                );
            }
            Kind::ExecuteEnd if is_bh() => core.busy = false,
            _ => {}
        }
        Ok(())
    }
}
