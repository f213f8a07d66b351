//! Envelopes: from the payload to the records inside, wrapper by wrapper.

use serde_json::{Map, Value};

use super::error::{EventError, quoted};
use super::{Decoded, Ignored, Item, Request, Trigger, intent, json, object, request, sequencer};

/// How many wrappers (SQS, SNS, the record of a failed invocation) may stand around an event. The deepest wiring known
/// to make sense has four: a failure record sent over SNS to SQS, of an invocation by SNS.
pub const MAX_WRAPPERS: usize = 4;

/// The longest JSON kept in a string (a message's body), in bytes: SQS takes no longer message.
pub const MAX_BODY_BYTES: usize = 1_048_576;

/// The most entries of one `Records`: the largest batch that SQS delivers.
pub const MAX_RECORDS: usize = 10_000;

/// The most items a payload may hold in all. Each message above it fails alone, and so comes back in a smaller batch.
pub const MAX_ITEMS: usize = 100_000;

const EXPECTED: &str = "send an event of S3, EventBridge, SQS or SNS, or a request such as {\"intent\": \"\"}";

/// Decodes one invocation's payload.
///
/// The error is that of the payload as a whole: its outer envelope is not one of those known, or it is a single event
/// or request and wrong. Where the outer envelope is SQS that does not happen, except for a batch above
/// [`MAX_RECORDS`]: each message carries its own error.
pub fn decode(payload: &Value) -> Result<Decoded, EventError> {
    let mut decoder = Decoder { sqs: false, items: Vec::new() };
    decoder.event(payload, "$", &Level { wrappers: 0, message_id: None })?;
    let Decoder { sqs, mut items } = decoder;
    if !sqs {
        items.iter_mut().for_each(|item| item.message_id = None);
    }
    sequencer::collapse(&mut items);
    Ok(Decoded { sqs, items })
}

/// How far inside the payload an event lies.
struct Level<'a> {
    wrappers: usize,
    message_id: Option<&'a str>,
}

struct Decoder {
    sqs: bool,
    items: Vec<Item>,
}

