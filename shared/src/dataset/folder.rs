//! A source's folder in the sink: readable, inside its dataset's prefix, and never another source's.
//!
//! Keys come from strangers. Each component is percent-escaped where it could leave the prefix (`.`, `..`, empty), hide
//! from readers (a leading `_` or `.`: Spark, Hive, Dask and Athena skip those) or break tools (control characters);
//! `%` itself is escaped, so the form leads back to one key. What is too long ends in `%~` and a hash of the whole:
//! escaping never makes a `%~`, so the two forms cannot meet.

use sha2::{Digest, Sha256};

use super::hex;

/// The longest component, in bytes: file systems take 255.
const MAX_COMPONENT_BYTES: usize = 200;
/// The longest folder below the prefix, in bytes. S3 takes keys of 1,024; the rest is for the prefix (up to 256), the
/// folders of test runs and quarantine, and the part's name.
const MAX_FOLDER_BYTES: usize = 512;
/// Hex digits of the hash that ends a shortened form.
const HASH_DIGITS: usize = 32;
/// Hex digits of the hash of a folder elsewhere. Eight would let one pair in 4 billion meet, and ten thousand folders make
/// 50 million pairs.
const FOLDER_DIGITS: usize = 16;

/// The folder of a source that lies `below` the dataset's root. No slash at either end.
pub(super) fn inside(below: &str) -> String {
    let components: Vec<_> = below.split('/').map(|name| shorten(&escape(name), MAX_COMPONENT_BYTES)).collect();
    shorten(&components.join("/"), MAX_FOLDER_BYTES)
}

/// The folder of a source that lies elsewhere: a hash of where it lies, and its name. No slash at either end.
pub(super) fn outside(bucket: &str, key: &str) -> String {
    let (parent, name) = key.split_at(key.rfind('/').map_or(0, |slash| slash + 1));
    let hash: String = digest(&format!("{bucket}/{parent}")).chars().take(FOLDER_DIGITS).collect();
    format!("{hash}/{}", shorten(&escape(name), MAX_COMPONENT_BYTES))
}

/// A folder as one name: its slashes escaped.
pub(super) fn flat(folder: &str) -> String {
    shorten(&folder.replace('/', "%2F"), MAX_COMPONENT_BYTES)
}

/// Escapes one component. Injective, and never empty.
fn escape(name: &str) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    let mut escaped = String::with_capacity(name.len());
    for (index, character) in name.chars().enumerate() {
        let hides = index == 0 && matches!(character, '.' | '_');
        if hides || character == '%' || character.is_control() {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Text of at most `max_bytes`: where it is longer, its head and a hash of all of it.
fn shorten(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let head_bytes = text.floor_char_boundary(max_bytes - HASH_DIGITS - 2);
    let head = text.get(..head_bytes).unwrap_or_default();
    let hash: String = digest(text).chars().take(HASH_DIGITS).collect();
    format!("{head}%~{hash}")
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}
