//! Two builds of this command, each in a process of its own, asked line by line: JSON on standard input and output.

use super::work::{Data, Metric, Took, Work};
use crate::device;
use crate::failure::Failure;
use crate::interrupt;
use kernels::Backend;
use kernels::cpu::Cpu;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Raised when a worker of another build could misunderstand.
const PROTOCOL: u32 = 1;

/// What a worker is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
enum Question {
    /// Make a metric's data and check its output.
    Prepare { metric: String },
    /// Run what is prepared so often, with so much extra work on top.
    Sample { runs: u64, extra: f64 },
}

/// What it says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
enum Answer {
    Hello {
        protocol: u32,
        program: String,
        engine: String,
        is_optimised: bool,
    },
    Prepared(Prepared),
    /// The worker does not know the metric.
    Unknown,
    Sampled(Took),
    Refused {
        code: u8,
        why: String,
    },
}

/// What is known of a metric before it is timed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// What one run handles.
    pub items: u64,
    /// What a run takes, about, by the clock that counts.
    pub run_ns: f64,
    /// Bytes that a robot sends, for rounds.
    pub wire_bytes: Option<u64>,
}

/// The process itself: answers until its input ends.
///
/// # Errors
/// [`Failure::Internal`] where input or output fails.
pub fn serve(cpu: &Cpu, input: &mut dyn BufRead, output: &mut dyn Write) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Internal(format!("the worker's pipes: {error}"));
    let mut say = |answer: &Answer| -> Result<(), Failure> {
        writeln!(output, "{}", serde_json::to_string(answer)?).map_err(failed)?;
        output.flush().map_err(failed)
    };
    say(&Answer::Hello {
        protocol: PROTOCOL,
        program: concat!("tensorguard ", env!("CARGO_PKG_VERSION")).to_owned(),
        engine: cpu.name().to_owned(),
        is_optimised: !cfg!(debug_assertions),
    })?;
    let mut work: Option<Work<'_>> = None;
    let mut line = String::new();
    while input.read_line(&mut line).map_err(failed)? > 0 {
        let answer = match serde_json::from_str(&line)? {
            Question::Prepare { metric } => {
                work = None;
                match Metric::named(&metric) {
                    None => Answer::Unknown,
                    Some(metric) => match Work::new(cpu, metric) {
                        Ok(made) => {
                            let Work { items, run_ns, wire_bytes, .. } = made;
                            work = Some(made);
                            Answer::Prepared(Prepared { items, run_ns, wire_bytes })
                        }
                        Err(failure) => refused(&failure),
                    },
                }
            }
            Question::Sample { runs, extra } => match work.as_mut().map(|work| work.sample(runs, extra)) {
                Some(Ok(took)) => Answer::Sampled(took),
                Some(Err(failure)) => refused(&failure),
                None => refused(&Failure::Usage("nothing is prepared".to_owned())),
            },
        };
        say(&answer)?;
        line.clear();
    }
    Ok(())
}

/// Runs a metric so often and ends: what valgrind counts.
///
/// # Errors
/// [`Failure::Usage`] for an unknown metric; [`Failure::Wrong`] where a step fails.
pub fn count(cpu: &Cpu, metric: &str, runs: u64) -> Result<(), Failure> {
    let known = Metric::named(metric);
    let metric = known.ok_or_else(|| Failure::Usage(format!("there is no metric {metric}")))?;
    Data::new(cpu, metric)?.0.run(cpu, runs).map(drop)
}

fn refused(failure: &Failure) -> Answer {
    Answer::Refused { code: failure.code(), why: failure.to_string() }
}

/// A running worker. It ends with its owner.
#[derive(Debug)]
pub struct Worker {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The engine it computes with.
    pub engine: String,
    /// Whether it was built for speed.
    pub is_optimised: bool,
}

