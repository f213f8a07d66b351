//! What a whole process costs.
//!
//! A process of its own starts the program, waits for it and asks the kernel what its children used. Nothing else was
//! its child, so CPU time and peak memory are this program's, with all that it started and waited for.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// The first argument that makes this program the one that waits.
const WAIT: &str = "wait-for";
/// How often the memory of the process tree is added up.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// Of the machines that this runs on.
const PAGE_BYTES: u64 = 4_096;
const MIB: f64 = 1_048_576.0;

/// What one run cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// From start to end, seconds.
    pub wall_s: f64,
    /// User and system time of all its processes and threads, seconds.
    pub cpu_s: f64,
    /// The most memory that was resident at once: the kernel's figure for the largest process, or the sampled sum over
    /// all processes where that is more.
    pub peak_mib: f64,
}

/// Runs a program and measures it. What it prints goes to `log`.
pub fn measure(command: &[OsString], log: &Path) -> Result<Cost> {
    let answer = log.with_extension("json");
    let mut waiting = Command::new(env::current_exe()?);
    waiting.arg(WAIT).arg(&answer).args(command);
    let output = fs::File::create(log)?;
    waiting.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
    let status = waiting.status()?;
    if !status.success() {
        let told = fs::read_to_string(log).unwrap_or_default();
        let last: Vec<&str> = told.lines().rev().take(5).collect();
        bail!("{command:?} ended with {status}: {}", last.into_iter().rev().collect::<Vec<_>>().join(" | "));
    }
    let cost: Value = serde_json::from_slice(&fs::read(&answer)?)?;
    let number = |name: &str| cost[name].as_f64().with_context(|| format!("no {name} in {}", answer.display()));
    Ok(Cost { wall_s: number("wall_s")?, cpu_s: number("cpu_s")?, peak_mib: number("peak_mib")? })
}

/// Does the waiting, where this program was started for that.
pub fn wait_if_asked() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(WAIT)) {
        return None;
    }
    let answer = arguments.next()?;
    let command: Vec<OsString> = arguments.collect();
    match wait_for(&command, Path::new(&answer)) {
        Ok(code) => Some(code),
        Err(error) => {
            eprintln!("{error:#}");
            Some(ExitCode::from(127))
        }
    }
}

fn wait_for(command: &[OsString], answer: &Path) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("no program to wait for")?;
    let started = Instant::now();
    let mut child = Command::new(program).args(arguments).spawn()?;
    let (root, ended) = (child.id(), AtomicBool::new(false));
    let (status, wall, sampled_bytes) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut peak = 0;
            while !ended.load(Ordering::Relaxed) {
                peak = tree_bytes(root).max(peak);
                std::thread::sleep(SAMPLE_EVERY);
            }
            peak
        });
        let status = child.wait();
        let wall = started.elapsed();
        ended.store(true, Ordering::Relaxed);
        (status, wall, sampler.join().unwrap_or(0))
    });
    let used = used_by_children()?;
    let cost = json!({
        "wall_s": wall.as_secs_f64(),
        "cpu_s": seconds(used.ru_utime) + seconds(used.ru_stime),
        // The kernel counts kibibytes.
        "peak_mib": mib(used.ru_maxrss.unsigned_abs() * 1_024).max(mib(sampled_bytes)),
    });
    fs::write(answer, cost.to_string())?;
    let status = status?;
    if let Some(signal) = status.signal() {
        eprintln!("ended by signal {signal}: a crash, or the machine ran out of memory");
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What the children that were waited for have used.
fn used_by_children() -> std::io::Result<libc::rusage> {
    let mut used = MaybeUninit::zeroed();
    // SAFETY: the pointer is to memory of the type that the call fills, and it is valid filled with zeros.
    match unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, used.as_mut_ptr()) } {
        // SAFETY: the call has filled it.
        0 => Ok(unsafe { used.assume_init() }),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn seconds(time: libc::timeval) -> f64 {
    let micros = Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0));
    (Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0)) + micros).as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

/// Resident bytes of a process and all its descendants, as far as they can be seen.
fn tree_bytes(root: u32) -> u64 {
    let mut waiting = vec![root];
    let mut pages = 0u64;
    while let Some(process) = waiting.pop() {
        let folder = Path::new("/proc").join(process.to_string());
        let resident = fs::read_to_string(folder.join("statm"));
        pages += resident.ok().and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok()).unwrap_or(0);
        for thread in fs::read_dir(folder.join("task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            waiting.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    pages.saturating_mul(PAGE_BYTES)
}
