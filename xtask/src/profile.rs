//! Where a benchmark's instructions go: from QEMU's list of executed instructions to a table.
//!
//! With `-singlestep -d exec,nochain` QEMU writes one line for each guest instruction, in order. The image marks
//! where samples count and where each is over (`bench/src/kit.rs`), and each reading of the instruction
//! counter ends one stretch of a sample and begins the next. Of a sample's stretches one is what the row's
//! figure counts.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use object::read::elf::ElfFile64;
use object::{Object, ObjectSegment, ObjectSymbol};

use crate::decode::Elf;
use crate::symbols::shorten;
use crate::{Failure, Outcome};

/// Instruction `MRS Xt, PMEVCNTR0_EL0`, without the register (Arm ARM C6.2, D19.5).
const READING: u32 = 0xd53b_e800;
/// The bits of an instruction that say which register.
const REGISTER: u32 = 0x1f;

/// Which stretch of a sample is what its row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// After the first reading.
    First,
    /// Before the last reading.
    Last,
}

/// What of an image a recording is read by.
#[derive(Clone, Debug)]
pub struct Marks {
    begin: u64,
    sample: u64,
    over: u64,
    readings: Vec<u64>,
}

impl Marks {
    /// Finds them in the linked image.
    pub fn find(elf: &[u8]) -> Outcome<Self> {
        let bad = |what: &str| Failure::failed(format!("the image of benchmarks {what}"));
        let file: ElfFile64<'_> =
            ElfFile64::parse(elf).map_err(|e| bad(&format!("cannot be read: {e}")))?;
        let symbol = |name: &str| {
            file.symbol_by_name(name)
                .map(|s| s.address())
                .ok_or_else(|| bad(&format!("has no symbol {name}")))
        };
        let mut readings = Vec::new();
        for segment in file.segments() {
            let data: &[u8] = segment.data().unwrap_or_default();
            let words = data.chunks_exact(4).zip(0_u64..);
            readings.extend(words.filter_map(|(word, i)| {
                let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                (word & !REGISTER == READING).then_some(segment.address() + 4 * i)
            }));
        }
        if readings.is_empty() {
            return Err(bad("never reads the counter"));
        }
        readings.sort_unstable();
        Ok(Self {
            begin: symbol("bench_samples_begin")?,
            sample: symbol("bench_sample_over")?,
            over: symbol("bench_samples_over")?,
            readings,
        })
    }
}

/// Counts of the instructions at each address, gathered line by line.
#[derive(Debug)]
pub struct Recording {
    marks: Marks,
    stretch: Stretch,
    /// Within the samples that count.
    on: bool,
    /// The core that takes them; what others do meanwhile is not its row's.
    core: u32,
    /// Addresses since the last reading; `None` before the first one of a sample.
    open: Option<Vec<u64>>,
    chosen: Option<Vec<u64>>,
    /// Samples that counted.
    pub samples: u64,
    /// How often the instruction at each address was executed in them.
    pub counts: HashMap<u64, u64>,
}

impl Recording {
    /// An empty one.
    #[must_use]
    pub fn new(marks: Marks, stretch: Stretch) -> Self {
        Self {
            marks,
            stretch,
            on: false,
            core: 0,
            open: None,
            chosen: None,
            samples: 0,
            counts: HashMap::new(),
        }
    }

    /// Takes a line of QEMU's log; what is not an executed instruction is passed over.
    pub fn line(&mut self, line: &[u8]) {
        if let Some((core, at)) = executed(line) {
            self.executed(core, at);
        }
    }

    fn executed(&mut self, core: u32, at: u64) {
        if at == self.marks.begin {
            self.on = true;
            self.core = core;
            self.open = None;
        } else if core != self.core {
        } else if at == self.marks.over {
            self.on = false;
        } else if !self.on {
        } else if at == self.marks.sample {
            self.open = None;
            if let Some(stretch) = self.chosen.take() {
                self.samples += 1;
                for at in stretch {
                    *self.counts.entry(at).or_default() += 1;
                }
            }
        } else if self.marks.readings.binary_search(&at).is_ok() {
            let begun = self.open.replace(Vec::new());
            if begun.is_some() && (self.chosen.is_none() || self.stretch == Stretch::Last) {
                self.chosen = begun;
            }
        } else if let Some(open) = &mut self.open {
            open.push(at);
        }
    }
}

