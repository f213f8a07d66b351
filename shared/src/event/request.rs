//! The manual event: what a person or a script asks the checker for.

use std::time::Duration;

use globset::GlobBuilder;
use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::error::{EventError, quoted};
use super::intent::{INTENTS, Intent};
use super::json::type_name;
use crate::dataset::duration;

/// The most runs one request names.
pub const MAX_RUNS: usize = 1_000;

/// The most bytes of a pattern or a name. A pattern need not be longer than the keys that it matches.
const MAX_TEXT_BYTES: usize = 1_024;

/// The keys of a manual event.
pub(super) const KEYS: [&str; 11] =
    ["intent", "dataset", "pattern", "modified_within", "from", "to", "limit", "stale", "dry_run", "confirm", "runs"];

/// A request. Each field narrows what it is about; absent ones do not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// What is asked for.
    pub intent: Intent,
    /// Only this dataset.
    pub dataset: Option<String>,
    /// Only sources whose key below the dataset's `uri` fits this glob, in place of the dataset's own `pattern`.
    pub pattern: Option<String>,
    /// Only sources modified so recently, in place of the dataset's own window.
    pub modified_within: Option<Duration>,
    /// Only sources of this date or later.
    pub from: Option<Date>,
    /// Only sources of this date or earlier. Not before `from`.
    pub to: Option<Date>,
    /// At most so many sources; at least 1.
    pub limit: Option<u64>,
    /// Only sources that are published under another dataset file than the one applied now. It goes with
    /// [`Intent::Reprocess`]; an event may also leave the intent empty.
    pub stale: bool,
    /// Tell what would be done, and do nothing.
    pub dry_run: bool,
    /// Remove what [`Intent::Prune`] finds even where that is more than half of a dataset's outputs.
    pub confirm: bool,
    /// The run ids to retry, each once: with [`Intent::Redrive`], which names at least one, and with no other.
    pub runs: Vec<String>,
}

impl Request {
    /// The manual event that [`super::decode`] reads as this request. A duration is written in seconds, and loses the
    /// fraction of one.
    pub fn to_event(&self) -> Value {
        let mut event = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                event.insert(name.to_owned(), value);
            }
        };
        put("intent", Some(json!(self.intent.as_str())));
        put("dataset", self.dataset.as_ref().map(|name| json!(name)));
        put("pattern", self.pattern.as_ref().map(|glob| json!(glob)));
        put("modified_within", self.modified_within.map(|window| json!(format!("{}s", window.as_secs()))));
        put("from", self.from.map(|date| json!(date.to_string())));
        put("to", self.to.map(|date| json!(date.to_string())));
        put("limit", self.limit.map(|limit| json!(limit)));
        put("stale", self.stale.then_some(Value::Bool(true)));
        put("dry_run", self.dry_run.then_some(Value::Bool(true)));
        put("confirm", self.confirm.then_some(Value::Bool(true)));
        put("runs", (!self.runs.is_empty()).then(|| json!(self.runs)));
        Value::Object(event)
    }
}

/// Reads a manual event. A null means that the field is absent.
pub(super) fn parse(event: &Map<String, Value>, at: &str) -> Result<Request, EventError> {
    let unknown: Vec<String> =
        event.keys().filter(|name| !KEYS.contains(&name.as_str())).take(10).map(|name| quoted(name)).collect();
    if !unknown.is_empty() {
        let what = format!("has keys that a request does not: {}", unknown.join(", "));
        return Err(EventError::new(at, what, format!("leave them out; the keys are {}", KEYS.join(", "))));
    }
    let fields = Fields { event, at };
    let intent = fields.intent()?;
    for name in intent.refused_keys() {
        if fields.get(name).is_some() {
            let what = format!("has no meaning with intent {:?}", intent.as_str());
            return Err(fields.wrong(name, what, "leave it out"));
        }
    }
    let stale = fields.boolean("stale")?;
    let request = Request {
        intent: intent.of_stale(stale),
        dataset: fields.dataset()?,
        pattern: fields.pattern()?,
        modified_within: fields.duration("modified_within")?,
        from: fields.date("from")?,
        to: fields.date("to")?,
        limit: fields.limit()?,
        stale,
        dry_run: fields.boolean("dry_run")?,
        confirm: fields.boolean("confirm")?,
        runs: fields.runs()?,
    };
    if let (Some(from), Some(to)) = (request.from, request.to)
        && from > to
    {
        return Err(fields.wrong("from", format!("is {from}, after to, {to}"), "swap them; both days are included"));
    }
    if intent == Intent::Redrive && request.runs.is_empty() {
        return Err(fields.wrong("runs", "names no run", "name the run ids to retry, as \"rowmill runs\" shows them"));
    }
    Ok(request)
}

/// An ISO date, and nothing behind it: jiff would also take a time of day there, and drop it.
pub fn date(text: &str) -> Option<Date> {
    let is_long_form = text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    text.parse().ok().filter(|_| is_long_form)
}

