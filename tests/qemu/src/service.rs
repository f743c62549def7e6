//! Guests that run the service for the black-box tests: one per configuration, shared by its tests.
//!
//! The first test of a configuration boots its guest, the last one ends it, so at most as many guests
//! run as configurations are in use. A test that finds the guest dead fails with the console's end
//! and lets the next one boot a new guest: one crash must not fail everything after it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use xtask::guest::{Guest, Terminal};
use xtask::image::{self, Kind};
use xtask::options::Options;
use xtask::toolchain;

/// From QEMU's start to the first answer.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Lines of the console in a failure message.
const TAIL: usize = 40;

/// A way of running the service, with the guest that runs it while there is one.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    append: &'static str,
    state: Mutex<State>,
    /// Held for writing by a test that wants the service for itself.
    floor: RwLock<()>,
}

#[derive(Debug, Default)]
struct State {
    guest: Option<Guest>,
    /// Tests that still need it.
    users: usize,
}

/// Ports of a running guest, for one test.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    /// HTTP, on the loopback.
    pub http: std::net::SocketAddr,
    /// Echo, TCP and UDP, on the loopback.
    pub echo: std::net::SocketAddr,
}

impl Service {
    /// A service with these boot arguments.
    pub fn new(name: &'static str, append: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            append,
            state: Mutex::default(),
            floor: RwLock::new(()),
        })
    }

    /// The configuration's part of a test's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// One more test will call [`Self::test`].
    pub fn announce(&self) {
        self.lock().users += 1;
    }

    /// As [`Self::test`], while no other test uses the guest.
    pub fn test_alone(
        &self,
        body: impl FnOnce(Address) -> Result<(), String>,
    ) -> Result<(), String> {
        let _alone = self.floor.write().unwrap_or_else(PoisonError::into_inner);
        self.run(body)
    }

    /// Runs one test against the guest; adds the console's end to its failure.
    pub fn test(&self, body: impl FnOnce(Address) -> Result<(), String>) -> Result<(), String> {
        let _shared = self.floor.read().unwrap_or_else(PoisonError::into_inner);
        self.run(body)
    }

    fn run(&self, body: impl FnOnce(Address) -> Result<(), String>) -> Result<(), String> {
        let result = self.address().and_then(body);
        let mut state = self.lock();
        state.users = state.users.saturating_sub(1);
        let mut result = result;
        if let Some(guest) = state.guest.as_mut() {
            let ended = guest.ended().is_some();
            result = match (result, ended) {
                (Ok(()), false) => Ok(()),
                (Ok(()), true) => Err(format!("the guest ended\n{}", tail(guest))),
                (Err(why), _) => Err(format!("{why}\n{}", tail(guest))),
            };
            if ended || state.users == 0 {
                state.guest = None;
            }
        }
        result
    }

    fn address(&self) -> Result<Address, String> {
        let image = image()?;
        let mut state = self.lock();
        if state.guest.as_mut().is_none_or(|g| g.ended().is_some()) {
            let options = Options {
                http_port: 0,
                echo_port: 0,
                append: self.append.to_owned(),
                yes: true,
                ..Options::default()
            };
            let mut guest =
                Guest::start(&options, &image, Terminal::Captured).map_err(|f| f.message)?;
            if !guest.wait_ready(Instant::now() + READY_LIMIT) {
                let said = tail(&guest);
                return Err(format!(
                    "the service did not answer within {READY_LIMIT:?}\n{said}"
                ));
            }
            state.guest = Some(guest);
        }
        let guest = state.guest.as_ref().ok_or("no guest")?;
        Ok(Address {
            http: guest.http(),
            echo: guest.echo(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tail(guest: &Guest) -> String {
    format!("the console's end:\n{}", guest.console().tail(TAIL))
}

/// The service image, built once per test program.
pub fn image() -> Result<PathBuf, String> {
    static IMAGE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let build = || {
        let toolchain = toolchain::metal(false, true)?;
        image::build(Kind::Release, &toolchain).map(|image| image.flat)
    };
    IMAGE.get_or_init(|| build().map_err(|f| f.message)).clone()
}
