//! Charts as inline SVG. Each has a title, a unit and a description, and stands beside a table with the same figures.

use super::page::escape;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Room for a chart's letters and lines.
const SIZE: (u32, u32) = (640, 360);
/// Colours that a page's own replace: charts follow light and dark.
pub(super) const INK: RGBColor = RGBColor(1, 1, 1);
const FAINT: RGBColor = RGBColor(2, 2, 2);
/// Lines, told apart by colour and by the mark at their points. Blue, orange, green, purple, brown, pink (Okabe and Ito).
pub(super) const LINES: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(140, 90, 200),
    RGBColor(150, 110, 60),
    RGBColor(204, 121, 167),
];

/// Across, up, and the interval's ends.
pub type Point = (f64, f64, Option<(f64, f64)>);

/// A row of a heat map: its name, and each cell's value and words.
pub type HeatRow = (String, Vec<Option<(f64, String)>>);

/// A line with its interval.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// From left to right.
    pub points: Vec<Point>,
}

/// A chart's words.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// What it shows.
    pub title: &'a str,
    /// What lies across, with its unit.
    pub across: &'a str,
    /// What goes up, with its unit.
    pub up: &'a str,
    /// What a reader who does not see it should know.
    pub description: &'a str,
}

/// Lines over two logarithmic axes. Nothing where there is nothing to draw.
#[must_use]
pub fn lines(words: Words<'_>, series: &[Series]) -> Option<String> {
    let positive = |value: &f64| value.is_finite() && *value > 0.0;
    let points = || series.iter().flat_map(|series| &series.points);
    let ups = points().flat_map(|&(_, up, interval)| {
        let (low, high) = interval.unwrap_or((up, up));
        [up, low, high]
    });
    let range = |values: Vec<f64>| {
        let values: Vec<f64> = values.into_iter().filter(positive).collect();
        let (low, high) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
        Some((low / 1.25, high * 1.25))
    };
    let ((left, right), (low, high)) = (range(points().map(|p| p.0).collect())?, range(ups.collect())?);
    // Out to the next ticks, so that there are two at least.
    let around = ticks(low / 10.0, high * 10.0);
    let bottom = around.iter().copied().filter(|&tick| tick <= low).fold(low / 10.0, f64::max);
    let top = around.iter().copied().filter(|&tick| tick >= high).fold(high * 10.0, f64::min);
    let mut drawing = String::new();
    draw(&mut drawing, words, series, [left, right, bottom, top]).ok()?;
    Some(figure(words, &themed(&drawing)))
}

pub(super) type Drawn = Result<(), Box<dyn std::error::Error>>;
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type LogChart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, LogCoord<f64>>>;

/// The axes of a chart from left to right and from bottom to top, and what is on them.
pub(super) fn axes(
    area: &Area<'_>,
    chart: &mut LogChart<'_, '_>,
    [left, right, bottom, top]: [f64; 4],
    [across, up]: [&str; 2],
) -> Drawn {
    let style = ("sans-serif", 16).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_mesh()
        // Its own labels are powers of ten: too few here. Below are ours.
        .x_label_formatter(&|_| String::new())
        .y_label_formatter(&|_| String::new())
        .axis_style(FAINT)
        .axis_desc_style(style.clone())
        .x_desc(across)
        .y_desc(up)
        .draw()?;
    for tick in ticks(bottom, top) {
        chart.draw_series([PathElement::new(vec![(left, tick), (right, tick)], FAINT)])?;
        let (x, y) = chart.backend_coord(&(left, tick));
        area.draw_text(&short(tick), &style.pos(Pos::new(HPos::Right, VPos::Center)), (x - 8, y))?;
    }
    for tick in ticks(left, right) {
        let (x, y) = chart.backend_coord(&(tick, bottom));
        area.draw_text(&short(tick), &style.pos(Pos::new(HPos::Center, VPos::Top)), (x, y + 8))?;
    }
    Ok(())
}