/// The event's fields, by the type that each should have.
struct Fields<'a> {
    event: &'a Map<String, Value>,
    at: &'a str,
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.event.get(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, what: impl Into<String>, remedy: impl Into<String>) -> EventError {
        EventError::new(format!("{}.{name}", self.at), what, remedy)
    }

    fn wrong_type(&self, name: &str, found: &Value, wanted: &str, remedy: &str) -> EventError {
        self.wrong(name, format!("is {}, not {wanted}", type_name(found)), remedy)
    }

    fn intent(&self) -> Result<Intent, EventError> {
        let word = match self.event.get("intent") {
            Some(Value::String(word)) => word,
            other => return Err(self.wrong_type("intent", other.unwrap_or(&Value::Null), "a string", INTENTS)),
        };
        Intent::from_word(word).ok_or_else(|| self.wrong("intent", format!("is {}", quoted(word)), INTENTS))
    }

    /// A string that is neither empty nor too long.
    fn text(&self, name: &str, remedy: &str) -> Result<Option<&'a str>, EventError> {
        let text = match self.get(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text,
            Some(other) => return Err(self.wrong_type(name, other, "a string", remedy)),
        };
        if text.is_empty() {
            return Err(self.wrong(name, "is empty", "leave it out, or fill it in"));
        }
        if text.len() > MAX_TEXT_BYTES {
            let what = format!("is {} bytes long, above the limit of {MAX_TEXT_BYTES}", text.len());
            return Err(self.wrong(name, what, "shorten it"));
        }
        Ok(Some(text))
    }

    fn dataset(&self) -> Result<Option<String>, EventError> {
        let remedy = "write the dataset's name: letters, digits, _ and -";
        match self.text("dataset", remedy)? {
            Some(name) if !is_name(name) => Err(self.wrong("dataset", format!("is {}", quoted(name)), remedy)),
            name => Ok(name.map(str::to_owned)),
        }
    }

    fn pattern(&self) -> Result<Option<String>, EventError> {
        let remedy = "write a glob such as \"fhvhv_tripdata_2024-*.parquet\"";
        let Some(pattern) = self.text("pattern", remedy)? else { return Ok(None) };
        match GlobBuilder::new(pattern).literal_separator(true).build() {
            Ok(_) => Ok(Some(pattern.to_owned())),
            Err(problem) => Err(self.wrong("pattern", format!("is no glob ({})", problem.kind()), remedy)),
        }
    }

    fn duration(&self, name: &str) -> Result<Option<Duration>, EventError> {
        let remedy = "write a whole number and d, h, m or s, such as \"7d\"";
        let Some(text) = self.text(name, remedy)? else { return Ok(None) };
        match duration::parse(text) {
            Ok(window) => Ok(Some(window)),
            Err(_) => Err(self.wrong(name, format!("is {}, not a duration", quoted(text)), remedy)),
        }
    }

    fn date(&self, name: &str) -> Result<Option<Date>, EventError> {
        let remedy = "write year, month and day, such as \"2015-01-31\"";
        let Some(text) = self.text(name, remedy)? else { return Ok(None) };
        match date(text) {
            Some(date) => Ok(Some(date)),
            None => Err(self.wrong(name, format!("is {}, not a date", quoted(text)), remedy)),
        }
    }

    fn limit(&self) -> Result<Option<u64>, EventError> {
        let remedy = "write how many sources to take at most, without quotes, or leave it out";
        match self.get("limit") {
            None => Ok(None),
            Some(value @ Value::Number(number)) => match value.as_u64() {
                Some(limit) if limit > 0 => Ok(Some(limit)),
                _ => Err(self.wrong("limit", format!("is {number}, not a whole number above 0"), remedy)),
            },
            Some(other) => Err(self.wrong_type("limit", other, "a whole number", remedy)),
        }
    }

    fn boolean(&self, name: &str) -> Result<bool, EventError> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(self.wrong_type(name, other, "a boolean", "write true or false, without quotes")),
        }
    }

    fn runs(&self) -> Result<Vec<String>, EventError> {
        let remedy = "write an array of run ids";
        let entries = match self.get("runs") {
            None => return Ok(Vec::new()),
            Some(Value::Array(entries)) => entries,
            Some(other) => return Err(self.wrong_type("runs", other, "an array", remedy)),
        };
        if entries.len() > MAX_RUNS {
            let what = format!("has {} entries, above the limit of {MAX_RUNS}", entries.len());
            return Err(self.wrong("runs", what, "send several requests"));
        }
        let mut runs: Vec<String> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let name = format!("runs[{index}]");
            match entry {
                Value::String(run) if !is_name(run) => {
                    return Err(self.wrong(&name, format!("is {}, not a run id", quoted(run)), remedy));
                }
                Value::String(run) if runs.contains(run) => {}
                Value::String(run) => runs.push(run.clone()),
                other => return Err(self.wrong_type(&name, other, "a string", remedy)),
            }
        }
        Ok(runs)
    }
}

/// True for names that become part of a ledger key: nothing in them can lead out of their folder.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_TEXT_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
