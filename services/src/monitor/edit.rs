//! The line editor: bytes of a terminal in, lines out.
//!
//! Ours, because no library fits: `embedded-cli` completes names of commands only and knows neither the
//! ends of a line nor control keys, `noline` completes nothing and asks the terminal for its width, which a
//! pipe never answers. Both own the loop that reads, and here two front ends have loops of their own.
//!
//! A line is printable ASCII. What a terminal shows is redrawn after each change in the middle, so the
//! editor needs no picture of it. Nothing here waits or allocates.
//!
//! | Key | Does |
//! | --- | --- |
//! | Left, Right, ^B, ^F | moves by a character |
//! | Home, End, ^A, ^E | moves to the begin or end |
//! | Backspace, Delete, ^D | deletes before or at the cursor |
//! | ^U, ^K, ^W | deletes to the begin, to the end, the word before |
//! | Up, Down, ^P, ^N | older and newer lines |
//! | Tab | completes |
//! | ^L | clears the screen |
//! | ^C | gives the line up |
//! | ^D on an empty line | ends the session |

use core::fmt::{self, Write};

/// Longest line in bytes.
pub const LINE_BYTES: usize = 128;
/// Lines that are remembered.
pub const HISTORY: usize = 16;

/// A line.
pub type Line = heapless::String<LINE_BYTES>;

/// What a byte led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing for the caller.
    None,
    /// A whole line.
    Line(Line),
    /// The word before the cursor shall be completed.
    Complete,
    /// The line was given up.
    Interrupt,
    /// The user wants to leave.
    End,
}

/// Where in an escape sequence the input is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Escape {
    No,
    Begun,
    /// `ESC [` or `ESC O`, with the number so far.
    Sequence(u8),
}

/// A line that is being edited, and the lines before it.
#[derive(Debug)]
pub struct Editor {
    prompt: &'static str,
    line: Line,
    cursor: usize,
    escape: Escape,
    /// The last byte was a carriage return: a line feed behind it is none.
    after_return: bool,
    /// The oldest first.
    history: heapless::Vec<Line, HISTORY>,
    /// How far back the shown line is; 0 is the one that is being written.
    back: usize,
    /// The line that is being written, while an older one is shown.
    draft: Line,
}

impl Editor {
    /// An empty line behind `prompt`.
    #[must_use]
    pub const fn new(prompt: &'static str) -> Self {
        Self {
            prompt,
            line: Line::new(),
            cursor: 0,
            escape: Escape::No,
            after_return: false,
            history: heapless::Vec::new(),
            back: 0,
            draft: Line::new(),
        }
    }

    /// The line so far.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// What stands before the cursor.
    #[must_use]
    pub fn before_cursor(&self) -> &str {
        &self.line[..self.cursor]
    }

