//! `experiment`: workqueues with and without concurrency management, compared on target.
//!
//! The test image (`tests/metal/src/experiments.rs`) runs one experiment and prints its figures; here they
//! become a table, a plot and a CSV. QEMU counts instructions, so virtual time is exact: the figures say
//! what the design does and not how fast anything is. An experiment does not pass or fail.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::image::Kind;
use crate::options::{Net, Options as Machine};
use crate::plot::{self, Row};
use crate::{Failure, Outcome, measured, tree};

/// What begins a line with a figure.
const ROW: &str = "ROW ";
const DONE: &str = "EXPERIMENT DONE";

/// Options of `experiment`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Which
    pub name: Experiment,
    /// Where the plot and the CSV go, instead of `target/experiments`
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// At most so many seconds of the host's time
    #[arg(long, default_value_t = 300, value_name = "SECS")]
    pub timeout: u64,
}

/// The experiments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Experiment {
    /// Threads and memory of idle queues (X1)
    ThreadExplosion,
    /// Items behind one that sleeps (X3, E8)
    HeadOfLine,
    /// Items that sleep, on all cores (X2)
    Concurrency,
    /// Items beside one that computes (X6)
    CpuHog,
    /// A normal and a highpri queue on one core (F3)
    Priority,
}

impl Experiment {
    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |v| v.get_name().to_owned())
    }

    const fn cores(self) -> u32 {
        match self {
            Self::ThreadExplosion | Self::Concurrency => 4,
            // Of one core all time is exact.
            Self::HeadOfLine | Self::CpuHog | Self::Priority => 1,
        }
    }
}

/// Runs it, prints the table, writes plot and CSV.
pub fn run(options: &Options) -> Outcome<u8> {
    let name = options.name.name();
    let machine = Machine {
        smp: options.name.cores(),
        mem: "1G".to_owned(),
        net: Net::None,
        icount: true,
        append: format!("experiment={name}"),
        ..Machine::default()
    };
    let limit = Duration::from_secs(options.timeout);
    let what = format!("experiment {name}");
    let said = measured::boot(Kind::Tests, &machine, limit, DONE, &what)?;
    let rows = read(&said)?;
    table(&rows);
    let dir = match &options.out {
        Some(dir) => dir.clone(),
        None => tree::target_dir()?.join("experiments"),
    };
    let title = format!("{name}, {} core(s), virtual time", options.name.cores());
    write(&dir, &format!("{name}.svg"), &plot::draw(&title, &rows))?;
    write(&dir, &format!("{name}.csv"), &plot::csv(&rows))?;
    Ok(0)
}

fn read(said: &str) -> Outcome<Vec<Row>> {
    let lines = said.lines().filter_map(|l| l.split_once(ROW)).map(|l| l.1);
    lines
        .map(|l| Row::parse(l).ok_or_else(|| Failure::failed(format!("no figure: {l}"))))
        .collect()
}

fn table(rows: &[Row]) {
    println!("| | | | |\n| --- | --- | --- | ---: |");
    for Row {
        series,
        x,
        unit,
        value,
    } in rows
    {
        println!("| {series} | {x} | {unit} | {value} |");
    }
}

fn write(dir: &std::path::Path, name: &str, text: &str) -> Outcome<()> {
    let path = dir.join(name);
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display())))?;
    println!("{}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_behind_what_else_the_console_says() {
        let said = "boot\n[    0.1] ROW st|1|us|5\r\nROW mt|1|us|6\nEXPERIMENT DONE\n";
        let rows = read(said).expect("two figures");
        assert_eq!((rows.len(), rows[1].value), (2, 6));
        assert!(read("ROW st|1|us|many").is_err());
    }

    #[test]
    fn experiments_have_the_names_that_the_image_knows() {
        assert_eq!(Experiment::HeadOfLine.name(), "head-of-line");
        assert_eq!(Experiment::ThreadExplosion.name(), "thread-explosion");
    }
}
