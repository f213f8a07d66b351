//! The kill matrix: which side effect fails, on which side, in which call, and how.

use crate::trips::{Trip, trips};

/// The side effects of one ingestion in their order, and whether a run of three slices has a second one of the kind.
const EFFECTS: [(&str, bool); 14] = [
    ("open.put", false),
    ("send.file", false),
    ("open.touch", false),
    ("plan.put", false),
    ("send.slice", false),
    ("upload.begin", true),
    ("upload.part", true),
    ("slice.put", true),
    ("send.run", false),
    ("pointer.claim", false),
    ("upload.complete", true),
    ("outcome.put", false),
    ("pointer.mark", false),
    ("open.delete", false),
];

/// Of those that a run has once, the ones that a retry does again although they took effect; it finds the others done.
const DONE_AGAIN: [&str; 1] = ["open.put"];

/// The ones that only a source's second version has, with the call that is its own.
const EFFECTS_OF_A_SECOND_VERSION: [(&str, u32); 5] =
    [("pointer.claim", 2), ("pointer.mark", 2), ("pointer.mark", 3), ("part.delete", 1), ("part.delete", 2)];

/// Side effects that a function hangs in until its deadline, or until it is killed.
const HANGS: [&str; 5] = ["plan.put", "upload.part", "slice.put", "upload.complete", "outcome.put"];

/// One source that is to meet a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The line it belongs to.
    pub fault: String,
    /// What its name asks for.
    pub failpoints: Vec<String>,
    /// Whether it comes in two versions, and the faults wait for the second.
    pub twice: bool,
}

impl Case {
    fn new(fault: String, failpoints: &[(&str, &str, u32, &str)], twice: bool) -> Self {
        let spell = |(point, when, call, action): &(&str, &str, u32, &str)| format!("{point}:{when}:{call}:{action}");
        Self { fault, failpoints: failpoints.iter().map(spell).collect(), twice }
    }

    /// The source's file name; `number` keeps it apart from others.
    pub fn file(&self, number: usize) -> String {
        format!("{number:03} fail={}.parquet", self.failpoints.join(","))
    }

    /// What the failpoints log when they fire.
    pub fn expected(&self) -> Vec<String> {
        let without_action = |failpoint: &String| failpoint.rsplit_once(':').map(|(head, _)| head.to_owned());
        self.failpoints.iter().filter_map(without_action).collect()
    }
}

/// Every case.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (point, again) in EFFECTS {
        for when in ["before", "after"] {
            let fault = format!("crash {when} {point}");
            cases.push(Case::new(fault.clone(), &[(point, when, 1, "crash")], false));
            if has_second_call(point, when, again) {
                // Where the first call is the only one, the second is that of the retry.
                let both = [(point, when, 1, "crash"), (point, when, 2, "crash")];
                cases.push(Case::new(fault, if again { &both[1..] } else { &both }, false));
            }
            let fault = match when {
                "before" => format!("{point} refused"),
                _ => format!("reply to {point} lost"),
            };
            cases.push(Case::new(fault, &[(point, when, 1, "error")], false));
        }
    }
    for (point, call) in EFFECTS_OF_A_SECOND_VERSION {
        for when in ["before", "after"] {
            let fault = format!("crash {when} {point}, second version");
            cases.push(Case::new(fault, &[(point, when, call, "crash")], true));
        }
    }
    for point in HANGS {
        cases.push(Case::new(format!("hang in {point}"), &[(point, "before", 1, "hang")], false));
    }
    // A slice that fails takes its uploads back, and dies over that.
    for when in ["before", "after"] {
        let fault = format!("crash {when} upload.abort");
        let failpoints = [("upload.part", "after", 1, "error"), ("upload.abort", when, 1, "crash")];
        cases.push(Case::new(fault, &failpoints, false));
    }
    // Two functions die over one run.
    for (first, second) in
        [("slice.put", "upload.complete"), ("send.slice", "pointer.mark"), ("send.run", "outcome.put")]
    {
        let fault = format!("crash after {first} and before {second}");
        cases.push(Case::new(fault, &[(first, "after", 1, "crash"), (second, "before", 1, "crash")], false));
    }
    cases
}

fn has_second_call(point: &str, when: &str, again: bool) -> bool {
    again || when == "before" || DONE_AGAIN.contains(&point)
}

/// A few that meet each function, each kind of object and each way to fail.
pub fn few() -> Vec<Case> {
    let wanted = [
        "crash before open.put",
        "crash after open.touch",
        "crash after plan.put",
        "crash before slice.put",
        "crash after slice.put and before upload.complete",
        "reply to pointer.claim lost",
        "crash after upload.complete",
        "crash before outcome.put",
        "crash before open.delete",
        "crash before part.delete, second version",
        "hang in upload.part",
    ];
    let mut few = all();
    few.retain(|case| wanted.contains(&case.fault.as_str()));
    few.dedup_by(|later, earlier| later.fault == earlier.fault);
    few
}

/// The rows of every case: three slices.
pub fn rows() -> Vec<Trip> {
    trips(0, 2_500)
}

/// The rows of a second version: two slices, so that a part is retired.
pub fn second_rows() -> Vec<Trip> {
    trips(0, 1_400)
}

/// Source rows of a slice.
pub const SLICE_ROWS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_effect_fails_on_both_sides_in_its_first_call_and_in_its_second() {
        let all = all();
        for (point, again) in EFFECTS {
            for when in ["before", "after"] {
                for call in if has_second_call(point, when, again) { 1..=2 } else { 1..=1 } {
                    let wanted = format!("{point}:{when}:{call}:crash");
                    assert!(all.iter().any(|case| case.failpoints.contains(&wanted)), "{wanted}");
                }
            }
        }
        assert_eq!(few().len(), 11, "{:?}", few());
        assert!(all.iter().all(|case| case.file(0).len() < 200));
    }
}
