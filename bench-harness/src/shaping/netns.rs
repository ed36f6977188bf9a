//! Links that the kernel shapes: each robot in a network namespace of its own, at the end of a pair of virtual wires. A token
//! bucket (tbf) holds the rate either way; netem the delay, where the kernel has it.

use crate::failure::Failure;
use crate::matrix::grid::Link;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

/// Two frames: what fits into the bucket goes at once, so it must be little beside any payload.
const BURST_BYTES: u32 = 3028;
/// The most robots: addresses end in a byte.
const MOST_ROBOTS: u32 = 200;

/// A namespace for each robot, removed when dropped.
#[derive(Debug)]
pub struct Spaces {
    subnet: u8,
    names: Vec<String>,
    delay: Delay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delay {
    /// netem holds it.
    Held,
    /// The kernel has no netem.
    None,
}

impl Drop for Spaces {
    fn drop(&mut self) {
        for name in &self.names {
            // Its end of the wire goes with it, and so does the other. What cannot be removed is told by the next run.
            let _ = run("ip", &["netns", "delete", name]);
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {}", arguments.join(" "), said.trim()))
}

impl Spaces {
    /// Makes them.
    ///
    /// # Errors
    /// [`Failure::Unfit`] where this machine cannot, with what its tools said.
    pub fn open(link: Link, robots: u32) -> Result<Self, Failure> {
        let refused = |why: String| {
            Failure::Unfit(format!(
                "network namespaces with shaped links want root, iproute2 and the kernel's veth and tbf; here: {why}"
            ))
        };
        if robots > MOST_ROBOTS {
            return Err(refused(format!("{robots} robots, there are addresses for {MOST_ROBOTS}")));
        }
        let process = std::process::id();
        let mut spaces = Self { subnet: (process % 250) as u8 + 1, names: Vec::new(), delay: Delay::Held };
        for robot in 0..robots {
            let name = format!("tg{process}-{robot}");
            run("ip", &["netns", "add", &name]).map_err(refused)?;
            spaces.names.push(name);
            spaces.wire(link, robot).map_err(refused)?;
        }
        Ok(spaces)
    }

    fn address(&self, robot: u32) -> String {
        format!("10.213.{}.{}", self.subnet, 10 + robot)
    }

    /// A pair of wires from the server's side into a robot's namespace.
    fn wire(&mut self, link: Link, robot: u32) -> Result<(), String> {
        let (space, host, own) = (self.names[robot as usize].clone(), self.host().to_string(), self.address(robot));
        let (near, far) = (format!("tgs{}-{robot}", std::process::id()), "uplink");
        run("ip", &["link", "add", &near, "type", "veth", "peer", "name", far, "netns", &space])?;
        run("ip", &["address", "add", &host, "peer", &own, "dev", &near])?;
        run("ip", &["link", "set", &near, "up"])?;
        run("ip", &["-n", &space, "address", "add", &own, "peer", &host, "dev", far])?;
        run("ip", &["-n", &space, "link", "set", far, "up"])?;
        run("ip", &["-n", &space, "link", "set", "lo", "up"])?;
        let (rate, burst) = (format!("{}mbit", link.mbit_per_s), BURST_BYTES.to_string());
        let tbf = ["root", "handle", "1:", "tbf", "rate", &rate, "burst", &burst, "latency", "200ms"];
        // Half of the round trip either way.
        let half = format!("{}us", 500 * link.rtt_ms);
        let netem = ["parent", "1:1", "handle", "10:", "netem", "delay", &half, "limit", "100000"];
        for (inside, device) in [(&[][..], near.as_str()), (&["-n", &space][..], far)] {
            let qdisc = |what: &[&str]| run("tc", &[inside, &["qdisc", "add", "dev", device], what].concat());
            qdisc(&tbf)?;
            if qdisc(&netem).is_err() {
                self.delay = Delay::None;
            }
        }
        Ok(())
    }

    /// The server's side.
    #[must_use]
    pub fn host(&self) -> IpAddr {
        Ipv4Addr::new(10, 213, self.subnet, 1).into()
    }

    /// What starts a process in a robot's namespace.
    #[must_use]
    pub fn through(&self, robot: u32) -> Vec<String> {
        let name = self.names.get(robot as usize).cloned().unwrap_or_default();
        ["ip", "netns", "exec"].map(str::to_owned).into_iter().chain([name]).collect()
    }

    /// What is not as asked for.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        (self.delay == Delay::None).then(|| {
            "this kernel has no netem, so the delay is not held: the round trip is the calibrated one".to_owned()
        })
    }
}
