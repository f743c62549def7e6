//! The monitor: a shell for looking at the machine while it runs, on the console and on TCP port 23.
//!
//! | Room | What happens there |
//! | --- | --- |
//! | [`edit`] | bytes of a terminal become lines |
//! | [`command`] | a line becomes a command, or a sentence about what is wrong |
//! | `run` | a command becomes text |
//! | [`text`] | text with a bound |
//! | [`Session`] | one user: editor, what repeats (`top`), what is still to be shown |
//! | `console`, `tcp` | where bytes come from and go to |
//!
//! A command runs in the thread of its session. It copies what it wants to show out of the executive, under
//! one lock after the other, formats it into a bounded text without any lock, and the front end sends that at
//! the terminal's pace. So a slow terminal holds up nobody but its own session.
//!
//! Whoever can reach the port can stop the machine. So TCP is off unless the boot argument `monitor.tcp=on`
//! asks for it.

pub mod command;
mod console;
pub mod edit;
mod run;
mod tcp;
pub mod text;

use core::fmt::Write;

use kernel::thread::ThreadCx;
use machine::{Duration, Instant};

pub use console::start as start_console;
pub use tcp::{Monitor, PORT};

use self::command::{Command, words_after};
use self::edit::{Editor, Event};
use self::run::Repeating;
use self::text::Text;

const PROMPT: &str = "roundtable> ";

/// One user of the monitor.
#[derive(Debug)]
pub struct Session {
    editor: Editor,
    out: Text,
    repeating: Option<Repeating>,
    /// When what repeats is due.
    due: Instant,
    /// What was typed is shown.
    echo: bool,
    quit: bool,
}

/// Takes what the editor would show to a terminal that shows what is typed by itself.
struct Nowhere;

impl Write for Nowhere {
    fn write_str(&mut self, _: &str) -> core::fmt::Result {
        Ok(())
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// Nobody has typed anything.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            editor: Editor::new(PROMPT),
            out: Text::new(),
            repeating: None,
            due: Instant::FOREVER,
            echo: true,
            quit: false,
        }
    }

    /// Greets and shows the prompt.
    pub fn greet(&mut self) {
        // Text takes everything.
        let _ = writeln!(
            self.out,
            "Roundtable {}: type help for the commands",
            env!("CARGO_PKG_VERSION")
        );
        self.prompt();
    }

    /// Draws prompt and line again, because something else was printed.
    pub fn redraw(&mut self) {
        if self.repeating.is_none() {
            let _ = self.editor.draw(&mut self.out);
        }
    }

    /// Takes what was typed. A piece with a line feed in it comes from somebody whose terminal sends whole
    /// lines and has shown them already: nothing of it is shown again. May sleep, as long as a command
    /// does.
    pub fn input(&mut self, cx: &ThreadCx<'_>, bytes: &[u8]) {
        self.echo = bytes.len() == 1 || !bytes.contains(&b'\n');
        for &byte in bytes {
            if self.repeating.is_some() {
                // q, ^C, ^D and Return end it.
                if matches!(byte, b'q' | b'Q' | 0x03 | 0x04 | b'\r') {
                    self.repeating = None;
                    self.due = Instant::FOREVER;
                    let _ = writeln!(self.out);
                    self.prompt();
                }
                continue;
            }
            let event = if self.echo {
                self.editor.feed(byte, &mut self.out)
            } else {
                self.editor.feed(byte, &mut Nowhere)
            };
            match event.unwrap_or(Event::None) {
                Event::None | Event::Interrupt => {}
                Event::Line(line) => self.line(cx, &line),
                Event::Complete => self.complete(),
                Event::End => self.quit = true,
            }
        }
    }

    /// When [`Self::tick`] is due; `FOREVER` if it is not.
    #[must_use]
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Shows what repeats once more, if it is time. May sleep.
    pub fn tick(&mut self, now: Instant) {
        if now < self.due {
            return;
        }
        let Some(mut repeating) = self.repeating.take() else {
            self.due = Instant::FOREVER;
            return;
        };
        let _ = repeating.show(&mut self.out);
        self.due = machine::now() + repeating.pause();
        self.repeating = Some(repeating);
    }

    /// What is to be shown.
    #[must_use]
    pub fn output(&self) -> &str {
        self.out.as_str()
    }

    /// It was shown.
    pub fn shown(&mut self) {
        self.out.clear();
    }

    /// The user wants to leave.
    #[must_use]
    pub const fn wants_to_quit(&self) -> bool {
        self.quit
    }

    /// Stays although the user wanted to leave.
    pub fn stay(&mut self) {
        self.quit = false;
        let _ = writeln!(
            self.out,
            "the console's session does not end; poweroff ends the machine"
        );
        self.prompt();
    }

    fn prompt(&mut self) {
        let _ = self.out.write_str(PROMPT);
    }

    fn line(&mut self, cx: &ThreadCx<'_>, line: &str) {
        match command::parse(line) {
            Ok(None) => {}
            Ok(Some(Command::Quit)) => {
                self.quit = true;
                return;
            }
            Ok(Some(command)) => {
                // Text takes everything; what fails says so in it.
                let repeating = run::run(cx, command, &mut self.out).unwrap_or(None);
                if let Some(repeating) = repeating {
                    self.due = machine::now() + Duration::ZERO;
                    self.repeating = Some(repeating);
                    return;
                }
            }
            Err(wrong) => {
                let _ = writeln!(self.out, "error: {wrong}");
            }
        }
        self.prompt();
    }

    fn complete(&mut self) {
        let before = self.editor.before_cursor();
        let at = before.rfind(' ').map_or(0, |at| at + 1);
        let mut words = edit::Line::new();
        // Both are parts of a line.
        let _fits = words.push_str(before);
        let (before, word) = words.split_at(at);
        if before.trim() == "set" {
            let keys = run::keys();
            let _ = self
                .editor
                .complete(word, keys.iter().map(|k| k.as_str()), &mut self.out);
        } else {
            let _ = self
                .editor
                .complete(word, words_after(before).iter().copied(), &mut self.out);
        }
    }
}
