//! Injects faults, and prints what became of the rows: `cargo run --release -p rowmill-tests --bin faults`.
//!
//! Exit: 0 where every promise was kept and every fault was injected, 1 where not, 2 for a usage error.

use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use rowmill_tests::faults::report::Report;
use rowmill_tests::faults::{burst, cases, embedded, kill, simulated, stack, wire};
use rowmill_tests::stack::Stack;

/// Injects faults into a deployed stack of its own and into the embedded run, and counts rows lost, doubled and seen
/// too early.
#[derive(Parser)]
struct Arguments {
    /// Prints one JSON document instead of a table.
    #[arg(long)]
    json: bool,
    /// Only these groups, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Group>,
    /// A selection of the kill and wire matrices instead of all of them.
    #[arg(long)]
    few: bool,
    /// Files of the burst.
    #[arg(long, default_value_t = 1_000)]
    burst_files: usize,
    /// Seeds of the simulation.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// Embedded runs to kill, up to three times each: as many as it takes to strike three times this often.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// The protocol over a sink and queues in memory, under every fault and race; needs nothing.
    Simulated,
    /// SIGKILL of the embedded run; needs no Python.
    Embedded,
    /// Functions that crash, hang or fail around each side effect.
    Kill,
    /// Faults between the functions and S3 and SQS.
    Wire,
    /// Many small files at once.
    Burst,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut report = Report::default();
    for group in [Group::Simulated, Group::Embedded, Group::Kill, Group::Wire, Group::Burst] {
        if !arguments.only.is_empty() && !arguments.only.contains(&group) {
            continue;
        }
        let name = group.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        eprintln!("faults: {name}");
        match run(group, &arguments).await {
            Ok(found) => {
                eprintln!("{}", found.table());
                report.extend(found);
            }
            Err(error) => report.problems.push(format!("{name}: {error:#}")),
        }
    }
    if arguments.json {
        println!("{:#}", report.json());
    } else {
        print!("{}", report.table());
    }
    let broken = report.broken();
    for broken in &broken {
        eprintln!("broken: {broken}");
    }
    ExitCode::from(u8::from(!broken.is_empty()))
}

async fn run(group: Group, arguments: &Arguments) -> Result<Report> {
    match group {
        Group::Simulated => Ok(simulated::simulated(0..arguments.seeds)),
        Group::Embedded => embedded::embedded(arguments.rounds),
        Group::Kill => kill::kill(deployed()?, &if arguments.few { cases::few() } else { cases::all() }).await,
        Group::Wire => wire::wire(deployed()?, &if arguments.few { wire::few() } else { wire::all() }).await,
        Group::Burst => burst::burst(deployed()?, arguments.burst_files).await,
    }
}

/// One deployment for all groups.
fn deployed() -> Result<&'static Stack> {
    static STACK: OnceLock<Result<&'static Stack, String>> = OnceLock::new();
    let stack = STACK.get_or_init(|| tokio::task::block_in_place(stack).map_err(|error| format!("{error:#}")));
    stack.as_ref().copied().map_err(|error| anyhow::anyhow!("{error}"))
}
