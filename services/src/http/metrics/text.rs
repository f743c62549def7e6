//! The text format: heads, samples, histograms.

use core::fmt::{self, Display, Write};

/// Nanoseconds, written as seconds.
pub(super) struct Seconds(pub(super) u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut rest, mut digits) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000, 9);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        while rest.is_multiple_of(10) {
            rest /= 10;
            digits -= 1;
        }
        write!(f, "{whole}.{rest:0digits$}")
    }
}

/// A label's value.
pub(super) struct Label<'a>(pub(super) &'a str);

impl Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

/// Where the families go.
pub(super) struct Page<'a> {
    pub(super) out: &'a mut dyn Write,
}

impl Page<'_> {
    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        write!(
            self.out,
            "# HELP roundtable_{name} {help}\n# TYPE roundtable_{name} {kind}\n"
        )
    }

    /// A family of one sample.
    pub(super) fn one(
        &mut self,
        kind: &str,
        name: &str,
        help: &str,
        value: impl Display,
    ) -> fmt::Result {
        self.head(name, kind, help)?;
        writeln!(self.out, "roundtable_{name} {value}")
    }

    /// A sample of the family whose head was written last.
    pub(super) fn sample(
        &mut self,
        name: &str,
        labels: fmt::Arguments<'_>,
        value: impl Display,
    ) -> fmt::Result {
        writeln!(self.out, "roundtable_{name}{{{labels}}} {value}")
    }

    /// A histogram of the family `name`, from cumulative counters; `labels` are empty or end with a comma.
    pub(super) fn histogram(
        &mut self,
        (name, labels): (&str, fmt::Arguments<'_>),
        up_to: impl Iterator<Item = (u64, u64)>,
        (count, sum_ns): (u64, u64),
    ) -> fmt::Result {
        let out = &mut *self.out;
        for (bound, n) in up_to {
            let le = Seconds(bound);
            writeln!(out, "roundtable_{name}_bucket{{{labels}le=\"{le}\"}} {n}")?;
        }
        writeln!(
            out,
            "roundtable_{name}_bucket{{{labels}le=\"+Inf\"}} {count}"
        )?;
        let sum = Seconds(sum_ns);
        let mut own = heapless::String::<96>::new();
        // Longer labels than that are cut nowhere else either: names have 32 bytes.
        let _ = write!(own, "{labels}");
        match own.strip_suffix(',') {
            Some(own) => {
                writeln!(out, "roundtable_{name}_sum{{{own}}} {sum}")?;
                writeln!(out, "roundtable_{name}_count{{{own}}} {count}")
            }
            None => {
                writeln!(out, "roundtable_{name}_sum {sum}")?;
                writeln!(out, "roundtable_{name}_count {count}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::{String, ToString};

    #[test]
    fn seconds_are_exact() {
        for (ns, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (1023, "0.000001023"),
            (50_000, "0.00005"),
            (2_500_000_000, "2.5"),
            (10_000_000_000, "10"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(Seconds(ns).to_string(), text);
        }
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(Label("a\"b\\c\nd").to_string(), r#"a\"b\\c\nd"#);
    }

    #[test]
    fn histograms_with_and_without_labels() {
        let mut text = String::new();
        let mut page = Page { out: &mut text };
        let buckets = [(500, 1), (1_000_000_000, 2)];
        for labels in ["", "q=\"x\","] {
            let named = ("h", format_args!("{labels}"));
            assert_eq!(page.histogram(named, buckets.into_iter(), (3, 7)), Ok(()));
        }
        assert_eq!(
            text,
            "roundtable_h_bucket{le=\"0.0000005\"} 1\n\
             roundtable_h_bucket{le=\"1\"} 2\n\
             roundtable_h_bucket{le=\"+Inf\"} 3\n\
             roundtable_h_sum 0.000000007\n\
             roundtable_h_count 3\n\
             roundtable_h_bucket{q=\"x\",le=\"0.0000005\"} 1\n\
             roundtable_h_bucket{q=\"x\",le=\"1\"} 2\n\
             roundtable_h_bucket{q=\"x\",le=\"+Inf\"} 3\n\
             roundtable_h_sum{q=\"x\"} 0.000000007\n\
             roundtable_h_count{q=\"x\"} 3\n"
        );
    }
}
