//! Runs a list of on-target tests in as few boots as possible.
//!
//! Protocol of the guest, one line each: `TEST name START`, then `PASS name` or `FAIL name`, at the
//! end `TESTS DONE`. A test passes only by its PASS line: QEMU's exit status says little, QEMU uses 1
//! for its own failures. After a panic or a hang the guest boots again with the tests that are left.
//!
//! A test that must die passes when the guest said the expected words after START and ended with
//! the exit code of a panic.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use xtask::console::Line;
use xtask::failure;
use xtask::guest::{Guest, Terminal};
use xtask::image::Image;

use crate::board::{Board, Verdict};
use crate::catalogue::KernelTest;
use crate::plan::{self, Variant};

/// How long a guest may take from QEMU's start to its first test.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take from one test's end to the next one's START, or from a panic to its end.
const BETWEEN: Duration = Duration::from_secs(20);
/// Lines of the console in a failure message.
const TAIL: usize = 60;

/// Full name of a test on a machine.
pub fn entry(variant: &Variant, test: &KernelTest) -> String {
    format!("metal::{}::{}", test.name, variant.name)
}

/// Runs the tests of one machine and posts each result; returns how often the guest booted.
pub fn run(image: &Image, variant: &Variant, tests: Vec<KernelTest>, board: &Board) -> usize {
    let mut boots = 0;
    for batch in plan::boots(tests) {
        let mut left: VecDeque<KernelTest> = batch.into();
        let mut early_ends = 0;
        while !left.is_empty() {
            boots += 1;
            let before = left.len();
            let end = boot_once(image, variant, &mut left, board);
            if before > left.len() || end.is_ok() {
                continue;
            }
            // Nothing even started: once may be bad luck of a loaded host, twice is not.
            early_ends += 1;
            if early_ends == 2 {
                for test in left.drain(..) {
                    board.post(&entry(variant, &test), end.clone());
                }
            }
        }
    }
    boots
}

/// One boot; takes every test that got a verdict off `left`.
fn boot_once(
    image: &Image,
    variant: &Variant,
    left: &mut VecDeque<KernelTest>,
    board: &Board,
) -> Verdict {
    let tests: Vec<KernelTest> = left.iter().cloned().collect();
    let append = format!("{} {}", plan::selection(&tests), tests[0].bootargs);
    let options = variant.options(append.trim().to_owned());
    let mut guest = match Guest::start(&options, &image.flat, Terminal::Captured) {
        Ok(guest) => guest,
        Err(failure) => {
            left.clear();
            for test in &tests {
                board.post(&entry(variant, test), Err(failure.message.clone()));
            }
            return Ok(());
        }
    };
    let mut follower = Follower {
        cursor: 0,
        running: None,
        deadline: Instant::now() + BOOT_LIMIT,
    };
    let end = follower.follow(
        &mut guest,
        |name, verdict| {
            if let Some(at) = left.iter().position(|t| t.name == name) {
                board.post(&entry(variant, &left[at]), verdict);
                left.remove(at);
            }
        },
        &tests,
    );
    guest.stop();
    end
}

struct Running {
    name: String,
    start: usize,
    dies: Option<String>,
    limit: u64,
}

/// Reads the protocol from the console.
struct Follower {
    cursor: usize,
    running: Option<Running>,
    deadline: Instant,
}

impl Follower {
    fn follow(
        &mut self,
        guest: &mut Guest,
        mut post: impl FnMut(&str, Verdict),
        tests: &[KernelTest],
    ) -> Verdict {
        loop {
            let here = self.cursor;
            match guest.console().next_line(&mut self.cursor, self.deadline) {
                Line::Text(line) => {
                    let mut words = line.split_whitespace();
                    match (words.next(), words.next(), words.next()) {
                        (Some("TEST"), Some(name), Some("START")) => {
                            self.start(name, here, tests);
                        }
                        (Some("PASS"), Some(name), None) if self.is_running(name) => {
                            let survived = self.running.take().and_then(|r| r.dies);
                            post(
                                name,
                                survived.map_or(Ok(()), |words| {
                                    Err(format!("the guest should have died saying \"{words}\""))
                                }),
                            );
                            self.deadline = Instant::now() + BETWEEN;
                        }
                        (Some("FAIL"), Some(name), _) if self.is_running(name) => {
                            let why = self.explain(guest, "the test failed");
                            post(name, Err(why));
                            self.running = None;
                            self.deadline = Instant::now() + BETWEEN;
                        }
                        (Some("TESTS"), Some("DONE"), None) => return Ok(()),
                        _ => {}
                    }
                }
                Line::End => {
                    let _ = guest.wait(Instant::now() + BETWEEN);
                    let code = guest.exit_code();
                    let Some(running) = &self.running else {
                        return Err(self.explain(guest, &format!("the guest ended ({code})")));
                    };
                    let name = running.name.clone();
                    let verdict = self.verdict_of_death(guest, code);
                    post(&name, verdict);
                    return Ok(());
                }
                Line::Late => {
                    let Some(running) = &self.running else {
                        return Err(self.explain(guest, "the guest hangs between tests or in boot"));
                    };
                    let what = format!("the test hangs (limit {} s)", running.limit);
                    post(&running.name.clone(), Err(self.explain(guest, &what)));
                    return Ok(());
                }
            }
        }
    }

    fn start(&mut self, name: &str, here: usize, tests: &[KernelTest]) {
        let Some(test) = tests.iter().find(|t| t.name == name) else {
            return;
        };
        self.deadline = Instant::now() + Duration::from_secs(test.timeout_s);
        self.running = Some(Running {
            name: name.to_owned(),
            start: here,
            dies: test.dies.clone(),
            limit: test.timeout_s,
        });
    }

    fn is_running(&self, name: &str) -> bool {
        self.running.as_ref().is_some_and(|r| r.name == name)
    }

    fn verdict_of_death(&self, guest: &Guest, code: u8) -> Verdict {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let said = guest.console().since(running.start);
        match &running.dies {
            Some(words) if code == failure::PANIC && said.contains(words.as_str()) => Ok(()),
            Some(words) => Err(self.explain(
                guest,
                &format!("expected a panic saying \"{words}\", the guest ended with {code}"),
            )),
            None => Err(self.explain(guest, &format!("the guest ended with {code}"))),
        }
    }

    /// A failure message: what, and the end of what the guest said since the test began.
    fn explain(&self, guest: &Guest, what: &str) -> String {
        let start = self.running.as_ref().map_or(0, |r| r.start);
        let said = guest.console().since(start);
        let lines: Vec<&str> = said.lines().collect();
        // A panic's report ends with what everybody did; who died and why stands at its beginning.
        let panic = lines.iter().position(|l| l.starts_with("kernel panic:"));
        let begin = lines.len().saturating_sub(TAIL);
        let begin = panic.map_or(begin, |at| begin.min(at.saturating_sub(TAIL / 2)));
        let tail = lines[begin..].join("\n");
        format!("{what}; the console's end:\n{tail}")
    }
}
