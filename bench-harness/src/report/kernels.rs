//! The page of kernels, stages and peers: what was measured of each, against its limit and against what others have.

use super::chart::{Series, Words, lines};
use super::gather::{Compared, Gathered, Measured, Party, Source};
use super::marks::{self, Axis, figure};
use super::page::{Column, Page, escape, paragraph, strip, table};
use super::roofline;
use crate::compare::ITSELF;
use crate::micro::view::{self, Arm, Row, nanoseconds};
use crate::stats::Interval;
use std::collections::BTreeSet;

/// Robots of the rows that stand for a stage.
const ROBOTS: u64 = 20;
/// Stages that a chart shows: those that take time.
const DRAWN: [&str; 6] = ["encrypt", "pad", "seal", "add", "parse", "decrypt"];

/// The page; none where there is nothing to show.
#[must_use]
pub fn page(all: &Gathered) -> Option<String> {
    if all.compared.is_empty() && all.measured.iter().all(|one| one.rows.is_empty()) && all.heap.is_empty() {
        return None;
    }
    let ids: Vec<&str> = all.sources.iter().map(|source| source.id.as_str()).collect();
    let from = if ids.len() > 2 { format!("{} results, named at the end", ids.len()) } else { ids.join(" and ") };
    let lead = format!(
        "How fast encrypted sums are made, from the number-theoretic transform to a whole round, held against what limits them and what \
         others offer. From {from}."
    );
    let mut page = Page::new("Kernels, stages and peers", &lead);
    page.section("glance", "At a glance", glance(all));
    let mut add = |id: &str, heading: &str, body: String| {
        if !body.is_empty() {
            page.section(id, heading, body);
        }
    };
    add("limits", "Kernels against their limits", each(all, roofline::section));
    add("stages", "The stages of a round", each(all, stages));
    add("threads", "What more threads bring", each(all, threads));
    add("peers", "Kernels against others", kernels_of_peers(all));
    add("rounds", "Whole rounds against others", rounds(all));
    add("memory", "Memory that a run asks for", heap(all));
    add("trust", "Where and how this was measured", provenance(all));
    Some(page.finish())
}

fn each(all: &Gathered, section: fn(&Source, &Measured) -> String) -> String {
    all.measured.iter().map(|measured| section(&all.sources[measured.source], measured)).collect()
}

fn span(values: impl Iterator<Item = f64>) -> Option<String> {
    let values: Vec<f64> = values.collect();
    let (low, high) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
    Some(if values.len() == 1 {
        format!("{} x", figure(low))
    } else {
        format!("{} .. {} x", figure(low), figure(high))
    })
}

fn glance(all: &Gathered) -> String {
    let mut cards: Vec<(String, String, String)> = Vec::new();
    let rows = || all.measured.iter().flat_map(|one| &one.rows);
    let encrypt = rows().filter(|row| row.kind == "stage" && row.name == "encrypt").max_by_key(|row| row.size);
    if let Some((row, arm)) = encrypt.and_then(|row| Some((row, row.alone()?))) {
        let Interval { ratio, low, high } = arm.time_ns;
        let note = format!("{} .. {}; one thread, {}", nanoseconds(low), nanoseconds(high), view::bytes(row.size));
        cards.push(("encrypting a value".to_owned(), nanoseconds(ratio), note));
    }
    let others = || all.compared.iter().filter(|row| row.peer != ITSELF);
    let transforms = others().filter(|row| row.kernel == "forward" || row.kernel == "inverse-scaled");
    if let Some(shown) = span(transforms.map(|row| row.interval.ratio)) {
        let note = "transforms of equal work: their time over ours";
        cards.push(("transforms".to_owned(), shown, note.to_owned()));
    }
    let longest = others().filter(|row| row.is_round()).map(|row| row.n).max();
    let of_rounds = |step: &'static str| {
        others().filter(move |row| row.kernel == step && Some(row.n) == longest).map(|row| row.interval.ratio)
    };
    for (step, name) in [("round-encrypt", "encrypting an update"), ("round-add", "adding an upload")] {
        if let Some(shown) = span(of_rounds(step)) {
            let size = view::bytes(longest.unwrap_or_default() * 4);
            cards.push((name.to_owned(), shown, format!("{size}, whole rounds: their time over ours")));
        }
    }
    let checks: usize = all.sources.iter().map(|source| source.checks).sum();
    if checks > 0 {
        cards.push(("outputs checked".to_owned(), checks.to_string(), "before their times counted".to_owned()));
    }
    if let Some(noise) = all.sources.iter().filter_map(|source| source.noise).reduce(f64::max) {
        let shown = format!("{:.1} %", 100.0 * noise);
        cards.push(("blind below".to_owned(), shown, "how far identical code differed".to_owned()));
    }
    strip(&cards)
}

