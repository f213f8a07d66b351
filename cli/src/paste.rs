//! Commands that messages give to paste: complete, and quoted for a shell.

use std::borrow::Cow;
use std::fmt;

use crate::args::{AskArgs, RunArgs, WhereArgs};
use crate::location::shown;
use crate::sink;

/// More sources than this do not go into a command that a person is to read.
const MOST_SOURCES: usize = 10;

/// A `rowmill` command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paste {
    words: Vec<String>,
}

impl Paste {
    /// `rowmill run`, for `run`.
    pub fn new(command: &str) -> Self {
        Self { words: vec!["rowmill".to_owned(), command.to_owned()] }
    }

    /// With an argument.
    pub fn arg(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    /// With an option and its value.
    pub fn option(self, name: &str, value: impl fmt::Display) -> Self {
        self.arg(name).arg(value.to_string())
    }

    /// With an option and its value, where there is one.
    fn some_option(self, name: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.option(name, value),
            None => self,
        }
    }

    /// With the sink, unless it is the one that is taken anyway.
    pub fn sink(self, sink: &str) -> Self {
        if sink == sink::DEFAULT { self } else { self.option("--sink", sink) }
    }

    /// With the stack or the sink.
    pub fn at(self, place: &WhereArgs) -> Self {
        match (&place.stack, &place.sink) {
            (Some(stack), _) => self.option("--stack", stack),
            (None, Some(sink)) => self.sink(sink),
            (None, None) => self,
        }
    }

    /// `rowmill run` with the dataset file and the sink of this one.
    fn like(args: &RunArgs) -> Self {
        Self::new("run").option("--dataset", args.dataset.display()).sink(&args.sink)
    }

    /// `rowmill run` of these sources, each once more, whatever is published.
    pub fn reprocess<'a>(args: &RunArgs, uris: impl IntoIterator<Item = &'a str>) -> Self {
        let run = Self::like(args).option("--intent", "reprocess");
        uris.into_iter().fold(run, |run, uri| run.arg(shown(uri)))
    }

    /// `rowmill run` of the sources that this one was about, as far as another dataset file published them. `None` where too
    /// many were named.
    pub fn stale(args: &RunArgs) -> Option<Self> {
        if args.sources.len() > MOST_SOURCES {
            return None;
        }
        let AskArgs { pattern, modified_within, from, to, .. } = &args.ask;
        let run = Self::like(args)
            .arg("--stale")
            .some_option("--pattern", pattern.as_ref())
            .some_option("--modified-within", modified_within.map(|window| format!("{}s", window.as_secs())))
            .some_option("--from", from.as_ref())
            .some_option("--to", to.as_ref());
        Some(args.sources.iter().fold(run, |run, source| run.arg(source)))
    }
}

impl fmt::Display for Paste {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            if index > 0 {
                formatter.write_str(" ")?;
            }
            formatter.write_str(&quoted(word))?;
        }
        Ok(())
    }
}

/// A word as a shell takes it for one word, as it is.
fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@%_+=:,./-".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    /// The command as a shell gives it to the program.
    fn parsed(command: &str) -> RunArgs {
        let shell =
            std::process::Command::new("sh").args(["-c", &format!("printf '%s\\0' {command}")]).output().unwrap();
        let words = String::from_utf8(shell.stdout).unwrap();
        match Args::try_parse_from(words.split_terminator('\0')).unwrap().command {
            Command::Run(args) => args,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn a_command_is_read_by_a_shell_as_it_was_meant() {
        let args = parsed(
            "rowmill run --dataset \"my trips.toml\" --sink 'out put' --json --limit 3 --pattern 'a*' --modified-within 7d 'in/it'\\''s $HOME.csv'",
        );
        let stale = Paste::stale(&args).unwrap().to_string();
        let again = parsed(&stale);
        assert_eq!((&again.dataset, &again.sink, &again.sources), (&args.dataset, &args.sink, &args.sources));
        assert_eq!((&again.ask.pattern, again.ask.modified_within), (&args.ask.pattern, args.ask.modified_within));
        assert!(again.ask.stale && again.ask.limit.is_none() && !again.json, "{stale}");
        let reprocess = parsed(&Paste::reprocess(&args, ["file:///a b/c.csv"]).to_string());
        assert_eq!((reprocess.intent.as_str(), reprocess.sources), ("reprocess", vec!["/a b/c.csv".to_owned()]));
    }

    #[test]
    fn the_place_is_named_unless_it_is_taken_anyway() {
        let at = |stack: Option<&str>, sink: Option<&str>| {
            let place = WhereArgs { stack: stack.map(str::to_owned), sink: sink.map(str::to_owned) };
            Paste::new("runs").at(&place).to_string()
        };
        assert_eq!(at(Some("mine"), None), "rowmill runs --stack mine");
        assert_eq!(at(None, Some("s3://b")), "rowmill runs --sink s3://b");
        assert_eq!(at(None, None), "rowmill runs");
        assert_eq!(at(None, Some(sink::DEFAULT)), "rowmill runs");
    }

    #[test]
    fn a_command_of_hundreds_of_sources_is_not_given() {
        let names: Vec<String> = (0..11).map(|name| format!("{name}.csv")).collect();
        assert_eq!(Paste::stale(&parsed(&format!("rowmill run --dataset d.toml {}", names.join(" ")))), None);
    }
}