impl Decoder {
    /// Decodes whatever `event` is and appends its items. An error means that it has none.
    fn event(&mut self, event: &Value, at: &str, level: &Level<'_>) -> Result<(), EventError> {
        let Value::Object(fields) = event else {
            return Err(EventError::new(at, format!("is {}, not an event", json::type_name(event)), EXPECTED));
        };
        if fields.contains_key("intent") {
            let request = request::parse(fields, at)?;
            return self.push(level, at, Ok(Trigger::Request(request)));
        }
        if let Some(records) = fields.get("Records") {
            return self.records(records, &format!("{at}.Records"), level);
        }
        if let Some(payload) = fields.get("requestPayload") {
            return self.invocation(event, payload, at, level);
        }
        if let Some(detail_type) = fields.get("detail-type") {
            return self.event_bridge(event, detail_type, at, level);
        }
        if fields.contains_key("TopicArn") && fields.contains_key("Type") {
            return self.sns_message(event, at, level);
        }
        if fields.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
            return self.push(level, at, Ok(Trigger::Ignored(Ignored::TestEvent)));
        }
        Err(unknown(fields, at))
    }

    /// Decodes `Records`, each alone.
    fn records(&mut self, records: &Value, at: &str, level: &Level<'_>) -> Result<(), EventError> {
        let Value::Array(records) = records else {
            return Err(EventError::new(at, format!("is {}, not an array", json::type_name(records)), EXPECTED));
        };
        if records.len() > MAX_RECORDS {
            let what = format!("has {} entries, above the limit of {MAX_RECORDS}", records.len());
            return Err(EventError::new(at, what, "send fewer records in one event"));
        }
        if self.items.len().saturating_add(records.len()) > MAX_ITEMS {
            let what = format!("would bring the payload above its limit of {MAX_ITEMS} records");
            return Err(EventError::new(at, what, "send fewer messages in one batch"));
        }
        for (index, record) in records.iter().enumerate() {
            let place = format!("{at}[{index}]");
            let is_message = record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs");
            let is_outer = level.wrappers == 0;
            self.sqs |= is_message && is_outer;
            let own_id = if is_outer { json::find_text(record, &["messageId"]) } else { None };
            let inner = Level { wrappers: level.wrappers, message_id: level.message_id.or(own_id) };
            if let Err(error) = self.record(record, &place, &inner) {
                self.items.push(item(&inner, Err(error)));
            }
        }
        Ok(())
    }

    /// Decodes one entry of `Records`. SNS writes its field with a capital.
    fn record(&mut self, record: &Value, at: &str, level: &Level<'_>) -> Result<(), EventError> {
        let source = json::find_text(record, &["eventSource"]).or(json::find_text(record, &["EventSource"]));
        match source {
            Some("aws:s3") => {
                let trigger = object::notification(record, at)?;
                self.push(level, at, Ok(trigger))
            }
            Some("aws:sqs") => {
                let body = json::text(record, at, &["body"], "send an event as the message's body")?;
                self.text(body, &format!("{at}.body"), level)
            }
            Some("aws:sns") => {
                let message = json::text(record, at, &["Sns", "Message"], "send an event as the message")?;
                self.text(message, &format!("{at}.Sns.Message"), level)
            }
            Some(other) => Err(EventError::new(
                format!("{at}.eventSource"),
                format!("is {}", quoted(other)),
                "send records of aws:s3, aws:sqs or aws:sns",
            )),
            None => Err(EventError::new(
                format!("{at}.eventSource"),
                "is missing",
                "send records of aws:s3, aws:sqs or aws:sns",
            )),
        }
    }

    /// Decodes the record of an asynchronous invocation: a failed one is done again.
    fn invocation(&mut self, record: &Value, payload: &Value, at: &str, level: &Level<'_>) -> Result<(), EventError> {
        if json::find_text(record, &["requestContext", "condition"]) == Some("Success") {
            return self.push(level, at, Ok(Trigger::Ignored(Ignored::Succeeded)));
        }
        let inner_at = format!("{at}.requestPayload");
        let inner = self.inside(level, &inner_at)?;
        self.event(payload, &inner_at, &inner)
    }

    fn event_bridge(
        &mut self,
        event: &Value,
        detail_type: &Value,
        at: &str,
        level: &Level<'_>,
    ) -> Result<(), EventError> {
        let source = json::find_text(event, &["source"]).unwrap_or_default();
        let trigger = match (source, detail_type.as_str().unwrap_or_default()) {
            ("aws.s3", s3_type) => object::event_bridge(event, s3_type, at)?,
            ("aws.events" | "aws.scheduler", "Scheduled Event") => Trigger::Request(Request::default()),
            (other, other_type) => {
                let what = format!("is {} of {}", quoted(other_type), quoted(other));
                let remedy = "send \"Object Created\" of \"aws.s3\", or a schedule's event";
                return Err(EventError::new(format!("{at}.detail-type"), what, remedy));
            }
        };
        self.push(level, at, Ok(trigger))
    }

    /// Decodes an SNS message as SNS delivers it to a queue.
    fn sns_message(&mut self, notification: &Value, at: &str, level: &Level<'_>) -> Result<(), EventError> {
        let kind = json::text(notification, at, &["Type"], "send the message as SNS does")?;
        if kind != "Notification" {
            let what = format!("is {}", quoted(kind));
            return Err(EventError::new(format!("{at}.Type"), what, "confirm the topic's subscription in SNS"));
        }
        let message = json::text(notification, at, &["Message"], "send an event as the message")?;
        self.text(message, &format!("{at}.Message"), level)
    }

    /// Decodes an event kept as JSON in a string.
    fn text(&mut self, text: &str, at: &str, level: &Level<'_>) -> Result<(), EventError> {
        let inner = self.inside(level, at)?;
        if text.len() > MAX_BODY_BYTES {
            let what = format!("is {} bytes long, above the limit of {MAX_BODY_BYTES}", text.len());
            return Err(EventError::new(at, what, "send fewer records in one message"));
        }
        let event: Value = serde_json::from_str(text)
            .map_err(|problem| EventError::new(at, format!("is not JSON ({problem}): {}", quoted(text)), EXPECTED))?;
        self.event(&event, at, &inner)
    }

    fn inside<'a>(&self, level: &Level<'a>, at: &str) -> Result<Level<'a>, EventError> {
        if level.wrappers == MAX_WRAPPERS {
            let what = format!("is inside {MAX_WRAPPERS} other envelopes, and that is the limit");
            return Err(EventError::new(at, what, "send the event with fewer envelopes around it"));
        }
        Ok(Level { wrappers: level.wrappers + 1, message_id: level.message_id })
    }

    fn push(&mut self, level: &Level<'_>, at: &str, result: Result<Trigger, EventError>) -> Result<(), EventError> {
        if self.items.len() >= MAX_ITEMS {
            let what = format!("would bring the payload above its limit of {MAX_ITEMS} records");
            return Err(EventError::new(at, what, "send fewer messages in one batch"));
        }
        self.items.push(item(level, result));
        Ok(())
    }
}

fn item(level: &Level<'_>, result: Result<Trigger, EventError>) -> Item {
    Item { message_id: level.message_id.map(str::to_owned), result }
}

/// The error for an object that is no event known: a request without its intent, most likely, or a foreign event.
fn unknown(fields: &Map<String, Value>, at: &str) -> EventError {
    if fields.keys().any(|name| request::KEYS.contains(&name.as_str())) {
        return EventError::new(format!("{at}.intent"), "is missing", intent::INTENTS);
    }
    let names: Vec<String> = fields.keys().take(5).map(|name| quoted(name)).collect();
    let what = match names.is_empty() {
        true => "is an empty object".to_owned(),
        false => format!("is no event known, its fields begin with {}", names.join(", ")),
    };
    EventError::new(at, what, EXPECTED)
}
