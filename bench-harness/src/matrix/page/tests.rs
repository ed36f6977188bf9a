use super::*;
use std::path::Path;

fn recorded() -> Record {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/2026-11-22-amd-epyc-2c-matrix-standard");
    crate::matrix::run::read(&folder).expect("a committed run")
}

/// A section's markup.
fn section<'a>(page: &'a str, id: &str) -> &'a str {
    let begin = page.find(&format!("<section id=\"{id}\"")).unwrap_or_else(|| panic!("no section {id}"));
    let rest = &page[begin..];
    &rest[..rest.find("</section>").expect("its end")]
}

#[test]
fn every_figure_of_the_page_says_its_labels() {
    let page = page(&recorded()).expect("a page");
    let strip = section(&page, "verdict");
    assert!(strip.contains("imitation: computing") && strip.contains("reinforcement: computing"), "{strip}");
    assert!(strip.contains("M\u{a0}") && strip.contains("P\u{a0}"), "{strip}");
    assert!(strip.contains("its time is M"), "{strip}");
    assert!(!page.contains("M\u{a0}0\u{a0}%") && page.contains("M\u{a0}&lt;1\u{a0}%"), "little is not nothing");
    let row = |id: &str, what: &str| {
        let section = section(&page, id);
        let begin = section.find(what).unwrap_or_else(|| panic!("no {what} in {id}"));
        section[begin..].split("</tr>").next().unwrap_or_default().to_owned()
    };
    let cell = row("tpdi", "imitation-20x10kb-100mbit");
    assert!(cell.matches("R\u{a0}").count() == 2 && cell.matches("P\u{a0}").count() == 1, "active and wall: {cell}");
    let cell = row("encryption", "imitation-20x10kb-100mbit");
    assert_eq!(cell.matches("D\u{a0}").count(), 2, "without encryption and with it: {cell}");
    assert!(row("stages", "\"row\">train<").contains(">R<") && row("stages", "\"row\">upload<").contains(">D<"));
    for id in ["grid", "scaling", "failures", "compression"] {
        assert!(section(&page, id).contains("M ") && section(&page, id).contains(" to "), "{id}");
    }
    assert!(section(&page, "stages").contains(">R replayed<"), "the legend");
}

#[test]
fn a_cell_without_improvement_is_not_taken_for_one_that_was_not_run() {
    let mut record = recorded();
    let cell = record.matrix.iter_mut().find(|cell| cell.cell == "imitation-20x10kb-100mbit").expect("a cell");
    for arm in &mut cell.arms {
        arm.tpdi.active = Figure::NoImprovement { at_least_s: 77.0 };
        (arm.tpdi.deployed, arm.tpdi.active_if_deployed_s) = (0, None);
    }
    // What is learned does not depend on the link, and the first of a fleet stands for it.
    record.matrix.retain(|cell| cell.mbit_per_s == 100);
    let page = page(&record).expect("a page");
    assert!(section(&page, "grid").contains("no improvement, \u{2265} 77.0 s"));
    assert!(section(&page, "scaling").contains("not drawn: 20 robots, 10 KB: at least 77.0 s"));
    let failures = section(&page, "failures");
    let row = &failures[failures.find("imitation-20x10kb-100mbit").expect("its row")..];
    assert!(row.split("</tr>").next().is_some_and(|row| row.contains("&ge; 77.0 s")), "{row}");
}

#[test]
fn where_fleets_saturate_is_told_with_the_stage_that_grew() {
    let page = page(&recorded()).expect("a page");
    let scaling = section(&page, "scaling");
    let row = |what: &str| {
        let begin = scaling.find(what).unwrap_or_else(|| panic!("no {what}"));
        scaling[begin..].split("</tr>").next().unwrap_or_default().to_owned()
    };
    // README: a fifth with 10 KB, 80 % with 10 MB.
    assert!(row("imitation, 100 Mbit/s, 10 KB").contains("not up to 100"));
    let large = row("imitation, 100 Mbit/s, 10 MB");
    assert!(large.contains(">100<") && large.contains("1.80 x") && large.contains("a faster link"), "{large}");
}

#[test]
fn questions_without_data_are_answered_by_what_would_measure_them() {
    let page = page(&recorded()).expect("a page");
    let compression = section(&page, "compression");
    assert!(compression.contains("Not measured in this run: 4bit, dense."));
    assert!(compression.contains("tensorguard run --preset standard --profile 8bit,4bit,dense"));
    let earlier = section(&page, "earlier");
    assert!(earlier.contains("not measured in this run") && earlier.contains("tensorguard compare OLD NEW"));
    assert!(section(&page, "composed").contains("--link paced"), "the formula was held against no link");
    let estimate = crate::matrix::pipeline::SUITE.estimate();
    assert!(section(&page, "right").contains(&format!("{} bits against classical", estimate.classical)));
}

/// The same cells twice: as 8 bits, and as 4 bits of half the bytes and another time.
fn two_profiles() -> Record {
    let mut record = recorded();
    let of = |profile: Profile, cell: &CellOutcome| {
        let mut cell = cell.clone();
        (cell.profile, cell.cell) = (Some(profile), format!("{}-{}", cell.cell, profile.name()));
        if profile == Profile::Bits4 {
            for arm in &mut cell.arms {
                arm.upload_bytes /= 2;
                arm.tpdi.active = Figure::Improves { seconds: 0.123, low: 0.12, high: Some(0.13) };
            }
        }
        cell
    };
    record.matrix = [Profile::Bits8, Profile::Bits4]
        .iter()
        .flat_map(|&p| record.matrix.iter().map(move |cell| of(p, cell)))
        .collect();
    record
}

#[test]
fn profiles_of_a_run_stand_side_by_side_and_are_never_mixed() {
    let page = page(&two_profiles()).expect("a page");
    let compression = section(&page, "compression");
    let rows: Vec<&str> = compression.split("<tr>").skip(2).collect();
    assert!(rows.len() > 4 && rows.len().is_multiple_of(2), "{compression}");
    for pair in rows.chunks(2) {
        assert!(pair[0].contains(">8bit</td>") && pair[1].contains(">4bit</td>"), "{pair:?}");
        let name = |row: &str| row.split('>').nth(1).map(|cell| cell.replace("-8bit", "").replace("-4bit", ""));
        assert_eq!(name(pair[0]), name(pair[1]));
        assert!(pair[1].contains("123.0 ms") && !pair[0].contains("123.0 ms"), "{pair:?}");
    }
    assert!(compression.contains("Not measured in this run: dense."));
    for kind in ["imitation in 8bit", "imitation in 4bit"] {
        for id in ["verdict", "grid", "scaling"] {
            assert!(section(&page, id).contains(kind), "{kind} in {id}");
        }
    }
    let tables = section(&page, "grid").split("<caption>").skip(1);
    let of_eight: Vec<&str> =
        tables.filter(|table| table.split('<').next().is_some_and(|t| t.contains("in 8bit"))).collect();
    assert!(of_eight.len() >= 3 && of_eight.iter().all(|table| !table.contains("123.0 ms")), "{of_eight:?}");
    let fleets = |page: &str| section(page, "failures").matches("\"row\"").count();
    assert_eq!(
        fleets(&page),
        2 * fleets(&super::page(&recorded()).expect("a page")),
        "each fleet and profile has its row"
    );
}
