//! Stable names for what events know by address, and the last events in words.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::hash::{BuildHasherDefault, Hasher};

use trace::{Categories, Event, Kind};

use super::Seen;

/// Events kept for a report.
const TAIL: usize = 64;

/// Hashes addresses and numbers: cheap, and the same in every run.
#[derive(Default, Debug)]
pub(crate) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.write_u64(u64::from(b)));
    }
    fn write_u64(&mut self, n: u64) {
        let mixed = (self.0.rotate_left(23) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 29;
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }
}

/// A table by address or number. Its order of iteration means nothing.
pub(crate) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// Numbers by address, in order of appearance.
#[derive(Default, Debug)]
pub(crate) struct Names {
    known: Map<u64, u32>,
    last: u32,
}

impl Names {
    /// The number of the thing at `address`, a new one if it has none.
    pub(crate) fn of(&mut self, address: u64) -> u32 {
        *self.known.entry(address).or_insert_with(|| {
            self.last += 1;
            self.last
        })
    }

    /// The thing at `address` may be gone: whatever is there next is another one.
    pub(crate) fn forget(&mut self, address: u64) {
        self.known.remove(&address);
    }

    /// What `e` says, without what may be an address: the host gives the same one to other things in
    /// another run, so not even its number is the same.
    pub(crate) fn words(e: &Event) -> [u64; 2] {
        let head = u64::from(e.head.arg) << 32 | u64::from(e.head.small) << 8 | e.kind as u64;
        if e.kind.category().meets(Categories::SCHED) {
            return [head, e.a << 32 ^ e.b];
        }
        [head, 0]
    }

    fn find(&self, address: u64) -> Option<u32> {
        self.known.get(&address).copied()
    }
}

/// The last events.
#[derive(Default, Debug)]
pub(crate) struct Tail(VecDeque<Seen>);

impl Tail {
    #[inline]
    pub(crate) fn push(&mut self, s: &Seen) {
        if self.0.len() == TAIL {
            self.0.pop_front();
        }
        self.0.push_back(*s);
    }

    /// One line for each event.
    pub(crate) fn words(&self, names: &Names) -> String {
        let mut text = String::new();
        for s in &self.0 {
            let e = &s.event;
            let _ = write!(text, "{:>10} cpu{} {}", e.stamp, s.cpu, e.kind.name());
            let _ = match e.kind {
                Kind::SchedSwitch => {
                    let why = ["", " (sleeps)", " (ends)"][(e.b as usize).min(2)];
                    write!(text, " {} -> {}{why}", e.a, e.head.arg)
                }
                Kind::SchedWakeup | Kind::SchedWakeupNew => {
                    write!(text, " thread {} on cpu{}", e.head.arg, e.a)
                }
                Kind::SchedMigrateTask => {
                    write!(text, " thread {} cpu{} -> cpu{}", e.head.arg, e.a, e.b)
                }
                _ => {
                    let _ = write!(text, " {}", e.head.arg);
                    for address in [e.a, e.b] {
                        if let Some(n) = names.find(address) {
                            let _ = write!(text, " #{n}");
                        }
                    }
                    Ok(())
                }
            };
            text.push('\n');
        }
        text
    }
}