impl Worker {
    /// Starts `program`, another build of this command, as a worker called `name`.
    ///
    /// # Errors
    /// [`Failure::Usage`] where it is no such program, or too old; [`Failure::Internal`] where it cannot be started.
    pub fn start(name: &'static str, program: &Path, engine: &str) -> Result<Self, Failure> {
        let shown = program.display();
        let mut command = Command::new(program);
        command.args(["ab-worker", "--isa", engine]).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.envs(device::chosen().map(|name| (device::ADAPTER, name)));
        interrupt::apart(&mut command);
        let mut child =
            command.spawn().map_err(|error| Failure::Internal(format!("cannot start {shown}, the {name}: {error}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::Internal(format!("{name} has no pipes")));
        };
        let output = BufReader::new(output);
        let mut worker = Self { name, child, input, output, engine: String::new(), is_optimised: false };
        match worker.read() {
            Ok(Answer::Hello { protocol: PROTOCOL, engine, is_optimised, .. }) => {
                (worker.engine, worker.is_optimised) = (engine, is_optimised);
                Ok(worker)
            }
            _ => Err(Failure::Usage(format!(
                "{shown}, the {name}, is no build of this command that can be compared (protocol {PROTOCOL}): take a newer base"
            ))),
        }
    }

    /// Prepares a metric; none where this build does not know it.
    ///
    /// # Errors
    /// The worker's: [`Failure::Wrong`] where its output is wrong.
    pub fn prepare(&mut self, metric: &str) -> Result<Option<Prepared>, Failure> {
        match self.ask(&Question::Prepare { metric: metric.to_owned() })? {
            Answer::Prepared(prepared) => Ok(Some(prepared)),
            Answer::Unknown => Ok(None),
            _ => Err(self.confused()),
        }
    }

    /// What so many runs take, with so much extra work.
    ///
    /// # Errors
    /// The worker's.
    pub fn sample(&mut self, runs: u64, extra: f64) -> Result<Took, Failure> {
        match self.ask(&Question::Sample { runs, extra })? {
            Answer::Sampled(took) => Ok(took),
            _ => Err(self.confused()),
        }
    }

    fn ask(&mut self, question: &Question) -> Result<Answer, Failure> {
        let name = self.name;
        writeln!(self.input, "{}", serde_json::to_string(question)?)
            .map_err(|error| Failure::Internal(format!("the worker of the {name} is gone: {error}")))?;
        match self.read()? {
            Answer::Refused { code: 8, why } => Err(Failure::Wrong(format!("the {name}: {why}"))),
            Answer::Refused { why, .. } => Err(Failure::Internal(format!("the {name}: {why}"))),
            answer => Ok(answer),
        }
    }

    fn read(&mut self) -> Result<Answer, Failure> {
        let name = self.name;
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) => Err(Failure::Internal(format!("the worker of the {name} ended; see its message above"))),
            Ok(_) => Ok(serde_json::from_str(&line)?),
            Err(error) => Err(Failure::Internal(format!("the worker of the {name}: {error}"))),
        }
    }

    fn confused(&self) -> Failure {
        Failure::Internal(format!("the worker of the {} answered something else", self.name))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_answers_line_by_line_and_refuses_what_it_cannot_do() {
        let asked = concat!(
            "{\"ask\":\"sample\",\"runs\":1,\"extra\":0}\n",
            "{\"ask\":\"prepare\",\"metric\":\"no-such-thing\"}\n",
            "{\"ask\":\"prepare\",\"metric\":\"forward/1024\"}\n",
            "{\"ask\":\"sample\",\"runs\":3,\"extra\":0.1}\n",
        );
        let mut said = Vec::new();
        serve(&Cpu::best(1), &mut asked.as_bytes(), &mut said).expect("pipes that work");
        let said = String::from_utf8(said).expect("text");
        let said: Vec<Answer> = said.lines().map(|line| serde_json::from_str(line).expect("an answer")).collect();
        assert!(matches!(&said[0], Answer::Hello { protocol: PROTOCOL, .. }));
        assert!(matches!(&said[1], Answer::Refused { code: 2, .. }) && matches!(&said[2], Answer::Unknown));
        assert!(matches!(&said[3], Answer::Prepared(prepared) if prepared.items == 1 && prepared.run_ns > 0.0));
        assert!(matches!(&said[4], Answer::Sampled(took) if took.cpu_ns > 0 && took.wall_ns.is_none()));
    }
}
