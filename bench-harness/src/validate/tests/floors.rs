//! A row names the limit that takes the longest, and no edit of a limit, a count or a share goes unnoticed.

use super::begin;
use crate::record::formula::{Formula, Input, Part};
use crate::record::journal::{Journal, RESULT};
use crate::record::verify::verify;
use crate::record::{Label, Line, Measure, Record};
use crate::results::{cell, sample};
use crate::scratch::Scratch;
use crate::validate::page;
use crate::validate::timed::{OURS, SHARE, STEP};
use serde_json::{Value, json};
use std::path::PathBuf;

const KERNEL: &str = "kernel cpu-a forward 4096";

fn timed(journal: &mut Journal, name: &str, time_ns: u64) {
    let properties = [("engine", "cpu-a".into()), ("kernel", "forward".into()), ("n", 4096.into())];
    let name = cell(journal, name.to_owned(), STEP, &properties, ("word", 1)).expect("a line");
    for turn in 0..5 {
        let time_ns = time_ns + turn as u64 - 2;
        journal.write(&sample(&name, STEP, OURS, turn, 1, [(Measure::CpuNs, time_ns.into())])).expect("a line");
    }
}

/// A kernel that takes 1600 ns, and limits of which it asks for so many runs of so many nanoseconds.
fn record(name: &str, limits: &[(&str, u64, f64)]) -> (Scratch, PathBuf, Record) {
    let (scratch, mut journal) = begin(name);
    let median =
        |cell: &str| Input { cell: cell.into(), stage: STEP.into(), arm: OURS.into(), measure: Measure::CpuNs };
    for (limit, time_ns, _) in limits {
        timed(&mut journal, limit, *time_ns);
    }
    timed(&mut journal, KERNEL, 1600);
    let parts = limits.iter().map(|&(limit, _, times)| Part { times, input: median(limit) });
    let formula = Some(Formula::Roofline { limits: parts.collect(), of: median(KERNEL) });
    let (cell, stage) = (KERNEL.to_owned(), SHARE.to_owned());
    let share = Line::Stage { cell, stage, label: Label::D, item: "word".to_owned(), items: 1, formula };
    journal.write(&share).expect("a line");
    let (folder, record) = journal.finish(|record| page::text(record, None)).expect("a record");
    (scratch, folder, record)
}

#[test]
fn the_limit_that_takes_the_longest_binds() {
    let row = |name: &str, limits: &[(&str, u64, f64)]| {
        let (_scratch, _, record) = record(name, limits);
        let text = page::text(&record, None);
        text.lines().find(|line| line.contains("forward")).expect("a row").to_owned()
    };
    let [memory, products, operations] = ["memory read", "products cpu-a", "lane operations cpu-a"];
    let found = row("products", &[(memory, 1000, 0.5), (products, 400, 2.0), (operations, 300, 1.0)]);
    assert!(found.ends_with(" 50 %, limit: products"), "{found}");
    let found = row("operations", &[(memory, 1000, 0.5), (products, 400, 2.0), (operations, 300, 4.0)]);
    assert!(found.ends_with(" 75 %, limit: lane operations"), "{found}");
    let found = row("memory", &[(memory, 1000, 1.2), (products, 400, 2.0), (operations, 300, 1.0)]);
    assert!(found.ends_with(" 75 %, limit: memory"), "{found}");
}

#[test]
fn an_edit_of_a_limit_a_count_or_a_share_is_found() {
    let (_scratch, folder, record) = record("edits", &[("memory read", 1000, 0.5), ("products cpu-a", 400, 2.0)]);
    assert!(verify(&folder).expect("a record").differences.is_empty());
    assert_eq!(record.cells[2].stages[1].derived, Some(0.5));
    let path = folder.join(RESULT);
    let original: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
    for pointer in
        ["/cells/1/stages/0/figures/0/median", "/cells/2/stages/1/formula/limits/1/times", "/cells/2/stages/1/derived"]
    {
        let mut edited = original.clone();
        let value = edited.pointer_mut(pointer).expect(pointer);
        *value = json!(value.as_f64().expect("a figure") * 0.9);
        std::fs::write(&path, edited.to_string()).expect("an edit");
        // The figure itself, not only that the file is written otherwise.
        let (found, what) =
            (verify(&folder).expect("a record").differences, pointer.rsplit('/').next().expect(pointer));
        assert!(found.iter().any(|difference| difference.contains(what)), "{pointer}: {found:?}");
    }
}

#[test]
fn a_roofline_of_nothing_is_no_figure() {
    let (_scratch, _, record) = record("nothing", &[("memory read", 1000, 1.0)]);
    let of = Input { cell: KERNEL.into(), stage: STEP.into(), arm: OURS.into(), measure: Measure::CpuNs };
    let formula = Formula::Roofline { limits: Vec::new(), of };
    assert!(formula.evaluate(&record).is_err() && formula.binding(&record).is_none());
}
