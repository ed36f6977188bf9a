//! Kernels against their limits: a roofline, drawn, and the same as a table.

use super::chart::{self, Area, Drawn, INK, LINES, LogChart, Words};
use super::gather::{Measured, Source};
use super::kernels::{backends, largest, name, small};
use super::marks::{self, bar, figure};
use super::page::{escape, paragraph};
use crate::floor::{self, Ceilings, Limit};
use crate::micro::view::{self, Row, nanoseconds};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Room for the drawing: points' names need it.
const SIZE: (u32, u32) = (640, 440);
/// The roofs' colours, and that of kernels.
const MEMORY: RGBColor = LINES[0];
const OPERATIONS: RGBColor = LINES[1];
const PRODUCTS: RGBColor = LINES[2];
const KERNEL: RGBColor = LINES[3];
/// A letter's width in names of points, and their height.
const LETTER: (i32, i32) = (8, 16);

/// A kernel on the chart.
#[derive(Clone, Debug, PartialEq)]
struct Dot {
    name: String,
    /// Lane operations for each byte.
    across: f64,
    /// Lane operations a nanosecond: as measured, and at the floor.
    up: f64,
    roof: f64,
    /// Whether its data come from memory.
    is_from_memory: bool,
}

/// The section of one result.
pub(super) fn section(source: &Source, measured: &Measured) -> String {
    let mut text = String::new();
    for backend in backends(measured) {
        let of_backend = measured.rows.iter().filter(|row| row.kind == "kernel" && row.backend == backend);
        let rows: Vec<&Row> = largest(of_backend).into_iter().filter(|row| row.alone().is_some()).collect();
        if rows.is_empty() {
            continue;
        }
        if !backend.starts_with("cpu-") {
            text += &on_device(source, source.gpu.as_deref().unwrap_or(backend), &rows);
            continue;
        }
        let ceilings = measured.ceilings.iter().find(|(name, _)| name == backend).map(|(_, ceilings)| ceilings);
        text += &match ceilings {
            Some(ceilings) => drawn(backend, ceilings, &dots(&rows, measured.cache_bytes)).unwrap_or_default(),
            None => {
                paragraph("This result is of before products and lane operations were measured, so it has no floors.")
            }
        };
        let caption = format!("{backend}, one thread, CPU time; ops are lane operations; {}", source.id);
        let columns = ["kernel", "time", "GB/s", "ops/byte", "G ops/s", "of its floor"];
        let lines: Vec<Vec<String>> = rows.into_iter().filter_map(line).collect();
        text += &marks::table(&caption, &columns, "the floor is the full bar", &lines);
    }
    if text.is_empty() {
        return text;
    }
    paragraph(
        "A kernel's floor is the largest of what its bytes, its products and its lane operations would each take at the rates that were \
         measured on one thread beside it; how many it needs is counted from the equations. Lane operations are those on 32-bit words in \
         vectors, products among them. Bytes count as far as no cache can keep the data.",
    ) + &text
}

/// Whole jobs by the clock on the wall, and what the device's own clock says of its kernels.
fn on_device(source: &Source, device: &str, rows: &[&Row]) -> String {
    let each = |row: &Row, ns: f64| format!("{}<br>{}", escape(&nanoseconds(ns)), small(&format!("per {}", row.item)));
    let line = |row: &&Row| {
        let whole = row.alone()?.time_ns.ratio;
        let share = row.copy_share.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        Some(vec![
            format!("{} {}", escape(&name(row)), small(&view::bytes(row.size))),
            each(row, whole),
            row.in_kernels_ns.map_or("-".to_owned(), |ns| each(row, ns)),
            share,
            row.copy_share.map_or(String::new(), bar),
        ])
    };
    let lines: Vec<Vec<String>> = rows.iter().filter_map(line).collect();
    let columns = ["kernel", "whole job, elapsed, with transfers", "in kernels", "of the copy rate"];
    let heading = "what the device copies in its own memory is the full bar";
    marks::table(&format!("{device}; {}", source.id), &columns, heading, &lines)
}

fn operations(row: &Row) -> Option<f64> {
    Some(row.needs?.operations as f64 / row.items as f64)
}

