//! A dot for each of many times, in the order in which they were begun.

use std::fmt::Write as _;
use std::time::Duration;

use svg::Document;
use svg::node::element::Path;

use crate::chart::{line, tenths, text};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;

/// The chart, as the text of an SVG file.
#[must_use]
pub fn draw(title: &str, times: &[Duration]) -> String {
    let most = times.iter().max().map_or(1.0, micros).max(1.0);
    let last = times.len().saturating_sub(1).max(1) as f64;
    let bottom = TOP + HEIGHT;
    let mut document = Document::new()
        .add(text(8, 20, title).set("font-weight", "bold"))
        .add(line((LEFT, TOP), (LEFT, bottom)))
        .add(line((LEFT, bottom), (WIDTH - 30.0, bottom)))
        .add(text(8, bottom, "0"))
        .add(text(8, TOP + 4.0, &format!("{most:.0} us")))
        .add(text(LEFT, bottom + 16.0, "1"))
        .add(text(WIDTH - 60.0, bottom + 16.0, &times.len().to_string()));
    // Strokes of no length with round ends, in one element: a tenth of the bytes of so many circles.
    let mut dots = String::new();
    for (i, time) in times.iter().enumerate() {
        let x = tenths(LEFT + i as f64 / last * (WIDTH - LEFT - 30.0));
        let y = tenths(bottom - micros(time) / most * HEIGHT);
        // Strings take everything.
        let _ = write!(dots, "M{x} {y}h0");
    }
    let dots = Path::new()
        .set("d", dots)
        .set("stroke", "#2f7f5f")
        .set("stroke-width", 3)
        .set("stroke-linecap", "round");
    document = document.add(dots);
    let height = bottom + 32.0;
    document
        .set("viewBox", (0, 0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .to_string()
}

/// The times as CSV, with a head.
#[must_use]
pub fn csv(times: &[Duration]) -> String {
    let mut out = String::from("connection,us\n");
    for (i, time) in times.iter().enumerate() {
        // Strings take everything.
        let _ = writeln!(out, "{},{:.1}", i + 1, micros(time));
    }
    out
}

fn micros(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_has_a_dot_inside_and_a_line() {
        let times = [1, 50, 100].map(Duration::from_micros);
        let chart = draw("a<b", &times);
        assert_eq!(chart.matches("h0").count(), 3);
        assert!(chart.contains("a&lt;b") && chart.contains("100 us"));
        assert!(chart.contains("M610 40h0"), "the longest is at the top");
        assert_eq!(csv(&times).lines().nth(2), Some("2,50.0"));
        assert!(draw("none", &[]).starts_with("<svg"));
    }
}
