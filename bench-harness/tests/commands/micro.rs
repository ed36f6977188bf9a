//! Kernels and stages one by one: a run is a record that agrees with its samples, and pages and tables are made of it.

use crate::scratch::Scratch;
use std::fs;
use std::path::{Path, PathBuf};
use tensorguard::compare::Effort;
use tensorguard::micro::run::{Request, run};
use tensorguard::micro::view;
use tensorguard::record::journal::{RESULT, SAMPLES};
use tensorguard::record::verify::verify;
use tensorguard::report::{export, gather::gather, kernels};

fn request(filter: &str) -> Request {
    Request { filter: filter.to_owned(), effort: Effort::Smoke, time_budget: None }
}

#[test]
fn a_device_is_named_with_its_kind_and_its_kernels_are_held_against_its_copy_rate() {
    let options = shaders::Options::default();
    let device = match tensorguard::device::open(options) {
        Ok((_, device)) => device.to_string(),
        Err(why) => return crate::not_checked(&why.to_string()),
    };
    let out = Scratch::new("micro-device");
    let filter = "size==10kb && backend==wgpu && kernel==encrypt";
    let (folder, record) = run(&request(filter), &out, None).expect("a run");
    assert_eq!(record.environment.gpu.as_deref(), Some(device.as_str()));
    assert!(["GPU", "unknown kind", "software"].iter().any(|kind| device.contains(kind)), "{device}");
    let copied = view::copy_gb_s(&record).expect("a copy rate");
    let rows = view::rows(&record);
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    if let Some(ns) = row.in_kernels_ns {
        assert!(ns > 0.0, "{ns}");
        let moved = row.bytes.expect("bytes") as f64 / (ns * row.items as f64);
        assert!((row.copy_share.expect("a share") * copied / moved - 1.0).abs() < 1e-9);
        assert!(view::summary(&record).contains("of the copy rate"));
    }
    assert!(view::summary(&record).contains(&format!("device: {device}: copies at")));
    assert!(verify(&folder).expect("a record").differences.is_empty());
    let all = gather(&[&folder]).expect("results");
    let page = kernels::page(&all).expect("a page");
    assert!(page.contains("of the copy rate") && !page.contains("so it has no floors"));
    assert!(export::csv(&all).contains("share_of_copy_rate") == row.copy_share.is_some());
}

#[test]
fn a_run_agrees_with_its_samples_an_edit_is_noticed_and_pages_are_made_of_it() {
    let out = Scratch::new("micro-run");
    let filter = "size==10kb && clients<=2 && backend==cpu-portable";
    let (folder, record) = run(&request(filter), &out, None).expect("a run");
    let rows = view::rows(&record);
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    // The sum's kernel, and all stages that need an engine.
    assert_eq!(names, ["sum", "encrypt", "pad", "seal", "add", "parse", "decrypt"]);
    assert!(rows.iter().all(|row| row.alone().is_some_and(|arm| arm.time_ns.ratio > 0.0)));
    assert!(record.noise.is_some() && record.checks.len() >= rows.len());
    assert!(record.checks.iter().all(|check| check.holds && check.digest.is_some()));
    assert!(view::memory_gb_s(&record).is_some_and(|rate| rate > 0.0));
    let ceilings = view::ceilings(&record, "cpu-portable").expect("limits of the engine that was asked for");
    let sum = rows[0].needs.expect("counts").floor(&ceilings, record.environment.machine.cache_bytes).expect("a floor");
    let floor = rows[0].floor.expect("a floor of the same");
    assert!(floor.limit == sum.limit && (floor.ns * rows[0].items as f64 / sum.ns - 1.0).abs() < 1e-9);
    assert!(rows[1..].iter().all(|row| row.floor.is_none()), "stages have no counts");

    assert!(verify(&folder).expect("a record").differences.is_empty());
    let all = gather(&[&folder]).expect("results");
    let page = kernels::page(&all).expect("a page");
    assert!(page.contains("Roofline of cpu-portable") && page.contains("of its floor"));
    assert!(page.contains("stage") && page.contains(&record.header.id) && page.contains("cpu-portable"));
    let csv = export::csv(&all);
    let columns = csv.lines().next().expect("a heading").matches(',').count();
    assert!(csv.lines().count() > rows.len() && csv.lines().all(|line| line.matches(',').count() == columns), "{csv}");
    assert!(export::markdown(&all).contains("| stage add |"));

    let path = folder.join(RESULT);
    let text = fs::read_to_string(&path).expect("a record");
    fs::write(&path, text.replacen("\"samples\": 3", "\"samples\": 4", 1)).expect("an edit");
    assert!(!verify(&folder).expect("a record").differences.is_empty());

    // Ended early, it goes on where it was.
    let path = folder.join(SAMPLES);
    let journal = fs::read_to_string(&path).expect("a journal");
    let half = journal.find("\"cell\":\"stage-seal").expect("a cell of it");
    let kept = journal[..half].rfind('\n').expect("lines") + 1;
    fs::write(&path, &journal[..kept]).expect("a cut");
    let (folder, resumed) = run(&request(filter), &out, Some(&folder)).expect("the rest");
    let ids =
        |record: &tensorguard::record::Record| record.cells.iter().map(|cell| cell.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&resumed), ids(&record));
    assert!(verify(&folder).expect("a record").differences.is_empty());
}