fn line(row: &Row) -> Option<Vec<String>> {
    let (arm, operations) = (row.alone()?, operations(row));
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), figure);
    let bytes = row.bytes.map(|bytes| bytes as f64 / row.items as f64);
    let limit = row.floor.map_or(String::new(), |floor| small(floor.limit.name()));
    Some(vec![
        format!("{} {}", escape(&name(row)), small(&view::bytes(row.size))),
        format!("{}<br>{}", escape(&nanoseconds(arm.time_ns.ratio)), small(&format!("per {}", row.item))),
        row.gb_s().map_or("-".to_owned(), |rate| format!("{rate:.1}")),
        shown(operations.zip(bytes).map(|(operations, bytes)| operations / bytes)),
        shown(operations.map(|operations| operations / arm.time_ns.ratio)),
        row.share().map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share)),
        row.share().map_or(String::new(), bar) + &limit,
    ])
}

/// A point for each kernel; of transforms that of the usual length, or the longest.
fn dots(rows: &[&Row], cache_bytes: Option<u64>) -> Vec<Dot> {
    let mut names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    names.dedup();
    let dot = |kernel: &&str| {
        let of_name = rows.iter().filter(|row| row.name == **kernel);
        let row = of_name.max_by_key(|row| (row.n == Some(4096), row.n))?;
        let (needs, floor, operations) = (row.needs?, row.floor?, operations(row)?);
        Some(Dot {
            name: name(row),
            across: needs.operations as f64 / needs.bytes as f64,
            up: operations / row.alone()?.time_ns.ratio,
            roof: operations / floor.ns,
            is_from_memory: needs.asked(cache_bytes).iter().any(|(limit, _)| *limit == Limit::Memory),
        })
    };
    names.iter().filter_map(dot).collect()
}

/// The chart; none without a kernel.
fn drawn(backend: &str, ceilings: &Ceilings, dots: &[Dot]) -> Option<String> {
    let spread = |of: fn(&Dot) -> f64| {
        let values = dots.iter().map(of).filter(|value| value.is_finite() && *value > 0.0);
        values.fold(None, |range: Option<(f64, f64)>, value| {
            Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        })
    };
    let ((left, right), (bottom, top)) = (spread(|dot| dot.across)?, spread(|dot| dot.up)?);
    let range = [left / 3.0, right * 3.0, bottom / 2.0, top.max(ceilings.operations) * 1.5];
    let mut drawing = String::new();
    draw(&mut drawing, ceilings, dots, range).ok()?;
    let title = format!("Roofline of {backend}, one thread");
    let description = format!(
        "How much arithmetic each kernel does for a byte, and how much it does in a nanosecond. Memory gives {:.1} GB/s, products {:.1} \
         and lane operations {:.1} in units of 10^9 a second; a kernel's own mix of these is the end of its upright line, its floor. \
         Filled points take their data from memory; the others' fit a cache, and the slope is no limit of theirs. The table has the figures.",
        ceilings.bytes, ceilings.products, ceilings.operations
    );
    Some(chart::figure(
        Words { title: &title, across: "", up: "", description: &description },
        &chart::themed(&drawing),
    ))
}

fn draw(into: &mut String, ceilings: &Ceilings, dots: &[Dot], [left, right, bottom, top]: [f64; 4]) -> Drawn {
    let area = SVGBackend::with_string(into, SIZE).into_drawing_area();
    let roofs = roofs(ceilings);
    let names: Vec<&str> = roofs.iter().map(|roof| roof.name).collect();
    let legend = chart::legend(&names);
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .margin_top(legend.last().map_or(8, |&(_, y)| y + chart::LEGEND_ROW / 2))
        .x_label_area_size(48)
        .y_label_area_size(80)
        .build_cartesian_2d((left..right).log_scale(), (bottom..top).log_scale())?;
    chart::axes(&area, &mut chart, [left, right, bottom, top], ["lane operations per byte", "10^9 lane operations/s"])?;
    for (roof, at) in roofs.iter().zip(legend) {
        // From where memory's slope meets it, and the slope up to the highest.
        let meets = roof.flat / ceilings.bytes;
        let line = if roof.is_slope {
            let (begin, end) = (left.max(bottom / ceilings.bytes), right.min(meets));
            vec![(begin, begin * ceilings.bytes), (end, end * ceilings.bytes)]
        } else {
            vec![(meets.clamp(left, right), roof.flat), (right, roof.flat)]
        };
        chart.draw_series([PathElement::new(line, roof.colour.stroke_width(2))])?;
        chart::legend_line(&area, at, roof.colour, roof.name)?;
    }
    points(&area, &mut chart, dots)?;
    area.present()?;
    Ok(())
}

struct Roof {
    name: &'static str,
    flat: f64,
    is_slope: bool,
    colour: RGBColor,
}

