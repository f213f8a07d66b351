//! What `check` tells people.

use rowmill::cost::{Architecture, Prices};
use rowmill::dataset::Dataset;
use rowmill::read::text::SAMPLE_BYTES;

use super::{Checked, Planned};
use crate::estimate::assumptions;
use crate::location::shown;
use crate::render::{Align, Table, bytes, count, length, plural};
use crate::types::{Columns, changes};

/// The document for people.
pub(super) fn text(dataset: &Dataset, checked: &Checked) -> String {
    let failed = checked.sources.iter().filter(|planned| planned.error.is_some()).count();
    let mut text = format!("{}: dataset {} is valid", dataset.origin, checked.dataset);
    match (&checked.looked_at, failed) {
        (Some(looked_at), 0) => text.push_str(&format!(", checked with {}, the newest source", shown(looked_at))),
        (Some(_), _) => text.push_str(" by itself, and fails with the newest source"),
        (None, 0) => {}
        (None, failed) => text.push_str(&format!(", {failed} of {} failed", plural(checked.sources.len(), "source"))),
    }
    text.push('\n');
    text.push_str(&by_date(dataset));
    if checked.sources.len() == failed {
        return text;
    }
    let mut table = Table::new(&[
        ("source", Align::Left),
        ("size", Align::Right),
        ("rows", Align::Right),
        ("row groups", Align::Right),
        ("after", Align::Right),
        ("slices", Align::Right),
        ("invocations", Align::Right),
        ("memory", Align::Right),
        ("GB-s", Align::Right),
        ("cost", Align::Right),
    ]);
    for planned in checked.sources.iter().filter(|planned| planned.error.is_none()) {
        table.row([
            shown(&planned.uri).to_owned(),
            bytes(planned.size),
            format!("{}{}", if planned.rows_estimated { "about " } else { "" }, count(planned.rows)),
            groups(&planned.row_groups_before),
            groups(&planned.row_groups_after),
            length(planned.slices),
            count(planned.estimate.invocations),
            bytes(planned.estimate.memory_bytes),
            format!("{:.1}", planned.estimate.gb_seconds),
            dollars(planned.estimate.dollars),
        ]);
    }
    text.push_str(&format!("\n{}", table.text("")));
    if checked.sources.iter().any(|planned| planned.rows_estimated) {
        text.push_str(&format!("about: estimated from the first {}\n", sample()));
    }
    text.push_str(&handling(dataset, &checked.sources));
    text.push_str(&schemas(&checked.sources));
    let totals = &checked.totals;
    text.push_str(&format!(
        "\nin all {} invocations, {:.1} GB-seconds, {} requests to S3 and {} to SQS, {}; up to {} of memory and {:.1} s a \
         slice\n{}",
        count(totals.invocations),
        totals.gb_seconds,
        count(totals.requests.put + totals.requests.get),
        count(totals.requests.queue),
        dollars(totals.dollars),
        bytes(totals.memory_bytes),
        totals.slice_seconds,
        assumptions(&Prices::US_EAST_1, Architecture::X86_64)
    ));
    text
}

/// How an archive's files are named: a day's worth.
fn by_date(dataset: &Dataset) -> String {
    let (Some(archive), Some((bucket, _))) = (dataset.archive(), dataset.source_root()) else { return String::new() };
    let day = jiff::civil::date(2015, 1, 1);
    let Ok(keys) = archive.keys(day, day) else { return String::new() };
    match keys.as_slice() {
        [only] => format!("--from {day} --to {day} is {bucket}/{only}\n"),
        [first, .., last] => {
            format!("--from {day} --to {day} is {} files, {bucket}/{first} to {bucket}/{last}\n", keys.len())
        }
        [] => String::new(),
    }
}

