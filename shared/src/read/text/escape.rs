//! JSON strings without their escapes (RFC 8259, section 7).

use memchr::memchr;

use super::json::Problem;

/// An escape that stands for no character, such as half of a surrogate pair.
pub const BAD_ESCAPE: Problem = "json: bad escape in a string";

/// Undoes a string's escapes.
pub(super) fn unescape(text: &[u8], into: &mut Vec<u8>) -> Result<(), Problem> {
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        let (before, from) = rest.split_at(at);
        into.extend_from_slice(before);
        let [_, kind, after @ ..] = from else { return Err(BAD_ESCAPE) };
        rest = after;
        let plain = match kind {
            b'"' | b'\\' | b'/' => *kind,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (character, after) = unicode(rest)?;
                let mut buffer = [0; 4];
                into.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
                rest = after;
                continue;
            }
            _ => return Err(BAD_ESCAPE),
        };
        into.push(plain);
    }
    into.extend_from_slice(rest);
    Ok(())
}

/// The character of four hexadecimal digits, or of two such groups that form a surrogate pair, and what follows.
fn unicode(text: &[u8]) -> Result<(char, &[u8]), Problem> {
    let (first, rest) = hex4(text)?;
    let (code, rest) = match first {
        0xd800..=0xdbff => {
            let rest = rest.strip_prefix(b"\\u").ok_or(BAD_ESCAPE)?;
            let (second, rest) = hex4(rest)?;
            if !(0xdc00..=0xdfff).contains(&second) {
                return Err(BAD_ESCAPE);
            }
            (0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00), rest)
        }
        code => (code, rest),
    };
    char::from_u32(code).map(|character| (character, rest)).ok_or(BAD_ESCAPE)
}

/// The number of four hexadecimal digits, and what follows.
pub(super) fn hex4(text: &[u8]) -> Result<(u32, &[u8]), Problem> {
    let (digits, rest) = text.split_at_checked(4).ok_or(BAD_ESCAPE)?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let code = digits.iter().try_fold(0, |code, byte| Some(code * 16 + digit(byte)?)).ok_or(BAD_ESCAPE)?;
    Ok((code, rest))
}
