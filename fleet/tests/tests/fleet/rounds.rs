//! Rounds as they should go.

use crate::parties::*;

#[test]
fn robots_get_the_mean_of_their_updates_and_the_server_sees_none_of_them() {
    let (robots, length) = (4u8, 40_000);
    let fleet = Fleet::new("mean", robots, length);
    let server = serve(&fleet, fleet.disk());
    let arms = run_everybody(&fleet, server.address, 0..robots);
    check_mean(&arms, robots, length);
    assert!(server.desk.is_over(), "{}", server.desk.told());
    // What was uploaded is gone with its round, the mean too.
    assert_eq!(std::fs::read_dir(fleet.path("server/state/uploads")).unwrap().count(), 0);
    assert!(!fleet.path("holder/mean-0-0").exists());
}
