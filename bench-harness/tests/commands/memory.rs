//! What memory a round takes, in a process of its own: beside other tests in one process the peak is anybody's.
#![cfg(target_os = "linux")]

use kernels::cpu::Cpu;
use std::io::Write;
use std::process::{Command, Stdio};
use tensorguard::memory::Server;
use tensorguard::rounds::Ours;

#[test]
fn a_round_needs_memory_for_its_uploads() {
    let output = Command::new(env!("CARGO_BIN_EXE_tensorguard")).args(["round-memory", "--values", "200000"]).output();
    let output = output.expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let needed: Option<u64> = serde_json::from_slice(&output.stdout).expect("a number or null");
    // Eight uploads are kept.
    assert!(needed.is_none_or(|bytes| bytes > 8 * 400_000 && bytes < 1 << 30), "{needed:?}");
}

/// Updates of 10 MB in fp32: four uploads on their way and one accumulator, however many robots there are.
#[test]
fn a_server_needs_forty_megabytes_for_any_number_of_robots() {
    let length = 2_500_000;
    let ours = Ours::prepare(&Cpu::best(1), length, 16).expect("a round");
    let above = |uploads: usize| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tensorguard"));
        command.args(["sum-uploads", "--values", &length.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let mut input = child.stdin.take().expect("its input is a pipe");
        (0..uploads).for_each(|index| input.write_all(ours.upload(index)).expect("it reads to the end"));
        drop(input);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "the command failed");
        let server: Server = serde_json::from_slice(&output.stdout).expect("what it needed");
        assert_eq!((server.length, server.uploads), (length, uploads as u64));
        server.peak_bytes - server.before_bytes
    };
    let [few, many] = [8, 100].map(above);
    assert!(few.max(many) <= 40_000_000, "{few} bytes for 8 robots, {many} for 100");
    assert!(many <= few + 2_000_000, "{few} bytes for 8 robots, {many} for 100");
}
