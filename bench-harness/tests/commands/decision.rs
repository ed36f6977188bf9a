//! Verdicts on synthetic samples whose right answer is known.

use serde_json::{Number, json};
use std::collections::BTreeMap;
use tensorguard::decision::{Decision, Exception, Outcome, Terms, export};
use tensorguard::machine::Machine;
use tensorguard::record::fold::{Journal, fold};
use tensorguard::record::{Environment, Header, Label, Line, Measure, Sample, config_sha256};
use tensorguard::stats::Random;

/// How one metric behaves: each arm over the base, and how far samples scatter.
#[derive(Clone, Copy)]
struct Behaviour {
    candidate: f64,
    again: f64,
    injected: f64,
    /// In fresh processes, if they were asked.
    repeated: Option<f64>,
    noise: f64,
    turns: u32,
}

const QUIET: Behaviour =
    Behaviour { candidate: 1.0, again: 1.0, injected: 1.03, repeated: None, noise: 0.002, turns: 40 };

fn header(terms: &Terms) -> Line {
    let config = BTreeMap::from([("terms".to_owned(), json!(terms))]);
    Line::Header(Header {
        version: 2,
        id: "synthetic".into(),
        command: "ab".into(),
        begin_utc: String::new(),
        program: String::new(),
        binary_sha256: None,
        built_from: None,
        git: None,
        argv: vec![],
        seed: 0,
        config_sha256: config_sha256(&config),
        config,
        corpus_sha256: None,
    })
}

fn stage(cell: &str, stage: &str) -> Line {
    let (cell, stage, item) = (cell.to_owned(), stage.to_owned(), "run".to_owned());
    Line::Stage { cell, stage, label: Label::M, item, items: 1, formula: None }
}

fn sample(cell: &str, stage: &str, arm: &str, turn: u32, measure: Measure, value: u64) -> Line {
    let (cell, stage, arm) = (cell.to_owned(), stage.to_owned(), arm.to_owned());
    let values = BTreeMap::from([(measure, Number::from(value))]);
    Line::Sample(Sample { cell, stage, arm, turn, repetitions: 1, values })
}

fn lines(terms: &Terms, metrics: &[(&str, Behaviour)]) -> Vec<Line> {
    let environment = Environment { machine: Machine::look(), engine: "none".into(), gpu: None };
    let mut lines = vec![header(terms), Line::Environment(environment)];
    let mut random = Random(7);
    for &(cell, Behaviour { candidate, again, injected, repeated, noise, turns }) in metrics {
        let mut time = |factor: f64| {
            let scatter = random.below(2001) as f64 / 1000.0 - 1.0;
            (1e7 * factor * (1.0 + noise * scatter)) as u64
        };
        lines.push(Line::Cell { cell: cell.into(), properties: BTreeMap::new() });
        lines.push(stage(cell, "time"));
        for turn in 0..turns {
            for (arm, factor) in [("base", 1.0), ("candidate", candidate), ("again", again), ("injected", injected)] {
                lines.push(sample(cell, "time", arm, turn, Measure::CpuNs, time(factor)));
            }
        }
        if let Some(repeated) = repeated {
            lines.push(stage(cell, "repeat"));
            for turn in 0..turns {
                for (arm, factor) in [("base", 1.0), ("candidate", repeated)] {
                    lines.push(sample(cell, "repeat", arm, turn, Measure::CpuNs, time(factor)));
                }
            }
        }
    }
    lines
}

fn decide(terms: &Terms, metrics: &[(&str, Behaviour)]) -> Decision {
    let journal = Journal { lines: lines(terms, metrics), sha256: String::new() };
    fold(&journal).expect("a journal").decision.expect("it has terms")
}

fn outcome(behaviour: Behaviour) -> Outcome {
    decide(&Terms::default(), &[("a", behaviour)]).outcome
}

#[test]
fn an_unchanged_candidate_passes_and_so_does_a_faster_one() {
    assert_eq!(outcome(QUIET), Outcome::Pass);
    assert_eq!(outcome(Behaviour { candidate: 0.8, ..QUIET }), Outcome::Pass);
    assert_eq!(outcome(Behaviour { candidate: 1.01, ..QUIET }), Outcome::Pass, "less than delta is allowed");
}

