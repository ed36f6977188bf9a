//! The fleet's commands, as processes.

use std::process::{Command, Output};

fn tensorguard(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tensorguard")).args(arguments).output().expect("the command runs")
}

#[test]
fn the_demo_runs_a_fleet_through_a_killed_server_and_its_means_are_right() {
    let output = tensorguard(&["demo", "--robots", "3", "--synthetic", "2000", "--rounds", "2"]);
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    for line in ["the server is killed", "round 0: 3 of 3 robots run version 1", "round 1: 3 of 3 robots run version 2"]
    {
        assert!(told.contains(line), "no {line:?} in\n{told}");
    }
}

#[test]
fn a_folder_that_is_none_is_a_usage_error_that_says_who_makes_it() {
    let server = tensorguard(&["server", "--folder", "nowhere", "--robots", "20"]);
    let robot = tensorguard(&["robot", "--folder", "nowhere", "--server", "127.0.0.1:1", "--update", "x"]);
    let holder = tensorguard(&["keyholder", "--folder", "nowhere", "--server", "127.0.0.1:1", "--registry", "x"]);
    for output in [server, robot, holder] {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains("tensorguard authority"), "{errors}");
    }
}
