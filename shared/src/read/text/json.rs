//! A walk through one JSON record (RFC 8259) that stops only at the fields looked for.
//!
//! Everything else is passed over: strings by their quotes, arrays and objects by their brackets, without being parsed.
//! Of a key that an object holds twice, the first counts. A field that is not there is null, and so is one below a value
//! that is no object.

use std::ops::Range;

use memchr::memchr2;

use super::escape::unescape;
use super::tree::{Node, Slot, Tree};

/// Why a record cannot be read.
pub type Problem = &'static str;

/// The line is no object, or is cut off.
pub const NO_OBJECT: Problem = "json: no object";
/// A bracket, quote, comma or colon is missing.
pub const BROKEN: Problem = "json: not well formed";
/// More arrays and objects in one another than allowed.
pub const TOO_DEEP: Problem = "json: nested too deep";
/// What should be an array of rows is something else.
pub const NO_ARRAY: Problem = "json: no array of rows";

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Found {
    /// It is not there, or null.
    #[default]
    Nothing,
    /// A string without escapes: bytes of the line.
    Text(Range<usize>),
    /// A string that had escapes: bytes of [`Walk::plain`].
    Plain(Range<usize>),
    /// A number, true, false, an array or an object as it is written: bytes of the line.
    Bare(Range<usize>),
}

/// What a walk found; used again for every record.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// By slot.
    pub record: Vec<Found>,
    /// By element, then slot.
    pub elements: Vec<Found>,
    /// How many elements the array of rows has.
    pub rows: usize,
    /// Whether the array of rows is there.
    pub has_array: bool,
    /// Strings whose escapes are undone.
    pub plain: Vec<u8>,
}

impl Walk {
    /// Walks through a record.
    ///
    /// # Errors
    ///
    /// Why it cannot be read; what was found before is of no use then.
    pub fn through(&mut self, tree: &Tree, line: &[u8], max_depth: u32) -> Result<(), Problem> {
        self.record.clear();
        self.record.resize(tree.record_slots, Found::Nothing);
        self.elements.clear();
        self.rows = 0;
        self.has_array = false;
        self.plain.clear();
        let mut walker = Walker { line, at: 0, left: max_depth, element_slots: tree.element_slots, walk: self };
        walker.blank();
        if walker.peek() != Some(b'{') {
            return Err(NO_OBJECT);
        }
        walker.object(&tree.root, None)?;
        walker.blank();
        if walker.at == line.len() { Ok(()) } else { Err(BROKEN) }
    }

    /// What was found of a column, by index, in a row of the record.
    pub fn found(&self, tree: &Tree, row: usize, column: usize) -> Option<&Found> {
        match tree.columns.get(column)? {
            Slot::Record(slot) => self.record.get(*slot),
            Slot::Element(slot) => self.elements.get(row * tree.element_slots + slot),
        }
    }

    /// A found value's text.
    pub fn text<'w>(&'w self, line: &'w [u8], found: &Found) -> Option<&'w [u8]> {
        match found {
            Found::Nothing => None,
            Found::Text(range) | Found::Bare(range) => line.get(range.clone()),
            Found::Plain(range) => self.plain.get(range.clone()),
        }
    }
}

struct Walker<'l, 'w> {
    line: &'l [u8],
    at: usize,
    /// Levels that may still open.
    left: u32,
    element_slots: usize,
    walk: &'w mut Walk,
}

