//! BH queues have no flag but high priority.
use kernel::wq::{Bh, Workqueue};

fn main() {
    let _ = Workqueue::<Bh>::builder("x").highpri().mem_reclaim();
}
