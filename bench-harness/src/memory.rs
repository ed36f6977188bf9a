//! How much memory a server needs for one round: a process of its own that takes uploads from a pipe, a group at a time.

use crate::failure::Failure;
use crate::interrupt;
use crate::rounds::{GROUP, Ours, PLANNED, agree};
use kernels::Backend;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// What the process needed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Values of an update.
    pub length: usize,
    /// Uploads that it added.
    pub uploads: u64,
    /// Bytes of one.
    pub upload_bytes: u64,
    /// Resident bytes before the sum began.
    pub before_bytes: u64,
    /// Resident bytes at their peak.
    pub peak_bytes: u64,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let above = self.peak_bytes.saturating_sub(self.before_bytes);
        write!(
            f,
            "server: {} uploads of {:.1} MB through a pipe, {:.1} MB at the peak, {:.1} MB above the process",
            self.uploads,
            mb(self.upload_bytes),
            mb(self.peak_bytes),
            mb(above)
        )
    }
}

/// Starts this program again as a server and sends it uploads.
///
/// # Errors
/// [`Failure::Internal`] where it cannot be started or does not answer.
pub fn measure(backend: &dyn Backend, length: usize) -> Result<Server, Failure> {
    let ours = Ours::prepare(backend, length, 16)?;
    let failed = |error: std::io::Error| Failure::Internal(format!("the summing process: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["sum-uploads", "--values", &length.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    interrupt::apart(&mut command);
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        for index in 0..PLANNED as usize {
            input.write_all(ours.upload(index)).map_err(failed)?;
        }
    }
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(Failure::Internal("the summing process failed; see its message above".into()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Starts this program again to run one whole round, and says what memory that took; none where the system cannot tell.
///
/// # Errors
/// [`Failure::Internal`] where it cannot be started or fails.
pub fn of_a_round(length: usize) -> Result<Option<u64>, Failure> {
    let failed = |error: std::io::Error| Failure::Internal(format!("the process that runs one round: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(["round-memory", "--values", &length.to_string()]).stdin(Stdio::null()).stderr(Stdio::inherit());
    interrupt::apart(&mut command);
    let output = command.output().map_err(failed)?;
    if !output.status.success() {
        return Err(Failure::Internal("the process that runs one round failed; see its message above".into()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// That process: resident bytes at the peak of a whole round, all parties in it, above what there was before.
///
/// # Errors
/// [`Failure::Wrong`] where the round fails.
pub fn run_a_round(backend: &dyn Backend, length: usize) -> Result<Option<u64>, Failure> {
    let before = start_of_peak();
    let round = Ours::prepare(backend, length, PLANNED)?;
    std::hint::black_box(&round);
    Ok(before.and_then(|before| Some(resident("VmHWM:")?.saturating_sub(before))))
}

/// Forgets the peak so far, and says what is resident now. Linux only.
fn start_of_peak() -> Option<u64> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    resident("VmRSS:")
}

/// The process itself: adds what comes, four uploads at a time, and says what memory that took.
///
/// # Errors
/// [`Failure::Internal`] where the input ends within an upload, [`Failure::Wrong`] where one is refused.
pub fn serve(backend: &dyn Backend, length: usize, input: &mut dyn Read) -> Result<Server, Failure> {
    let (round, _) = agree(length)?;
    let before_bytes = peak()?;
    let (mut sum, upload_len) = (round.sum(), round.agreement().upload_len());
    let mut group = vec![vec![0; upload_len]; GROUP];
    let mut uploads = 0;
    loop {
        let mut filled = 0;
        for upload in &mut group {
            match read_whole(input, upload)? {
                0 => break,
                _ => filled += 1,
            }
        }
        let refused = |error: &dyn fmt::Display| Failure::Wrong(format!("an upload is refused: {error}"));
        let read: Result<Vec<_>, _> = group[..filled].iter().map(|upload| round.read(upload)).collect();
        sum.add(&read.map_err(|error| refused(&error))?, backend).map_err(|error| refused(&error))?;
        uploads += filled as u64;
        if filled < GROUP {
            break;
        }
    }
    Ok(Server { length, uploads, upload_bytes: upload_len as u64, before_bytes, peak_bytes: peak()? })
}

/// Fills the buffer; 0 if the input had ended.
fn read_whole(input: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, Failure> {
    let mut done = 0;
    while done < buffer.len() {
        match input.read(&mut buffer[done..]) {
            Ok(0) if done == 0 => return Ok(0),
            Ok(0) => return Err(Failure::Internal("the input ends within an upload".into())),
            Ok(count) => done += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::Internal(format!("standard input: {error}"))),
        }
    }
    Ok(done)
}

/// The most resident bytes this process has had.
fn peak() -> Result<u64, Failure> {
    resident("VmHWM:").ok_or_else(|| Failure::Internal("this system tells no peak of memory (VmHWM)".into()))
}

/// A line of this process's status, in bytes.
fn resident(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::cpu::Cpu;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_server_adds_what_comes_and_refuses_what_is_cut_off() {
        let cpu = Cpu::best(1);
        let ours = Ours::prepare(&cpu, 300, 16).expect("a round");
        let mut bytes: Vec<u8> = (0..7).flat_map(|index| ours.upload(index).to_vec()).collect();
        let server = serve(&cpu, 300, &mut bytes.as_slice()).expect("seven uploads");
        assert_eq!((server.uploads, server.upload_bytes), (7, ours.facts.upload_bytes));
        assert!(server.peak_bytes >= server.before_bytes && server.before_bytes > 0);
        bytes.pop();
        assert!(serve(&cpu, 300, &mut bytes.as_slice()).is_err());
    }
}
