//! The project's own Rust files, and their text without comments and strings.
//!
//! Checks that look for words in source must not find them in a doc comment or a message. A full
//! parser would be a heavy dependency for that; a scanner that knows comments, strings, raw strings
//! and character literals is enough, because everything else is left as it is.

use std::path::{Path, PathBuf};

use crate::tree;

/// Folders of the project that hold Rust code.
const FOLDERS: [&str; 6] = ["boards", "examples", "kernel", "services", "tests", "xtask"];

/// Every Rust file, sorted, with its path relative to the workspace root.
pub fn rust_files() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        walk(&tree::root().join(folder), &mut files);
    }
    files.sort();
    files
}

fn walk(folder: &Path, files: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|e| e.path()) {
        if path.is_dir() {
            if path.file_name().is_some_and(|n| n != "target") {
                walk(&path, files);
            }
        } else if path.extension().is_some_and(|e| e == "rs")
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            let name = path.strip_prefix(tree::root()).unwrap_or(&path).to_owned();
            files.push((name, text));
        }
    }
}

/// The text with comments removed and the contents of strings blanked; with `keep_strings` strings
/// stay.
pub fn code(text: &str, keep_strings: bool) -> String {
    let bytes = text.as_bytes();
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if !in_word(bytes, at) => match raw_string_end(bytes, at) {
                Some(end) => end,
                None => at,
            },
            b'\'' => char_end(bytes, at),
            _ => at,
        };
        if end == at {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let is_comment = bytes[at] == b'/';
        if !is_comment && keep_strings {
            out.extend_from_slice(&bytes[at..end]);
        } else {
            // Line numbers and word borders stay.
            out.extend(
                bytes[at..end]
                    .iter()
                    .map(|&b| if b == b'\n' { b'\n' } else { b' ' }),
            );
        }
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn in_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|&b| b == b'\n')
        .map_or(bytes.len(), |n| at + n)
}

fn block_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'/', Some(b'*')) => (depth, at) = (depth + 1, at + 2),
            (b'*', Some(b'/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let hashes = bytes[start + 1..]
        .iter()
        .take_while(|&&b| b == b'#')
        .count();
    let open = start + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let close = |at: usize| {
        let tail = bytes.get(at + 1..at + 1 + hashes);
        bytes[at] == b'"' && tail.is_some_and(|t| t.iter().all(|&b| b == b'#'))
    };
    let end = (open + 1..bytes.len()).find(|&at| close(at))?;
    Some(end + 1 + hashes)
}

/// A character literal's end; a lifetime has none.
fn char_end(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start + 1..];
    match rest.first() {
        Some(b'\\') => {
            let close = rest.iter().skip(2).position(|&b| b == b'\'');
            close.map_or(start, |n| start + 1 + n + 3)
        }
        Some(_) => {
            // One character of any width, then the closing quote.
            let close = rest.iter().take(5).position(|&b| b == b'\'');
            let single = close.is_some_and(|n| {
                n > 0 && std::str::from_utf8(&rest[..n]).is_ok_and(|s| s.chars().count() == 1)
            });
            if single {
                start + 1 + close.unwrap_or(0) + 1
            } else {
                start
            }
        }
        None => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_go_code_stays() {
        let text = "a // unsafe\nb /* x /* y */ z */ c \"un\\\"safe\" r#\"q\"w\"# '\"' d 'e";
        let blank = code(text, false);
        let words: Vec<&str> = blank.split_whitespace().collect();
        assert_eq!(words, ["a", "b", "c", "d", "'e"]);
        assert!(code(text, true).contains("q\"w"));
        assert_eq!(blank.len(), text.len());
    }

    #[test]
    fn lifetimes_are_not_characters() {
        assert_eq!(
            code("fn f<'a>(x: &'a str) -> 'b'", false),
            "fn f<'a>(x: &'a str) ->    "
        );
        assert_eq!(
            code(r"'\'' x '\u{1f}' y", false).split_whitespace().count(),
            2
        );
    }
}