/// Which kernel, with its length where several were measured.
pub(super) fn name(row: &Row) -> String {
    match (row.name.as_str(), row.n) {
        ("forward" | "inverse", Some(n)) => format!("{} {n}", row.name),
        _ => row.name.clone(),
    }
}

pub(super) fn backends(measured: &Measured) -> BTreeSet<&str> {
    measured.rows.iter().map(|row| row.backend.as_str()).collect()
}

/// Of rows that differ by size or robots, the largest update with the usual number of robots.
pub(super) fn largest<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<&'a Row> {
    let mut kept: Vec<&Row> = Vec::new();
    for row in rows {
        let rank = |row: &Row| (row.clients.is_none_or(|clients| clients == ROBOTS), row.size);
        match kept.iter_mut().find(|other| (other.kind, name(other)) == (row.kind, name(row))) {
            Some(other) if rank(other) < rank(row) => *other = row,
            Some(_) => {}
            None => kept.push(row),
        }
    }
    kept
}

pub(super) fn small(text: &str) -> String {
    format!("<small>{}</small>", escape(text))
}

fn sizes(rows: &[&Row]) -> BTreeSet<u64> {
    rows.iter().map(|row| row.size).collect()
}

fn stages(source: &Source, measured: &Measured) -> String {
    let usual = |row: &&Row| row.kind == "stage" && row.clients.is_none_or(|clients| clients == ROBOTS);
    let rows: Vec<&Row> = measured.rows.iter().filter(usual).filter(|row| row.alone().is_some()).collect();
    let mut text = String::new();
    let engines: BTreeSet<&str> = rows.iter().map(|row| row.backend.as_str()).filter(|name| *name != "host").collect();
    for engine in engines {
        let here: Vec<&Row> =
            rows.iter().copied().filter(|row| row.backend == engine || row.backend == "host").collect();
        text += "<div class=\"two\">";
        let series = |name: &&str| series_over(&here, name, |row| row.size as f64);
        let drawn: Vec<Series> = DRAWN.iter().filter_map(series).collect();
        let title = format!("Time per value, {engine}, {ROBOTS} robots");
        let description = "One thread, CPU time, for updates of 10 KB to 10 MB; bars are 95 % intervals. What each message and robot costs \
                           once shows at the left; the table has the figures.";
        let words = Words { title: &title, across: "bytes of an update as fp32", up: "ns per value", description };
        text += &lines(words, &drawn).unwrap_or_default();
        text += &over_robots(measured, engine);
        text += "</div>";
        text += &stage_table(source, engine, &here);
    }
    text
}

fn point(row: &Row, across: f64) -> Option<super::chart::Point> {
    let Interval { ratio, low, high } = row.alone()?.time_ns;
    Some((across, ratio, Some((low, high))))
}

