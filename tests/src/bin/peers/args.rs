//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::cases::Case;
use crate::jobs::Peer;

/// Rowmill beside its peers, on the same files, in turn: wall time, CPU time, peak memory, bytes written.
#[derive(Debug, Parser)]
#[command(name = "peers")]
pub struct Args {
    /// Trips in each case's file.
    #[arg(long, default_value_t = 10_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rows: u64,
    /// Times that each runs; medians are told.
    #[arg(long, default_value_t = 5, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Print one JSON document on stdout; what goes on is told on stderr.
    #[arg(long)]
    pub json: bool,
    /// Only these cases [default: all].
    #[arg(long = "case", value_name = "NAME")]
    pub cases: Vec<Case>,
    /// Only these peers [default: all].
    #[arg(long = "peer", value_name = "NAME")]
    pub peers: Vec<Peer>,
    /// No peers: Rowmill alone.
    #[arg(long, conflicts_with = "peers")]
    pub alone: bool,
    /// Instead: Rowmill on 1, 2, 4 … 64 million trips, or as far as this many.
    #[arg(long, value_name = "ROWS", num_args = 0..=1, default_missing_value = "64000000", conflicts_with_all = ["cases", "peers"])]
    pub growth: Option<u64>,
    /// Instead: the functions' zip sizes, and how long they take to start.
    #[arg(long, conflicts_with_all = ["cases", "peers", "growth"])]
    pub functions: bool,
    /// The `rowmill` program to measure [default: cargo builds it].
    #[arg(long, value_name = "FILE")]
    pub rowmill: Option<PathBuf>,
    /// The Python to make the peers' virtual environments with.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn cases_and_peers_are_named_as_in_the_report() {
        let args =
            Args::try_parse_from(["peers", "--case", "one_row_group", "--case", "uniform_typed", "--peer", "duckdb"]);
        let args = args.unwrap();
        assert_eq!(args.cases.iter().map(|case| case.name()).collect::<Vec<_>>(), ["one_row_group", "uniform_typed"]);
        assert_eq!(args.peers, [Peer::Duckdb]);
    }
}
