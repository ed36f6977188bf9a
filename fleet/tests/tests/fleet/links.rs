//! Links that break.

use crate::parties::*;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whose bytes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Party,
    Server,
}

/// Passes connections on to the server, and cuts each after so many bytes from one end.
struct Scissors {
    address: SocketAddr,
    carried: Arc<AtomicUsize>,
    cuts: Arc<AtomicUsize>,
}

fn scissors(server: SocketAddr, end: End, after: usize) -> Scissors {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (carried, cuts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, cut) = (carried.clone(), cuts.clone());
    std::thread::spawn(move || {
        for party in listener.incoming() {
            let (Ok(party), Ok(server)) = (party, TcpStream::connect(server)) else { return };
            let (mut from, mut to) = match end {
                End::Party => (party, server),
                End::Server => (server, party),
            };
            let (mut back, mut forth) = (to.try_clone().unwrap(), from.try_clone().unwrap());
            std::thread::spawn(move || {
                // Ends when either side does.
                let _ = std::io::copy(&mut back, &mut forth);
                // A connection that is gone already needs no end.
                let _ = forth.shutdown(Shutdown::Both);
            });
            let (count, cut) = (count.clone(), cut.clone());
            std::thread::spawn(move || {
                let (mut left, mut buffer) = (after, [0; 4096]);
                while left > 0 {
                    let Ok(read @ 1..) = from.read(&mut buffer) else { break };
                    let read = read.min(left);
                    if to.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                    left -= read;
                    count.fetch_add(read, Ordering::SeqCst);
                }
                cut.fetch_add(usize::from(left == 0), Ordering::SeqCst);
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            });
        }
    });
    Scissors { address, carried, cuts }
}

#[test]
fn an_upload_over_a_link_that_breaks_goes_on_where_it_was() {
    let (robots, length) = (2u8, 250_000);
    let fleet = Fleet::new("cuts", robots, length);
    let server = serve(&fleet, fleet.disk());
    let link = scissors(server.address, End::Party, 200_000);
    let arms = run_with(&fleet, server.address, |_| link.address, 0..robots);
    check_mean(&arms, robots, length);
    let upload = fleet.plan.terms.round().unwrap().agreement().upload_len();
    let (carried, cuts) = (link.carried.load(Ordering::SeqCst), link.cuts.load(Ordering::SeqCst));
    assert!(cuts >= 2 * (upload / 200_000), "{cuts} cuts");
    // Each cut costs at most a chunk and a buffer, and what it takes to ask again: no upload began anew.
    let most = 2 * upload + (cuts + 4) * (65_536 + 40_000);
    assert!(carried < most, "{carried} bytes for two uploads of {upload}, {cuts} cuts");
}

/// The sum on its way to the key holder, the package on its way to the robots.
#[test]
fn a_sum_and_packages_over_links_that_break_go_on_where_they_were() {
    let (robots, length, after) = (2u8, 250_000, 200_000);
    let fleet = Fleet::new("cuts-back", robots, length);
    let server = serve(&fleet, fleet.disk());
    let [to_robots, to_holder] = [(); 2].map(|()| scissors(server.address, End::Server, after));
    let arms = run_with(&fleet, to_holder.address, |_| to_robots.address, 0..robots);
    check_mean(&arms, robots, length);
    let round = fleet.plan.terms.round().unwrap();
    let (sum, package) = (round.agreement().sum_len(), 4 * length as usize);
    for (link, expected) in [(to_robots, 2 * package), (to_holder, sum)] {
        let (carried, cuts) = (link.carried.load(Ordering::SeqCst), link.cuts.load(Ordering::SeqCst));
        assert!(cuts >= expected / after, "{cuts} cuts");
        // Each cut costs at most a record of TLS, and what it takes to connect and ask again: nothing began anew.
        let most = expected + (cuts + 8) * (17_000 + 8_000);
        assert!(carried < most, "{carried} bytes for {expected}, {cuts} cuts");
    }
}
