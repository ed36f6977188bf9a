//! How robots reach a server that is really there: over the bare loopback, through a pacer, or through network namespaces whose
//! links the kernel shapes. Whatever it is, it is measured before it is used.

pub mod netns;
pub mod paced;
pub mod probe;

use crate::failure::Failure;
use crate::matrix::grid::Link;
use crate::record::Label;
use crate::stats::median;
use netns::Spaces;
use paced::Pacer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// How robots reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Shaping {
    /// Over the bare loopback; transfers of the matrix are derived by formula.
    #[value(name = "model")]
    Loopback,
    /// Through a pacer in this program: honest below 100 Mbit/s, or from 1 MB up.
    Paced,
    /// Through network namespaces that the kernel shapes; wants root.
    Netns,
}

impl Shaping {
    /// The name in files and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Paced => "paced",
            Self::Netns => "netns",
        }
    }

    /// What a time over it is.
    #[must_use]
    pub fn label(self) -> Label {
        match self {
            Self::Loopback => Label::M,
            Self::Paced | Self::Netns => Label::E,
        }
    }
}

/// A link as it was found: raw times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// A byte there and a byte back.
    pub rtt_ns: Vec<u64>,
    /// Bytes of a small transfer to the server.
    pub small_bytes: u64,
    /// Until its answer is there.
    pub small_ns: Vec<u64>,
    /// Bytes of a bulk transfer.
    pub bulk_bytes: u64,
    /// To the server, until the answer is there.
    pub bulk_ns: Vec<u64>,
    /// From the server, from the question on.
    pub bulk_down_ns: Vec<u64>,
}

fn middle_s(times_ns: &[u64]) -> f64 {
    // Of nothing there is no middle: a file that has none gives no figure that could pass for one.
    if times_ns.is_empty() {
        return f64::NAN;
    }
    median(&times_ns.iter().map(|&ns| ns as f64 * 1e-9).collect::<Vec<_>>())
}

impl Calibration {
    /// The round trip.
    #[must_use]
    pub fn rtt_s(&self) -> f64 {
        middle_s(&self.rtt_ns)
    }

    /// What is carried to the server.
    #[must_use]
    pub fn bits_per_s(&self) -> f64 {
        self.rate(&self.bulk_ns)
    }

    /// What is carried from the server.
    #[must_use]
    pub fn bits_per_s_down(&self) -> f64 {
        self.rate(&self.bulk_down_ns)
    }

    fn rate(&self, times_ns: &[u64]) -> f64 {
        self.bulk_bytes as f64 * 8.0 / (middle_s(times_ns) - self.rtt_s())
    }

    /// A bulk and a small transfer over what they should take: the round trip that was found, and bytes * 8 / the rate that was asked
    /// for.
    #[must_use]
    pub fn over(&self, link: Option<Link>) -> [Option<f64>; 2] {
        let over = |bytes: u64, times_ns: &[u64]| {
            let link = link?;
            let asked = self.rtt_s() + bytes as f64 * 8.0 / (f64::from(link.mbit_per_s) * 1e6);
            Some(middle_s(times_ns) / asked)
        };
        [over(self.bulk_bytes, &self.bulk_ns), over(self.small_bytes, &self.small_ns)]
    }
}

/// A way for robots, set up and ready to be measured and used.
#[derive(Debug)]
pub enum Route {
    /// Nothing in between.
    Loopback,
    /// A pacer for each server.
    Paced(Link),
    /// A namespace for each robot.
    Netns(Spaces),
}

/// What robots connect to; it leads to a server as long as it is there.
#[derive(Debug)]
pub struct Way {
    /// Host and port.
    pub address: SocketAddr,
    _pacer: Option<Pacer>,
}

impl Route {
    /// Sets it up for so many robots.
    ///
    /// # Errors
    /// [`Failure::Unfit`] where this machine cannot, saying what would help.
    pub fn open(shaping: Shaping, link: Option<Link>, robots: u32) -> Result<Self, Failure> {
        match (shaping, link) {
            (Shaping::Paced, Some(link)) => Ok(Self::Paced(link)),
            (Shaping::Netns, Some(link)) => Spaces::open(link, robots).map(Self::Netns),
            (Shaping::Loopback, _) | (_, None) => Ok(Self::Loopback),
        }
    }