#[test]
fn a_slower_candidate_fails_once_fresh_processes_agree() {
    let slower = Behaviour { candidate: 1.05, ..QUIET };
    assert_eq!(outcome(slower), Outcome::Inconclusive, "it was not repeated");
    assert_eq!(outcome(Behaviour { repeated: Some(1.05), ..slower }), Outcome::Fail);
    assert_eq!(outcome(Behaviour { repeated: Some(1.0), ..slower }), Outcome::Inconclusive, "a layout, not the code");
    let decision = decide(&Terms::default(), &[("a", Behaviour { repeated: Some(1.05), ..slower })]);
    assert_eq!(decision.verdict().map_err(|failure| failure.code()), Err(3));
}

#[test]
fn a_candidate_at_the_threshold_is_inconclusive() {
    assert_eq!(outcome(Behaviour { candidate: 1.02, ..QUIET }), Outcome::Inconclusive);
}

#[test]
fn a_check_whose_injected_slowdown_does_not_show_is_unfit_whatever_the_candidate_does() {
    for candidate in [0.9, 1.0, 1.05, 2.0] {
        let blind = Behaviour { candidate, injected: 1.0, repeated: Some(candidate), ..QUIET };
        let decision = decide(&Terms::default(), &[("a", blind)]);
        assert_eq!(decision.outcome, Outcome::Unfit, "{candidate}");
        assert_eq!(decision.verdict().map_err(|failure| failure.code()), Err(5));
        assert!(decision.rows[0].why.contains("injected slowdown of 3.0 %"), "{}", decision.rows[0].why);
    }
}

#[test]
fn a_check_whose_identical_code_differs_is_unfit() {
    for again in [1.04, 0.96] {
        assert_eq!(outcome(Behaviour { again, injected: 1.5, ..QUIET }), Outcome::Unfit, "{again}");
    }
}

#[test]
fn fewer_pairs_than_an_interval_takes_prove_nothing() {
    let few = |turns| decide(&Terms::default(), &[("a", Behaviour { turns, ..QUIET })]);
    assert_eq!(few(6).outcome, Outcome::Pass);
    let decision = few(5);
    assert!(decision.outcome == Outcome::Unfit && decision.rows[0].why.contains("5 pairs"), "{:?}", decision.rows);
}

#[test]
fn noise_widens_the_threshold_and_the_blind_spot_is_stated() {
    // Identical code is off by 0.9 %: with 1.8 % to a threshold of 1 %, an injected 1.5 % can no longer be seen.
    let terms = Terms { delta: 0.01, ..Terms::default() };
    let decision = decide(&terms, &[("a", Behaviour { again: 1.009, injected: 1.015, ..QUIET })]);
    assert_eq!(decision.outcome, Outcome::Unfit);
    assert!((0.017..0.022).contains(&decision.blind_below), "{}", decision.blind_below);
    assert!(decision.to_string().contains("blind below 1.9 %") || decision.to_string().contains("blind below 2.0 %"));
    // The same noise in any other metric of the session counts too.
    let noisy = Behaviour { again: 1.009, injected: 1.10, ..QUIET };
    let decision = decide(&terms, &[("a", QUIET), ("b", noisy)]);
    assert!(decision.rows[0].delta > 0.017 && decision.rows[1].delta > 0.017, "{decision}");
}

#[test]
fn few_pairs_cannot_fail_many_metrics() {
    // Six pairs, all slower: p = 1/64. Alone that is below 5 %; as one of forty, Holm asks for 5 % / 40.
    let slow = Behaviour { candidate: 1.10, repeated: Some(1.10), turns: 6, noise: 0.0005, ..QUIET };
    let names: Vec<String> = (0..40).map(|index| format!("m{index:02}")).collect();
    let mut metrics: Vec<(&str, Behaviour)> = names.iter().map(|name| (name.as_str(), QUIET)).collect();
    assert_eq!(decide(&Terms::default(), &[("m00", slow)]).rows[0].outcome, Outcome::Fail);
    metrics[0].1 = slow;
    let row = decide(&Terms::default(), &metrics).rows.remove(0);
    assert_eq!(row.outcome, Outcome::Inconclusive, "{}", row.why);
    assert!(row.p_value.is_some_and(|p| (p - 1.0 / 64.0).abs() < 1e-9), "{:?}", row.p_value);
}

