extern crate std;
use std::string::ToString;

use proptest::prelude::*;

use super::*;

#[test]
fn lines_become_commands() {
    for (line, wanted) in [
        ("ps", Command::Ps),
        ("  top  5 ", Command::Top(5)),
        ("wqmon", Command::WqMon(PAUSE)),
        ("trace", Command::Trace(Tracing::Show)),
        (
            "trace on",
            Command::Trace(Tracing::Want(Categories::DEFAULT)),
        ),
        (
            "trace on net,http",
            Command::Trace(Tracing::Want(Categories::NET | Categories::HTTP)),
        ),
        ("trace off", Command::Trace(Tracing::Want(Categories::NONE))),
        ("trace dump 7", Command::Trace(Tracing::Dump(7))),
        ("cpu 3 off", Command::Cpu(Some((3, false)))),
        ("stress hogs", Command::Stress(Some((Load::Hogs, LOAD)))),
        (
            "set http.max_active 64",
            Command::Set(Some(("http.max_active", "64"))),
        ),
        ("bt cpu1", Command::Bt(Target::Core(1))),
        ("bt 17", Command::Bt(Target::Thread(17))),
        ("help wq", Command::Help(Some("wq"))),
    ] {
        assert_eq!(parse(line), Ok(Some(wanted)), "{line}");
    }
    assert_eq!(parse(" "), Ok(None));
}

#[test]
fn every_command_is_known_and_told() {
    for spec in SPECS {
        let parsed = parse(spec.name);
        assert!(!matches!(parsed, Err(Wrong::Unknown(_))), "{}", spec.name);
        let bad = std::format!("{} 1 2 3 4", spec.name);
        let wrong = parse(&bad).expect_err("too much");
        assert!(!wrong.to_string().is_empty());
    }
}

#[test]
fn wrong_input_says_what_is_right() {
    for (line, words) in [
        ("px", "no command is called \"px\"; help lists them"),
        ("ps 1", "ps takes nothing; just type: ps"),
        ("cpu 1", "wrong use; expected: cpu [N off|on]"),
        ("cpu 1 up", "\"up\": expected on or off"),
        ("cpu x off", "\"x\": expected the number of a core"),
        ("top 0", "\"0\": expected 1 to 3600 seconds"),
        (
            "trace on nonsense",
            "\"nonsense\": expected all, off, or some of sched,",
        ),
        ("trace up", "\"up\": expected on, off or dump"),
        (
            "stress me",
            "\"me\": expected sleepers, hogs, burst, blocker, locks or switch",
        ),
        ("bt", "wrong use; expected: bt cpuN|THREAD"),
        ("bt cpu", "\"cpu\": expected a core such as cpu0"),
        ("set x", "wrong use; expected: set [KEY VALUE]"),
    ] {
        let said = parse(line).expect_err(line).to_string();
        assert!(said.starts_with(words), "{line}: {said}");
    }
}

#[test]
fn completion_knows_what_may_follow() {
    let after = words_after;
    assert_eq!(after("").len(), SPECS.len());
    assert!(after("stress").contains(&"burst"));
    assert_eq!(after("trace"), ["on", "off", "dump"]);
    assert!(after("trace on").contains(&"workqueue"));
    assert_eq!(after("cpu 1"), ["on", "off"]);
    assert!(after("ps").is_empty());
}

proptest! {
    /// No line makes the parser fail, and every refusal is a sentence.
    #[test]
    fn any_line_is_read(line in "[ -~]{0,80}") {
        if let Err(wrong) = parse(&line) {
            prop_assert!(wrong.to_string().len() > 10);
        }
        let _ = words_after(&line);
    }
}
