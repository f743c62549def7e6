//! Runs the selected tests and tells the host about it.
//!
//! One line each: `TEST name START`, `PASS name`; at the end `TESTS DONE`, then power-off. Every
//! test has a fresh thread, so what one leaves on its stack cannot help the next one. A failing
//! test ends the machine by its panic; there is no FAIL line to lose.

use kernel::thread::{Builder, ThreadCx};
use kernel::trace::{self, Categories};
use kernel::wq;

use crate::registry::{self, Descriptor};

/// First thread of the image.
pub(crate) fn run(cx: &ThreadCx<'_>) {
    if let Some(name) = argument("experiment") {
        assert!(crate::experiments::run(cx, name), "no experiment {name}");
        machine::shutdown(0)
    }
    let unseen = argument("unseen") == Some("on");
    if unseen {
        trace::want(Categories::NONE);
        wq::set_anatomy(false);
    }
    let tests = registry::all();
    match argument("tests") {
        // For tests of the host tool: a guest that ends at once, and one that never does.
        Some("none") => {}
        Some("wait") => {
            kernel::println!("TESTS WAIT");
            kernel::thread::park(cx);
        }
        Some(list) => {
            for word in list.split(',') {
                let (first, last) = word.split_once('-').unwrap_or((word, word));
                let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
                    panic!("boot argument tests= is a list like 0-3,7, not {list}");
                };
                for test in tests.iter().take(last + 1).skip(first) {
                    run_one(cx, test);
                }
            }
        }
        None => tests
            .iter()
            .filter(|t| t.is_ordinary())
            .for_each(|t| run_one(cx, t)),
    }
    let seen = wq::anatomy() || trace::wanted() != Categories::NONE;
    assert!(!(unseen && seen), "a test has made somebody look");
    kernel::println!("TESTS DONE");
    machine::shutdown(0)
}

fn run_one(cx: &ThreadCx<'_>, test: &'static Descriptor) {
    kernel::println!("TEST {} START", test.name());
    let body = test.body();
    let thread = Builder::new(test.name())
        .spawn(body)
        .expect("memory for the test's thread");
    thread.join(cx);
    kernel::println!("PASS {}", test.name());
}

/// Value of a boot argument.
fn argument(key: &str) -> Option<&'static str> {
    let words = kernel::kernel().info().bootargs.split_ascii_whitespace();
    words
        .filter_map(|word| word.split_once('='))
        .find(|(k, _)| *k == key)
        .map(|(_, value)| value)
}
