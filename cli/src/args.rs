//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use jiff::civil::Date;
use rowmill::dataset::duration;
use rowmill::event::{Intent, Request, date};

use crate::fault::Fault;

/// Clean, uniform Parquet from files, published exactly once: on this machine, or on a deployed stack.
#[derive(Debug, Parser)]
#[command(name = "rowmill", version, arg_required_else_help = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ingest sources on this machine
    Run(RunArgs),
    /// Make sample trips, ingest them, show the result
    Demo(DemoArgs),
    /// Validate a dataset file; with sources, also plan them without reading a row
    Check(CheckArgs),
    /// Look into files (the footers of Parquet, a sample of CSV): what drifted, and a contract that fits them all
    Schema(SchemaArgs),
    /// Validate a dataset file and upload it: from then on it is used
    Apply(ApplyArgs),
    /// Ask a deployed stack to ingest
    Trigger(TriggerArgs),
    /// List runs, newest first
    Runs(RunsArgs),
    /// Show one run: its plan, its slices, how it ended
    Show(ShowArgs),
    /// Show a dataset's reports
    Report(ReportArgs),
    /// Retry failed runs, or send a dead-letter queue's messages back
    Redrive(RedriveArgs),
}

impl Command {
    /// Whether stdout is to hold one JSON document.
    pub fn wants_json(&self) -> bool {
        match self {
            Self::Run(args) => args.json,
            Self::Check(args) => args.json,
            Self::Schema(args) => args.json,
            Self::Trigger(args) => args.json,
            Self::Runs(args) => args.json,
            Self::Show(args) => args.json,
            Self::Report(args) => args.json,
            Self::Redrive(args) => args.json,
            Self::Demo(_) | Self::Apply(_) => false,
        }
    }
}

/// `rowmill run`
#[derive(Debug, ClapArgs)]
pub struct RunArgs {
    /// The dataset file
    #[arg(long, value_name = "FILE")]
    pub dataset: PathBuf,
    /// Where parts go: a folder, or s3://bucket
    #[arg(long, value_name = "DIR|s3://BUCKET", default_value = "rowmill-out")]
    pub sink: String,
    /// What is asked for
    #[command(flatten)]
    pub ask: AskArgs,
    /// `""` or incremental, reprocess, test_subset, prune
    #[arg(long, default_value = "", hide_default_value = true, value_name = "INTENT")]
    pub intent: String,
    /// Slices in hand at once; one for every two cores is decoded and encoded [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Exit with 1 where nothing matched
    #[arg(long)]
    pub fail_if_empty: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// Files, folders, globs, s3:// URIs, or https:// URLs of hosts that the dataset names, taken whatever the dataset's `uri` and `pattern` say [default: list `uri`]
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<String>,
}

/// What narrows a request, as in the manual event.
#[derive(Debug, ClapArgs)]
pub struct AskArgs {
    /// Only sources whose key fits this glob, in place of the dataset's pattern
    #[arg(long, value_name = "GLOB")]
    pub pattern: Option<String>,
    /// Only sources modified so recently, such as 7d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub modified_within: Option<Duration>,
    /// An archive's first day, such as 2015-01-01
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub from: Option<Date>,
    /// An archive's last day: it is included, with all its hours
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub to: Option<Date>,
    /// At most so many sources
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Reprocess only what was published under another dataset file than this one
    #[arg(long)]
    pub stale: bool,
    /// Tell what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// With prune: remove what is found even where that is more than half of a dataset's outputs
    #[arg(long)]
    pub yes: bool,
}

impl AskArgs {
    /// Refuses what means nothing with this intent.
    pub fn check(&self, intent: Intent) -> Result<(), Fault> {
        match intent {
            Intent::Prune => Ok(()),
            _ if self.yes => Err(Fault::usage("--yes is for prune alone: leave it out")),
            _ => Ok(()),
        }
    }

    /// The request with this intent.
    pub fn request(&self, intent: Intent, dataset: Option<String>) -> Request {
        Request {
            intent: intent.of_stale(self.stale),
            dataset,
            pattern: self.pattern.clone(),
            modified_within: self.modified_within,
            from: self.from,
            to: self.to,
            limit: self.limit,
            stale: self.stale,
            dry_run: self.dry_run,
            confirm: self.yes,
            ..Request::default()
        }
    }
}

