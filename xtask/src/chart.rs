//! What all charts share.

use svg::node::element::{Line, Text};

/// `words` at (`x`, `y`), to a tenth of a pixel.
pub(crate) fn text(x: impl Into<f64>, y: impl Into<f64>, words: &str) -> Text {
    Text::new(words)
        .set("x", tenths(x.into()))
        .set("y", tenths(y.into()))
        .set("font-family", "sans-serif")
        .set("font-size", 12)
}

/// A thin grey line, as of an axis.
pub(crate) fn line(from: (f64, f64), to: (f64, f64)) -> Line {
    Line::new()
        .set("x1", tenths(from.0))
        .set("y1", tenths(from.1))
        .set("x2", tenths(to.0))
        .set("y2", tenths(to.1))
        .set("stroke", "#888")
}

/// A length, without the digits that nobody sees.
pub(crate) fn tenths(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}
