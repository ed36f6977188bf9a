//! Robots that do not keep to the protocol, and what it costs the others: nothing.

use crate::parties::*;
use fleet_client::{Keep, Prepared, prepare};
use folding::lwe::{ForgetfulLog, UpdateId};
use kernels::cpu::Cpu;
use link::{Link, LinkError};
use protocol::{Answer, Id, Refused, Reply, Request, Signed, Terms, Work};
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use std::ops::ControlFlow;
use std::time::Duration;

/// Robot `number`'s upload for these terms.
fn prepared(fleet: &Fleet, number: u8, terms: &Terms, update: u8) -> Prepared {
    let mut rng = ChaCha20Rng::seed_from_u64(u64::from(number) << 8 | u64::from(update));
    let keep = Keep::new(&fleet.path(&format!("robot-{number}")));
    let values = values(number, terms.length);
    let (holder, mut log) = (fleet.holder_key().public(), ForgetfulLog::default());
    let update = (UpdateId([update; 32]), &values[..]);
    prepare(terms, update, &identity(number), &holder, &mut log, &keep, &mut rng, &Cpu::best(1)).unwrap()
}

async fn ask(link: &mut Link, request: Request) -> Reply {
    link.ask(&request, Duration::ZERO).await.unwrap()
}

fn announce(prepared: &Prepared) -> Request {
    Request::Announce { signed: prepared.kept.signed.clone(), leaves: prepared.kept.leaves.clone() }
}

