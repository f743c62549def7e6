//! Only a core's pool waits for a worker that has not got its core.
use kernel::wq::{Bh, Unbound, Workqueue};

fn main() {
    let _ = Workqueue::<Unbound>::builder("x").preemption_aware();
    let _ = Workqueue::<Bh>::builder("y").preemption_aware();
}