    /// Where a server must listen for it.
    #[must_use]
    pub fn host(&self) -> IpAddr {
        match self {
            Self::Netns(spaces) => spaces.host(),
            Self::Loopback | Self::Paced(_) => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// The way to this server.
    ///
    /// # Errors
    /// [`Failure::Internal`] where no socket can be had.
    pub fn to(&self, server: SocketAddr) -> Result<Way, Failure> {
        match self {
            Self::Paced(link) => {
                let pacer = Pacer::open(*link, server)?;
                Ok(Way { address: pacer.address(), _pacer: Some(pacer) })
            }
            Self::Loopback | Self::Netns(_) => Ok(Way { address: server, _pacer: None }),
        }
    }

    /// What starts a robot's process; empty where nothing special does.
    #[must_use]
    pub fn through(&self, robot: u32) -> Vec<String> {
        match self {
            Self::Netns(spaces) => spaces.through(robot),
            Self::Loopback | Self::Paced(_) => Vec::new(),
        }
    }

    /// What differs from what was asked for, in words.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Netns(spaces) => spaces.note(),
            Self::Paced(link) if link.mbit_per_s >= 100 => {
                Some("a pacer in a program is late for small transfers at this rate: honest from 1 MB up".to_owned())
            }
            Self::Loopback | Self::Paced(_) => None,
        }
    }

    /// Measures it, over a connection of its own.
    ///
    /// # Errors
    /// [`Failure::Internal`] where it does not carry what it should.
    pub fn calibrate(&self, link: Option<Link>) -> Result<Calibration, Failure> {
        let far = probe::Far::listen(self.host())?;
        let way = self.to(far.address())?;
        let through = self.through(0);
        if through.is_empty() {
            probe::measure(way.address, link)
        } else {
            probe::measure_through(&through, way.address, link)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calibration_gives_what_a_calculation_by_hand_gives() {
        let link = Link { mbit_per_s: 10, rtt_ms: 50 };
        let calibration = Calibration {
            rtt_ns: vec![49_000_000, 51_000_000, 50_000_000],
            small_bytes: 10_000,
            small_ns: vec![58_000_000],
            bulk_bytes: 1_000_000,
            bulk_ns: vec![850_000_000],
            bulk_down_ns: vec![1_050_000_000],
        };
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9 * b, "{a} {b}");
        close(calibration.rtt_s(), 0.05);
        close(calibration.bits_per_s(), 1e7);
        close(calibration.bits_per_s_down(), 8e6);
        let [bulk, small] = calibration.over(Some(link)).map(|over| over.expect("a link was asked for"));
        close(bulk, 1.0);
        close(small, 1.0);
        assert_eq!(calibration.over(None), [None, None]);
        assert!(Calibration::default().rtt_s().is_nan());
    }

    #[test]
    fn the_bare_loopback_is_measured_as_it_is() {
        let calibration = Route::Loopback.calibrate(None).expect("a loopback");
        assert!(calibration.rtt_s() > 0.0 && calibration.rtt_s() < 0.1, "{calibration:?}");
        assert!(calibration.bits_per_s() > 1e8 && calibration.bits_per_s_down() > 1e8, "{calibration:?}");
    }

    /// Times are the pacer's, so a crowded machine only makes them longer.
    #[test]
    fn a_paced_link_is_never_faster_than_asked_for() {
        let link = Link { mbit_per_s: 10, rtt_ms: 50 };
        let calibration = Route::Paced(link).calibrate(Some(link)).expect("a pacer");
        let [bulk, small] = calibration.over(Some(link)).map(|over| over.expect("a link was asked for"));
        assert!((0.9..3.0).contains(&bulk) && (0.9..3.0).contains(&small), "{bulk} {small} {calibration:?}");
        assert!(calibration.rtt_s() >= 0.05);
        assert!(calibration.bits_per_s() < 10.2e6 && calibration.bits_per_s_down() < 10.2e6, "{calibration:?}");
    }
}
