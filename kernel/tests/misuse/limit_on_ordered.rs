//! An ordered queue's limit is one (D8).

use kernel::wq::{Ordered, Workqueue};

fn main() {
    let _ = Workqueue::<Ordered>::builder("in turn")
        .max_active(2)
        .build();
}
