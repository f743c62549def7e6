//! What the guest said: a growing text that several threads may wait on.
//!
//! One pump thread per pipe appends; readers hold a cursor (an absolute byte offset) and wait for
//! whole lines. Reading QEMU's pipe directly in each waiter would lose text between waiters, and a
//! failure message needs the tail of everything anyway. The oldest bytes go once the text exceeds
//! `KEEP`, so a service that runs for weeks does not fill the host's memory.
//!
//! Invariants: `state.base + state.text.len()` never shrinks; the marker is taken from complete lines
//! only. Locks: one, never held while waiting for the guest; a copy to stdout happens inside it, so
//! that [`Console::announce`] can place a line without splitting one of the guest's.

use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// How much text is kept, at least.
const KEEP: usize = 4 << 20;

/// Start of the line by which a guest without semihosting reports its exit code.
const MARKER: &str = "ROUNDTABLE EXIT ";

/// The shared console text.
#[derive(Debug)]
pub struct Console {
    state: Mutex<State>,
    changed: Condvar,
    echo: bool,
}

#[derive(Debug, Default)]
struct State {
    /// Offset of `text[0]` in everything said so far.
    base: usize,
    text: Vec<u8>,
    /// Pipes still open.
    pumps: usize,
    /// Bytes before this offset have been searched for the marker.
    searched: usize,
    marker: Option<u8>,
    /// The person's terminal is at the start of a line.
    line_start: bool,
}

/// What [`Console::next_line`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A complete line, without its end; at the end of the text also an incomplete one.
    Text(String),
    /// The guest is gone and everything was read.
    End,
    /// The deadline passed first.
    Late,
}

impl Console {
    /// An empty console; with `echo` everything is copied to stdout as it arrives.
    pub fn new(echo: bool) -> Arc<Self> {
        let state = State {
            line_start: true,
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            echo,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panicking reader leaves only text behind, which stays valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread that appends everything `pipe` yields.
    pub fn pump(self: &Arc<Self>, mut pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        self.lock().pumps += 1;
        let console = Arc::clone(self);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                match pipe.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => console.append(&buffer[..n]),
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            console.lock().pumps -= 1;
            console.changed.notify_all();
        })
    }

    fn append(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.text.extend_from_slice(bytes);
        state.find_marker();
        if state.text.len() > 2 * KEEP {
            let drop = state.text.len() - KEEP;
            state.text.drain(..drop);
            state.base += drop;
        }
        if self.echo {
            show(bytes);
            state.line_start = bytes.last() == Some(&b'\n');
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Prints a line of our own on stdout, at the start of a line.
    pub fn announce(&self, line: &str) {
        let mut state = self.lock();
        let end = if state.line_start { "" } else { "\n" };
        show(format!("{end}{line}\n").as_bytes());
        state.line_start = true;
    }

    /// Offset behind the last byte so far; a cursor for [`Self::next_line`].
    pub fn end(&self) -> usize {
        let state = self.lock();
        state.base + state.text.len()
    }

    /// Waits for the next line at `cursor` and moves the cursor behind it.
    pub fn next_line(&self, cursor: &mut usize, deadline: Instant) -> Line {
        let mut state = self.lock();
        loop {
            let start = cursor.saturating_sub(state.base).min(state.text.len());
            let rest = &state.text[start..];
            if let Some(length) = rest.iter().position(|&b| b == b'\n') {
                let line = text(&rest[..length]);
                *cursor = state.base + start + length + 1;
                return Line::Text(line);
            }
            if state.pumps == 0 {
                if rest.is_empty() {
                    return Line::End;
                }
                let line = text(rest);
                *cursor = state.base + state.text.len();
                return Line::Text(line);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Line::Late;
            }
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Waits until a line from `cursor` on contains `needle`.
    pub fn wait_for(&self, needle: &str, cursor: &mut usize, deadline: Instant) -> bool {
        loop {
            match self.next_line(cursor, deadline) {
                Line::Text(line) if line.contains(needle) => return true,
                Line::Text(_) => {}
                Line::End | Line::Late => return false,
            }
        }
    }

    /// The exit code the guest printed, if it printed one.
    pub fn marker(&self) -> Option<u8> {
        self.lock().marker
    }

    /// The last `lines` lines, for a failure message.
    pub fn tail(&self, lines: usize) -> String {
        let whole = text(&self.lock().text);
        let all: Vec<&str> = whole.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Everything from `cursor` on.
    pub fn since(&self, cursor: usize) -> String {
        let state = self.lock();
        let start = cursor.saturating_sub(state.base).min(state.text.len());
        text(&state.text[start..])
    }
}

impl State {
    fn find_marker(&mut self) {
        let mut start = self.searched.saturating_sub(self.base);
        while let Some(length) = self.text[start..].iter().position(|&b| b == b'\n') {
            let line = text(&self.text[start..start + length]);
            if let Some(code) = line
                .trim()
                .strip_prefix(MARKER)
                .and_then(|c| c.parse().ok())
            {
                self.marker = Some(code);
            }
            start += length + 1;
        }
        self.searched = self.base + start;
    }
}

/// Console bytes as text: no carriage returns, nothing a terminal would obey.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .filter(|&c| c != '\r' && c != '\u{1b}')
        .collect()
}

fn show(bytes: &[u8]) {
    // A closed stdout (`| head`) must not end the guest.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn said(text: &'static str) -> Arc<Console> {
        let console = Console::new(false);
        console.pump(text.as_bytes()).join().unwrap();
        console
    }

    #[test]
    fn lines_come_in_order_and_then_the_end() {
        let console = said("one\r\ntwo\nthree");
        let (mut cursor, soon) = (0, Instant::now());
        let mut next = || console.next_line(&mut cursor, soon);
        assert_eq!(next(), Line::Text("one".into()));
        assert_eq!(next(), Line::Text("two".into()));
        assert_eq!(next(), Line::Text("three".into()));
        assert_eq!(next(), Line::End);
    }

    #[test]
    fn a_silent_guest_is_late_not_ended() {
        let console = Console::new(false);
        let (reader, writer) = std::io::pipe().unwrap();
        console.pump(reader);
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(console.next_line(&mut 0, deadline), Line::Late);
        drop(writer);
    }

    #[test]
    fn marker_counts_only_as_a_line_of_its_own() {
        assert_eq!(said("x ROUNDTABLE EXIT 3\n").marker(), None);
        assert_eq!(said("a\nROUNDTABLE EXIT 101\r\nb").marker(), Some(101));
        assert_eq!(said("ROUNDTABLE EXIT 1").marker(), None);
    }

    #[test]
    fn marker_split_over_two_reads_is_found() {
        let console = Console::new(false);
        console.append(b"ROUNDTABLE EX");
        console.append(b"IT 7\n");
        assert_eq!(console.marker(), Some(7));
    }

    #[test]
    fn old_text_goes_but_cursors_stay_valid() {
        let console = Console::new(false);
        console.append(&vec![b'x'; 2 * KEEP]);
        let mut cursor = console.end();
        console.append(b"\nlast\n");
        assert_eq!(
            console.next_line(&mut cursor, Instant::now()),
            Line::Text(String::new())
        );
        assert_eq!(
            console.next_line(&mut cursor, Instant::now()),
            Line::Text("last".into())
        );
    }
}
