//! What memory a round takes, in a process of its own: beside other tests in one process the peak is anybody's.
#![cfg(target_os = "linux")]

use std::process::Command;

#[test]
fn a_round_needs_memory_for_its_uploads() {
    let output = Command::new(env!("CARGO_BIN_EXE_tensorguard")).args(["round-memory", "--values", "200000"]).output();
    let output = output.expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let needed: Option<u64> = serde_json::from_slice(&output.stdout).expect("a number or null");
    // Eight uploads are kept.
    assert!(needed.is_none_or(|bytes| bytes > 8 * 400_000 && bytes < 1 << 30), "{needed:?}");
}