/// In lane operations a nanosecond.
fn roofs(ceilings: &Ceilings) -> [Roof; 3] {
    let butterfly = floor::transform(2);
    let products = ceilings.products * butterfly.operations as f64 / butterfly.products as f64;
    let highest = ceilings.operations;
    [
        Roof { name: "memory", flat: highest, is_slope: true, colour: MEMORY },
        Roof { name: "lane operations", flat: highest, is_slope: false, colour: OPERATIONS },
        Roof { name: "products of a transform", flat: products, is_slope: false, colour: PRODUCTS },
    ]
}

/// Kernels, each with a line up to its floor and its name where there is room.
fn points(area: &Area<'_>, chart: &mut LogChart<'_, '_>, dots: &[Dot]) -> Drawn {
    let style = ("sans-serif", 14).into_font().color(&INK);
    let places: Vec<(i32, i32)> = dots.iter().map(|dot| chart.backend_coord(&(dot.across, dot.up))).collect();
    let mut taken: Vec<[i32; 4]> = places.iter().map(|&(x, y)| [x - 6, y - 6, x + 6, y + 6]).collect();
    for (dot, &(x, y)) in dots.iter().zip(&places) {
        let Dot { across, up, roof, .. } = *dot;
        chart.draw_series([PathElement::new(vec![(across, up), (across, roof)], KERNEL.mix(0.45).stroke_width(2))])?;
        let fill = if dot.is_from_memory { KERNEL.filled() } else { KERNEL.stroke_width(2) };
        area.draw(&Circle::new((x, y), 5, fill))?;
        let beside = beside(&dot.name, (x, y), &taken);
        taken.push(beside);
        area.draw_text(&dot.name, &style.pos(Pos::new(HPos::Left, VPos::Top)), (beside[0], beside[1]))?;
    }
    Ok(())
}

/// Where a point's name covers nothing: to its right, its left, or a row or two further down or up. Left, top, right, bottom.
fn beside(name: &str, (x, y): (i32, i32), taken: &[[i32; 4]]) -> [i32; 4] {
    let (width, height) = (LETTER.0 * name.chars().count() as i32, LETTER.1);
    let rows = [0, 1, -1, 2, -2].map(|row| row * height - height / 2);
    let at = |left: i32, top: i32| [left, top, left + width, top + height];
    let places = rows.into_iter().flat_map(|row| [at(x + 9, y + row), at(x - 9 - width, y + row)]);
    let is_within = |place: &[i32; 4]| place[0] > 84 && place[2] < SIZE.0 as i32;
    let is_free = |place: &[i32; 4]| {
        !taken.iter().any(|t| place[0] < t[2] && t[0] < place[2] && place[1] < t[3] && t[1] < place[3])
    };
    places.into_iter().filter(is_within).find(is_free).unwrap_or(at(x + 9, y + rows[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CEILINGS: Ceilings = Ceilings { bytes: 10.0, products: 30.0, operations: 100.0 };

    fn dot(name: &str, across: f64, up: f64, roof: f64) -> Dot {
        Dot { name: name.to_owned(), across, up, roof, is_from_memory: name == "sum" }
    }

    #[test]
    fn a_roofline_has_every_kernel_and_says_its_units() {
        let dots = [dot("sum", 0.5, 3.0, 5.0), dot("forward 4096", 6.0, 50.0, 80.0), dot("expand", 15.0, 80.0, 100.0)];
        let chart = drawn("cpu-<x>", &CEILINGS, &dots).expect("kernels to draw");
        for part in [
            "role=\"img\"",
            "Roofline of cpu-&lt;x&gt;",
            "<figcaption>",
            "lane operations per byte",
            "10^9 lane operations/s",
            "10.0 GB/s",
            "forward 4096",
            "expand",
            "products of a transform",
        ] {
            assert!(chart.contains(part), "{part} in {chart}");
        }
        assert!(!chart.contains("http") && !chart.contains("#010101") && !chart.contains("<x>"), "{chart}");
        assert!(drawn("cpu", &CEILINGS, &[]).is_none());
    }

    #[test]
    fn names_cover_neither_points_nor_each_other() {
        let apart = |a: &[i32; 4], b: &[i32; 4]| a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
        let mut taken = vec![[294, 194, 306, 206], [296, 190, 308, 202]];
        for name in ["forward 4096", "inverse 4096", "decrypt", "encrypt"] {
            let place = beside(name, (300, 200), &taken);
            assert!(taken.iter().all(|other| apart(&place, other)), "{place:?} in {taken:?}");
            taken.push(place);
        }
    }

    #[test]
    fn the_products_roof_is_that_of_a_transforms_mix() {
        // Eight operations for three products.
        assert!((roofs(&CEILINGS)[2].flat - 80.0).abs() < 1e-9);
    }
}
