//! An on-target test that needs clients: it runs in a guest with a network, and the host talks to it.
//!
//! The guest asserts, and says on its console when it wants what; the host's part fails by its result.
//! Both must pass.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use xtask::guest::{Guest, Terminal};
use xtask::image::{self, Kind};
use xtask::options::Options;
use xtask::toolchain;

use crate::{catalogue, plan};

/// Lines of the console in a failure message.
const TAIL: usize = 40;

/// A guest that runs one test.
#[derive(Debug)]
pub struct OnTarget {
    guest: Guest,
    cursor: usize,
    deadline: Instant,
}

impl OnTarget {
    /// Waits until the guest says `words`.
    pub fn wait_for(&mut self, words: &str) -> Result<(), String> {
        let Self {
            guest,
            cursor,
            deadline,
        } = self;
        match guest.console().wait_for(words, cursor, *deadline) {
            true => Ok(()),
            false => Err(format!("the guest did not say {words:?}")),
        }
    }

    /// Address of the guest's port 80, on the loopback.
    pub fn http(&self) -> SocketAddr {
        self.guest.http()
    }

    /// Address of the guest's port 7, TCP and UDP, on the loopback.
    pub fn echo(&self) -> SocketAddr {
        self.guest.echo()
    }
}

/// Runs the on-target test `name` on `smp` cores with `talk` as its clients; `limit` is for all of it.
pub fn run(
    name: &str,
    smp: u32,
    limit: Duration,
    talk: impl FnOnce(&mut OnTarget) -> Result<(), String>,
) -> Result<(), String> {
    let toolchain = toolchain::metal(false, true).map_err(|f| f.message)?;
    let image = image::build(Kind::Tests, &toolchain).map_err(|f| f.message)?;
    let elf = std::fs::read(&image.elf).map_err(|e| e.to_string())?;
    let tests = catalogue::read(&elf)?;
    let test = tests.into_iter().find(|t| t.name == name);
    let test = test.ok_or_else(|| format!("the image has no test {name}"))?;
    let options = Options {
        smp,
        http_port: 0,
        echo_port: 0,
        append: format!(
            "{} {}",
            test.bootargs,
            plan::selection(std::slice::from_ref(&test))
        ),
        yes: true,
        ..Options::default()
    };
    let guest = Guest::start(&options, &image.flat, Terminal::Captured).map_err(|f| f.message)?;
    let mut on = OnTarget {
        guest,
        cursor: 0,
        deadline: Instant::now() + limit,
    };
    let result = talk(&mut on).and_then(|()| {
        // From the start: the clients may have waited for the same line.
        on.cursor = 0;
        on.wait_for(&format!("PASS {name}"))
    });
    on.guest.stop();
    result.map_err(|why| {
        let tail = on.guest.console().tail(TAIL);
        format!("{why}; the console's end:\n{tail}")
    })
}