fn series_over(rows: &[&Row], name: &str, across: impl Fn(&Row) -> f64) -> Option<Series> {
    let of_name = rows.iter().filter(|row| row.name == name);
    let mut points: Vec<_> = of_name.filter_map(|row| point(row, across(row))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    if points.len() > 1 { Some(Series { name: name.to_owned(), points }) } else { None }
}

/// Stages that were measured for several numbers of robots, of the largest update that was.
fn over_robots(measured: &Measured, engine: &str) -> String {
    let mut series = Vec::new();
    for name in DRAWN {
        let of_name = |row: &&Row| row.kind == "stage" && row.name == name && row.backend == engine;
        let rows: Vec<&Row> = measured.rows.iter().filter(of_name).collect();
        let found = sizes(&rows).into_iter().rev().find_map(|size| {
            let same: Vec<&Row> = rows.iter().copied().filter(|row| row.size == size).collect();
            let mut found = series_over(&same, name, |row| row.clients.unwrap_or(0) as f64)?;
            found.name = format!("{name}, {}", view::bytes(size));
            Some(found)
        });
        series.extend(found);
    }
    let description = "One thread, CPU time per value: of one update, and when adding of all. The key holder works for each robot; words on \
                       the wire grow with their number.";
    let words = Words { title: "From few to many robots", across: "robots", up: "ns per value", description };
    lines(words, &series).unwrap_or_default()
}

fn stage_table(source: &Source, engine: &str, rows: &[&Row]) -> String {
    let sizes: Vec<u64> = sizes(rows).into_iter().collect();
    let headings: Vec<String> = sizes.iter().map(|&size| view::bytes(size)).collect();
    let mut columns = vec![("stage", Column::Text)];
    columns.extend(headings.iter().map(|heading| (heading.as_str(), Column::Number)));
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
    }
    let cell = |name: &str, size: u64| {
        let arm = rows.iter().find(|row| row.name == name && row.size == size).and_then(|row| row.alone());
        arm.map_or("-".to_owned(), |arm| {
            let Interval { ratio, low, high } = arm.time_ns;
            let interval = format!("{} .. {}", nanoseconds(low), nanoseconds(high));
            format!("{}<br>{}", escape(&nanoseconds(ratio)), small(&interval))
        })
    };
    let lines = names.iter().map(|name| {
        let cells = sizes.iter().map(|&size| cell(name, size));
        std::iter::once(escape(name)).chain(cells).collect::<Vec<String>>()
    });
    let caption = format!("{engine}, {ROBOTS} robots, time per value with its 95 % interval; {}", source.id);
    table(&caption, &columns, &lines.collect::<Vec<_>>())
}

fn threads(source: &Source, measured: &Measured) -> String {
    let gained = |row: &&Row| row.arms.iter().any(|arm| arm.gain.is_some());
    let rows = largest(measured.rows.iter().filter(gained));
    let gains =
        || rows.iter().flat_map(|row| row.arms.iter().filter_map(move |arm: &Arm| Some((*row, arm, arm.gain?))));
    let Some(axis) = Axis::around(gains().flat_map(|(_, arm, gain)| [gain.low, gain.high, arm.threads as f64])) else {
        return String::new();
    };
    let row = |(row, arm, gain): (&Row, &Arm, Interval)| {
        vec![
            format!("{} {} {}", escape(row.kind), escape(&name(row)), small(&view::bytes(row.size))),
            arm.threads.to_string(),
            format!("{} x", figure(gain.ratio)),
            axis.dots(&[gain]),
        ]
    };
    let rows: Vec<Vec<String>> = gains().map(row).collect();
    let caption = format!("Times as fast as one thread, elapsed time in turns, 95 % interval; {}", source.id);
    paragraph(
        "Whatever else ran on the machine took from the side with more threads: a gain near 1 on a busy machine says nothing of the code.",
    ) + &marks::table(&caption, &["what", "threads", "gain"], &axis.heading(), &rows)
}

/// Steps of rounds, a dot each.
fn dots(caption: &str, first: &str, rows: &[(&Compared, String)]) -> String {
    let Some(axis) = axis_of(rows.iter().map(|(row, _)| *row)) else { return String::new() };
    let line = |(row, name): &(&Compared, String)| {
        let Interval { ratio, low, high } = row.interval;
        vec![
            escape(name),
            format!("{} x<br>{}", figure(ratio), small(&format!("{} .. {}", figure(low), figure(high)))),
            axis.dots(&[row.interval]),
        ]
    };
    let lines: Vec<Vec<String>> = rows.iter().map(line).collect();
    marks::table(caption, &[first, "ratio"], &axis.heading(), &lines)
}

