//! A boot that measures: the image prints its figures and says when it is done.

use std::time::{Duration, Instant};

use crate::guest::{Guest, Terminal};
use crate::image::{self, Kind};
use crate::options::Options as Machine;
use crate::{Failure, Outcome, failure, toolchain};

/// Builds the image and boots it once, for at most `limit` of the host's time; what its console said. One
/// that never says `done` failed: `what` names it.
pub fn boot(
    kind: Kind,
    machine: &Machine,
    limit: Duration,
    done: &str,
    what: &str,
) -> Outcome<String> {
    let toolchain = toolchain::metal(false, false)?;
    let image = image::build(kind, &toolchain)?;
    let mut guest = Guest::start(machine, &image.flat, Terminal::Captured)?;
    let ended = guest.wait(Instant::now() + limit).is_some();
    guest.stop();
    let said = guest.console().since(0);
    if ended && said.contains(done) {
        return Ok(said);
    }
    let code = if ended {
        guest.exit_code()
    } else {
        failure::TIMEOUT
    };
    let tail = guest.console().tail(20);
    Err(Failure {
        code: if code == 0 { failure::FAILED } else { code },
        message: format!("{what} did not end; the console's end:\n{tail}"),
    })
}