#[test]
fn a_result_of_before_floors_has_a_page_that_says_so() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let all = gather(&[results.join("2026-11-22-amd-epyc-2c-micro-3")]).expect("a result");
    let page = kernels::page(&all).expect("a page");
    assert!(page.contains("so it has no floors") && !page.contains("Roofline"));
}

#[test]
fn what_is_absent_or_over_the_budget_is_a_row_that_says_so() {
    let out = Scratch::new("micro-absent");
    let absent = if cfg!(target_arch = "x86_64") { "cpu-neon" } else { "cpu-avx2" };
    let filter = format!("size==10kb && kernel==expand && backend=={absent} && threads==1");
    let (_, record) = run(&request(&filter), &out, None).expect("a run");
    let why = |record: &tensorguard::record::Record| record.cells.last().and_then(|cell| cell.not_run.clone());
    assert!(why(&record).is_some_and(|why| why.contains(absent)), "{record:?}");
    let hurried = Request { time_budget: Some(std::time::Duration::ZERO), ..request("stage==read && size==10kb") };
    let (_, record) = run(&hurried, &out, None).expect("a run");
    assert!(why(&record).is_some_and(|why| why.contains("--time-budget")), "{record:?}");
}

fn recorded() -> Vec<PathBuf> {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let mut folders: Vec<PathBuf> = fs::read_dir(results).expect("results").flatten().map(|e| e.path()).collect();
    folders.retain(|path| path.to_string_lossy().contains("-peers-"));
    folders.sort();
    folders
}

#[test]
fn recorded_results_of_every_version_make_one_page_that_needs_nothing_from_outside() {
    let all = gather(&recorded()).expect("results");
    assert!(all.sources.len() >= 8 && all.compared.len() > 100 && all.parties.len() >= 8);
    let page = kernels::page(&all).expect("a page");
    for outside in ["http://", "https://", "src=", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for part in ["tfhe-ntt", "pairwise masks", "who can read one update", "every client", "identical code"] {
        assert!(page.contains(part), "{part}");
    }
    let markdown = export::markdown(&all);
    assert!(markdown.len() <= 64 << 10 && markdown.contains("| tfhe-ntt"), "{}", markdown.len());
    assert!(export::csv(&all).lines().count() > 3 * all.compared.len());
}

#[test]
fn what_a_result_says_cannot_become_markup() {
    let mut all = gather(&recorded()[..1]).expect("results");
    all.sources[0].id = "<script>alert(1)</script>".to_owned();
    for row in &mut all.compared {
        row.peer = "<img src=x>".to_owned();
        row.kernel = "\"><b>".to_owned();
    }
    let page = kernels::page(&all).expect("a page");
    for bad in ["<script>alert", "<img", "<b>\u{3c}"] {
        assert!(!page.contains(bad), "{bad}");
    }
}

#[test]
fn a_matrix_is_no_part_of_such_a_page() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let matrix = fs::read_dir(results).expect("results").flatten().map(|entry| entry.path());
    let matrix: Vec<PathBuf> = matrix.filter(|path| path.to_string_lossy().contains("-matrix-")).take(1).collect();
    let failure = gather(&matrix).expect_err("a matrix has a page of its own");
    assert_eq!(failure.code(), 2);
}

#[test]
fn a_matrix_is_exported_cell_by_cell() {
    use tensorguard::matrix::export::{csv, junit, markdown, open_metrics};
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let folders = fs::read_dir(results).expect("results").flatten().map(|entry| entry.path());
    let folder = folders.filter(|path| path.to_string_lossy().contains("-matrix-")).min().expect("a recorded matrix");
    let record = tensorguard::matrix::run::read(&folder).expect("a matrix");
    let cells = record.matrix.len();
    // Two arms, two totals, and the heading.
    assert_eq!(csv(&record).lines().count(), 4 * cells + 1);
    let (xml, metrics, page) = (junit(&record), open_metrics(&record), markdown(&record));
    assert_eq!(xml.matches("<testcase ").count(), cells + record.cells.len());
    assert!(metrics.ends_with("# EOF\n") && metrics.contains("tensorguard_active_seconds{cell=\"imitation-"));
    assert!(page.len() <= 64 << 10 && record.matrix.iter().all(|cell| page.contains(&cell.cell)));
}
