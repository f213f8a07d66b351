//! The JSON of a Slack-style webhook: `text` for notifications and for services that know nothing else, `blocks` for the
//! message as it is seen.
//!
//! Bounds and escapes are those of Slack's reference for Block Kit and for message formatting: `&`, `<` and `>` are control
//! characters, a section holds 3,000 characters and 10 fields of 2,000, a context 10 elements.

use serde_json::{Value, json};

use super::message::{Told, cut};

const MAX_TEXT: usize = 3_000;
const MAX_FIELD: usize = 2_000;
const MAX_FIELDS: usize = 10;
/// An escape is up to five times as long as its character.
const ESCAPED: usize = 5;

pub(super) fn payload(told: &Told) -> Value {
    let title =
        format!("{} *{}*: {}", told.icon, escaped(&told.dataset, MAX_FIELD), escaped(&told.headline, MAX_FIELD));
    let mut blocks = vec![section(title)];
    if let Some(error) = &told.error {
        blocks.push(section(format!("> {}", escaped(error, MAX_TEXT - 2))));
    }
    let fields = told.facts.iter().take(MAX_FIELDS);
    let fields: Vec<Value> =
        fields.map(|(name, value)| markdown(format!("*{name}*\n{}", escaped(value, MAX_FIELD - 20)))).collect();
    if !fields.is_empty() {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    if let Some(next) = &told.next {
        blocks.push(section(escaped(next, MAX_TEXT)));
    }
    let mut places = vec![markdown(format!("source {}", escaped(&told.source, MAX_FIELD)))];
    places.extend(told.parts.as_ref().map(|parts| markdown(format!("parts {}", escaped(parts, MAX_FIELD)))));
    places.push(markdown(format!("run {}", escaped(&told.run_id, MAX_FIELD))));
    blocks.push(json!({"type": "context", "elements": places}));
    let summary = format!("{} {}: {}", told.icon, told.dataset, told.headline);
    json!({"text": escaped(&summary, MAX_TEXT), "blocks": blocks})
}

fn section(text: String) -> Value {
    json!({"type": "section", "text": markdown(text)})
}

fn markdown(text: String) -> Value {
    json!({"type": "mrkdwn", "text": text})
}

/// The text with its control characters escaped, in at most `max` characters.
fn escaped(text: &str, max: usize) -> String {
    let text = if text.chars().count() * ESCAPED > max { cut(text, max / ESCAPED) } else { text.to_owned() };
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
