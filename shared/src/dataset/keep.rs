//! `source.keep`: which records are read at all, told from a few fields before anything else is parsed.
//!
//! `FIELD = VALUE` and `FIELD in (VALUE, …)`, joined by `and`. A field is a path such as `payload.ref_type`; a value is
//! a string in single quotes (doubled within), a number, `true` or `false`. What needs more is `transform.filter`'s.

use super::text::{Step, path};

/// A parsed `keep`: every condition must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep(pub Vec<Condition>);

/// A field and the values it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Where the field lies.
    pub field: Vec<Step>,
    /// One of these.
    pub values: Vec<Scalar>,
}

/// A value in a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// A JSON string.
    Text(String),
    /// A number, `true` or `false`, compared as it is written.
    Bare(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

const HINT: &str = "write `field = 'value'` or `field in ('a', 'b')`, joined by `and`; the rest is transform.filter's";

impl Keep {
    /// Parses the text.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let mut rest = tokens.into_iter().peekable();
        let mut conditions = Vec::new();
        loop {
            conditions.push(condition(&mut rest)?);
            match rest.next() {
                None => return Ok(Self(conditions)),
                Some(Token::Word(word)) if word.eq_ignore_ascii_case("and") => {}
                Some(other) => return Err(unexpected(Some(&other))),
            }
        }
    }
}

fn condition(tokens: &mut impl Iterator<Item = Token>) -> Result<Condition, String> {
    let field = match tokens.next() {
        Some(Token::Word(word)) => path(&word)?,
        other => return Err(unexpected(other.as_ref())),
    };
    if field.iter().any(|step| step.each) {
        return Err(format!("`[]` has no meaning in a condition: {HINT}"));
    }
    let values = match tokens.next() {
        Some(Token::Sign('=')) => vec![scalar(tokens.next())?],
        Some(Token::Word(word)) if word.eq_ignore_ascii_case("in") => list(tokens)?,
        other => return Err(unexpected(other.as_ref())),
    };
    Ok(Condition { field, values })
}

fn list(tokens: &mut impl Iterator<Item = Token>) -> Result<Vec<Scalar>, String> {
    match tokens.next() {
        Some(Token::Sign('(')) => {}
        other => return Err(unexpected(other.as_ref())),
    }
    let mut values = Vec::new();
    loop {
        values.push(scalar(tokens.next())?);
        match tokens.next() {
            Some(Token::Sign(',')) => {}
            Some(Token::Sign(')')) => return Ok(values),
            other => return Err(unexpected(other.as_ref())),
        }
    }
}

fn scalar(token: Option<Token>) -> Result<Scalar, String> {
    match token {
        Some(Token::Text(text)) => Ok(Scalar::Text(text)),
        Some(Token::Word(word))
            if word == "true" || word == "false" || word.starts_with(|c: char| c.is_ascii_digit() || c == '-') =>
        {
            Ok(Scalar::Bare(word))
        }
        other => Err(unexpected(other.as_ref())),
    }
}

fn unexpected(token: Option<&Token>) -> String {
    match token {
        None => format!("the condition ends too early: {HINT}"),
        Some(Token::Word(word)) => format!("unexpected `{word}`: {HINT}"),
        Some(Token::Text(text)) => format!("unexpected '{text}': {HINT}"),
        Some(Token::Sign(sign)) => format!("unexpected `{sign}`: {HINT}"),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            space if space.is_whitespace() => {}
            '\'' => {
                let mut value = String::new();
                loop {
                    match characters.next() {
                        None => return Err(format!("a quote is not closed: {HINT}")),
                        Some('\'') if characters.next_if_eq(&'\'').is_some() => value.push('\''),
                        Some('\'') => break,
                        Some(other) => value.push(other),
                    }
                }
                tokens.push(Token::Text(value));
            }
            sign @ ('=' | '(' | ')' | ',') => tokens.push(Token::Sign(sign)),
            first => {
                let mut word = String::from(first);
                let ends = |c: &char| c.is_whitespace() || matches!(c, '=' | '(' | ')' | ',' | '\'');
                while let Some(next) = characters.next_if(|c| !ends(c)) {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_held_against_a_value_or_a_list() {
        let keep = Keep::parse("type = 'PushEvent' AND payload.ref_type in ('a''b', 3) and public=true").unwrap();
        let shown: Vec<_> = keep.0.iter().map(|condition| (condition.field.len(), condition.values.clone())).collect();
        let text = |text: &str| Scalar::Text(text.to_owned());
        let bare = |text: &str| Scalar::Bare(text.to_owned());
        assert_eq!(shown, [(1, vec![text("PushEvent")]), (2, vec![text("a'b"), bare("3")]), (1, vec![bare("true")])]);
    }

    #[test]
    fn what_is_no_condition_is_told_with_a_remedy() {
        for wrong in
            ["", "type", "type =", "type = PushEvent", "type = 'a' or b = 'c'", "type in ()", "a[] = 'x'", "a = 'x"]
        {
            let problem = Keep::parse(wrong).unwrap_err();
            assert!(problem.contains("write"), "{wrong}: {problem}");
        }
    }
}
