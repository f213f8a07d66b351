//! The little of Thrift's compact protocol that must be read by hand: page headers and offset indexes, which the
//! parquet crate keeps to itself or reads with allocations as large as the file claims, and a check that a footer's
//! lists are no longer than its bytes.
//!
//! Formats: thrift's `thrift-compact-protocol.md`, parquet-format's `parquet.thrift`.

/// Why bytes could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// They end too early: more bytes may help.
    End,
    /// They are not what they should be.
    Malformed(&'static str),
}

type Read<T> = Result<T, Problem>;

/// Nesting deeper than any Parquet structure.
const MAX_DEPTH: u8 = 24;
/// Elements in one list: columns times row groups are bounded elsewhere.
const MAX_LIST: u32 = 4_000_000;

/// Compact protocol's type nibbles.
const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// A cursor over bytes.
struct Compact<'a> {
    rest: &'a [u8],
}

/// A field's header.
struct Field {
    id: i16,
    kind: u8,
}

impl<'a> Compact<'a> {
    fn byte(&mut self) -> Read<u8> {
        let (&first, rest) = self.rest.split_first().ok_or(Problem::End)?;
        self.rest = rest;
        Ok(first)
    }

    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Problem::End)?;
        self.rest = rest;
        Ok(head)
    }

    fn varint(&mut self) -> Read<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Problem::Malformed("a number of more than 64 bits"))
    }

    fn signed(&mut self) -> Read<i64> {
        let value = self.varint()?;
        let half = i64::try_from(value >> 1).map_err(|_| Problem::Malformed("a number of more than 64 bits"))?;
        Ok(if value & 1 == 0 { half } else { -1 - half })
    }

    fn int32(&mut self, field: &Field) -> Read<i32> {
        if field.kind != I32 {
            return Err(Problem::Malformed("a field of another type than the format's"));
        }
        i32::try_from(self.signed()?).map_err(|_| Problem::Malformed("a number of more than 32 bits"))
    }

    fn field(&mut self, last: i16) -> Read<Option<Field>> {
        let head = self.byte()?;
        let kind = head & 0x0f;
        if kind == STOP {
            return Ok(None);
        }
        let delta = i16::from(head >> 4);
        let id = if delta != 0 { last.checked_add(delta) } else { i16::try_from(self.signed()?).ok() };
        let id = id.ok_or(Problem::Malformed("a field number of more than 16 bits"))?;
        Ok(Some(Field { id, kind }))
    }

    /// Element count and type. Every element takes at least a byte, so a count above the bytes left is a lie, or the
    /// bytes are cut short.
    fn list(&mut self) -> Read<(u32, u8)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => u32::try_from(self.varint()?).map_err(|_| Problem::Malformed("a list of more than 32 bits"))?,
            short => u32::from(short),
        };
        if count > MAX_LIST {
            return Err(Problem::Malformed("a list of more than 4,000,000 elements"));
        }
        if usize::try_from(count).is_ok_and(|count| count > self.rest.len()) {
            return Err(Problem::End);
        }
        Ok((count, head & 0x0f))
    }

    fn skip(&mut self, kind: u8, in_list: bool, depth: u8) -> Read<()> {
        let deeper = depth.checked_sub(1).ok_or(Problem::Malformed("structures nested too deep"))?;
        match kind {
            TRUE | FALSE if !in_list => {}
            TRUE | FALSE | BYTE => drop(self.byte()?),
            I16 | I32 | I64 => drop(self.varint()?),
            DOUBLE => drop(self.take(8)?),
            UUID => drop(self.take(16)?),
            BINARY => {
                let length = usize::try_from(self.varint()?).map_err(|_| Problem::End)?;
                self.take(length)?;
            }
            LIST | SET => {
                let (count, kind) = self.list()?;
                for _ in 0..count {
                    self.skip(kind, true, deeper)?;
                }
            }
            MAP => {
                let count = self.varint()?;
                if count > 0 {
                    let kinds = self.byte()?;
                    for _ in 0..count {
                        self.skip(kinds >> 4, true, deeper)?;
                        self.skip(kinds & 0x0f, true, deeper)?;
                    }
                }
            }
            STRUCT => {
                let mut last = 0;
                while let Some(field) = self.field(last)? {
                    last = field.id;
                    self.skip(field.kind, false, deeper)?;
                }
            }
            _ => return Err(Problem::Malformed("a type that the protocol does not have")),
        }
        Ok(())
    }

    /// Reads a struct, handing each field to `visit`, which reads it and answers true, or leaves it to be skipped.
    fn structure(&mut self, mut visit: impl FnMut(&mut Self, &Field) -> Read<bool>) -> Read<()> {
        let mut last = 0;
        while let Some(field) = self.field(last)? {
            last = field.id;
            if !visit(self, &field)? {
                self.skip(field.kind, false, MAX_DEPTH)?;
            }
        }
        Ok(())
    }
}

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    /// A data page; `rows` only where the header tells them (version 2).
    Data {
        /// Values with nulls: rows, in a column without repetition.
        values: u64,
        /// Rows, in version 2.
        rows: Option<u64>,
        /// Whether its values are places in the dictionary.
        in_dictionary: bool,
    },
    /// A dictionary.
    Dictionary {
        /// Its entries.
        values: u64,
    },
    /// Anything else.
    Other,
}

