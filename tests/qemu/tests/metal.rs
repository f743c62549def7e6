//! On-target tests, each as its own entry: `metal::20_preempt_spinning_thread::smp4`.
//!
//! `cargo test metal::20` filters, nextest works; an entry's boot is shared with the other
//! selected entries of the same machine.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use libtest_mimic::{Arguments, Failed, Trial};
use qemu_tests::board::Board;
use qemu_tests::boot;
use qemu_tests::catalogue::{self, KernelTest};
use qemu_tests::plan::{VARIANTS, Variant};
use xtask::image::{self, Image, Kind};
use xtask::toolchain;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match prepare() {
        Ok((image, tests)) => run(&arguments, image, &tests),
        Err(why) => {
            // Without an image there is nothing to list; one failing entry says so.
            let trial = Trial::test("metal::image_builds", move || Err(Failed::from(why)));
            libtest_mimic::run(&arguments, vec![trial]).exit_code()
        }
    }
}

fn prepare() -> Result<(Image, Vec<KernelTest>), String> {
    let toolchain = toolchain::metal(false, true).map_err(|f| f.message)?;
    let image = image::build(Kind::Tests, &toolchain).map_err(|f| f.message)?;
    let elf = std::fs::read(&image.elf).map_err(|e| e.to_string())?;
    let mut tests = catalogue::read(&elf)?;
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    if tests.is_empty() {
        return Err("the image contains no tests".to_owned());
    }
    Ok((image, tests))
}

fn run(arguments: &Arguments, image: Image, tests: &[KernelTest]) -> ExitCode {
    let board = Arc::new(Board::default());
    let mut trials = Vec::new();
    let mut work = Vec::new();
    for variant in VARIANTS {
        let on_it: Vec<&KernelTest> = tests.iter().filter(|t| variant.runs(t)).collect();
        let mut selected = Vec::new();
        for test in on_it {
            let name = boot::entry(&variant, test);
            if is_selected(arguments, &name) {
                selected.push(test.clone());
            }
            let board = Arc::clone(&board);
            trials.push(Trial::test(name.clone(), move || {
                board.wait(&name).map_err(Failed::from)
            }));
        }
        if !selected.is_empty() {
            work.push((variant, selected));
        }
    }
    if arguments.list || arguments.ignored {
        return libtest_mimic::run(arguments, trials).exit_code();
    }
    let runners = start_runners(arguments, image, work, &board);
    let conclusion = libtest_mimic::run(arguments, trials);
    for runner in runners {
        for line in runner.join().unwrap_or_default() {
            println!("{line}");
        }
    }
    conclusion.exit_code()
}

/// Threads that boot one machine after the other; each returns its time report.
fn start_runners(
    arguments: &Arguments,
    image: Image,
    work: Vec<(Variant, Vec<KernelTest>)>,
    board: &Arc<Board>,
) -> Vec<std::thread::JoinHandle<Vec<String>>> {
    let work = Arc::new(work);
    let next = Arc::new(AtomicUsize::new(0));
    let image = Arc::new(image);
    (0..parallel(arguments).min(work.len()))
        .map(|_| {
            let (work, next) = (Arc::clone(&work), Arc::clone(&next));
            let (image, board) = (Arc::clone(&image), Arc::clone(board));
            std::thread::spawn(move || {
                let mut report = Vec::new();
                while let Some((variant, tests)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (begin, count) = (Instant::now(), tests.len());
                    let boots = boot::run(&image, variant, tests.clone(), &board);
                    let seconds = begin.elapsed().as_secs_f64();
                    report.push(format!(
                        "metal {}: {count} tests in {boots} boots, {seconds:.1} s",
                        variant.name
                    ));
                }
                report
            })
        })
        .collect()
}

/// Guests at a time: two need a host with cores for both, or they disturb each other's timing.
fn parallel(arguments: &Arguments) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    arguments
        .test_threads
        .unwrap_or(2)
        .min(cores / 2)
        .clamp(1, 2)
}

/// The standard harness's filter rules; the boots must not run tests that nobody asked for.
fn is_selected(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &str| match arguments.exact {
        true => name == filter,
        false => name.contains(filter),
    };
    arguments.filter.as_deref().is_none_or(matches) && !arguments.skip.iter().any(|s| matches(s))
}