/// Counts, of a machine with one core, of a stretch between two readings, for who decides afterwards which one was meant: the last one, less the
/// one before, which is what the readings themselves cost.
#[derive(Debug)]
pub struct Between {
    readings: Vec<u64>,
    open: HashMap<u64, u64>,
    /// The stretches that are over: the one before the last, and the last.
    over: [HashMap<u64, u64>; 2],
}

impl Between {
    /// Before the first reading.
    #[must_use]
    pub fn new(marks: Marks) -> Self {
        Self {
            readings: marks.readings,
            open: HashMap::new(),
            over: Default::default(),
        }
    }

    /// Takes a line of QEMU's log; what is not an executed instruction is passed over.
    pub fn line(&mut self, line: &[u8]) {
        let Some((_, at)) = executed(line) else {
            return;
        };
        if self.readings.binary_search(&at).is_ok() {
            self.over.swap(0, 1);
            self.over[1] = std::mem::take(&mut self.open);
        } else {
            *self.open.entry(at).or_default() += 1;
        }
    }

    /// How much more often each instruction was executed in the last stretch than in the one before.
    #[must_use]
    pub fn counts(self) -> HashMap<u64, u64> {
        let [mark, mut last] = self.over;
        for (at, n) in &mut last {
            *n = n.saturating_sub(mark.get(at).copied().unwrap_or_default());
        }
        last
    }
}

/// Address and count of each instruction, in the order of addresses.
#[must_use]
pub fn text(counts: &HashMap<u64, u64>) -> String {
    let counts: BTreeMap<_, _> = counts.iter().collect();
    let lines = counts.into_iter().map(|(at, n)| format!("{at:x} {n}\n"));
    lines.collect()
}

/// Core and guest address of a line like `Trace 0: 0x7f… [flags/address/flags/flags] name`.
fn executed(line: &[u8]) -> Option<(u32, u64)> {
    let line = line.strip_prefix(b"Trace ")?;
    let colon = line.iter().position(|&b| b == b':')?;
    let core = std::str::from_utf8(&line[..colon]).ok()?.parse().ok()?;
    let open = line.iter().position(|&b| b == b'[')?;
    let mut fields = line[open + 1..].split(|&b| b == b'/');
    let field = std::str::from_utf8(fields.nth(1)?).ok()?;
    Some((core, u64::from_str_radix(field, 16).ok()?))
}

/// Instructions of a place: the function, and what it was inlined into, innermost first.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Names of the functions.
    pub frames: Vec<String>,
    /// File and line of the innermost.
    pub line: String,
    /// Instructions of it in a sample.
    pub each: f64,
}

/// Names the places of what was counted in so many samples, the dearest first.
pub fn places(elf: &Path, counts: &HashMap<u64, u64>, samples: u64) -> Outcome<Vec<Place>> {
    let elf = Elf::open(elf)?;
    let mut sums: BTreeMap<(Vec<String>, String), u64> = BTreeMap::new();
    for (&at, &n) in counts {
        *sums.entry(name(&elf, at)).or_default() += n;
    }
    let samples = samples.max(1) as f64;
    let mut places: Vec<_> = sums
        .into_iter()
        .map(|((frames, line), n)| Place {
            frames,
            line,
            each: n as f64 / samples,
        })
        .collect();
    places.sort_by(|a, b| b.each.total_cmp(&a.each));
    Ok(places)
}

fn name(elf: &Elf, at: u64) -> (Vec<String>, String) {
    let frames = elf.frames(at);
    let line = frames
        .first()
        .map_or_else(|| "?".to_owned(), |f| f.place.clone());
    let mut names: Vec<_> = frames.iter().map(|f| shorten(&f.function)).collect();
    // The outermost by its symbol, which has the whole path.
    let _short = names.pop();
    names.push(shorten(&elf.symbol(at)));
    (names, line)
}