/// A line of the legend with its name.
pub(super) fn legend_line(area: &Area<'_>, (x, y): (i32, i32), colour: RGBColor, name: &str) -> Drawn {
    let style = ("sans-serif", 16).into_font().color(&INK);
    area.draw(&PathElement::new(vec![(x, y), (x + LEGEND_LINE, y)], colour.stroke_width(2)))?;
    area.draw_text(name, &style.pos(Pos::new(HPos::Left, VPos::Center)), (x + LEGEND_LINE + 8, y))?;
    Ok(())
}

fn draw(into: &mut String, words: Words<'_>, series: &[Series], [left, right, bottom, top]: [f64; 4]) -> Drawn {
    let area = SVGBackend::with_string(into, SIZE).into_drawing_area();
    let across = (left..right).log_scale();
    let names: Vec<&str> = series.iter().map(|series| series.name.as_str()).collect();
    let legend = if series.len() > 1 { legend(&names) } else { Vec::new() };
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        // Above the lines, never across them.
        .margin_top(legend.last().map_or(8, |&(_, y)| y + LEGEND_ROW / 2))
        .x_label_area_size(48)
        .y_label_area_size(80)
        .build_cartesian_2d(across, (bottom..top).log_scale())?;
    axes(&area, &mut chart, [left, right, bottom, top], [words.across, words.up])?;
    for (index, Series { points, .. }) in series.iter().enumerate() {
        let colour = LINES[index % LINES.len()];
        let line = points.iter().map(|&(x, y, _)| (x, y));
        let intervals = points.iter().filter_map(|&(x, _, interval)| interval.map(|(low, high)| (x, low, high)));
        chart.draw_series(
            intervals.map(|(x, low, high)| PathElement::new(vec![(x, low), (x, high)], colour.mix(0.45))),
        )?;
        chart.draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)))?;
        match index % 3 {
            0 => drop(chart.draw_series(line.map(|point| Circle::new(point, 4, colour.filled())))?),
            1 => drop(chart.draw_series(line.map(|point| TriangleMarker::new(point, 5, colour.filled())))?),
            _ => drop(chart.draw_series(line.map(|point| Cross::new(point, 4, colour.stroke_width(2))))?),
        }
    }
    for (index, (&(x, y), Series { name, .. })) in legend.iter().zip(series).enumerate() {
        let (colour, middle) = (LINES[index % LINES.len()], (x + LEGEND_LINE / 2, y));
        legend_line(&area, (x, y), colour, name)?;
        match index % 3 {
            0 => area.draw(&Circle::new(middle, 4, colour.filled()))?,
            1 => area.draw(&TriangleMarker::new(middle, 5, colour.filled()))?,
            _ => area.draw(&Cross::new(middle, 4, colour.stroke_width(2)))?,
        }
    }
    area.present()?;
    Ok(())
}

pub(super) const LEGEND_ROW: i32 = 22;
const LEGEND_LINE: i32 = 24;
/// Where each name's line begins in the legend: as many in a row as there is room for.
pub(super) fn legend(names: &[&str]) -> Vec<(i32, i32)> {
    let (begin, wide) = (88, SIZE.0 as i32 - 8);
    let (mut x, mut y) = (begin, LEGEND_ROW / 2 + 4);
    let place = |name: &&str| {
        // A letter of this size takes nine at most.
        let width = LEGEND_LINE + 24 + 9 * name.chars().count() as i32;
        if x > begin && x + width > wide {
            (x, y) = (begin, y + LEGEND_ROW);
        }
        x += width;
        (x - width, y)
    };
    names.iter().map(place).collect()
}

/// 1, 2 and 5 times powers of ten between two positive ends.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let powers = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
    let ticks = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
    ticks.filter(|tick| (low..=high).contains(tick)).collect()
}

/// A figure in few letters.
fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", trimmed(v / 1e6)),
        v if v >= 1e3 => format!("{}k", trimmed(v / 1e3)),
        v => trimmed(v),
    }
}

