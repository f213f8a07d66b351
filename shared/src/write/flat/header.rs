//! Page headers, in Thrift's compact protocol.
//!
//! Format: parquet-format's `parquet.thrift` (`PageHeader`), thrift's `thrift-compact-protocol.md`. A field is a byte
//! with the step to its number and its type, then its value: integers as zigzag varints, a structure up to a zero.

/// Type nibbles of the compact protocol.
const I32: u8 = 5;
const STRUCT: u8 = 12;
const STOP: u8 = 0;

/// `PageType` and `Encoding` of the format.
const DATA_PAGE: u32 = 0;
const DICTIONARY_PAGE: u32 = 2;
const PLAIN: u32 = 0;
const RLE: u32 = 3;
const DELTA_BINARY_PACKED: u32 = 5;
const RLE_DICTIONARY: u32 = 8;

/// Lengths of a page's body, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body {
    pub uncompressed: u32,
    pub compressed: u32,
}

/// How a data page holds its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Deltas,
    Codes,
}

/// The header of a data page (version 1) of `values` values, nulls among them.
pub(super) fn data_page(values: u32, form: Form, body: Body, out: &mut Vec<u8>) {
    sizes(DATA_PAGE, body, out);
    // data_page_header is field 5 of PageHeader.
    out.push((2 << 4) | STRUCT);
    int(1, values, out);
    let encoding = match form {
        Form::Plain => PLAIN,
        Form::Deltas => DELTA_BINARY_PACKED,
        Form::Codes => RLE_DICTIONARY,
    };
    int(1, encoding, out);
    int(1, RLE, out);
    int(1, RLE, out);
    out.extend([STOP, STOP]);
}

/// The header of a dictionary page of `values` entries.
pub(super) fn dictionary_page(values: u32, body: Body, out: &mut Vec<u8>) {
    sizes(DICTIONARY_PAGE, body, out);
    // dictionary_page_header is field 7 of PageHeader.
    out.push((4 << 4) | STRUCT);
    int(1, values, out);
    int(1, PLAIN, out);
    out.extend([STOP, STOP]);
}

fn sizes(kind: u32, body: Body, out: &mut Vec<u8>) {
    int(1, kind, out);
    int(1, body.uncompressed, out);
    int(1, body.compressed, out);
}

/// An integer field, `step` numbers after the last.
fn int(step: u8, value: u32, out: &mut Vec<u8>) {
    out.push((step << 4) | I32);
    // No number here is negative, so zigzag only doubles it.
    let mut rest = u64::from(value) << 1;
    while let Ok(low) = u8::try_from(rest & 0x7f) {
        rest >>= 7;
        if rest == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}