/// Which sources a stack cleans in the invocation that plans them.
fn handling(dataset: &Dataset, sources: &[Planned]) -> String {
    let threshold = dataset.spec.source.small_bytes;
    let planned = || sources.iter().filter(|planned| planned.error.is_none());
    let whole = planned().filter(|planned| planned.slices < 2 || planned.size < threshold).count();
    let fanned: Vec<_> = planned().filter(|planned| planned.slices >= 2 && planned.size >= threshold).collect();
    let mut text = String::new();
    if whole > 0 {
        let what = plural(whole, "source");
        text.push_str(&format!(
            "\non a stack, {what} of one slice or below source.small_bytes ({}): one invocation each\n",
            bytes(threshold)
        ));
    }
    if !fanned.is_empty() {
        let slices = fanned.iter().map(|planned| planned.slices).sum();
        let what = plural(fanned.len(), "larger source");
        text.push_str(&format!("on a stack, {what}: an invocation for each of {}\n", plural(slices, "slice")));
    }
    text
}

/// What is read of a text to judge it.
fn sample() -> String {
    format!("{} MiB of the file", SAMPLE_BYTES >> 20)
}

/// The errors of sources, each once: what is wrong with several is told with their number and the first ones' names.
pub(super) fn errors(sources: &[Planned]) -> Vec<String> {
    const NAMED: usize = 3;
    let mut alike: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for planned in sources {
        let Some(error) = &planned.error else { continue };
        let problem = error.strip_prefix(&planned.uri).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(error);
        match alike.iter_mut().find(|(known, _)| *known == problem) {
            Some((_, of)) => of.push((&planned.uri, error)),
            None => alike.push((problem, vec![(&planned.uri, error)])),
        }
    }
    let told = alike.iter().map(|(problem, of)| match of.as_slice() {
        [(_, error)] => (*error).to_owned(),
        several => {
            let names = several.iter().take(NAMED).map(|(uri, _)| uri.rsplit('/').next().unwrap_or(uri));
            let names = names.collect::<Vec<_>>().join(", ");
            let more = several.len().saturating_sub(NAMED);
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{} ({names}{rest}): {problem}", plural(several.len(), "source"))
        }
    });
    told.collect()
}

/// The columns that change or whose type is inferred, over all sources that come out alike.
fn schemas(sources: &[Planned]) -> String {
    let mut text = String::new();
    let mut told: Vec<&Columns> = Vec::new();
    for planned in sources.iter().filter(|planned| planned.error.is_none()) {
        let after = &planned.columns_after;
        if told.contains(&after) {
            continue;
        }
        told.push(after);
        let alike = sources.iter().filter(|other| other.columns_after == *after);
        let before: Vec<Columns> = alike.clone().map(before).collect();
        let table = changes(before.iter(), after);
        let (sources, columns) = (plural(alike.clone().count(), "source"), plural(after.len(), "column"));
        match table.is_empty() {
            true => text.push_str(&format!("\n{sources} to {columns}, all as they are\n")),
            false => text.push_str(&format!("\n{sources} to {columns}\n{}", table.text("  "))),
        }
        if alike.clone().any(|planned| !planned.inferred.is_empty()) {
            text.push_str(&format!("inferred: from the first {}; [schema] columns declares types\n", sample()));
        }
    }
    text
}

/// A source's columns, and which of their types are inferred.
fn before(planned: &Planned) -> Columns {
    let columns = planned.columns_before.iter().map(|(name, found)| match planned.inferred.contains(name) {
        true => (name.clone(), format!("{found} (inferred)")),
        false => (name.clone(), found.clone()),
    });
    columns.collect()
}

/// How many, and their sizes.
fn groups(rows: &[u64]) -> String {
    match (rows.iter().min(), rows.iter().max()) {
        (Some(smallest), Some(largest)) if smallest == largest => format!("{} of {}", rows.len(), count(*largest)),
        (Some(smallest), Some(largest)) => format!("{} of {} to {}", rows.len(), count(*smallest), count(*largest)),
        _ => "none".to_owned(),
    }
}

fn dollars(amount: f64) -> String {
    format!("${amount:.5}")
}
