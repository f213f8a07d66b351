//! `rowmill trigger`: the manual event, sent to a deployed checker.

use rowmill::event::Intent;
use serde_json::Value;

use crate::args::{TriggerArgs, intent};
use crate::fault::{Exit, Fault};
use crate::paste::Paste;
use crate::render;
use crate::stack::Stack;

/// Runs the command.
pub async fn trigger(args: TriggerArgs) -> Result<Exit, Fault> {
    let intent = intent(&args.intent)?;
    if intent == Intent::Redrive {
        let redrive = Paste::new("redrive").option("--stack", &args.stack);
        return Err(Fault::usage(format!("to retry failed runs: `{redrive}`")));
    }
    args.ask.check(intent)?;
    let request = args.ask.request(intent, args.dataset.clone());
    let answer = Stack::describe(&args.stack).await?.ask(&request).await?;
    if args.json {
        render::print_json(&answer);
    } else {
        tell(&answer);
    }
    Ok(exit(&answer))
}

/// Tells an answer of the checker to people.
pub fn tell(answer: &Value) {
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
    let would = if answer.get("dry_run").and_then(Value::as_bool).unwrap_or(false) { "would be " } else { "" };
    let (matched, enqueued, skipped) = (number("matched"), number("enqueued"), number("skipped"));
    let missing = match number("missing") {
        0 => String::new(),
        files => format!(", {} missing", render::count(files)),
    };
    render::print(&format!(
        "{} matched, {} {would}enqueued, {} skipped{missing}\n",
        render::count(matched),
        render::count(if would.is_empty() { enqueued } else { render_len(answer, "runs") }),
        render::count(skipped)
    ));
    let removed = if would.is_empty() { "removed the output of " } else { "would remove the output of " };
    for (name, before) in [("runs", "run "), ("pruned", removed)] {
        for line in strings(answer, name) {
            render::print(&format!("{before}{line}\n"));
        }
    }
    for note in strings(answer, "notes") {
        eprintln!("note: {note}");
    }
    for problem in strings(answer, "problems") {
        eprintln!("error: {problem}");
    }
}

/// 1 where the checker tells of problems.
pub fn exit(answer: &Value) -> Exit {
    if strings(answer, "problems").is_empty() { Exit::Done } else { Exit::Failed }
}

fn strings<'a>(answer: &'a Value, name: &str) -> Vec<&'a str> {
    answer.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

fn render_len(answer: &Value, name: &str) -> u64 {
    u64::try_from(strings(answer, name).len()).unwrap_or(u64::MAX)
}
