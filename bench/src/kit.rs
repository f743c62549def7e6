//! Samples, what is made of them, and which rows run.
//!
//! One line for each row: `BENCH settings|row|n|min|p50|p99|max|hundredths of the mean`; `EMPTY n` is
//! the cost of a pair of readings, which no figure has subtracted.

use alloc::boxed::Box;
use alloc::vec::Vec;

use arch_aarch64::pmu;
use kernel::thread::{self, ThreadCx};
use kernel::trace::{self, Categories};
use kernel::wq;
use machine::{CpuId, CpuMask};

/// Samples of a row; items of a batch.
pub(crate) const N: usize = 10_000;
/// Repeats of a batch.
pub(crate) const REPEATS: usize = 5;
/// Samples before those that count.
const WARM_UP: usize = 200;
/// Samples of a row of which every instruction is recorded.
const RECORDED: usize = 200;

/// The counter, of core 0.
#[inline(always)]
pub(crate) fn count() -> u32 {
    pmu::instructions()
}

/// What `bench --profile` recognises in the list of executed instructions: samples begin to count, one
/// is over, they are over. Each reading of the counter begins or ends a stretch of a sample.
#[expect(unsafe_code, reason = "symbols that the host tool looks for")]
mod marks {
    use core::hint::black_box;

    #[unsafe(no_mangle)]
    #[inline(never)]
    pub(super) extern "C" fn bench_samples_begin() {
        black_box(0);
    }
    #[unsafe(no_mangle)]
    #[inline(never)]
    pub(super) extern "C" fn bench_sample_over() {
        black_box(1);
    }
    #[unsafe(no_mangle)]
    #[inline(never)]
    pub(super) extern "C" fn bench_samples_over() {
        black_box(2);
    }
}

/// Marks the beginning of samples, as [`Kit`] does itself of those it takes.
pub(crate) fn samples_begin() {
    marks::bench_samples_begin();
}

/// Marks their end.
pub(crate) fn samples_over() {
    marks::bench_samples_over();
}

/// Marks the end of a sample; [`Kit::samples`] and [`Kit::batches`] do that themselves.
pub(crate) fn sample_over() {
    marks::bench_sample_over();
}

/// What lives for ever. Items are given to queues so, unless the row says "counted": what is not counted needs
/// no count, as in Linux, whose items have none.
pub(crate) fn for_ever<T>(t: T) -> &'static T {
    Box::leak(Box::new(t))
}

/// Where samples go.
pub(crate) struct Kit {
    wanted: &'static str,
    settings: &'static str,
    samples: Vec<u32>,
    /// Samples of a row, repeats of a batch.
    wants: (usize, usize),
}

impl Kit {
    /// Whether the row `name` of `group` was asked for.
    pub(crate) fn wants(&self, group: &str, name: &str) -> bool {
        self.wanted
            .split(',')
            .any(|w| w == "all" || w == group || w == name)
    }

