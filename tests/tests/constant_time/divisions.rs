//! Divisions and gathers in the compiled kernels, those of AVX-512 included: memcheck does not report a
//! division, whose time depends on its operands on many processors.
//!
//! Each such instruction is traced back to its source line through the inlined calls. It passes if it computes a length
//! (a secret one would be a secret loop bound, which memcheck reports), or if its line is listed here with the reason
//! why it is public.

use libtest_mimic::Failed;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The file, a part of the line, and why no secret is divided there.
const PUBLIC: &[(&str, &str, &str)] = &[
    ("kernels/src/cpu/decrypt.rs", "u64::MAX / by", "Delta or the base: a divisor's reciprocal, once per job"),
    ("kernels/src/cpu/decrypt.rs", "half_step: ", "Delta and q"),
    ("kernels/src/cpu/decrypt.rs", "q_reciprocal: ", "q"),
    ("kernels/src/cpu/decrypt.rs", "base_reciprocal: ", "the base"),
    ("kernels/src/cpu/decrypt.rs", "(q / delta)", "q and Delta"),
    ("kernels/src/cpu/decrypt.rs", "u128::from(q)", "q and Delta"),
    ("kernels/src/cpu/avx512/fused.rs", "modulus.mul(", "the encoding's factors, once per job"),
    ("kernels/src/cpu/avx512/fused.rs", "<< 26) / p", "the encoding's factors by the prime, once per job"),
    ("kernels/src/cpu/seal.rs", "modulus.mul(", "the encoding's factors, once per job"),
    ("kernels/src/cpu/seal.rs", "(1u64 << 32) % u64::from(p)", "the prime"),
    ("kernels/src/cpu/seal.rs", "digits.len().div_ceil(rho)", "a length"),
    ("kernels/src/cpu/seal.rs", "residues.len() / self.limbs", "a length"),
    ("kernels/src/cpu/simd.rs", "8 * at / l", "the wire width"),
    ("kernels/src/cpu/mod.rs", "CACHED_WORDS / words", "how many polynomials fit the cache"),
    ("kernels/src/cpu/mod.rs", "/ plan.n()", "a length"),
    ("kernels/src/cpu/mod.rs", "/ self.least_words", "how many threads a job is worth, by its length"),
    ("kernels/src/cpu/mod.rs", "div_ceil", "a length, or how a batch is shared between threads"),
    ("kernels/src/cpu/ntt.rs", "data.len() / *block", "a length"),
    ("kernels/src/cpu/ntt.rs", "poly.len() / part", "a length"),
    ("kernels/src/cpu/ntt.rs", "ntt::Shoup::new", "a root of unity"),
    ("kernels/src/cpu/pad.rs", "u64::MAX / p", "the prime"),
    ("kernels/src/encoding.rs", "", "parameters and lengths; it sees neither keys nor messages"),
    ("kernels/src/job.rs", "is_multiple_of", "a length"),
    ("kernels/src/reference.rs", "(1u64 << 32) / u64::from(p)", "the prime"),
    ("ntt/src/modulus.rs", "", "plans; its functions say that they take variable time"),
    ("ntt/src/plan.rs", "", "plans"),
    ("ntt/src/reduce.rs", "", "Shoup::new, which says that it takes variable time"),
    ("tests/src/bin/taint.rs", "rand.next() % p", "made up before it is marked"),
];
/// Whose lines are looked at.
const ROOMS: [&str; 3] = ["kernels/src/", "ntt/src/", "tests/src/bin/taint.rs"];
/// What must be found: the watched program's own leak.
const CONTROL: &str = "black_box(7) / black_box(secret | 1)";

pub(crate) fn absent() -> Option<&'static str> {
    let answers = |tool: &&str| Command::new(tool).arg("--version").output().is_ok_and(|out| out.status.success());
    if cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) {
        Some("absent: lines are told apart well enough in programs for x86-64 Linux only")
    } else if ["objdump", "addr2line"].iter().all(answers) {
        None
    } else {
        Some("objdump and addr2line are absent: install the package `binutils`")
    }
}