fn trimmed(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 1.0 {
        1
    } else {
        3
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The page's colours for the chart's.
pub(super) fn themed(drawing: &str) -> String {
    drawing.replace("#010101", "currentColor").replace("#020202", "var(--line)")
}

/// The drawing with its words.
pub(super) fn figure(words: Words<'_>, drawing: &str) -> String {
    let (title, description) = (escape(words.title), escape(words.description));
    let described = drawing.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{title}. {description}\" "), 1);
    // A namespace is a name, not an address to fetch; inline it is not needed.
    let described = described.replace(" xmlns=\"http://www.w3.org/2000/svg\"", "");
    format!(
        "<figure><h3>{title}</h3><div class=\"scroll chart\" role=\"region\" tabindex=\"0\" aria-label=\"{title}\">{described}</div>\
         <figcaption>{description}</figcaption></figure>"
    )
}

/// A part of a bar.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// How much.
    pub value: f64,
    /// The figure as words.
    pub shown: String,
    /// Where the figure comes from: chooses the hatching.
    pub source: char,
}

/// One bar under the other, each beginning where the one before ended: where the time goes. Hatched by source.
#[must_use]
pub fn waterfall(words: Words<'_>, parts: &[Part]) -> Option<String> {
    let (row_height, left, right, wide) = (24.0, 96.0, 96.0, 640.0);
    let total: f64 = parts.iter().map(|part| part.value).sum();
    if total.is_nan() || total <= 0.0 {
        return None;
    }
    let sources = sources(parts);
    let (room, height) = (wide - left - right, row_height * (parts.len() + 1) as f64 + 12.0);
    let mut drawing = format!("<svg viewBox=\"0 0 {wide} {height}\" width=\"{wide}\" height=\"{height}\">");
    let mut begin = 0.0;
    for (row, Part { name, value, shown, source }) in parts.iter().enumerate() {
        let (x, y) = (left + begin / total * room, row_height * row as f64 + 4.0);
        let width = (value / total * room).max(1.5);
        let (name, shown) = (escape(name), escape(shown));
        let fill = fill(*source);
        let middle = y + 13.0;
        drawing += &format!(
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\" font-size=\"13\">{name}</text>\
             <rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"17\" rx=\"2\" style=\"fill:{fill};stroke:var(--accent);stroke-width:.6\"/>\
             <text x=\"{:.1}\" y=\"{middle}\" font-size=\"12\">{shown} {source}</text>",
            left - 8.0,
            x + width + 6.0
        );
        begin += value;
    }
    let y = height - row_height;
    for (place, (source, meaning)) in sources.into_iter().enumerate() {
        let (x, fill) = (left + 106.0 * place as f64, fill(source));
        drawing += &format!(
            "<rect x=\"{x:.1}\" y=\"{y}\" width=\"18\" height=\"14\" style=\"fill:{fill};stroke:var(--accent);stroke-width:.6\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12\">{source} {meaning}</text>",
            x + 24.0,
            y + 11.5
        );
    }
    Some(figure(words, &(drawing + "</svg>")))
}

fn fill(source: char) -> String {
    match source {
        'M' => "var(--accent)".to_owned(),
        'D' | 'P' | 'R' | 'E' => format!("url(#hatch-{source})"),
        _ => "var(--soft)".to_owned(),
    }
}

/// The legend of hatchings: the sources that occur.
fn sources(parts: &[Part]) -> Vec<(char, &'static str)> {
    let all = [('M', "measured"), ('E', "emulated"), ('R', "replayed"), ('D', "derived"), ('P', "policy")];
    all.into_iter().filter(|(source, _)| parts.iter().any(|part| part.source == *source)).collect()
}

/// Hatchings by source, once on a page: measured is solid.
pub(super) const HATCHES: &str = "<svg width=\"0\" height=\"0\" aria-hidden=\"true\" style=\"position:absolute\"><defs>\
    <pattern id=\"hatch-D\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><path d=\"M0 0V6\" style=\"stroke:var(--accent);stroke-width:3\"/></pattern>\
    <pattern id=\"hatch-E\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><path d=\"M0 0V6\" style=\"stroke:var(--accent);stroke-width:3\"/></pattern>\
    <pattern id=\"hatch-R\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(-45)\"><path d=\"M0 0V6\" style=\"stroke:var(--accent);stroke-width:2\"/></pattern>\
    <pattern id=\"hatch-P\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><circle cx=\"3\" cy=\"3\" r=\"1.2\" style=\"fill:var(--accent)\"/></pattern></defs></svg>";