/// `rowmill demo`
#[derive(Debug, ClapArgs)]
pub struct DemoArgs {
    /// Trips to make, over all files
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub rows: u64,
    /// Keep trips, dataset file and output in this folder [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// `rowmill check`
#[derive(Debug, ClapArgs)]
pub struct CheckArgs {
    /// The dataset file
    #[arg(value_name = "FILE")]
    pub dataset: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// Sources to plan, as in `run`
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<String>,
}

/// `rowmill schema`
#[derive(Debug, ClapArgs)]
pub struct SchemaArgs {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// Files, folders, globs or s3:// URIs of Parquet or CSV files
    #[arg(value_name = "SOURCE", required = true)]
    pub sources: Vec<String>,
}

/// Whose ledger or which deployment a command is about.
#[derive(Debug, ClapArgs)]
#[group(multiple = false)]
pub struct WhereArgs {
    /// The deployed stack's name
    #[arg(long, value_name = "NAME")]
    pub stack: Option<String>,
    /// The sink: a folder, or s3://bucket [default: rowmill-out]
    #[arg(long, value_name = "DIR|s3://BUCKET")]
    pub sink: Option<String>,
}

/// `rowmill apply`
#[derive(Debug, ClapArgs)]
pub struct ApplyArgs {
    /// The dataset file
    #[arg(value_name = "FILE")]
    pub dataset: PathBuf,
    /// Where to
    #[command(flatten)]
    pub place: WhereArgs,
    /// Ingest what lies at the dataset's `uri` already, without asking
    #[arg(long, requires = "stack")]
    pub backfill: bool,
}

/// `rowmill trigger`
#[derive(Debug, ClapArgs)]
pub struct TriggerArgs {
    /// `""` or incremental, reprocess, test_subset, prune, heal
    #[arg(value_name = "INTENT")]
    pub intent: String,
    /// The deployed stack's name
    #[arg(long, value_name = "NAME")]
    pub stack: String,
    /// Only this dataset
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// What narrows it
    #[command(flatten)]
    pub ask: AskArgs,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// `rowmill runs`
#[derive(Debug, ClapArgs)]
pub struct RunsArgs {
    /// Whose
    #[command(flatten)]
    pub place: WhereArgs,
    /// Only this dataset
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// Only runs that are so
    #[arg(long, value_name = "STATUS")]
    pub status: Option<StatusArg>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// A run's status, as `runs` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusArg {
    /// Not ended yet.
    Open,
    /// Published.
    Complete,
    /// Failed.
    Failed,
    /// A newer version or a later request took its place.
    Superseded,
    /// A web server had no such file.
    Missing,
}

/// `rowmill show`
#[derive(Debug, ClapArgs)]
pub struct ShowArgs {
    /// The run's id, or enough of its beginning
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Whose
    #[command(flatten)]
    pub place: WhereArgs,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `rowmill report`
#[derive(Debug, ClapArgs)]
pub struct ReportArgs {
    /// The dataset's name
    #[arg(value_name = "DATASET")]
    pub dataset: String,
    /// The report's name [default: all of them]
    #[arg(value_name = "REPORT")]
    pub report: Option<String>,
    /// Whose
    #[command(flatten)]
    pub place: WhereArgs,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `rowmill redrive`
#[derive(Debug, ClapArgs)]
pub struct RedriveArgs {
    /// The runs, by id [default: every failed run that nothing has replaced]
    #[arg(value_name = "RUN")]
    pub runs: Vec<String>,
    /// Whose
    #[command(flatten)]
    pub place: WhereArgs,
    /// Send this dead-letter queue's messages back instead of retrying runs
    #[arg(long, value_name = "QUEUE", requires = "stack", conflicts_with = "runs")]
    pub dlq: Option<DlqArg>,
    /// The dataset file to retry with, for a folder [default: the one applied, else the one that the run had]
    #[arg(long, value_name = "FILE", conflicts_with = "stack")]
    pub dataset: Option<PathBuf>,
    /// Tell what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// A dead-letter queue of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DlqArg {
    /// The work queue's.
    Work,
    /// The finalize queue's.
    Finalize,
    /// Both.
    All,
}

/// The intent of this word; `incremental` is `""`.
pub fn intent(word: &str) -> Result<Intent, Fault> {
    let named = if word == "incremental" { Some(Intent::Incremental) } else { Intent::from_word(word) };
    named.ok_or_else(|| {
        Fault::usage(format!(
            "unknown intent `{word}`: it is \"\" or incremental, reprocess, test_subset, prune, or on a stack heal"
        ))
    })
}

fn parse_date(text: &str) -> Result<Date, String> {
    date(text).ok_or_else(|| "write year, month and day, such as 2015-01-31".to_owned())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
