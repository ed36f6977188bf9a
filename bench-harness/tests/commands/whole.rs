//! A cell that goes end to end, through the command: processes over TLS, a paced link, a record that can be computed again.

use crate::scratch::Scratch;
use std::fs;
use std::process::{Command, Output};
use tensorguard::matrix::whole::WholeOutcome;
use tensorguard::record::journal::RESULT;
use tensorguard::record::{Label, Record};

fn tensorguard(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tensorguard")).args(arguments).output().expect("the command runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

const FILTER: &str = "clients==10 && net==100mbit";

/// One fleet over links of this kind, and its record, which says so.
fn goes_end_to_end(kind: &str) -> WholeOutcome {
    let parent = Scratch::new(&format!("whole-{kind}"));
    let out = parent.to_string_lossy().into_owned();
    let demand = ["run", "--link", kind, "--filter", FILTER, "--out", &out, "--require"];
    let refused = tensorguard(&[&demand[..], &["M"]].concat());
    assert_eq!(refused.status.code(), Some(7), "such a link is emulated: {}", told(&refused));
    let output = tensorguard(&[&demand[..], &["M,E"]].concat());
    assert!(output.status.success(), "{}", told(&output));
    let folder = fs::read_dir(&parent).expect("a folder").flatten().next().expect("one result").path();
    let record: Record = serde_json::from_slice(&fs::read(folder.join(RESULT)).expect("a result")).expect("a record");
    let [whole] = &record.end_to_end[..] else { panic!("{:?}", record.end_to_end) };
    assert!(record.matrix.is_empty() && whole.composed_s.is_none(), "nothing is derived");
    assert_eq!((whole.label, whole.clients, whole.deployed), (Label::E, 10, 1), "{whole:?}");
    let verified = tensorguard(&["verify", &folder.to_string_lossy()]);
    assert!(verified.status.success(), "{}", told(&verified));
    let page = fs::read_to_string(folder.join("report.html")).expect("a page");
    let cell = format!("imitation-10x10kb-100mbit-{kind}");
    assert!(page.contains(&cell));
    let [csv, junit] = ["cells.csv", "cells.xml"].map(|name| parent.join(name).to_string_lossy().into_owned());
    let reported = tensorguard(&["report", &folder.to_string_lossy(), "--csv", &csv, "--junit", &junit]);
    assert!(reported.status.success(), "a record without composed cells: {}", told(&reported));
    for file in [&csv, &junit] {
        assert!(fs::read_to_string(file).expect("a file").contains(&cell), "{file}");
    }
    whole.clone()
}

#[test]
fn a_fleet_goes_end_to_end_over_a_paced_link_and_nothing_is_derived() {
    let whole = goes_end_to_end("paced");
    // Nobody is faster than the link that was asked for: 2.5 round trips until the uploads are in, two for each stage.
    assert!(whole.rtt_s >= 0.02 && whole.end_to_end_s > 8.5 * 0.02, "{whole:?}");
}

#[test]
#[ignore = "needs root, iproute2 and the kernel's veth and tbf: cargo test -p tensorguard --test commands whole -- --ignored"]
fn a_fleet_goes_end_to_end_over_links_that_the_kernel_shapes() {
    let whole = goes_end_to_end("netns");
    // The round trip is only held where the kernel has netem.
    assert!(whole.rtt_s > 0.0, "{whole:?}");
}