fn axis_of<'a>(rows: impl Iterator<Item = &'a Compared>) -> Option<Axis> {
    Axis::around(rows.flat_map(|row| [row.interval.low, row.interval.high]))
}

fn kernels_of_peers(all: &Gathered) -> String {
    let others = || all.compared.iter().filter(|row| !row.is_round() && row.peer != ITSELF);
    let Some(axis) = axis_of(others()) else { return String::new() };
    let mut text = paragraph(
        "Their time over ours, CPU time, taking turns in one run; right of 1, ours is faster. Each dot is a length, its line the 95 % interval. \
         inverse leaves the factor 1/n out on their side only, inverse-scaled has it on both. Reading memory is no peer but a limit.",
    ) + "<div class=\"two\">";
    for (index, source) in all.sources.iter().enumerate() {
        let here: Vec<&Compared> = others().filter(|row| row.source == index).collect();
        let mut kinds: Vec<(&str, &str)> = Vec::new();
        for row in &here {
            if !kinds.contains(&(&row.peer, &row.kernel)) {
                kinds.push((&row.peer, &row.kernel));
            }
        }
        if kinds.is_empty() {
            continue;
        }
        let line = |&(peer, kernel): &(&str, &str)| {
            let of_kind = here.iter().filter(|row| (row.peer.as_str(), row.kernel.as_str()) == (peer, kernel));
            let intervals: Vec<Interval> = of_kind.map(|row| row.interval).collect();
            let range = span(intervals.iter().map(|interval| interval.ratio)).unwrap_or_default();
            vec![format!("{}<br>{}", escape(kernel), small(peer)), range, axis.dots(&intervals)]
        };
        let lines: Vec<Vec<String>> = kinds.iter().map(line).collect();
        let caption = format!("{}; {}", source.engine, source.id);
        text += "<div>";
        text += &marks::table(&caption, &["kernel", "ratio"], &axis.heading(), &lines);
        text += &marks::folded("Every length", &every_length(&caption, &here));
        text += "</div>";
    }
    text + "</div>"
}

fn every_length(caption: &str, rows: &[&Compared]) -> String {
    let columns = [
        ("kernel", Column::Text),
        ("n", Column::Number),
        ("ratio", Column::Number),
        ("95 % interval", Column::Number),
        ("ours", Column::Number),
        ("theirs", Column::Number),
        ("pairs", Column::Number),
    ];
    let row = |row: &&Compared| {
        let Interval { ratio, low, high } = row.interval;
        vec![
            format!("{} {}", escape(&row.kernel), small(&row.peer)),
            row.n.to_string(),
            format!("{ratio:.3}"),
            format!("{low:.3} .. {high:.3}"),
            nanoseconds(row.ours_ns),
            nanoseconds(row.theirs_ns),
            row.pairs.to_string(),
        ]
    };
    table(&format!("{caption}, every length"), &columns, &rows.iter().map(row).collect::<Vec<_>>())
}

fn rounds(all: &Gathered) -> String {
    let mut text = String::new();
    for (index, source) in all.sources.iter().enumerate() {
        let here: Vec<&Compared> = all.compared.iter().filter(|row| row.source == index && row.is_round()).collect();
        let lengths: BTreeSet<u64> = here.iter().map(|row| row.n).collect();
        for length in lengths.into_iter().rev() {
            let name = |row: &Compared| format!("{}: {}", row.kernel.trim_start_matches("round-"), row.peer);
            let mut rows: Vec<(&Compared, String)> =
                here.iter().filter(|row| row.n == length).map(|&row| (row, name(row))).collect();
            let order = |kernel: &str| ["round-encrypt", "round-online", "round-add"].iter().position(|k| *k == kernel);
            rows.sort_by_key(|(row, _)| order(&row.kernel).unwrap_or(3));
            let size = view::bytes(length * 4);
            text += &format!("<h3>Updates of {size}</h3>");
            text += &dots(&format!("Their time over ours, {}; {}", source.engine, source.id), "step: peer", &rows);
            let parties: Vec<&Party> =
                all.parties.iter().filter(|party| party.source == index && party.length == length).collect();
            text += &party_table(source, &size, &parties);
        }
    }
    if text.is_empty() {
        return text;
    }
    paragraph(
        "From floats to wire bytes to the mean, each side's mean checked before its time counts. online is our encryption with pads made \
         ahead, against all of theirs. Speed is half of it: the last column says who can read a single robot's update.",
    ) + &text
}