impl Walker<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Problem> {
        self.blank();
        if self.peek() != Some(byte) {
            return Err(BROKEN);
        }
        self.at += 1;
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), Problem> {
        self.left = self.left.checked_sub(1).ok_or(TOO_DEEP)?;
        Ok(())
    }

    /// An object, its opening brace next. `element` is where its slots are, if it is part of an element of the rows.
    fn object(&mut self, node: &Node, element: Option<usize>) -> Result<(), Problem> {
        self.deeper()?;
        self.at += 1;
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.left += 1;
            return Ok(());
        }
        loop {
            self.blank();
            let key = self.string()?;
            self.expect(b':')?;
            self.blank();
            let child = match &key {
                Found::Plain(range) => self.walk.plain.get(range.clone()).and_then(|key| node.children.get(key)),
                Found::Text(range) => self.line.get(range.clone()).and_then(|key| node.children.get(key)),
                Found::Nothing | Found::Bare(_) => None,
            };
            match child {
                Some(child) => self.wanted(child, element)?,
                None => self.skip()?,
            }
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    self.left += 1;
                    return Ok(());
                }
                _ => return Err(BROKEN),
            }
        }
    }

    /// A value that is looked for, or holds what is.
    fn wanted(&mut self, node: &Node, element: Option<usize>) -> Result<(), Problem> {
        let start = self.at;
        let found = match self.peek() {
            Some(b'"') => {
                if node.each.is_some() {
                    return Err(NO_ARRAY);
                }
                self.string()?
            }
            Some(b'{') => {
                if node.each.is_some() {
                    return Err(NO_ARRAY);
                }
                if node.children.is_empty() {
                    self.skip()?
                } else {
                    self.object(node, element)?
                }
                Found::Bare(start..self.at)
            }
            Some(b'[') => {
                match &node.each {
                    Some(each) => self.rows(each)?,
                    None => self.skip()?,
                }
                Found::Bare(start..self.at)
            }
            _ => {
                self.skip()?;
                match self.line.get(start..self.at) {
                    Some(b"null") => Found::Nothing,
                    _ if node.each.is_some() => return Err(NO_ARRAY),
                    _ => Found::Bare(start..self.at),
                }
            }
        };
        for slot in &node.slots {
            let place = match element {
                None => self.walk.record.get_mut(*slot),
                Some(first) => self.walk.elements.get_mut(first + slot),
            };
            if let Some(place) = place.filter(|place| **place == Found::Nothing) {
                *place = found.clone();
            }
        }
        Ok(())
    }

    /// The array whose elements make rows, its opening bracket next.
    fn rows(&mut self, each: &Node) -> Result<(), Problem> {
        if self.walk.has_array {
            return self.skip();
        }
        self.walk.has_array = true;
        self.deeper()?;
        self.at += 1;
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.left += 1;
            return Ok(());
        }
        loop {
            self.blank();
            let first = self.walk.elements.len();
            self.walk.elements.resize(first + self.element_slots, Found::Nothing);
            self.walk.rows += 1;
            self.wanted(each, Some(first))?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    self.left += 1;
                    return Ok(());
                }
                _ => return Err(BROKEN),
            }
        }
    }

    /// Passes over a value of any kind.
    fn skip(&mut self) -> Result<(), Problem> {
        match self.peek() {
            Some(b'"') => self.pass_string().map(|_| ()),
            Some(b'{' | b'[') => self.skip_nested(),
            Some(_) => {
                let rest = self.line.get(self.at..).unwrap_or_default();
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
                let length = rest.iter().position(ends).unwrap_or(rest.len());
                let scalar = rest.get(..length).unwrap_or_default();
                if !is_scalar(scalar) {
                    return Err(BROKEN);
                }
                self.at += length;
                Ok(())
            }
            None => Err(BROKEN),
        }
    }

    fn skip_nested(&mut self) -> Result<(), Problem> {
        let mut depth: u32 = 0;
        loop {
            let rest = self.line.get(self.at..).unwrap_or_default();
            let Some(step) = rest.iter().position(|byte| CLASS.get(usize::from(*byte)).is_some_and(|class| *class))
            else {
                return Err(BROKEN);
            };
            self.at += step;
            match self.peek() {
                Some(b'"') => {
                    self.pass_string()?;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    if depth > self.left {
                        return Err(TOO_DEEP);
                    }
                    self.at += 1;
                }
                _ => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Passes a string, its opening quote next: the bytes within the quotes, and whether there are escapes.
    fn pass_string(&mut self) -> Result<(Range<usize>, bool), Problem> {
        if self.peek() != Some(b'"') {
            return Err(BROKEN);
        }
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            let rest = self.line.get(at..).unwrap_or_default();
            let found = at + memchr2(b'"', b'\\', rest).ok_or(BROKEN)?;
            if self.line.get(found) == Some(&b'"') {
                self.at = found + 1;
                return Ok((start..found, escaped));
            }
            escaped = true;
            at = found + 2;
        }
    }

    fn string(&mut self) -> Result<Found, Problem> {
        let (range, escaped) = self.pass_string()?;
        if !escaped {
            return Ok(Found::Text(range));
        }
        let start = self.walk.plain.len();
        unescape(self.line.get(range).unwrap_or_default(), &mut self.walk.plain)?;
        Ok(Found::Plain(start..self.walk.plain.len()))
    }
}

/// The bytes that matter to whoever passes over arrays and objects.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const CLASS: [bool; 256] = {
    let mut class = [false; 256];
    class[b'"' as usize] = true;
    class[b'{' as usize] = true;
    class[b'}' as usize] = true;
    class[b'[' as usize] = true;
    class[b']' as usize] = true;
    class
};

