//! Measuring a link: round trips, a small transfer and a bulk one, over one connection.

use super::Calibration;
use crate::failure::Failure;
use crate::matrix::grid::Link;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const ROUND_TRIPS: usize = 15;
const REPETITIONS: usize = 3;
/// What a robot of the smallest cells sends in a round.
const SMALL_BYTES: u64 = 10_000;
/// A bulk transfer keeps its link busy for about so long.
const BULK: Duration = Duration::from_millis(200);
/// Over a link of unknown rate.
const BULK_BYTES: u64 = 64_000_000;
/// Nobody is sent more than this.
const MOST_BYTES: u64 = 1 << 30;
/// A link that says nothing for so long carries nothing.
const PATIENCE: Duration = Duration::from_secs(30);
static PIECE: [u8; 64 << 10] = [0; 64 << 10];

fn failed(error: io::Error) -> Failure {
    Failure::Internal(format!("measuring a link: {error}"))
}

/// The far end: takes as many bytes as it is told of, and sends as many as it is asked for.
#[derive(Debug)]
pub struct Far {
    address: SocketAddr,
}

impl Far {
    /// Listens until the process ends, for one connection.
    ///
    /// # Errors
    /// [`Failure::Internal`] where it cannot.
    pub fn listen(host: IpAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind((host, 0)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        thread::spawn(move || listener.accept().and_then(|(stream, _)| serve(stream)));
        Ok(Self { address })
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut asked = [0; 16];
    while stream.read_exact(&mut asked).is_ok() {
        let (up, down) = asked.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number: u64, &byte| number << 8 | u64::from(byte));
        take(&mut stream, number(up).min(MOST_BYTES))?;
        give(&mut stream, number(down).min(MOST_BYTES))?;
    }
    Ok(())
}

fn take(stream: &mut TcpStream, bytes: u64) -> io::Result<()> {
    let taken = io::copy(&mut stream.take(bytes), &mut io::sink())?;
    if taken == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn give(stream: &mut TcpStream, mut bytes: u64) -> io::Result<()> {
    while bytes > 0 {
        let piece = &PIECE[..bytes.min(PIECE.len() as u64) as usize];
        stream.write_all(piece)?;
        bytes -= piece.len() as u64;
    }
    Ok(())
}

/// Measures the way to a far end, for a link that should be this one.
///
/// # Errors
/// [`Failure::Internal`] where nothing comes back.
pub fn measure(far: SocketAddr, link: Option<Link>) -> Result<Calibration, Failure> {
    let bulk = |link: Link| (f64::from(link.mbit_per_s) * 1e6 / 8.0 * BULK.as_secs_f64()) as u64;
    let bulk_bytes = link.map_or(BULK_BYTES, bulk);
    let mut stream = TcpStream::connect_timeout(&far, PATIENCE).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut times = |up: u64, down: u64, count: usize| {
        let one = |_| {
            let begin = Instant::now();
            let asked = [up.to_le_bytes(), down.to_le_bytes()].concat();
            stream.write_all(&asked).and_then(|()| give(&mut stream, up)).map_err(failed)?;
            take(&mut stream, down).map_err(failed)?;
            Ok(begin.elapsed().as_nanos() as u64)
        };
        (0..count).map(one).collect::<Result<Vec<u64>, Failure>>()
    };
    // The first transfers of a connection are slower: its windows are still closed.
    times(bulk_bytes, bulk_bytes, 1)?;
    Ok(Calibration {
        rtt_ns: times(0, 1, ROUND_TRIPS)?,
        small_bytes: SMALL_BYTES,
        small_ns: times(SMALL_BYTES, 1, REPETITIONS)?,
        bulk_bytes,
        bulk_ns: times(bulk_bytes, 1, REPETITIONS)?,
        bulk_down_ns: times(0, bulk_bytes, REPETITIONS)?,
    })
}

/// The same from another process of this program, which `through` starts.
///
/// # Errors
/// [`Failure::Internal`] with what it says.
pub fn measure_through(through: &[String], far: SocketAddr, link: Option<Link>) -> Result<Calibration, Failure> {
    let own = std::env::current_exe().map_err(failed)?;
    let (program, rest) =
        through.split_first().ok_or_else(|| Failure::Internal("nothing starts a probe".to_owned()))?;
    let mut command = Command::new(program);
    command.args(rest).arg(own).args(["link-probe", "--far", &far.to_string()]);
    if let Some(link) = link {
        command.args(["--mbit-per-s", &link.mbit_per_s.to_string(), "--rtt-ms", &link.rtt_ms.to_string()]);
    }
    let output = command.output().map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Internal(format!("measuring a link: {}", said.trim())));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
