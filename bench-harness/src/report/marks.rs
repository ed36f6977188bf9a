//! Marks in the cells of a table: dots with intervals on a common axis, and bars. Text beside them stays as large as a phone needs it.

use super::page::escape;
use crate::stats::Interval;

/// A logarithmic axis that all cells of a column share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
}

/// Ticks that an axis has at most, beside 1.
const TICKS: usize = 4;
/// Room at either side, in per cent, so that a mark is not cut off.
const EDGE: f64 = 4.0;

impl Axis {
    /// From the least to the largest of these and 1, out to the next tick. None without a positive figure.
    #[must_use]
    pub fn around(values: impl Iterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.filter(|value| value.is_finite() && *value > 0.0).collect();
        let (low, high) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
        Some(Self { low: low.min(0.5), high: high.max(2.0) })
    }

    /// Where a value lies, in per cent of the width.
    fn at(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        EDGE + share.clamp(0.0, 1.0) * (100.0 - 2.0 * EDGE)
    }

    /// Powers of ten, or 1, 2 and 5 of them where those are few.
    fn ticks(&self) -> Vec<f64> {
        let powers = (self.low.log10().floor() as i32)..=(self.high.log10().ceil() as i32);
        let all: Vec<f64> = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power))).collect();
        let within = |tick: &f64| (self.low..=self.high).contains(tick);
        let fine: Vec<f64> = all.iter().copied().filter(within).collect();
        if fine.len() <= TICKS + 1 {
            return fine;
        }
        let is_power = |tick: &f64| (tick.log10() - tick.log10().round()).abs() < 1e-9;
        fine.into_iter().filter(is_power).collect()
    }

    /// The column's heading: the ticks.
    #[must_use]
    pub fn heading(&self) -> String {
        let tick = |value: f64| {
            format!("<text x=\"{:.1}%\" y=\"12\" text-anchor=\"middle\">{}</text>", self.at(value), figure(value))
        };
        let ticks: String = self.ticks().into_iter().map(tick).collect();
        format!("<svg class=\"mark\" height=\"16\" aria-hidden=\"true\">{ticks}</svg>")
    }

    /// Dots with their intervals; the line at 1 in every row.
    #[must_use]
    pub fn dots(&self, intervals: &[Interval]) -> String {
        let grid: String = self.ticks().into_iter().map(|tick| rule(self.at(tick), "grid")).collect();
        let dots: String = intervals.iter().map(|&interval| self.dot(interval)).collect();
        let one = rule(self.at(1.0), "one");
        format!("<svg class=\"mark\" height=\"22\" aria-hidden=\"true\">{grid}{one}{dots}</svg>")
    }

    fn dot(&self, Interval { ratio, low, high }: Interval) -> String {
        let class = match () {
            () if low > 1.0 => "ahead",
            () if high < 1.0 => "behind",
            () => "level",
        };
        format!(
            "<line class=\"{class}\" x1=\"{:.2}%\" x2=\"{:.2}%\" y1=\"11\" y2=\"11\" stroke-width=\"2\"/>\
             <circle class=\"{class}\" cx=\"{:.2}%\" cy=\"11\" r=\"4.5\"/>",
            self.at(low),
            self.at(high),
            self.at(ratio)
        )
    }
}

fn rule(at: f64, class: &str) -> String {
    format!("<line class=\"{class}\" x1=\"{at:.2}%\" x2=\"{at:.2}%\" y1=\"0\" y2=\"22\"/>")
}

/// A bar as long as a share; at 1 it is full. What reaches further ends in the full bar.
#[must_use]
pub fn bar(share: f64) -> String {
    let width = 100.0 * share.clamp(0.0, 1.0);
    format!(
        "<svg class=\"mark\" height=\"22\" aria-hidden=\"true\"><rect class=\"whole\" x=\"0\" y=\"5\" width=\"100%\" height=\"12\" rx=\"3\"/>\
         <rect class=\"part\" x=\"0\" y=\"5\" width=\"{width:.1}%\" height=\"12\" rx=\"3\"/></svg>"
    )
}

/// What is there for whoever asks: opened by a click or a key, without a script.
#[must_use]
pub fn folded(summary: &str, body: &str) -> String {
    format!("<details><summary>{}</summary>{body}</details>", escape(summary))
}

/// A ratio in as many digits as it needs.
#[must_use]
pub fn figure(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => trimmed(format!("{v:.1}")),
        v if v >= 0.095 => trimmed(format!("{v:.2}")),
        v if v > 0.0 => {
            // Two digits that say something.
            let places = (1.0 - v.log10().floor()).min(12.0) as usize;
            trimmed(format!("{v:.places$}"))
        }
        _ => "0".to_owned(),
    }
}

fn trimmed(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A table whose last column holds marks; `heading` is that column's, as markup.
#[must_use]
pub fn table(caption: &str, columns: &[&str], heading: &str, rows: &[Vec<String>]) -> String {
    let caption = escape(caption);
    let mut text = format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{caption}\"><table class=\"marked\">\
         <caption>{caption}</caption><thead><tr>"
    );
    for (index, column) in columns.iter().enumerate() {
        let class = if index == 0 { "" } else { " class=\"n\"" };
        text += &format!("<th scope=\"col\"{class}>{}</th>", escape(column));
    }
    text += &format!("<th scope=\"col\" class=\"wide\">{heading}</th></tr></thead><tbody>");
    for row in rows {
        text += "<tr>";
        for (index, markup) in row.iter().enumerate() {
            text += &match index {
                0 => format!("<th scope=\"row\">{markup}</th>"),
                index if index == columns.len() => format!("<td class=\"wide\">{markup}</td>"),
                _ => format!("<td class=\"n\">{markup}</td>"),
            };
        }
        text += "</tr>";
    }
    text + "</tbody></table></div>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_lie_in_the_order_of_their_figures_and_within_the_cell() {
        let axis = Axis::around([0.02, 760.0].into_iter()).expect("figures");
        let places: Vec<f64> = [0.02, 0.5, 1.0, 12.0, 760.0].map(|value| axis.at(value)).to_vec();
        assert!(places.is_sorted() && places[0] >= 0.0 && places[4] <= 100.0, "{places:?}");
        assert_eq!(axis.ticks(), [0.1, 1.0, 10.0, 100.0]);
        assert_eq!(Axis::around([1.1, 1.3].into_iter()).expect("figures").ticks(), [0.5, 1.0, 2.0]);
        assert!(Axis::around([f64::NAN].into_iter()).is_none());
    }

    #[test]
    fn a_dot_says_by_its_interval_who_is_ahead() {
        let axis = Axis::around([0.5, 2.0].into_iter()).expect("figures");
        let dot = |low, ratio, high| axis.dots(&[Interval { ratio, low, high }]);
        assert!(dot(1.1, 1.2, 1.3).contains("ahead") && dot(0.8, 0.9, 0.95).contains("behind"));
        assert!(dot(0.9, 1.1, 1.3).contains("level"));
    }

    #[test]
    fn figures_have_the_digits_they_need() {
        let shown = [759.6, 12.04, 1.3, 0.0312, 2.0, 0.000_41].map(figure);
        assert_eq!(shown, ["760", "12", "1.3", "0.031", "2", "0.00041"]);
    }
}