    /// Whether the row `name` was asked for by its own name.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.wanted.split(',').any(|w| w == name)
    }

    /// How many of `n` operations are done: fewer if each instruction is recorded, and a power of two if `n` is one.
    pub(crate) fn operations(&self, n: u32) -> u32 {
        match self.wants.0 {
            RECORDED => n.min(RECORDED.next_power_of_two() as u32),
            _ => n,
        }
    }

    /// Takes samples of `f`, which returns what it counted.
    pub(crate) fn samples(&mut self, group: &str, name: &str, mut f: impl FnMut() -> u32) {
        if !self.wants(group, name) {
            return;
        }
        for _ in 0..WARM_UP {
            f();
        }
        self.samples.clear();
        marks::bench_samples_begin();
        for _ in 0..self.wants.0 {
            self.samples.push(f());
            sample_over();
        }
        marks::bench_samples_over();
        self.tell(name);
    }

    /// Takes samples where a call of `f` gives up to `room` of them, at least one, and marks the end of each.
    pub(crate) fn bunches(
        &mut self,
        group: &str,
        name: &str,
        room: usize,
        mut f: impl FnMut(&mut Vec<u32>, usize),
    ) {
        if !self.wants(group, name) {
            return;
        }
        self.samples.clear();
        f(&mut self.samples, room.min(WARM_UP));
        self.samples.clear();
        marks::bench_samples_begin();
        while self.samples.len() < self.wants.0 {
            let room = room.min(self.wants.0 - self.samples.len());
            f(&mut self.samples, room);
        }
        marks::bench_samples_over();
        self.tell(name);
    }

    /// Tells the cost of each item of whole batches: `f` returns what a batch of [`N`] cost.
    pub(crate) fn batches(&mut self, group: &str, name: &str, f: impl FnMut() -> u32) {
        self.batches_of(N, group, name, f);
    }

    /// As [`Self::batches`], of batches of `items`.
    pub(crate) fn batches_of(
        &mut self,
        items: usize,
        group: &str,
        name: &str,
        mut f: impl FnMut() -> u32,
    ) {
        if !self.wants(group, name) {
            return;
        }
        f();
        self.samples.clear();
        let repeats = self.wants.1;
        marks::bench_samples_begin();
        for _ in 0..repeats {
            self.samples.push(f());
            sample_over();
        }
        marks::bench_samples_over();
        self.samples.sort_unstable();
        let s = &self.samples;
        let item = |whole: u32| whole / items as u32;
        let sum: u64 = s.iter().copied().map(u64::from).sum();
        kernel::println!(
            "BENCH {}|{name}|{}|{}|{}|{}|{}|{}",
            self.settings,
            items * repeats,
            item(s[0]),
            item(s[repeats / 2]),
            item(s[repeats - 1]),
            item(s[repeats - 1]),
            sum * 100 / (items * repeats) as u64
        );
    }

    /// Tells what each of `events` cost that cost `total` together.
    pub(crate) fn ratio(&self, name: &str, events: u64, total: i64) {
        assert!(events > 0, "{name}: nothing was recorded");
        let hundredths = (total * 100 / events as i64).max(0);
        let mean = hundredths / 100;
        kernel::println!(
            "BENCH {}|{name}|{events}|{mean}|{mean}|{mean}|{mean}|{hundredths}",
            self.settings
        );
    }

    fn tell(&mut self, name: &str) {
        self.samples.sort_unstable();
        let s = &self.samples;
        let at = |percent: usize| s[(s.len() * percent).div_ceil(100).max(1) - 1];
        let sum: u64 = s.iter().copied().map(u64::from).sum();
        kernel::println!(
            "BENCH {}|{name}|{}|{}|{}|{}|{}|{}",
            self.settings,
            s.len(),
            s[0],
            at(50),
            at(99),
            s[s.len() - 1],
            sum * 100 / s.len() as u64
        );
    }
}

/// First thread of the image.
pub(crate) fn run(cx: &ThreadCx<'_>) {
    thread::current().set_affinity(CpuMask::single(CpuId::new(0)));
    let counts = pmu::start();
    let mut kit = Kit {
        wanted: argument("bench").unwrap_or("all"),
        settings: "lean",
        samples: Vec::with_capacity(N),
        wants: if argument("profile") == Some("on") {
            (RECORDED, 1)
        } else {
            (N, REPEATS)
        },
    };
    // Rates are measured without: counting is slow.
    assert!(
        counts || kit.wanted == "net",
        "this machine does not count instructions; boot it with --icount"
    );
    let (begin, end) = (count(), count());
    kernel::println!("EMPTY {}", end.wrapping_sub(begin));
    if matches!(kit.wanted, "http" | "net") {
        crate::http::run(cx, kit.wanted == "net");
    }
    if kit.wanted == "footprint" {
        crate::footprint::run(cx);
    }
    let categories = trace::wanted();
    trace::want(Categories::NONE);
    wq::set_anatomy(false);
    if kit.wanted == "growth" {
        crate::growth::run(cx);
    }
    let settings = argument("settings");
    if settings != Some("default") {
        all(cx, &mut kit);
    }
    if settings != Some("lean") {
        trace::want(categories);
        wq::set_anatomy(true);
        kit.settings = "default";
        all(cx, &mut kit);
    }
    kernel::println!("BENCH DONE");
    machine::shutdown(0)
}

fn all(cx: &ThreadCx<'_>, kit: &mut Kit) {
    crate::work::run(cx, kit);
    crate::wait::run(cx, kit);
    crate::batch::run(cx, kit);
    crate::sched::run(cx, kit);
    crate::sync_rows::run(kit);
    crate::mem::run(kit);
    crate::tracing::run(cx, kit);
    crate::cross::run(cx, kit);
    crate::batch::each(cx, kit);
    crate::cold::run(cx, kit);
}

/// Value of a boot argument.
fn argument(key: &str) -> Option<&'static str> {
    let words = kernel::kernel().info().bootargs.split_ascii_whitespace();
    words
        .filter_map(|word| word.split_once('='))
        .find(|(k, _)| *k == key)
        .map(|(_, value)| value)
}
