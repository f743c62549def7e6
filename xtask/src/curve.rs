//! What an operation costs beside many things of its kind, as a chart with one line for each operation.
//!
//! The number of things has a logarithmic axis, the cost a linear one: what grows as the logarithm is a
//! straight line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use svg::Document;
use svg::node::element::{Circle, Polyline};

use crate::chart::{line, tenths, text};

/// One figure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Point {
    /// What is done.
    pub operation: String,
    /// Of what there are `n`.
    pub things: String,
    /// How many there are.
    pub n: u64,
    /// Instructions of one.
    pub cost: u64,
}

impl Point {
    /// Reads `operation, things|n|cost`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.trim().split('|');
        let (operation, things) = fields.next()?.rsplit_once(", ")?;
        let point = Self {
            operation: operation.to_owned(),
            things: things.to_owned(),
            n: fields.next()?.parse().ok()?,
            cost: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(point)
    }
}

/// The points of each operation, in the order in which operations come.
#[must_use]
pub fn series(points: &[Point]) -> Vec<(&str, Vec<&Point>)> {
    let mut all: Vec<(&str, Vec<&Point>)> = Vec::new();
    for point in points {
        match all.iter_mut().find(|(name, _)| *name == point.operation) {
            Some((_, of)) => of.push(point),
            None => all.push((&point.operation, vec![point])),
        }
    }
    all
}

/// The points by what there are many of.
#[must_use]
pub fn by_things(points: &[Point]) -> BTreeMap<String, Vec<Point>> {
    let mut all = BTreeMap::<String, Vec<Point>>::new();
    for point in points {
        let of = all.entry(point.things.clone()).or_default();
        of.push(point.clone());
    }
    all
}

/// How much faster than the logarithm the cost grows: the steepest rise for ten times as many things, compared with
/// the whole cost at the beginning. 0 is flat, and as steep as `log10(n)` itself 1.
#[must_use]
pub fn steepest(points: &[&Point]) -> f64 {
    let first = points.first().map_or(1, |p| p.cost.max(1)) as f64;
    let pairs = points.windows(2);
    let rise = pairs.map(|w| match w {
        [a, b] if b.n > a.n => (b.cost as f64 - a.cost as f64) / (b.n as f64 / a.n as f64).log10(),
        _ => 0.0,
    });
    rise.fold(0.0, f64::max) / first
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const LEGEND: f64 = 18.0;
const COLOURS: [&str; 6] = [
    "#2f7f5f", "#b3541e", "#4a5fa5", "#8a6d1a", "#7a3f8f", "#6b7a8f",
];

/// The chart, as the text of an SVG file.
#[must_use]
pub fn draw(title: &str, points: &[Point]) -> String {
    let most_n = points.iter().map(|p| p.n).max().unwrap_or(1).max(10) as f64;
    let most_cost = points.iter().map(|p| p.cost).max().unwrap_or(1).max(1) as f64;
    let x = |n: u64| LEFT + (n.max(1) as f64).log10() / most_n.log10() * (WIDTH - LEFT - 30.0);
    let y = |cost: u64| TOP + HEIGHT * (1.0 - cost as f64 / most_cost);
    let series = series(points);
    let mut document = Document::new()
        .add(text(8.0, 20.0, title).set("font-weight", "bold"))
        .add(line((LEFT, TOP), (LEFT, TOP + HEIGHT)))
        .add(line((LEFT, TOP + HEIGHT), (WIDTH - 30.0, TOP + HEIGHT)))
        .add(text(8.0, y(0), "0"))
        .add(text(8.0, y(most_cost as u64) + 4.0, &most_cost.to_string()));
    let mut places: Vec<u64> = points.iter().map(|p| p.n).collect();
    places.sort_unstable();
    places.dedup();
    for n in places {
        let at = text(x(n), TOP + HEIGHT + 16.0, &n.to_string());
        document = document.add(at.set("text-anchor", "middle"));
    }
    let mut below = TOP + HEIGHT + 16.0;
    for (i, (name, of)) in series.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let mut path = String::new();
        for p in of {
            // Strings take everything.
            let _ = write!(path, "{:.1},{:.1} ", x(p.n), y(p.cost));
            let dot = Circle::new()
                .set("cx", tenths(x(p.n)))
                .set("cy", tenths(y(p.cost)))
                .set("r", 3)
                .set("fill", colour);
            document = document.add(dot);
        }
        below += LEGEND;
        let ends = match (of.first(), of.last()) {
            (Some(a), Some(b)) => format!("{name}: {} to {}", a.cost, b.cost),
            _ => (*name).to_owned(),
        };
        document = document
            .add(
                Polyline::new()
                    .set("points", path.trim_end())
                    .set("fill", "none")
                    .set("stroke", colour)
                    .set("stroke-width", 2),
            )
            .add(text(LEFT, below, &ends).set("fill", colour));
    }
    let height = below + LEGEND;
    document
        .set("viewBox", (0, 0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .to_string()
}

/// The points as CSV, with a head.
#[must_use]
pub fn csv(points: &[Point]) -> String {
    let mut out = String::from("operation,things,n,instructions\n");
    for p in points {
        // Strings take everything.
        let _ = writeln!(
            out,
            "\"{}\",\"{}\",{},{}",
            p.operation, p.things, p.n, p.cost
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points() -> Vec<Point> {
        let all = [
            "arm a<b, timers|1|100",
            "arm a<b, timers|10|110",
            "arm a<b, timers|1000|160",
            "end one, timers|1|7",
            "make, queues|1|5",
        ];
        all.iter()
            .map(|t| Point::parse(t).expect("a point"))
            .collect()
    }

    #[test]
    fn a_point_has_an_operation_things_and_two_numbers() {
        let first = &points()[0];
        assert_eq!((&*first.operation, &*first.things), ("arm a<b", "timers"));
        assert_eq!((first.n, first.cost), (1, 100));
        for bad in ["", "a|1|2", "a, b|1", "a, b|x|2", "a, b|1|2|3"] {
            assert_eq!(Point::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn points_are_parted_by_things_and_operations() {
        let all = points();
        let parted = by_things(&all);
        assert_eq!(parted.keys().collect::<Vec<_>>(), ["queues", "timers"]);
        let of: Vec<_> = series(&parted["timers"])
            .iter()
            .map(|(name, of)| (*name, of.len()))
            .collect();
        assert_eq!(of, [("arm a<b", 3), ("end one", 1)]);
    }

    #[test]
    fn the_steepest_rise_counts() {
        let all = points();
        let of = series(&all);
        // 50 in two decades, of 100.
        assert!((steepest(&of[0].1) - 0.25).abs() < 1e-9);
        assert!(steepest(&of[1].1).abs() < 1e-9);
    }

    #[test]
    fn a_chart_has_a_line_for_each_operation_and_escapes_names() {
        let timers = &by_things(&points())["timers"];
        let chart = draw("title", timers);
        assert_eq!(chart.matches("<polyline").count(), 2);
        assert_eq!(chart.matches("<circle").count(), 4);
        assert!(chart.contains("arm a&lt;b: 100 to 160"), "{chart}");
        assert_eq!(csv(timers).lines().count(), 5);
    }
}