fn party_table(source: &Source, size: &str, parties: &[&Party]) -> String {
    let columns = [
        ("peer", Column::Text),
        ("sent per value", Column::Number),
        ("sum per value", Column::Number),
        ("robots", Column::Number),
        ("error, rms", Column::Number),
        ("memory", Column::Number),
        ("who can read one update", Column::Text),
    ];
    let row = |party: &&Party| {
        let per = |bytes: f64| format!("{:.2} B", bytes / party.length as f64);
        let memory = party.memory_bytes.map_or("-".to_owned(), |bytes| format!("{:.1} MB", bytes / 1e6));
        vec![
            format!("{}<br>{}", escape(&party.peer), small(&party.version)),
            per(party.upload_bytes),
            per(party.sum_bytes),
            party.robots.to_string(),
            format!("{:.1e}", party.error_rms),
            memory,
            escape(&party.reader),
        ]
    };
    let rows: Vec<Vec<String>> = parties.iter().map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let caption =
        format!("What a round of {size} updates costs besides time; all values lie in -1 .. 1; {}", source.id);
    table(&caption, &columns, &rows)
}

fn heap(all: &Gathered) -> String {
    if all.heap.is_empty() {
        return String::new();
    }
    let columns = [
        ("case", Column::Text),
        ("requests", Column::Number),
        ("bytes in all", Column::Number),
        ("most at once", Column::Number),
    ];
    // Whole bytes below 2^53.
    let shown = |bytes: f64| view::bytes(bytes as u64);
    let row = |one: &super::gather::Heap| {
        vec![escape(&one.cell), format!("{:.0}", one.allocations), shown(one.allocated_bytes), shown(one.heap_bytes)]
    };
    let rows: Vec<Vec<String>> = all.heap.iter().map(row).collect();
    let sources: BTreeSet<&str> = all.heap.iter().map(|one| all.sources[one.source].id.as_str()).collect();
    let caption =
        format!("One run each, counted at the allocator; {}", sources.into_iter().collect::<Vec<_>>().join(", "));
    table(&caption, &columns, &rows)
}

fn provenance(all: &Gathered) -> String {
    let mut text = String::new();
    for source in &all.sources {
        let labels: Vec<String> = source.labels.iter().map(|label| format!("{label:?}")).collect();
        let noise = source.noise.map_or("not measured".to_owned(), |noise| format!("{:.2} %", 100.0 * noise));
        let mut rows = vec![
            ("command", format!("tensorguard {}", source.argv)),
            ("begun, UTC", source.begin_utc.clone()),
            ("program", source.program.clone()),
            ("commit", source.commit.clone()),
            ("engine", source.engine.clone()),
            ("GPU", source.gpu.clone().unwrap_or("none took part".to_owned())),
            ("figures are", format!("{} (M: measured here, real code on real bytes)", labels.join(", "))),
            ("identical code differed by", noise),
            ("outputs checked", source.checks.to_string()),
        ];
        rows.extend(source.machine.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![escape(name), escape(&value)]).collect();
        let whole = table(&source.id, &[("what", Column::Text), ("", Column::Text)], &rows);
        // One is read; of many, each is looked up.
        text += &if all.sources.len() > 2 { marks::folded(&source.id, &whole) } else { whole };
    }
    let missing: Vec<Vec<String>> = all
        .missing
        .iter()
        .map(|one| vec![escape(&one.what), escape(&one.why), escape(&all.sources[one.source].id)])
        .collect();
    if !missing.is_empty() {
        let columns = [("what", Column::Text), ("why", Column::Text), ("result", Column::Text)];
        text += &table("Asked for and not measured", &columns, &missing);
    }
    text + &paragraph(
        "Whoever has a result's folder can compute every figure again from its raw samples: tensorguard verify.",
    )
}