fn is_scalar(text: &[u8]) -> bool {
    match text {
        b"true" | b"false" | b"null" => true,
        [b'-' | b'0'..=b'9', rest @ ..] => {
            rest.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
        }
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::super::escape::BAD_ESCAPE;
    use super::*;
    use crate::dataset::{Dataset, Format};

    fn tree(paths: &[&str]) -> Tree {
        let columns: Vec<_> = paths
            .iter()
            .enumerate()
            .map(|(at, path)| format!("{{ name = \"c{at}\", type = \"string\", path = \"{path}\" }}"))
            .collect();
        let text = format!(
            "name = \"t\"\n[source]\nformat = \"ndjson\"\n[schema]\ncolumns = [{}]\n[output]\nprefix = \"t/\"\n",
            columns.join(", ")
        );
        let dataset = Dataset::parse(&text, "t").unwrap();
        assert_eq!(dataset.spec.source.format, Format::Ndjson);
        Tree::of(&dataset.spec.schema.columns, &[]).unwrap()
    }

    fn walked(paths: &[&str], line: &str) -> Result<(Vec<Option<String>>, usize), Problem> {
        let tree = tree(paths);
        let mut walk = Walk::default();
        walk.through(&tree, line.as_bytes(), 8)?;
        let all = walk.record.iter().chain(&walk.elements);
        let texts =
            all.map(|found| walk.text(line.as_bytes(), found).map(|text| String::from_utf8(text.to_vec()).unwrap()));
        Ok((texts.collect(), walk.rows))
    }

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|text| (*text != "-").then(|| (*text).to_owned())).collect()
    }

    #[test]
    fn fields_are_found_by_path_whatever_lies_around_them() {
        let line = r#" { "x":[1,{"a":"}]\"","b":[]}], "a" : {"z":{}, "b": -1.5e3 ,"c":null}, "t":true , "s":"\u00e4\ud83d\ude00\n" } "#;
        assert_eq!(
            walked(&["a.b", "a.c", "t", "s", "x", "no.where", "t.u"], line).unwrap().0,
            some(&["-1.5e3", "-", "true", "ä😀\n", r#"[1,{"a":"}]\"","b":[]}]"#, "-", "-"])
        );
    }

    #[test]
    fn elements_of_an_array_make_rows() {
        let line = r#"{"p":{"c":[{"m":"1","a":{"n":"x"}},{"a":3},7,{"m":"4"}]},"u":"U"}"#;
        let (found, rows) = walked(&["u", "p.c[].m", "p.c[].a.n"], line).unwrap();
        assert_eq!((found, rows), (some(&["U", "1", "x", "-", "-", "-", "-", "4", "-"]), 4));
        for none in [r#"{"u":"U"}"#, r#"{"p":{"c":[]}}"#, r#"{"p":{"c":null}}"#, r#"{"p":"c"}"#] {
            assert_eq!(walked(&["u", "p.c[].m"], none).unwrap().1, 0, "{none}");
        }
        assert_eq!(walked(&["p.c[].m"], r#"{"p":{"c":{"m":1}}}"#), Err(NO_ARRAY));
    }

    #[test]
    fn of_a_key_that_comes_twice_the_first_counts() {
        assert_eq!(walked(&["a"], r#"{"a":"1","a":"2"}"#).unwrap().0, some(&["1"]));
        assert_eq!(walked(&["c[].m"], r#"{"c":[{"m":"1"}],"c":[{"m":"2"},{"m":"3"}]}"#).unwrap(), (some(&["1"]), 1));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let deep = format!("{{\"x\":{}1{}}}", "[".repeat(20), "]".repeat(20));
        for (line, problem) in [
            ("", NO_OBJECT),
            ("[1]", NO_OBJECT),
            ("not json", NO_OBJECT),
            ("{\"a\":1", BROKEN),
            ("{\"a\":1}}", BROKEN),
            ("{\"a\" 1}", BROKEN),
            ("{\"a\":nul}", BROKEN),
            ("{\"a\":\"x", BROKEN),
            ("{\"a\":\"\\ud800\"}", BAD_ESCAPE),
            ("{\"a\":\"\\x\"}", BAD_ESCAPE),
            (deep.as_str(), TOO_DEEP),
            ("{\"a\":1,}", BROKEN),
        ] {
            assert_eq!(walked(&["a"], line), Err(problem), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(
            proptest::sample::select(b"{}[]\",:\\u0d8ac1 ntfe\xff".to_vec()), 0..80)) {
            let tree = tree(&["a", "c[].a", "a.c"]);
            let mut line = b"{\"a\":".to_vec();
            line.extend(bytes);
            let _ = Walk::default().through(&tree, &line, 8);
        }

        #[test]
        fn what_a_full_parser_reads_is_read_alike(text in ".{0,20}", number in any::<i64>(), deep in "[a-c\"\\\\{}]{0,8}") {
            let value = serde_json::json!({"n": {"t": deep, "x": [deep, {"y": [number]}]}, "t": text, "a": {"b": number}});
            let line = value.to_string();
            let (found, _) = walked(&["t", "a.b", "n.t"], &line).unwrap();
            prop_assert_eq!(found, vec![Some(text), Some(number.to_string()), Some(deep)]);
        }
    }
}