/// Sums of `places` by what `key` makes of each, the dearest first.
#[must_use]
pub fn sums(places: &[Place], key: impl Fn(&Place) -> String) -> Vec<(String, f64)> {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for place in places {
        *sums.entry(key(place)).or_default() += place.each;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    sums
}

/// Folded stacks, as flame graph tools read them: outermost first, hundredths of an instruction.
#[must_use]
pub fn folded(places: &[Place]) -> String {
    let stack = |p: &Place| {
        let frames: Vec<_> = p.frames.iter().rev().map(|f| f.replace(';', ",")).collect();
        frames.join(";")
    };
    let lines = sums(places, stack);
    let lines = lines
        .iter()
        .map(|(stack, each)| format!("{stack} {:.0}\n", each * 100.0));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(stretch: Stretch, executed: &[u64]) -> Recording {
        let marks = Marks {
            begin: 1,
            sample: 2,
            over: 3,
            readings: vec![10, 11],
        };
        let mut recording = Recording::new(marks, stretch);
        for at in executed {
            let line = format!("Trace 0: 0x7f70 [0000000000004000/{at:016x}/00000121/ff020201] ");
            recording.line(line.as_bytes());
        }
        recording
    }

    #[test]
    fn only_stretches_between_readings_within_samples_count() {
        let all = [
            20, 10, 20, 11, 1, 20, 10, 21, 22, 11, 20, 2, 20, 10, 21, 10, 2, 3, 10, 21, 11,
        ];
        let recording = recorded(Stretch::Last, &all);
        assert_eq!(recording.samples, 2);
        assert_eq!(recording.counts, HashMap::from([(21, 2), (22, 1)]));
    }

    #[test]
    fn the_last_stretch_between_readings_counts_less_the_one_before() {
        let mut between = Between::new(Marks {
            begin: 1,
            sample: 2,
            over: 3,
            readings: vec![10, 11],
        });
        for at in [20, 10, 20, 20, 10, 20, 21, 11, 20, 20, 20, 22, 10, 23] {
            let line = format!("Trace 0: 0x7f70 [0000000000004000/{at:016x}/00000121/ff020201] ");
            between.line(line.as_bytes());
        }
        let mut counts = between.counts();
        counts.retain(|_, n| *n > 0);
        assert_eq!(counts, HashMap::from([(20, 2), (22, 1)]));
    }

    #[test]
    fn the_row_says_which_stretch() {
        let three = [1, 10, 21, 10, 22, 11, 2, 3];
        assert_eq!(
            recorded(Stretch::First, &three).counts,
            HashMap::from([(21, 1)])
        );
        assert_eq!(
            recorded(Stretch::Last, &three).counts,
            HashMap::from([(22, 1)])
        );
        assert_eq!(recorded(Stretch::Last, &[1, 10, 21, 2, 3]).samples, 0);
    }

    #[test]
    fn other_lines_are_passed_over() {
        for line in [
            "",
            "BENCH DONE",
            "Trace 0: 0x7f",
            "Trace 0: 0x7f [1/zz/3]",
            "Trace x: 0x7f [1/2/3]",
        ] {
            assert_eq!(super::executed(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn what_other_cores_do_is_not_the_rows() {
        let marks = Marks {
            begin: 1,
            sample: 2,
            over: 3,
            readings: vec![10],
        };
        let mut recording = Recording::new(marks, Stretch::Last);
        let executed = [
            (2, 1),
            (2, 10),
            (0, 21),
            (2, 22),
            (0, 10),
            (0, 3),
            (0, 2),
            (2, 10),
            (2, 2),
            (2, 3),
        ];
        for (core, at) in executed {
            recording.line(format!("Trace {core}: 0x7f [0/{at:x}/0/0] ").as_bytes());
        }
        assert_eq!(recording.counts, HashMap::from([(22, 1)]));
    }

    #[test]
    fn stacks_are_folded_outermost_first() {
        let place = |frames: [&str; 2], each| Place {
            frames: frames.map(str::to_owned).to_vec(),
            line: "f.rs:1".to_owned(),
            each,
        };
        let places = [place(["in", "out"], 1.5), place(["in", "out"], 0.25)];
        assert_eq!(folded(&places), "out;in 175\n");
        assert_eq!(
            sums(&places, |p| p.frames[0].clone()),
            [("in".to_owned(), 1.75)]
        );
    }
}
