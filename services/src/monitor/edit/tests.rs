extern crate std;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn feed(e: &mut Editor, bytes: &[u8]) -> (Vec<Event>, String) {
    let mut shown = String::new();
    let events = bytes.iter().map(|&b| e.feed(b, &mut shown).unwrap());
    let events = events.filter(|e| *e != Event::None).collect();
    (events, shown)
}

fn line(bytes: &[u8]) -> String {
    let mut e = Editor::new("> ");
    let (events, _) = feed(&mut e, bytes);
    match events.last() {
        Some(Event::Line(line)) => line.as_str().into(),
        other => panic!("no line but {other:?}"),
    }
}

#[test]
fn keys_edit_the_line() {
    for (bytes, wanted) in [
        (&b"wq\r"[..], "wq"),
        (b"px\x7fs\r", "ps"),
        (b"s\x1b[Dp\r", "ps"),
        (b"xps\x01\x1b[3~\r", "ps"),
        (b"xps\x1b[H\x04\x05 a\r", "ps a"),
        (b"trace on\x17off\r", "trace off"),
        (b"abc\x02\x02\x0b\r", "a"),
        (b"abc\x15d\r", "d"),
        (b"a\x1b[1;5Cb\xc3\xa4\x00c\r", "abc"),
    ] {
        assert_eq!(line(bytes), wanted, "{bytes:?}");
    }
}

#[test]
fn a_return_with_a_line_feed_is_one_line() {
    let mut e = Editor::new("> ");
    let (events, _) = feed(&mut e, b"a\r\nb\n\nc\r");
    assert_eq!(events.len(), 4);
}

#[test]
fn older_lines_come_back_and_the_draft_is_kept() {
    let mut e = Editor::new("> ");
    let _ = feed(&mut e, b"one\rtwo\rtwo\rdra");
    let _ = feed(&mut e, b"\x1b[A");
    assert_eq!(e.line(), "two");
    let _ = feed(&mut e, b"\x10\x10\x10");
    assert_eq!(e.line(), "one");
    let _ = feed(&mut e, b"\x1b[B\x1b[B");
    assert_eq!(e.line(), "dra");
    for n in 0..2 * HISTORY {
        let _ = feed(&mut e, std::format!("{n}\r").as_bytes());
    }
    let _ = feed(&mut e, &[0x10; 3 * HISTORY]);
    let oldest = HISTORY;
    assert_eq!(e.line(), std::format!("{oldest}"));
}

#[test]
fn completion_puts_in_what_is_common_and_lists_the_rest() {
    let names = ["ps", "panic", "poweroff", "wq", "wqmon"];
    let mut e = Editor::new("> ");
    let mut shown = String::new();
    let mut complete = |text: &[u8], word: &str| {
        shown.clear();
        let _ = feed(&mut e, b"\x05\x15");
        let _ = feed(&mut e, text);
        e.complete(word, names.into_iter(), &mut shown).unwrap();
        (String::from(e.line()), shown.clone())
    };
    assert_eq!(complete(b"pa", "pa").0, "panic ");
    assert_eq!(complete(b"w", "w").0, "wq");
    let (line, listed) = complete(b"p", "p");
    assert_eq!(line, "p");
    assert!(listed.contains("panic  poweroff"), "{listed}");
    assert_eq!(complete(b"x", "x").1, "\x07");
}

#[test]
fn interrupt_and_end_are_told() {
    let mut e = Editor::new("> ");
    assert_eq!(feed(&mut e, b"ab\x03").0, [Event::Interrupt]);
    assert_eq!(e.line(), "");
    assert_eq!(feed(&mut e, b"\x04").0, [Event::End]);
}

proptest! {
    /// Whatever a terminal sends, the cursor is in the line and the line is printable.
    #[test]
    fn any_bytes_leave_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut e = Editor::new("> ");
        let mut shown = String::new();
        for b in bytes {
            if let Event::Line(line) = e.feed(b, &mut shown).unwrap() {
                prop_assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)));
            }
            prop_assert!(e.cursor <= e.line.len() && e.line.len() <= LINE_BYTES);
            prop_assert!(e.line.is_ascii());
        }
    }
}
