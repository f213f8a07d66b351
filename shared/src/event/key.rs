//! Keys and buckets, as S3 notifications write them.

use percent_encoding::percent_decode_str;

/// Decodes a key of an S3 notification: `+` is a space, then `%XX` is a byte. In that order: an encoded plus is `%2B`,
/// and would become a space if it were decoded first. The error says what is wrong with the key.
///
/// S3 encodes every percent sign, so one that is not followed by two hex digits is refused rather than guessed at.
pub(super) fn decode(encoded: &str) -> Result<String, &'static str> {
    let begins_with_hex = |rest: &str| {
        let mut bytes = rest.bytes();
        let mut is_hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        is_hex() && is_hex()
    };
    if !encoded.split('%').skip(1).all(begins_with_hex) {
        return Err("has a % that is not followed by two hex digits");
    }
    let spaced = encoded.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(key) => Ok(key.into_owned()),
        Err(_) => Err("is not UTF-8 once decoded"),
    }
}

/// True where `name` can be a bucket's: it goes into URIs, so nothing that would change their meaning passes. The
/// letters allowed are those of the oldest buckets (3 to 255 letters, digits, `.`, `-`, `_`).
pub(super) fn is_bucket_name(name: &str) -> bool {
    (3..=255).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}
