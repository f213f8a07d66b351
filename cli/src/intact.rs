//! Whether what a run published lies in the sink as it was published, as far as a look-up tells: that it is there, and its size.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use rowmill::ledger::records::Visible;
use rowmill::ledger::{Ledger, Outcome, Status};
use serde::{Serialize, Serializer};

use crate::fault::Fault;
use crate::render::{count, length};

/// Objects looked up at once.
const LOOKED_UP_AT_ONCE: usize = 100;

/// What a look-up found instead of the object that was published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// Nothing.
    Gone,
    /// An object of another size.
    Size {
        /// Bytes of what lies there.
        found: u64,
        /// Bytes of what was published.
        published: u64,
    },
    /// It could not be looked up.
    Unknown(String),
}

impl Problem {
    /// In words, for one object.
    pub fn text(&self) -> String {
        match self {
            Self::Gone => "gone".to_owned(),
            Self::Size { found, published } => {
                format!("another size: {} instead of {} bytes", count(*found), count(*published))
            }
            Self::Unknown(problem) => format!("not looked up: {problem}"),
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

/// An object that is not as it was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// Where.
    pub uri: String,
    /// What is wrong with it.
    pub problem: Problem,
    /// Whether it holds rows that were set aside.
    #[serde(skip)]
    pub quarantine: bool,
}

/// Looks up what each of these runs made visible, all at once, and answers by run what is not as it was published.
///
/// A run whose objects another one is replacing, or has replaced, is left out: what lies at its keys is not its own.
pub async fn damaged<'a>(
    ledger: &Ledger,
    outcomes: impl IntoIterator<Item = &'a Outcome>,
) -> Result<BTreeMap<String, Vec<Damaged>>, Fault> {
    let outcomes: Vec<&Outcome> = outcomes.into_iter().collect();
    let visible = outcomes.iter().flat_map(|outcome| {
        let parts = outcome.parts.iter().map(move |part| (*outcome, part, false));
        parts.chain(outcome.quarantine.iter().map(move |part| (*outcome, part, true)))
    });
    let looked = stream::iter(visible).map(|(outcome, part, quarantine)| async move {
        let problem = look_up(ledger, part).await?;
        Some((outcome, Damaged { uri: ledger.sink().uri(&part.key), problem, quarantine }))
    });
    let mut looked = looked.buffered(LOOKED_UP_AT_ONCE);
    let mut by_run: BTreeMap<String, (&Outcome, Vec<Damaged>)> = BTreeMap::new();
    while let Some(found) = looked.next().await {
        let Some((outcome, damaged)) = found else { continue };
        by_run.entry(outcome.run.run_id.clone()).or_insert_with(|| (outcome, Vec::new())).1.push(damaged);
    }
    let mut all = BTreeMap::new();
    for (run_id, (outcome, damaged)) in by_run {
        // Asked after the look-up: a run that came in between has changed what was looked up.
        if replaced_by(ledger, outcome).await?.is_none() {
            all.insert(run_id, damaged);
        }
    }
    Ok(all)
}

async fn look_up(ledger: &Ledger, published: &Visible) -> Option<Problem> {
    match ledger.sink().head(&published.key).await {
        Ok(Some(found)) if found.size == published.bytes => None,
        Ok(Some(found)) => Some(Problem::Size { found: found.size, published: published.bytes }),
        Ok(None) => Some(Problem::Gone),
        Err(error) => Some(Problem::Unknown(error.to_string())),
    }
}

/// The run that has taken the place of this one, or is about to.
pub async fn replaced_by(ledger: &Ledger, outcome: &Outcome) -> Result<Option<String>, Fault> {
    let run = &outcome.run;
    if outcome.status != Status::Complete || !run.purpose.publishes() {
        return Ok(None);
    }
    let Some(pointer) = ledger.pointer(&run.dataset, &run.source.bucket, &run.source.key).await? else {
        return Ok(None);
    };
    let pointer = pointer.value;
    if let Some(claim) = pointer.claim.filter(|claim| claim.run_id != run.run_id)
        && ledger.outcome(&run.dataset, &claim.run_id).await?.is_none()
    {
        return Ok(Some(claim.run_id));
    }
    Ok(pointer.published.map(|published| published.claim.run_id).filter(|published| *published != run.run_id))
}

/// What is wrong with a run's objects, in words: `2 of 18 parts are gone from the sink`.
pub fn words(damaged: &[Damaged], parts: usize, quarantine: usize) -> String {
    let mut words = Vec::new();
    for (of, noun, set_aside) in [(parts, "part", false), (quarantine, "quarantine file", true)] {
        let these = || damaged.iter().filter(|damaged| damaged.quarantine == set_aside).map(|damaged| &damaged.problem);
        let mut tell = |number: usize, is: &str, are: &str| {
            if number > 0 {
                let noun = if of == 1 { noun.to_owned() } else { format!("{noun}s") };
                let verb = if number == 1 { is } else { are };
                words.push(format!("{} of {} {noun} {verb}", length(number), length(of)));
            }
        };
        tell(
            these().filter(|problem| matches!(problem, Problem::Gone)).count(),
            "is gone from the sink",
            "are gone from the sink",
        );
        tell(
            these().filter(|problem| matches!(problem, Problem::Size { .. })).count(),
            "has another size than was published",
            "have other sizes than were published",
        );
        let unknown = || these().filter(|problem| matches!(problem, Problem::Unknown(_)));
        tell(unknown().count(), "could not be looked up", "could not be looked up");
        if let Some(Problem::Unknown(problem)) = unknown().next() {
            words.push(problem.clone());
        }
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_counted_by_kind() {
        let damaged = |problem, quarantine| Damaged { uri: String::new(), problem, quarantine };
        let size = Problem::Size { found: 12, published: 1_000 };
        assert_eq!(size.text(), "another size: 12 instead of 1,000 bytes");
        let all = [damaged(Problem::Gone, false), damaged(Problem::Gone, false), damaged(size, false)];
        assert_eq!(
            words(&all, 18, 0),
            "2 of 18 parts are gone from the sink, 1 of 18 parts has another size than was published"
        );
        assert_eq!(words(&[damaged(Problem::Gone, true)], 3, 1), "1 of 1 quarantine file is gone from the sink");
        let denied = [damaged(Problem::Unknown("denied".into()), false)];
        assert_eq!(words(&denied, 1, 0), "1 of 1 part could not be looked up, denied");
    }
}