/// A table whose cells are darker where the figure is larger, on a logarithmic scale. Cells: the value and its words.
#[must_use]
pub fn heat(caption: &str, columns: &[String], rows: &[HeatRow]) -> String {
    let values = rows.iter().flat_map(|(_, cells)| cells.iter().flatten()).map(|(value, _)| value.ln());
    let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut text = format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{0}\"><table class=\"heat\"><caption>{0}</caption><thead><tr><td></td>",
        escape(caption)
    );
    for column in columns {
        text += &format!("<th scope=\"col\" class=\"n\">{}</th>", escape(column));
    }
    text += "</tr></thead><tbody>";
    for (name, cells) in rows {
        text += &format!("<tr><th scope=\"row\">{}</th>", escape(name));
        for cell in cells {
            text += &match cell {
                None => "<td>-</td>".to_owned(),
                Some((value, words)) => {
                    let share = if high > low { ((value.ln() - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 };
                    let shade = 0.06 + 0.5 * share;
                    format!("<td style=\"background:rgba(var(--heat),{shade:.2})\">{}</td>", escape(words))
                }
            };
        }
        text += "</tr>";
    }
    text + "</tbody></table></div>"
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Words<'_> = Words { title: "<Title>", across: "robots", up: "seconds", description: "It \"grows\"." };

    #[test]
    fn every_chart_says_what_it_shows_and_fetches_nothing() {
        let series = Series { name: "a<b".into(), points: vec![(2.0, 1.0, Some((0.9, 1.2))), (100.0, 7.0, None)] };
        let part = |source| Part { name: "train".into(), value: 1.0, shown: "1 s".into(), source };
        let charts = [lines(WORDS, &[series.clone(), series]), waterfall(WORDS, &['M', 'D', 'P', 'R', 'E'].map(part))];
        for chart in charts {
            let chart = chart.expect("something to draw");
            for part in ["role=\"img\"", "aria-label=\"&lt;Title&gt;", "<figcaption>", "It &quot;grows&quot;."] {
                assert!(chart.contains(part), "{part} in {chart}");
            }
            assert!(!chart.contains("http") && !chart.contains("<Title>") && !chart.contains("#010101"), "{chart}");
        }
        let drawn = waterfall(WORDS, &['M', 'R', 'R'].map(part)).expect("something to draw");
        assert!(
            drawn.contains(">M measured<") && drawn.contains(">R replayed<") && !drawn.contains("derived"),
            "{drawn}"
        );
        assert_eq!(drawn.matches("url(#hatch-R)").count(), 3, "two parts and the legend");
        let chart = lines(WORDS, &[Series { name: "x".into(), points: vec![(2.0, 1.0, None)] }]).expect("a point");
        assert!(chart.contains("robots") && chart.contains("seconds"));
    }

    #[test]
    fn ticks_lie_within_their_ends() {
        assert_eq!(ticks(1.6, 125.0), [2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(ticks(0.3, 0.6), [0.5]);
    }

    #[test]
    fn a_legend_goes_on_in_the_next_row_where_one_is_full() {
        let long = "x".repeat(30);
        let places = legend(&["10 KB", "100 KB", &long, &long]);
        assert!(places[0].1 == places[1].1 && places[0].0 < places[1].0, "{places:?}");
        assert!(places[2].1 < places[3].1 && places[3].0 == places[0].0, "{places:?}");
    }

    #[test]
    fn nothing_to_draw_is_no_chart() {
        assert!(lines(WORDS, &[]).is_none());
        assert!(lines(WORDS, &[Series { name: "x".into(), points: vec![(1.0, f64::NAN, None)] }]).is_none());
        assert!(waterfall(WORDS, &[]).is_none());
    }

    #[test]
    fn heat_grows_with_the_figure_and_survives_missing_cells() {
        let rows = vec![("2".to_owned(), vec![Some((1.0, "1 s".into())), None, Some((100.0, "<100 s".into()))])];
        let table = heat("t", &["a".into(), "b".into(), "c".into()], &rows);
        assert!(
            table.contains("0.06)")
                && table.contains("0.56)")
                && table.contains("&lt;100 s")
                && table.contains("<td>-</td>")
        );
    }
}