/// Whether an instruction takes a time or an address of its operands: `call` to a division included.
fn is_suspect(mnemonic: &str, operands: &str) -> bool {
    let divides = ["div", "idiv", "vdiv"].iter().any(|name| mnemonic.starts_with(name));
    let gathers = mnemonic.contains("gather") || mnemonic.contains("scatter");
    let is_call = mnemonic.starts_with("call");
    let routines = ["divti3", "modti4", "modti3", "Modulus::mul", "Modulus::pow", "Modulus::inverse", "Shoup::new"];
    divides || gathers || (is_call && routines.iter().any(|routine| operands.contains(routine)))
}

/// Addresses of the suspects, in hex.
fn suspects(program: &str) -> Result<Vec<String>, Failed> {
    let listing = Command::new("objdump").args(["-d", "-C", "--no-show-raw-insn", program]).output()?;
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    let suspect = |line: &str| {
        let (address, instruction) = line.split_once(":\t")?;
        let (mnemonic, operands) = instruction.split_once(char::is_whitespace).unwrap_or((instruction, ""));
        is_suspect(mnemonic, operands).then(|| address.trim().to_owned())
    };
    Ok(listing.lines().filter_map(suspect).collect())
}

/// For each address its source lines, `path:line`, the innermost inlined call first.
fn sources(program: &str, addresses: &[String]) -> Result<Vec<Vec<String>>, Failed> {
    let mut tool = Command::new("addr2line");
    let pipes = tool.args(["-a", "-i", "-e", program]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = pipes.spawn()?;
    let mut input = child.stdin.take().ok_or("addr2line has no input")?;
    let text = addresses.join("\n") + "\n";
    // Apart, so that neither side waits with its pipe full.
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| "the writer panicked")??;
    let mut chains: Vec<Vec<String>> = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if line.starts_with("0x") {
            chains.push(Vec::new());
        } else if let Some(chain) = chains.last_mut() {
            chain.push(line.split(" (").next().unwrap_or(line).to_owned());
        }
    }
    Ok(chains)
}

/// The first line of ours that a chain goes through: `(file, text of the line, where)`; `None` for lengths and for code
/// that is not ours.
fn ours(chain: &[String], root: &Path) -> Option<(String, String, String)> {
    let root = format!("{}/", root.display());
    let relative = |line: &String| line.strip_prefix(&root).unwrap_or(line).to_owned();
    let own = |line: &String| ROOMS.iter().any(|room| line.starts_with(room));
    let lines: Vec<String> = chain.iter().map(relative).collect();
    // Our own arithmetic is charged to the kernel that called it.
    let kernel = lines.iter().position(|line| line.starts_with(ROOMS[0]) || line.starts_with(ROOMS[2]));
    let at = kernel.or_else(|| lines.iter().position(own))?;
    if lines[..at].iter().any(|line| line.contains("/core/src/slice/")) {
        return None;
    }
    let (file, number) = lines[at].rsplit_once(':')?;
    let text = std::fs::read_to_string(Path::new(&root).join(file)).unwrap_or_default();
    let text = number.parse().ok().and_then(|number: usize| text.lines().nth(number - 1)).unwrap_or("?").trim();
    Some((file.into(), text.into(), lines[at].clone()))
}

pub(crate) fn are_public() -> Result<(), Failed> {
    let program = env!("CARGO_BIN_EXE_taint");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("tests/ lies in the root")?;
    let chains = sources(program, &suspects(program)?)?;
    let is_public = |file: &str, text: &str| PUBLIC.iter().any(|(path, part, _)| *path == file && text.contains(*part));
    let mut found: Vec<_> = chains.iter().filter_map(|chain| ours(chain, root)).collect();
    found.retain(|(file, text, _)| !is_public(file, text));
    found.sort();
    found.dedup();
    let (controls, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, text, _)| text.contains(CONTROL));
    if controls.len() != 1 {
        return Err("the division in the watched program was not found: the check sees nothing".into());
    }
    let lines: Vec<String> = found.iter().map(|(_, text, place)| format!("{place}: {text}")).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let mend = "Divide without a division, or list the line in PUBLIC with the reason why it is public.";
    Err(format!("divisions or gathers:\n{}\n{mend}", lines.join("\n")).into())
}
