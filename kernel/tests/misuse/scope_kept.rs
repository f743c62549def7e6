//! A scope cannot be kept to spawn in when it is over.

use kernel::thread::ThreadCx;
use kernel::wq;

fn _wrong(cx: &ThreadCx<'_>) {
    let mut kept = None;
    let _ = wq::unbound().scope(cx, |s| kept = Some(s));
    let _ = kept.unwrap().try_spawn(|_| ());
}

fn main() {}
