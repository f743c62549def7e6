//! A bounded text: what a command says before it goes out.
//!
//! A command writes here and never to a terminal, so it waits for nobody. A text that would grow over its
//! bound, or for which there is no memory, is cut, and says so at its end.

use alloc::string::String;
use core::fmt;

/// Most bytes of one answer.
pub const MOST_BYTES: usize = 64 << 10;

/// What stands at the end of a text that was cut.
const CUT: &str = "\n(cut: the answer is longer than 64 KiB, or memory is out)\n";

/// Text with a bound.
#[derive(Debug, Default)]
pub struct Text {
    text: String,
    cut: bool,
}

impl Text {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            text: String::new(),
            cut: false,
        }
    }

    /// What was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Nothing again; the memory is given back.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// True when something was left out.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.cut
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if self.cut {
            return Ok(());
        }
        let room = self.text.len() + s.len() + CUT.len() <= MOST_BYTES;
        if room && self.text.try_reserve(s.len() + CUT.len()).is_ok() {
            self.text.push_str(s);
        } else {
            self.cut = true;
            // The last write that fitted made room for it.
            if self.text.capacity() - self.text.len() >= CUT.len() {
                self.text.push_str(CUT);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let mut text = Text::new();
        for n in 0..20_000 {
            writeln!(text, "line {n}").unwrap();
        }
        assert!(text.is_cut() && text.as_str().len() <= MOST_BYTES);
        assert!(text.as_str().ends_with(CUT));
        text.clear();
        assert!(!text.is_cut() && text.as_str().is_empty());
    }
}
