//! The `rowmill` command: runs datasets on this machine, and looks after a deployed stack.
//!
//! Exit codes: 0 every run complete, 1 a run failed, is open or is damaged, 2 a wrong command line or dataset file, 130 interrupted.

mod advice;
mod apply;
mod args;
mod check;
mod demo;
mod dlq;
mod drift;
mod engine;
mod estimate;
mod fault;
mod history;
mod ingest;
mod intact;
mod location;
mod paste;
mod processor;
mod progress;
mod redrive;
mod render;
mod report;
mod reports;
mod run;
mod runs;
mod schema;
mod show;
mod sink;
mod sources;
mod stack;
mod stores;
mod trigger;
mod types;

use std::io::Write;
use std::process::exit;

use clap::Parser;
use tokio::runtime::Runtime;

use args::{Args, Command};
use fault::{Exit, Fault};

fn main() {
    if let Some(refusal) = processor::refusal() {
        eprintln!("error: {refusal}");
        exit(Exit::Usage.code());
    }
    let args = Args::parse();
    if matches!(args.command, Command::Run(_) | Command::Demo(_)) {
        with_a_tuned_heap();
    }
    rowmill::telemetry::init_cli();
    report_panics_as_errors();
    let json = args.command.wants_json();
    let ended = Runtime::new().map_err(Fault::from).and_then(|runtime| {
        let ended = runtime.block_on(dispatch(args.command));
        // What still works in the background when a run is interrupted is not waited for: nothing of it is visible.
        runtime.shutdown_background();
        ended
    });
    let code = match ended {
        Ok(code) => code,
        Err(fault) => {
            if json {
                render::print_json(&serde_json::json!({ "error": fault.to_string() }));
            }
            eprintln!("error: {fault}");
            fault.exit()
        }
    };
    let _ = std::io::stdout().flush();
    exit(code.code());
}

async fn dispatch(command: Command) -> Result<Exit, Fault> {
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Demo(args) => demo::demo(args).await,
        Command::Check(args) => check::check(args).await,
        Command::Schema(args) => schema::schema(args).await,
        Command::Apply(args) => apply::apply(args).await,
        Command::Trigger(args) => trigger::trigger(args).await,
        Command::Runs(args) => runs::runs(args).await,
        Command::Show(args) => show::show(args).await,
        Command::Report(args) => reports::report(args).await,
        Command::Redrive(args) => redrive::redrive(args).await,
    }
}

/// Starts this program again with glibc's heap set for row groups that come and go. glibc reads its settings once, before
/// `main`.
///
/// * One heap for every two processors. Each thread has its own by default, and what a decoder's thread frees then helps no
///   encoder's: measured on 10 million trips and two processors, a quarter to a half more memory than with two heaps, and
///   those take a sixth more than one, which costs no time.
/// * What is freed is kept, and all but the largest blocks come from the heap, the parts of uploads among them: the kernel
///   clears every page that it gives, which took a quarter of the processor time of copying row groups.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn with_a_tuned_heap() {
    use std::os::unix::process::CommandExt;

    const SETTINGS: &str = "GLIBC_TUNABLES";
    const HEAPS: &str = "MALLOC_ARENA_MAX";
    if std::env::var_os(SETTINGS).is_some() || std::env::var_os(HEAPS).is_some() {
        return;
    }
    let heaps = std::thread::available_parallelism().map_or(1, |processors| (processors.get() / 2).max(1));
    let settings = format!(
        "glibc.malloc.arena_max={heaps}:glibc.malloc.mmap_threshold={}:glibc.malloc.trim_threshold={}",
        32 << 20,
        256 << 20
    );
    let mut args = std::env::args_os();
    // By its own name, under which an operator looks for it.
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let mut again = std::process::Command::new(program);
    if let Some(name) = args.next() {
        again.arg0(name);
    }
    // Where it cannot be started again, it goes on as it is.
    let error = again.args(args).env(SETTINGS, settings).exec();
    tracing::debug!(%error, "not started again with a tuned heap");
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn with_a_tuned_heap() {}

/// A panic is a bug: it is told as one line, and the task that it ends fails with an error of its own.
fn report_panics_as_errors() {
    std::panic::set_hook(Box::new(|info| {
        tracing::error!("internal: {info}: please report this");
    }));
}
