//! What is spawned runs in another thread.

use std::rc::Rc;

use kernel::thread::ThreadCx;
use kernel::wq;

fn _wrong(cx: &ThreadCx<'_>) {
    let here = Rc::new(7);
    let _ = wq::unbound().scope(cx, |s| {
        let _ = s.try_spawn(|_| drop(Rc::clone(&here)));
    });
}

fn main() {}