#[test]
fn the_worst_row_decides_and_failing_comes_before_unfit() {
    let slow = Behaviour { candidate: 1.2, repeated: Some(1.2), ..QUIET };
    let unfit = Behaviour { injected: 1.0, ..QUIET };
    assert_eq!(decide(&Terms::default(), &[("a", QUIET), ("b", unfit)]).outcome, Outcome::Unfit);
    assert_eq!(decide(&Terms::default(), &[("a", QUIET), ("b", unfit), ("c", slow)]).outcome, Outcome::Fail);
}

#[test]
fn terms_may_differ_between_metrics_and_those_that_cannot_be_are_refused() {
    let exception = Exception { name: "round".into(), delta: 0.2 };
    let terms = Terms { metric: vec![exception], ..Terms::default() };
    let slow = Behaviour { candidate: 1.1, injected: 1.3, repeated: Some(1.1), ..QUIET };
    let decision = decide(&terms, &[("round-encrypt", slow), ("seal", slow)]);
    assert_eq!((decision.rows[0].outcome, decision.rows[1].outcome), (Outcome::Pass, Outcome::Fail));
    let parsed = Terms::parse("delta = 0.01\n[[metric]]\nname = \"round\"\ndelta = 0.2\n").expect("terms");
    assert_eq!((parsed.delta("round-add"), parsed.delta("sum")), (0.2, 0.01));
    for text in
        ["delta = -1", "delta = 0", "delta = nan", "delt = 0.1", "alpha = 0", "most_pairs = 5", "x", "instructions = 7"]
    {
        assert_eq!(Terms::parse(text).map_err(|failure| failure.code()).err(), Some(2), "{text}");
    }
}

#[test]
fn bytes_and_instructions_are_compared_exactly() {
    let verdict = |measure, candidate, terms: &Terms| {
        let mut all = lines(terms, &[("a", QUIET)]);
        all.push(stage("a", "exact"));
        all.push(sample("a", "exact", "base", 0, measure, 1000));
        all.push(sample("a", "exact", "candidate", 0, measure, candidate));
        fold(&Journal { lines: all, sha256: String::new() }).expect("a journal").decision.expect("terms").outcome
    };
    let (free, limited) = (Terms::default(), Terms { instructions: Some(0.01), ..Terms::default() });
    assert_eq!(verdict(Measure::WireBytes, 1000, &free), Outcome::Pass);
    assert_eq!(verdict(Measure::WireBytes, 1001, &free), Outcome::Fail, "one byte more is more");
    assert_eq!(verdict(Measure::WireBytes, 999, &free), Outcome::Pass);
    assert_eq!(verdict(Measure::Instructions, 2000, &free), Outcome::Pass, "only shown without a limit");
    assert_eq!(verdict(Measure::Instructions, 1010, &limited), Outcome::Pass);
    assert_eq!(verdict(Measure::Instructions, 1011, &limited), Outcome::Fail);
}

/// One metric that was measured, and one that a build does not know.
fn with_unknown(to: &str, measured: &[(&str, Behaviour)]) -> Decision {
    let terms = Terms::default();
    let mut all = lines(&terms, measured);
    let properties = BTreeMap::from([("unknown_to".to_owned(), to.into())]);
    let reason = format!("the {to} does not know this|metric");
    all.push(Line::NotRun { cell: "unknown".into(), properties, reason });
    fold(&Journal { lines: all, sha256: String::new() }).expect("a journal").decision.expect("terms")
}

