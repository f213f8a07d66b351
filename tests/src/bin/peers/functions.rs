//! What the functions weigh and how long they take to start.
//!
//! A function is built as it is deployed (optimised at link time, one package at a time, so that features do not unify)
//! and started against a Runtime API of our own: its init ends when it asks for the first invocation.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::args::Args;
use crate::report::median;

const FUNCTIONS: [&str; 3] = ["checker", "processor", "finalizer"];
/// What a runtime asks for when it is ready.
const READY: &str = "GET /2018-06-01/runtime/invocation/next";
const PATIENCE: Duration = Duration::from_secs(30);
/// As `infra/stack sam` sets it for what goes to AWS.
const OPTIMISED: [(&str, &str); 2] =
    [("CARGO_PROFILE_RELEASE_LTO", "thin"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "4")];

/// Builds, weighs and starts the functions.
pub fn run(work: &Path, args: &Args) -> Result<()> {
    let folder = work.join("functions");
    let mut reports = Vec::new();
    if !args.json {
        println!("{:10} {:>12} {:>12} {:>9} {:>9}", "function", "binary bytes", "zip bytes", "init ms", "peak MiB");
    }
    for name in FUNCTIONS {
        let program = built(name, &folder)?;
        let zip_bytes = zipped(&program, &folder, args)?;
        let binary_bytes = fs::metadata(&program)?.len();
        let starts = (0..args.rounds).map(|_| start(&program)).collect::<Result<Vec<_>>>()?;
        let init_ms = median(starts.iter().map(|(time, _)| time.as_secs_f64() * 1e3).collect());
        let peak_mib = median(starts.iter().map(|(_, mib)| *mib).collect());
        if !args.json {
            println!("{name:10} {binary_bytes:12} {zip_bytes:12} {init_ms:9.1} {peak_mib:9.1}");
        }
        reports.push(json!({
            "name": name, "binary_bytes": binary_bytes, "zip_bytes": zip_bytes, "init_ms": init_ms, "peak_mib": peak_mib,
        }));
    }
    if args.json {
        println!("{:#}", json!({"functions": reports, "rounds": args.rounds}));
    }
    Ok(())
}

fn built(name: &str, folder: &Path) -> Result<PathBuf> {
    eprintln!("building {name}");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--locked", "--quiet", "-p", name, "--manifest-path"]).arg(manifest);
    // Apart from other builds, which are not optimised so.
    build.arg("--target-dir").arg(folder).envs(OPTIMISED);
    let status = build.status().context("cargo")?;
    if !status.success() {
        bail!("cargo did not build {name}: {status}");
    }
    Ok(folder.join("release").join(name))
}

/// The size of the archive that Lambda gets.
fn zipped(program: &Path, folder: &Path, args: &Args) -> Result<u64> {
    let bootstrap = folder.join("bootstrap");
    fs::copy(program, &bootstrap)?;
    let archive = program.with_extension("zip");
    let zip = Command::new(&args.python).args(["-m", "zipfile", "-c"]).arg(&archive).arg(&bootstrap).status();
    match zip.with_context(|| args.python.display().to_string())? {
        status if status.success() => Ok(fs::metadata(&archive)?.len()),
        status => bail!("{} -m zipfile: {status}", args.python.display()),
    }
}

/// From the start of the process to its first question, and its peak memory by then, MiB.
fn start(program: &Path) -> Result<(Duration, f64)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (sender, asked) = mpsc::channel();
    let api = listener.local_addr()?.to_string();
    let variables = [
        ("AWS_LAMBDA_RUNTIME_API", api.as_str()),
        ("AWS_LAMBDA_FUNCTION_NAME", "measured"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "2048"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "measured"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "measured"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "none"),
        ("AWS_SECRET_ACCESS_KEY", "none"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("ROWMILL_SINK", "s3://measured"),
        ("ROWMILL_WORK_QUEUE_URL", "http://127.0.0.1:9/work"),
        ("ROWMILL_FINALIZE_QUEUE_URL", "http://127.0.0.1:9/finalize"),
    ];
    std::thread::spawn(move || {
        let line = listener.accept().and_then(|(connection, _)| {
            let mut line = String::new();
            let mut reader = BufReader::new(connection);
            reader.read_line(&mut line)?;
            // The connection stays open as long as the reader: nobody answers.
            Ok((line, reader))
        });
        let _ = sender.send(line);
    });
    let started = Instant::now();
    let mut child = Command::new(program)
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| program.display().to_string())?;
    let line = asked.recv_timeout(PATIENCE);
    let took = started.elapsed();
    let peak = fs::read_to_string(format!("/proc/{}/status", child.id())).ok().and_then(|status| peak_mib(&status));
    child.kill()?;
    child.wait()?;
    let (line, _reader) = line.with_context(|| format!("{} asked for nothing", program.display()))??;
    if !line.starts_with(READY) {
        bail!("{} asked for something else: {line}", program.display());
    }
    Ok((took, peak.context("no peak memory in /proc")?))
}

/// `VmHWM` of `/proc/PID/status`, MiB.
fn peak_mib(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1_024.0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that asks the Runtime API for this.
    fn asking(folder: &Path, line: &str) -> PathBuf {
        let program = folder.join("bootstrap");
        let script = format!(
            "#!/bin/bash\nexec 3<>\"/dev/tcp/${{AWS_LAMBDA_RUNTIME_API/://}}\"\nprintf '{line}\\r\\n' >&3\nread -r -t 20 <&3\n"
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    #[test]
    fn a_start_ends_with_the_first_question_for_an_invocation() {
        let folder = tempfile::tempdir().unwrap();
        let (took, peak_mib) = start(&asking(folder.path(), &format!("{READY} HTTP/1.1"))).unwrap();
        assert!(took < PATIENCE && peak_mib > 0.0);
        let error = start(&asking(folder.path(), "GET /other HTTP/1.1")).unwrap_err();
        assert!(error.to_string().contains("asked for something else: GET /other"), "{error}");
    }

    #[test]
    fn the_peak_is_read_from_what_the_kernel_tells() {
        assert_eq!(peak_mib("Name:\tx\nVmPeak:\t  9999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), Some(2.0));
        assert_eq!(peak_mib("Name:\tx\n"), None);
    }
}
