//! The monitor on the serial console: one thread, one session, for as long as the machine runs.
//!
//! Nothing is shown until something is typed, so that whoever only wants the log has it undisturbed. When
//! the executive printed something since, the line that is being typed is drawn again behind it.

use kernel::thread::{Builder, Nice, SpawnError, ThreadCx};
use kernel::{input, log};
use machine::Instant;

use super::Session;

/// Bytes that go to the console at a time: it is locked meanwhile.
const PIECE: usize = 64;
/// Whoever looks into a busy machine is not to wait as long as those who keep it busy.
const NICE: i8 = -10;

/// Starts the thread.
///
/// # Errors
///
/// [`SpawnError`]: nobody reads what is typed.
pub fn start() -> Result<(), SpawnError> {
    let nice = Nice::new(NICE).unwrap_or(Nice::ZERO);
    Builder::new("monitor").nice(nice).spawn(serve).map(drop)
}

fn serve(cx: &ThreadCx<'_>) {
    let mut session = Session::new();
    let mut greeted = false;
    let mut buffer = [0; 64];
    let mut lines = log::lines();
    loop {
        let n = input::read(cx, &mut buffer, session.due());
        let typed = &buffer[..n];
        if n > 0 && !greeted {
            greeted = true;
            session.greet();
            show(&mut session);
            lines = log::lines();
            // Return only asks whether somebody is there.
            if typed.iter().all(|b| matches!(b, b'\r' | b'\n')) {
                continue;
            }
        }
        if log::lines() != lines {
            session.redraw();
        }
        session.input(cx, typed);
        session.tick(machine::now());
        if session.wants_to_quit() {
            session.stay();
        }
        show(&mut session);
        lines = log::lines();
        debug_assert!(n > 0 || session.due() != Instant::ZERO);
    }
}

fn show(session: &mut Session) {
    for piece in session.output().as_bytes().chunks(PIECE) {
        log::write(piece);
    }
    session.shown();
}
