//! Eight bytes at a time: which of them is the first that may not stand there.
//!
//! The high bit of a mask's byte says something of that byte of the word; all masks are exact.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES << 7;
const LOWS: u64 = !HIGHS;

/// All bytes are `b`.
const fn all(b: u8) -> u64 {
    ONES * b as u64
}

/// Marks the bytes from `b` on, of those below 128.
#[inline]
const fn at_least(x: u64, b: u8) -> u64 {
    ((x & LOWS) + all(0x80 - b)) & !x & HIGHS
}

/// Marks the bytes that are `b`.
#[inline]
const fn equal(x: u64, b: u8) -> u64 {
    let y = x ^ all(b);
    !(((y & LOWS) + LOWS) | y) & HIGHS
}

/// Marks the letters and dashes.
#[inline]
pub(super) const fn letters_and_dashes(x: u64) -> u64 {
    let lower = x | all(b'a' - b'A');
    (at_least(lower, b'a') & !at_least(lower, b'z' + 1)) | equal(x, b'-')
}

/// Marks the bytes from a space on, but for a deletion; those from 128 on are text.
#[inline]
pub(super) const fn text(x: u64) -> u64 {
    (at_least(x, b' ') | (x & HIGHS)) & !equal(x, 0x7f)
}

/// Marks what is ASCII and leaves a trace on paper, but for question marks.
#[inline]
pub(super) const fn plain(x: u64) -> u64 {
    at_least(x, b'!') & !equal(x, 0x7f) & !equal(x, b'?')
}

/// As [`text`], without spaces.
#[inline]
pub(super) const fn visible(x: u64) -> u64 {
    text(x) & !equal(x, b' ')
}

/// How many bytes at the begin may stand there: those that `may` says of, or that `mask` marks, which marks
/// fewer and is asked first. `None` when nothing follows them.
#[inline]
pub(super) fn span(
    bytes: &[u8],
    mask: impl Fn(u64) -> u64,
    may: impl Fn(u8) -> bool,
) -> Option<usize> {
    let (words, tail) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let other = mask(u64::from_le_bytes(*word)) ^ HIGHS;
        if other != 0 {
            let first = other.trailing_zeros() as usize / 8;
            if let Some(n) = word[first..].iter().position(|&b| !may(b)) {
                return Some(i * 8 + first + n);
            }
        }
    }
    let n = tail.iter().position(|&b| !may(b))?;
    Some(words.len() * 8 + n)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a mask for each byte beside each of a few others.
    fn holds(mask: fn(u64) -> u64, of: fn(u8) -> bool) {
        for byte in 0..=255 {
            for beside in [0, 0x1f, b' ', b'-', b'A', b'z', 0x7f, 0x80, 0xff] {
                for at in 0..8 {
                    let mut word = [beside; 8];
                    word[at] = byte;
                    let marks = mask(u64::from_le_bytes(word)).to_le_bytes();
                    let expected = word.map(|b| if of(b) { 0x80 } else { 0 });
                    assert_eq!(marks, expected, "{byte} beside {beside}");
                }
            }
        }
    }

    #[test]
    fn masks_are_exact() {
        holds(letters_and_dashes, |b| b.is_ascii_alphabetic() || b == b'-');
        holds(text, |b| b >= b' ' && b != 0x7f);
        holds(plain, |b| b.is_ascii_graphic() && b != b'?');
        holds(visible, |b| b > b' ' && b != 0x7f);
    }

    #[test]
    fn a_span_ends_at_the_first_that_may_not() {
        for len in 0..30 {
            for end in 0..len {
                let mut bytes = [b'x'; 30];
                bytes[end] = b':';
                // Not marked, and may stand there all the same.
                bytes[end / 2] = if end > 0 { b'_' } else { b':' };
                let n = span(&bytes[..len], letters_and_dashes, |b| b != b':');
                assert_eq!(n, Some(end));
            }
            let none = span(&[b'_'; 30][..len], letters_and_dashes, |b| b != b':');
            assert_eq!(none, None);
        }
    }
}
