//! Bar charts of what an experiment measured, as SVG.
//!
//! One panel for each pair of unit and place on the x axis, in it one bar for each series. A panel whose
//! values are far apart has a logarithmic scale and says so; each bar has its number beside it, so
//! that nobody measures with a ruler.

use svg::Document;
use svg::node::element::Rectangle;

use crate::chart::text;

/// One figure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What was compared.
    pub series: String,
    /// Under which circumstances.
    pub x: String,
    /// What `value` counts.
    pub unit: String,
    /// How much it was.
    pub value: u64,
}

impl Row {
    /// Reads `series|x|unit|value`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.trim().split('|').collect();
        let [series, x, unit, value] = fields[..] else {
            return None;
        };
        Some(Self {
            series: series.to_owned(),
            x: x.to_owned(),
            unit: unit.to_owned(),
            value: value.parse().ok()?,
        })
    }
}

const WIDTH: i32 = 640;
const LABELS: i32 = 220;
/// Longest bar; its number stands behind it.
const LONGEST: f64 = 300.0;
const LINE: i32 = 18;
/// Values further apart than this want a logarithm.
const FAR_APART: u64 = 50;

/// Rows that share unit and place, with the title of their panel, in order.
#[must_use]
pub fn panels(rows: &[Row]) -> Vec<(String, Vec<&Row>)> {
    let mut panels: Vec<(String, Vec<&Row>)> = Vec::new();
    for row in rows {
        let title = format!("{} ({})", row.unit, row.x);
        match panels.iter_mut().find(|(t, _)| *t == title) {
            Some((_, of)) => of.push(row),
            None => panels.push((title, vec![row])),
        }
    }
    panels
}

/// The chart, as the text of an SVG file.
#[must_use]
pub fn draw(title: &str, rows: &[Row]) -> String {
    let mut document = Document::new();
    let mut y = 24;
    document = document.add(text(8, y, title).set("font-weight", "bold"));
    for (title, rows) in panels(rows) {
        y += LINE * 3 / 2;
        let most = rows.iter().map(|r| r.value).max().unwrap_or(0).max(1);
        let least = rows.iter().map(|r| r.value).min().unwrap_or(0).max(1);
        let far = most / least > FAR_APART;
        let scale = if far { ", logarithmic" } else { "" };
        document = document.add(text(8, y, &format!("{title}{scale}")));
        for row in rows {
            y += LINE;
            let length = LONGEST
                * if far {
                    log_share(row.value, most)
                } else {
                    share(row.value, most)
                };
            let bar = Rectangle::new()
                .set("x", LABELS)
                .set("y", y - 12)
                .set("width", format!("{length:.1}"))
                .set("height", 13)
                .set("fill", colour(&row.series));
            let behind = LABELS + 6 + length as i32;
            document = document.add(text(24, y, &row.series)).add(bar).add(text(
                behind,
                y,
                &row.value.to_string(),
            ));
        }
    }
    let height = y + LINE;
    document
        .set("viewBox", (0, 0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .to_string()
}

fn share(value: u64, most: u64) -> f64 {
    value as f64 / most as f64
}

fn log_share(value: u64, most: u64) -> f64 {
    ((value + 1) as f64).ln() / ((most + 1) as f64).ln()
}

fn colour(series: &str) -> &'static str {
    match series.split(',').next() {
        Some("st") => "#b3541e",
        Some("mt") => "#6b7a8f",
        _ => "#2f7f5f",
    }
}

/// The rows as CSV, with a head.
#[must_use]
pub fn csv(rows: &[Row]) -> String {
    let mut out = String::from("series,x,unit,value\n");
    for Row {
        series,
        x,
        unit,
        value,
    } in rows
    {
        out.push_str(&format!("\"{series}\",\"{x}\",\"{unit}\",{value}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        ["st|a<b|us|1000", "mt|a<b|us|10", "st|c|threads|3"]
            .iter()
            .map(|t| Row::parse(t).expect("a row"))
            .collect()
    }

    #[test]
    fn a_row_has_four_fields_and_a_number() {
        assert_eq!(rows()[1].value, 10);
        for bad in ["", "a|b|c", "a|b|c|d", "a|b|c|1|2"] {
            assert_eq!(Row::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_chart_has_a_bar_for_each_row_and_escapes_what_it_is_given() {
        let chart = draw("title", &rows());
        assert_eq!(chart.matches("<rect").count(), 3);
        assert!(chart.contains("us (a&lt;b), logarithmic"), "{chart}");
        assert!(chart.contains("threads (c)") && !chart.contains("a<b"));
        assert!(chart.starts_with("<svg") && chart.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn csv_has_a_head_and_a_line_for_each_row() {
        assert_eq!(csv(&rows()).lines().count(), 4);
    }
}