/// The terms that an enrolled robot is told.
async fn told(link: &mut Link) -> Terms {
    assert_eq!(ask(link, Request::Enrol).await, Reply::Noted);
    match link.ask(&Request::Next { running: base() }, Duration::from_secs(5)).await.unwrap() {
        Reply::Work(Work::Update(terms)) => terms,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_lies_about_round_robot_or_bytes_is_refused_and_changes_nothing() {
    let fleet = Fleet::new("liars", 3, 80_000);
    let server = serve(&fleet, fleet.disk());
    block_on(async {
        let mut links: Vec<Link> =
            (0..3).map(|number| fleet.link(&format!("robot-{number}"), server.address)).collect();
        assert!(matches!(
            ask(&mut links[2], Request::Next { running: base() }).await,
            Reply::Refused(Refused::NotEnrolled)
        ));
        assert_eq!(ask(&mut links[1], Request::Enrol).await, Reply::Noted);
        let terms = told(&mut links[0]).await;
        let good = prepared(&fleet, 0, &terms, 1);
        let before = server.desk.fingerprint();
        let other_round = prepared(&fleet, 0, &Terms { round: 1, ..terms.clone() }, 2);
        let other_model = prepared(&fleet, 0, &Terms { model: Id([5; 32]), ..terms.clone() }, 2);
        for lie in [other_round, other_model] {
            assert_eq!(ask(&mut links[0], announce(&lie)).await, Reply::Refused(Refused::OtherRound));
        }
        // Robot 1 sends what robot 0 signed.
        assert!(matches!(ask(&mut links[1], announce(&good)).await, Reply::Refused(Refused::Malformed(_))));
        let cut = Request::Announce { signed: good.kept.signed.clone(), leaves: good.kept.leaves[1..].to_vec() };
        let mut leaves = good.kept.leaves.clone();
        leaves.reverse();
        let swapped = Request::Announce { signed: good.kept.signed.clone(), leaves };
        let long = Signed { signature: vec![0; 9000].into(), ..good.kept.signed.clone() };
        let long = Request::Announce { signed: long, leaves: good.kept.leaves.clone() };
        for lie in [cut, swapped, long] {
            assert!(matches!(ask(&mut links[0], lie).await, Reply::Refused(Refused::Malformed(_))));
        }
        // What is the key holder's to ask.
        let settle = Request::Settle { round: 0, model: base() };
        for wrong in [Request::Ask, Request::Healths { seen: 0 }, settle] {
            assert_eq!(ask(&mut links[0], wrong).await, Reply::Refused(Refused::NotYours));
        }
        assert_eq!(links[0].sum(0, 10).await, Err(LinkError::Refused(Refused::NotYours)));
        assert!(matches!(
            links[0].publish(Id([1; 32]), b"x".to_vec().into()).await,
            Ok(Reply::Refused(Refused::NotYours))
        ));
        let about_nothing = Request::Acknowledge { package: Id([1; 32]), health: protocol::Health::Healthy };
        assert_eq!(ask(&mut links[0], about_nothing).await, Reply::Refused(Refused::NoPackage));
        assert_eq!(server.desk.fingerprint(), before);
    });
}

#[test]
fn a_duplicate_is_answered_as_the_first_and_a_replay_is_refused() {
    let fleet = Fleet::new("replays", 3, 80_000);
    let server = serve(&fleet, fleet.disk());
    block_on(async {
        let mut links: Vec<Link> =
            (0..2).map(|number| fleet.link(&format!("robot-{number}"), server.address)).collect();
        assert_eq!(ask(&mut links[1], Request::Enrol).await, Reply::Noted);
        let terms = told(&mut links[0]).await;
        let first = prepared(&fleet, 0, &terms, 1);
        // Nothing was announced yet.
        let early = links[0].upload(0, first.stream.clone().into()).await;
        assert_eq!(early, Ok(Reply::Refused(Refused::OtherRound)));
        for _ in 0..2 {
            assert_eq!(ask(&mut links[0], announce(&first)).await, Reply::SendFrom(0));
        }
        // Chunks out of order, a changed byte, a byte too many.
        let unordered = links[0].upload(1, first.stream[65536..].to_vec().into()).await;
        assert!(matches!(unordered, Ok(Reply::Refused(_))), "{unordered:?}");
        // More than the sockets between them hold: it is told the reason all the same, and the link goes on.
        let large = links[0].upload(1, vec![0; 16 << 20].into()).await;
        assert!(matches!(large, Ok(Reply::Refused(_))), "{large:?}");
        let mut changed = first.stream.clone();
        changed[70_000] ^= 1;
        assert!(!matches!(links[0].upload(0, changed.into()).await, Ok(Reply::Stored)));
        assert_eq!(ask(&mut links[0], announce(&first)).await, Reply::SendFrom(1));
        let more = [&first.stream[65536..], b"x"].concat();
        assert!(!matches!(links[0].upload(1, more.into()).await, Ok(Reply::Stored)));
        // All of it came: what is left to send is nothing.
        let rest = match ask(&mut links[0], announce(&first)).await {
            Reply::SendFrom(from) => (from, first.stream[(from as usize * 65536).min(first.stream.len())..].to_vec()),
            other => panic!("{other:?}"),
        };
        assert_eq!(links[0].upload(rest.0, rest.1.into()).await, Ok(Reply::Stored));
        let before = server.desk.fingerprint();
        assert_eq!(ask(&mut links[0], announce(&first)).await, Reply::Stored);
        let again = links[0].upload(0, first.stream.clone().into()).await;
        assert_eq!(again, Ok(Reply::Refused(Refused::Second)));
        // Another upload of the same robot, and another robot with the same update.
        let second = prepared(&fleet, 0, &terms, 2);
        assert_eq!(ask(&mut links[0], announce(&second)).await, Reply::Refused(Refused::Second));
        let copied = prepared(&fleet, 1, &terms, 1);
        assert_eq!(ask(&mut links[1], announce(&copied)).await, Reply::Refused(Refused::Replayed));
        assert_eq!(server.desk.fingerprint(), before);
    });
}

#[test]
fn a_robot_that_the_key_holder_does_not_know_is_left_out_of_the_mean() {
    let fleet = Fleet::new("stranger", 4, 1000);
    let server = serve(&fleet, fleet.disk());
    let mut fewer = trust::identity::Registry::default();
    for number in 0..3 {
        fewer.enrol(identity(number).public().clone()).unwrap();
    }
    let (mut answers, mut means) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (fleet, address) = (&fleet, server.address);
            scope.spawn(move || {
                run_robot(fleet, address, &mut Arm::new(number), &mut |news| match news {
                    fleet_client::News::Uploaded { .. } => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                });
            });
        }
        run_holder(&fleet, server.address, &fewer, &mut Kept(&mut means), &mut |news| {
            match news {
                fleet_keyholder::News::Answered { answer, .. } => answers.push(answer),
                fleet_keyholder::News::Settled { .. } => return ControlFlow::Break(()),
                _ => {}
            }
            ControlFlow::Continue(())
        });
    });
    assert_eq!(answers, [Answer::LeaveOut(vec![robot_id(3)]), Answer::Opened]);
    let expected = |index: usize| (0..3u8).map(|number| values(number, 1000)[index]).sum::<f32>() / 3.0;
    assert!(means[0].iter().enumerate().all(|(index, mean)| (mean - expected(index)).abs() <= 1.0 / 127.0));
}