    /// Takes one byte; what the terminal shall show goes to `out`.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn feed(&mut self, byte: u8, out: &mut dyn Write) -> Result<Event, fmt::Error> {
        let after_return = core::mem::replace(&mut self.after_return, byte == b'\r');
        match self.escape {
            Escape::Begun => {
                self.escape = match byte {
                    b'[' | b'O' => Escape::Sequence(0),
                    _ => Escape::No,
                };
                return Ok(Event::None);
            }
            Escape::Sequence(number) => {
                self.escape = Escape::No;
                self.sequence(byte, number, out)?;
                return Ok(Event::None);
            }
            Escape::No => {}
        }
        match byte {
            b'\n' if after_return => {}
            b'\r' | b'\n' => return self.enter(out),
            b'\t' => return Ok(Event::Complete),
            0x1b => self.escape = Escape::Begun,
            // ^C
            0x03 => {
                self.set("");
                writeln!(out, "^C")?;
                self.draw(out)?;
                return Ok(Event::Interrupt);
            }
            // ^D
            0x04 if self.line.is_empty() => {
                writeln!(out)?;
                return Ok(Event::End);
            }
            0x04 => self.delete(self.cursor, self.cursor + 1, out)?,
            0x08 | 0x7f => self.delete(self.cursor.saturating_sub(1), self.cursor, out)?,
            // ^A ^E ^B ^F
            0x01 => self.move_to(0, out)?,
            0x05 => self.move_to(self.line.len(), out)?,
            0x02 => self.move_to(self.cursor.saturating_sub(1), out)?,
            0x06 => self.move_to(self.cursor + 1, out)?,
            // ^U ^K ^W
            0x15 => self.delete(0, self.cursor, out)?,
            0x0b => self.delete(self.cursor, self.line.len(), out)?,
            0x17 => self.delete(self.word_before(), self.cursor, out)?,
            // ^P ^N
            0x10 => self.show(self.back + 1, out)?,
            0x0e => self.show(self.back.saturating_sub(1), out)?,
            // ^L
            0x0c => {
                out.write_str("\x1b[H\x1b[2J")?;
                self.draw(out)?;
            }
            b' '..=b'~' => self.insert(byte, out)?,
            // Other control keys, and what is no ASCII.
            _ => {}
        }
        Ok(Event::None)
    }

    /// Draws prompt and line where the cursor is.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn draw(&self, out: &mut dyn Write) -> fmt::Result {
        write!(out, "\r\x1b[K{}{}", self.prompt, self.line)?;
        match self.line.len() - self.cursor {
            0 => Ok(()),
            n => write!(out, "\x1b[{n}D"),
        }
    }

    /// Puts in what all of `candidates` that begin with `word`, which stands before the cursor, have in
    /// common. If that is nothing new they are listed.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn complete<'a>(
        &mut self,
        word: &str,
        candidates: impl Iterator<Item = &'a str> + Clone,
        out: &mut dyn Write,
    ) -> fmt::Result {
        let length = word.len();
        debug_assert!(self.before_cursor().ends_with(word), "no word to complete");
        let mut fitting = candidates.filter(|c| c.starts_with(word));
        let all = fitting.clone();
        let Some(first) = fitting.next() else {
            return out.write_str("\x07");
        };
        let mut common = first;
        let mut others = 0;
        for other in fitting {
            let same = common.bytes().zip(other.bytes());
            common = &common[..same.take_while(|(a, b)| a == b).count()];
            others += 1;
        }
        let new = &common[length.min(common.len())..];
        if new.is_empty() && others > 0 {
            writeln!(out)?;
            for candidate in all {
                write!(out, "{candidate}  ")?;
            }
            writeln!(out)?;
            return self.draw(out);
        }
        let end = if others == 0 { " " } else { "" };
        for byte in new.bytes().chain(end.bytes()) {
            self.insert(byte, out)?;
        }
        Ok(())
    }

    /// The end of a sequence that began with `ESC [` or `ESC O`.
    fn sequence(&mut self, byte: u8, number: u8, out: &mut dyn Write) -> fmt::Result {
        match (byte, number) {
            (b'0'..=b'9', _) => {
                let digit = byte - b'0';
                let number = number.saturating_mul(10).saturating_add(digit);
                self.escape = Escape::Sequence(number);
                Ok(())
            }
            // A modifier follows, which changes nothing here.
            (b';', _) => {
                self.escape = Escape::Sequence(0);
                Ok(())
            }
            (b'A', _) => self.show(self.back + 1, out),
            (b'B', _) => self.show(self.back.saturating_sub(1), out),
            (b'C', _) => self.move_to(self.cursor + 1, out),
            (b'D', _) => self.move_to(self.cursor.saturating_sub(1), out),
            (b'H', _) | (b'~', 1 | 7) => self.move_to(0, out),
            (b'F', _) | (b'~', 4 | 8) => self.move_to(self.line.len(), out),
            (b'~', 3) => self.delete(self.cursor, self.cursor + 1, out),
            _ => Ok(()),
        }
    }

    fn enter(&mut self, out: &mut dyn Write) -> Result<Event, fmt::Error> {
        writeln!(out)?;
        let line = self.line.clone();
        self.set("");
        let again = self.history.last().is_some_and(|last| *last == line);
        if !line.trim().is_empty() && !again {
            if self.history.is_full() {
                self.history.remove(0);
            }
            let _has_room = self.history.push(line.clone());
        }
        Ok(Event::Line(line))
    }

    fn set(&mut self, text: &str) {
        self.line.clear();
        // A line that was one fits.
        let _fits = self.line.push_str(text);
        self.cursor = self.line.len();
        self.back = 0;
    }

    fn insert(&mut self, byte: u8, out: &mut dyn Write) -> fmt::Result {
        if self.line.len() == LINE_BYTES {
            return out.write_str("\x07");
        }
        let mut line = Line::new();
        let (before, behind) = self.line.split_at(self.cursor);
        // There is room for one more.
        let _fits = line.push_str(before);
        let _fits = line.push(char::from(byte));
        let _fits = line.push_str(behind);
        let at_end = behind.is_empty();
        self.line = line;
        self.cursor += 1;
        if at_end {
            out.write_char(char::from(byte))
        } else {
            self.draw(out)
        }
    }

    fn delete(&mut self, from: usize, to: usize, out: &mut dyn Write) -> fmt::Result {
        let to = to.min(self.line.len());
        if from >= to {
            return Ok(());
        }
        let mut line = Line::new();
        let _fits = line.push_str(&self.line[..from]);
        let _fits = line.push_str(&self.line[to..]);
        self.line = line;
        self.cursor = from;
        self.draw(out)
    }

    fn move_to(&mut self, at: usize, out: &mut dyn Write) -> fmt::Result {
        let at = at.min(self.line.len());
        if at == self.cursor {
            return Ok(());
        }
        self.cursor = at;
        self.draw(out)
    }

    /// Begin of the word before the cursor.
    fn word_before(&self) -> usize {
        let text = self.before_cursor().trim_end_matches(' ');
        text.rfind(' ').map_or(0, |at| at + 1)
    }

    /// Shows the line `back` lines before the one that is being written.
    fn show(&mut self, back: usize, out: &mut dyn Write) -> fmt::Result {
        let back = back.min(self.history.len());
        if back == self.back {
            return Ok(());
        }
        if self.back == 0 {
            self.draft = self.line.clone();
        }
        let text = match back {
            0 => self.draft.clone(),
            n => self.history[self.history.len() - n].clone(),
        };
        self.set(&text);
        self.back = back;
        self.draw(out)
    }
}

#[cfg(test)]
mod tests;
