//! ETags of the backends that make their own.

use sha2::{Digest, Sha256};

/// The ETag of an object written whole: 32 hexadecimal digits, equal for equal bytes, as MD5 is on S3.
pub(crate) fn of_content(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The ETag of an object made of parts: `hash-N`, a hash of the parts' ETags and their number, as on S3.
pub(crate) fn of_parts<'a>(etags: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = etags.len();
    let mut joined = String::new();
    for etag in etags {
        joined.push_str(etag);
        joined.push('\n');
    }
    format!("{}-{count}", of_content(joined.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_have_equal_etags_and_others_differ() {
        assert_eq!(of_content(b"a"), of_content(b"a"));
        assert_ne!(of_content(b"a"), of_content(b"b"));
        assert_eq!(of_content(b"").len(), 32);
    }

    #[test]
    fn an_etag_of_parts_tells_their_number_and_depends_on_their_order() {
        let forward = of_parts(["a", "b"].into_iter());
        let backward = of_parts(["b", "a"].into_iter());
        assert!(forward.ends_with("-2"));
        assert_ne!(forward, backward);
    }
}