/// A page header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeader {
    /// What follows.
    pub kind: PageKind,
    /// Bytes of the header itself.
    pub header_bytes: u32,
    /// Bytes that follow the header.
    pub compressed_bytes: u32,
    /// Bytes they claim to become.
    pub uncompressed_bytes: u32,
}

/// Reads the page header that `bytes` start with.
pub(super) fn page_header(bytes: &[u8]) -> Read<PageHeader> {
    let mut input = Compact { rest: bytes };
    let (mut kind, mut uncompressed, mut compressed) = (None, None, None);
    let (mut values, mut rows, mut entries, mut encoding) = (None, None, None, None);
    input.structure(|input, field| {
        match field.id {
            1 => kind = Some(input.int32(field)?),
            2 => uncompressed = Some(input.int32(field)?),
            3 => compressed = Some(input.int32(field)?),
            5 | 7 | 8 if field.kind == STRUCT => {
                let (mut first, mut second, mut third, mut fourth) = (None, None, None, None);
                let outer = field.id;
                input.structure(|input, field| {
                    match (outer, field.id) {
                        (_, 1) => first = Some(input.int32(field)?),
                        (5, 2) => second = Some(input.int32(field)?),
                        (8, 3) => third = Some(input.int32(field)?),
                        (8, 4) => fourth = Some(input.int32(field)?),
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
                match outer {
                    7 => entries = first,
                    _ => (values, rows, encoding) = (first, third, second.or(fourth)),
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let size = |value: Option<i32>| {
        u32::try_from(value.ok_or(Problem::Malformed("a page header without sizes"))?)
            .map_err(|_| Problem::Malformed("a page header with a negative size"))
    };
    let count = |value: Option<i32>| {
        u64::try_from(value.ok_or(Problem::Malformed("a page header without a count"))?)
            .map_err(|_| Problem::Malformed("a page header with a negative count"))
    };
    // `Encoding.PLAIN_DICTIONARY` and `Encoding.RLE_DICTIONARY`.
    let in_dictionary = matches!(encoding, Some(2 | 8));
    let kind = match kind.ok_or(Problem::Malformed("a page header without a type"))? {
        0 => PageKind::Data { values: count(values)?, rows: None, in_dictionary },
        3 => PageKind::Data { values: count(values)?, rows: Some(count(rows)?), in_dictionary },
        2 => PageKind::Dictionary { values: count(entries)? },
        _ => PageKind::Other,
    };
    let header_bytes =
        u32::try_from(bytes.len() - input.rest.len()).map_err(|_| Problem::Malformed("a huge header"))?;
    Ok(PageHeader { kind, header_bytes, compressed_bytes: size(compressed)?, uncompressed_bytes: size(uncompressed)? })
}

/// One entry of an offset index, as found: offset, size with header, first row.
pub(super) type Location = (i64, i32, i64);

/// Reads the offset index that `bytes` start with.
pub(super) fn offset_index(bytes: &[u8]) -> Read<Vec<Location>> {
    let mut input = Compact { rest: bytes };
    let mut locations = Vec::new();
    input.structure(|input, field| {
        if field.id != 1 || field.kind != LIST {
            return Ok(false);
        }
        let (count, kind) = input.list()?;
        if count > 0 && kind != STRUCT {
            return Err(Problem::Malformed("an offset index of another type than the format's"));
        }
        for _ in 0..count {
            let mut location = (-1, -1, -1);
            input.structure(|input, field| {
                match field.id {
                    1 if field.kind == I64 => location.0 = input.signed()?,
                    2 => location.1 = input.int32(field)?,
                    3 if field.kind == I64 => location.2 = input.signed()?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
            locations.push(location);
        }
        Ok(true)
    })?;
    Ok(locations)
}

/// What a walk over a footer found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FooterShape {
    /// The footer names an encryption algorithm (field 8 of `FileMetaData`).
    pub encrypted: bool,
    /// Elements of the schema, groups included.
    pub schema_elements: u32,
    /// The deepest nesting of the schema.
    pub schema_depth: u32,
}

/// Walks a footer's structure without keeping anything, so that the parser behind never meets a list longer than the
/// bytes that hold it, nor a schema that nests deeper than its stack.
pub(super) fn footer_shape(bytes: &[u8]) -> Read<FooterShape> {
    let mut shape = FooterShape::default();
    Compact { rest: bytes }.structure(|input, field| {
        shape.encrypted |= field.id == 8;
        if field.id != 2 || field.kind != LIST {
            return Ok(false);
        }
        let (count, kind) = input.list()?;
        shape.schema_elements = count;
        // The schema is a tree written depth first; each element tells its number of children (field 5). The stack
        // holds the children still to come of the groups that are open.
        let mut open: Vec<i32> = Vec::new();
        for _ in 0..count {
            let mut children = 0;
            if kind == STRUCT {
                input.structure(|input, field| {
                    let wanted = field.id == 5;
                    if wanted {
                        children = input.int32(field)?;
                    }
                    Ok(wanted)
                })?;
            } else {
                input.skip(kind, true, MAX_DEPTH)?;
            }
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            if children > 0 {
                open.push(children);
            }
            shape.schema_depth = shape.schema_depth.max(u32::try_from(open.len()).unwrap_or(u32::MAX));
            while open.last().is_some_and(|left| *left <= 0) {
                open.pop();
            }
        }
        Ok(true)
    })?;
    Ok(shape)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn varint(out: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn int(out: &mut Vec<u8>, delta: u8, value: i32) {
        out.push(delta << 4 | I32);
        let value = i64::from(value);
        varint(out, ((value << 1) ^ (value >> 63)) as u64);
    }

    /// A version 1 data page's header with statistics of `noise` bytes.
    fn header(uncompressed: i32, compressed: i32, values: i32, noise: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        int(&mut out, 1, 0);
        int(&mut out, 1, uncompressed);
        int(&mut out, 1, compressed);
        out.push(2 << 4 | STRUCT);
        int(&mut out, 1, values);
        for encoding in [0, 3, 3] {
            int(&mut out, 1, encoding);
        }
        out.push(1 << 4 | STRUCT);
        out.push(1 << 4 | BINARY);
        varint(&mut out, noise.len() as u64);
        out.extend(noise);
        out.extend([STOP, STOP, STOP]);
        out
    }

    proptest! {
        #[test]
        fn a_page_header_reads_as_written_and_cut_anywhere_asks_for_more(
            sizes in (0i32.., 0i32.., 0i32..), noise in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = header(sizes.0, sizes.1, sizes.2, &noise);
            let found = page_header(&[bytes.as_slice(), &noise].concat()).unwrap();
            prop_assert_eq!(found, PageHeader {
                kind: PageKind::Data { values: sizes.2 as u64, rows: None, in_dictionary: false },
                header_bytes: bytes.len() as u32,
                compressed_bytes: sizes.1 as u32,
                uncompressed_bytes: sizes.0 as u32,
            });
            for length in 0..bytes.len() {
                prop_assert_eq!(page_header(&bytes[..length]), Err(Problem::End));
            }
        }

        #[test]
        fn noise_is_read_without_a_panic(noise in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = page_header(&noise);
            let _ = offset_index(&noise);
            let _ = footer_shape(&noise);
        }
    }

    #[test]
    fn negative_sizes_are_refused() {
        assert_eq!(page_header(&header(5, -1, 3, b"")), Err(Problem::Malformed("a page header with a negative size")));
        assert_eq!(page_header(&header(5, 1, -3, b"")), Err(Problem::Malformed("a page header with a negative count")));
    }

    #[test]
    fn a_list_longer_than_its_bytes_is_not_believed() {
        // Field 4, a list of 2,000,000 structs.
        let mut bytes = vec![4 << 4 | LIST, 15 << 4 | STRUCT];
        varint(&mut bytes, 2_000_000);
        bytes.push(STOP);
        assert_eq!(footer_shape(&bytes), Err(Problem::End));
    }

    #[test]
    fn a_schema_that_nests_is_measured() {
        // Field 2, a list of 100 groups of one child each (field 5) and a leaf.
        let mut bytes = vec![2 << 4 | LIST, 15 << 4 | STRUCT];
        varint(&mut bytes, 101);
        for _ in 0..100 {
            int(&mut bytes, 5, 1);
            bytes.push(STOP);
        }
        bytes.extend([STOP, STOP]);
        let shape = footer_shape(&bytes).unwrap();
        assert_eq!((shape.schema_elements, shape.schema_depth), (101, 100));
    }
}
