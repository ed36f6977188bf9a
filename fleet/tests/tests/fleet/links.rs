//! Links that break.

use crate::parties::*;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Passes connections on to the server, and cuts each after so many bytes from the robot.
struct Scissors {
    address: SocketAddr,
    carried: Arc<AtomicUsize>,
    cuts: Arc<AtomicUsize>,
}

fn scissors(server: SocketAddr, after: usize) -> Scissors {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (carried, cuts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, cut) = (carried.clone(), cuts.clone());
    std::thread::spawn(move || {
        for robot in listener.incoming() {
            let (Ok(mut robot), Ok(mut server)) = (robot, TcpStream::connect(server)) else { return };
            let (mut back, mut to_robot) = (server.try_clone().unwrap(), robot.try_clone().unwrap());
            std::thread::spawn(move || {
                // Ends when either side does.
                let _ = std::io::copy(&mut back, &mut to_robot);
            });
            let (count, cut) = (count.clone(), cut.clone());
            std::thread::spawn(move || {
                let (mut left, mut buffer) = (after, [0; 4096]);
                while left > 0 {
                    let Ok(read @ 1..) = robot.read(&mut buffer) else { return };
                    let read = read.min(left);
                    if server.write_all(&buffer[..read]).is_err() {
                        return;
                    }
                    left -= read;
                    count.fetch_add(read, Ordering::SeqCst);
                }
                cut.fetch_add(1, Ordering::SeqCst);
                // A connection that is gone already needs no cut.
                let _ = (robot.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
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
    let link = scissors(server.address, 200_000);
    let arms = run_with(&fleet, server.address, |_| link.address, 0..robots);
    check_mean(&arms, robots, length);
    let upload = fleet.plan.terms.round().unwrap().agreement().upload_len();
    let (carried, cuts) = (link.carried.load(Ordering::SeqCst), link.cuts.load(Ordering::SeqCst));
    assert!(cuts >= 2 * (upload / 200_000), "{cuts} cuts");
    // Each cut costs at most a chunk and a buffer, and what it takes to ask again: no upload began anew.
    let most = 2 * upload + (cuts + 4) * (65_536 + 40_000);
    assert!(carried < most, "{carried} bytes for two uploads of {upload}, {cuts} cuts");
}