#[test]
fn a_metric_that_was_not_measured_is_a_row_and_never_a_silent_pass() {
    let code = |decision: &Decision| decision.verdict().map_err(|failure| failure.code());
    let new = with_unknown("base", &[("a", QUIET)]);
    assert_eq!((new.outcome, code(&new)), (Outcome::Pass, Ok(())), "a new metric holds nothing up");
    let lost = with_unknown("candidate", &[("a", QUIET)]);
    assert_eq!((lost.outcome, code(&lost)), (Outcome::Unfit, Err(5)));
    let nothing = with_unknown("base", &[]);
    assert_eq!((nothing.outcome, code(&nothing)), (Outcome::Skipped, Err(4)));
    for (decision, word, junit) in [
        (&new, "SKIPPED", "<skipped message=\"the base"),
        (&lost, "UNFIT", "<error type=\"UNFIT\" message=\"the candidate"),
    ] {
        let said = decision.to_string();
        assert!(said.contains(word) && said.contains("does not know this"), "{said}");
        assert!(export::junit(decision).contains(junit), "{}", export::junit(decision));
        let markdown = export::markdown(decision);
        assert!(
            markdown.contains(&format!("| {word} | unknown |")) && markdown.contains("this\\|metric"),
            "{markdown}"
        );
    }
    assert!(export::junit(&new).contains("tests=\"2\" failures=\"0\" errors=\"0\" skipped=\"1\""));
    assert_eq!(nothing.noise, None);
    assert!(nothing.to_string().contains("not measured.") && export::markdown(&nothing).contains("not measured."));
}

#[test]
fn reports_for_machines_say_what_was_decided() {
    let slow = Behaviour { candidate: 1.2, repeated: Some(1.2), ..QUIET };
    let unfit = Behaviour { injected: 1.0, ..QUIET };
    let decision = decide(&Terms::default(), &[("a<b>&\"c\"", slow), ("u", unfit), ("p|q", QUIET)]);
    let junit = export::junit(&decision);
    assert!(
        junit.contains("tests=\"3\" failures=\"1\" errors=\"1\"") && junit.contains("a&lt;b&gt;&amp;&quot;c&quot;")
    );
    assert!(junit.contains("<error type=\"UNFIT\""), "{junit}");
    let markdown = export::markdown(&decision);
    assert!(markdown.contains("in fresh processes |"), "why a row failed: {markdown}");
    assert!(markdown.starts_with("### TensorGuard: FAIL") && markdown.contains("p\\|q"), "{markdown}");
    assert!(markdown.len() < 65_536);
    let metrics = export::open_metrics(&decision);
    assert!(metrics.ends_with("# EOF\n") && metrics.contains("metric=\"a<b>&\\\"c\\\"\""), "{metrics}");
    assert!(metrics.contains("tensorguard_passed{metric=\"u\",measure=\"cpu_ns\"} 0"));
}

#[test]
fn several_threads_are_judged_by_elapsed_time_whatever_they_cost() {
    // CPU and elapsed time of the candidate over the base; identical code has the clock that counts alone.
    let decided = |cpu: f64, wall: f64| {
        let terms = Terms::default();
        let mut lines = lines(&terms, &[]);
        lines.push(Line::Cell { cell: "a".into(), properties: BTreeMap::new() });
        for (name, arms) in
            [("time", &["base", "candidate", "again", "injected"][..]), ("repeat", &["base", "candidate"])]
        {
            lines.push(stage("a", name));
            for turn in 0..40 {
                for &arm in arms {
                    let factor = |candidate| match arm {
                        "candidate" => candidate,
                        "injected" => 1.03,
                        _ => 1.0,
                    };
                    // A little apart from turn to turn, and from arm to arm.
                    let scatter = 1.0 + f64::from((turn * 7 + arm.len() as u32) % 5) * 1e-4;
                    let mut values =
                        BTreeMap::from([(Measure::WallNs, ((1e7 * scatter * factor(wall)) as u64).into())]);
                    if arm != "again" {
                        values.insert(Measure::CpuNs, ((2e7 * scatter * factor(cpu)) as u64).into());
                    }
                    let (cell, stage, arm) = ("a".to_owned(), name.to_owned(), arm.to_owned());
                    lines.push(Line::Sample(Sample { cell, stage, arm, turn, repetitions: 1, values }));
                }
            }
        }
        let journal = Journal { lines, sha256: String::new() };
        let decision = fold(&journal).expect("a journal").decision.expect("it has terms");
        decision.rows.iter().map(|row| (row.measure, row.outcome)).collect::<Vec<_>>()
    };
    assert_eq!(decided(1.2, 1.0), [(Measure::WallNs, Outcome::Pass)], "dearer, and as fast");
    assert_eq!(decided(1.0, 1.05), [(Measure::WallNs, Outcome::Fail)]);
}
