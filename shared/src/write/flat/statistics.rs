//! The least and the greatest value of a page and of a column chunk, as page index and footer tell them.

use std::cmp::Ordering;

use parquet::data_type::ByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::entries::Value;
use super::kind::Kind;

/// Bytes of a string kept at most, as the parquet crate's writer does.
const MAX_BYTES: usize = 64;

/// The range of some values.
#[derive(Debug, Clone)]
pub(super) struct Range {
    kind: Kind,
    ends: Ends,
    /// Whether a value, NaN included, was seen.
    pub any: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ends {
    None,
    /// Places in the order of the kind ([`Kind::order`]).
    Orders(u64, u64),
    Bytes(Vec<u8>, Vec<u8>),
}

/// An end of a range in the PLAIN encoding, without a length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub bytes: Vec<u8>,
    /// False where the value was cut short.
    pub is_exact: bool,
}

impl Range {
    pub fn new(kind: Kind) -> Self {
        Self { kind, ends: Ends::None, any: false }
    }

    /// Takes a value in.
    pub fn include(&mut self, value: Value<'_>) {
        self.any = true;
        match value {
            Value::Bits(bits) => {
                if let Some(order) = self.kind.order(bits) {
                    self.include_orders(order, order);
                }
            }
            Value::Bytes(bytes) => self.include_bytes(bytes, bytes),
        }
    }

    /// Takes fixed-width values in.
    pub fn include_bits(&mut self, values: &[u64]) {
        let kind = self.kind;
        let orders = values.iter().filter_map(|bits| kind.order(*bits));
        let (least, greatest) =
            orders.fold((u64::MAX, 0), |(least, greatest), order| (least.min(order), greatest.max(order)));
        self.any |= !values.is_empty();
        if least <= greatest {
            self.include_orders(least, greatest);
        }
    }

    /// Takes those fixed-width values in that are marked.
    pub fn include_marked(&mut self, values: &[u64], marks: &[bool]) {
        // A loop of its own for each kind, so that what is asked of each value is known when it is compiled.
        let (least, greatest) = match self.kind {
            Kind::Int32 => ends_of_marked(values, marks, |bits| Kind::Int32.order(bits)),
            Kind::Float => ends_of_marked(values, marks, |bits| Kind::Float.order(bits)),
            Kind::Double => ends_of_marked(values, marks, |bits| Kind::Double.order(bits)),
            Kind::Int64 => ends_of_marked(values, marks, |bits| Kind::Int64.order(bits)),
            kind => ends_of_marked(values, marks, |bits| kind.order(bits)),
        };
        self.any |= marks.iter().take(values.len()).fold(false, |any, mark| any | mark);
        if least <= greatest {
            self.include_orders(least, greatest);
        }
    }

    /// Takes another range in.
    pub fn join(&mut self, other: &Self) {
        self.any |= other.any;
        match &other.ends {
            Ends::None => {}
            Ends::Orders(least, greatest) => self.include_orders(*least, *greatest),
            Ends::Bytes(least, greatest) => self.include_bytes(least, greatest),
        }
    }

    fn include_orders(&mut self, least: u64, greatest: u64) {
        self.ends = match self.ends {
            Ends::Orders(before, after) => Ends::Orders(before.min(least), after.max(greatest)),
            _ => Ends::Orders(least, greatest),
        };
    }

    fn include_bytes(&mut self, least: &[u8], greatest: &[u8]) {
        let Ends::Bytes(before, after) = &mut self.ends else {
            self.ends = Ends::Bytes(least.to_vec(), greatest.to_vec());
            return;
        };
        if least < before.as_slice() {
            *before = least.to_vec();
        }
        if greatest > after.as_slice() {
            *after = greatest.to_vec();
        }
    }

    /// How the ends of this range compare with those of the one before, the least first.
    pub fn steps_from(&self, before: &Self) -> Option<(Ordering, Ordering)> {
        match (&self.ends, &before.ends) {
            (Ends::Orders(least, greatest), Ends::Orders(least_before, greatest_before)) => {
                Some((least.cmp(least_before), greatest.cmp(greatest_before)))
            }
            (Ends::Bytes(least, greatest), Ends::Bytes(least_before, greatest_before)) => {
                Some((least.cmp(least_before), greatest.cmp(greatest_before)))
            }
            _ => None,
        }
    }

    /// Least and greatest as they are written; `None` where there is none, or only NaN.
    pub fn written(&self) -> Option<(End, End)> {
        match &self.ends {
            Ends::None => None,
            Ends::Orders(least, greatest) => Some((self.number(*least, false), self.number(*greatest, true))),
            Ends::Bytes(least, greatest) => {
                let is_text = self.kind == Kind::Bytes { is_text: true };
                Some((cut(least, is_text, false), cut(greatest, is_text, true)))
            }
        }
    }

    fn number(&self, order: u64, is_greatest: bool) -> End {
        let width = self.kind.width().unwrap_or(0);
        let bits = self.kind.bits(order);
        // The format wants zeros to take in both zeros.
        let bits = match self.kind {
            Kind::Float if bits << 33 == 0 => u64::from((if is_greatest { 0.0f32 } else { -0.0 }).to_bits()),
            Kind::Double if bits << 1 == 0 => (if is_greatest { 0.0f64 } else { -0.0 }).to_bits(),
            _ => bits,
        };
        End { bytes: bits.to_le_bytes().into_iter().take(width).collect(), is_exact: true }
    }

    /// The chunk's statistics.
    pub fn statistics(&self, nulls: u64) -> Statistics {
        let written = self.written();
        let (least, greatest) = match &written {
            Some((least, greatest)) => (Some(least), Some(greatest)),
            None => (None, None),
        };
        let four = |end: Option<&End>| end.and_then(|end| end.bytes.as_slice().try_into().ok());
        let eight = |end: Option<&End>| end.and_then(|end| end.bytes.as_slice().try_into().ok());
        let nulls = Some(nulls);
        match self.kind {
            Kind::Int32 | Kind::UInt32 => Statistics::int32(
                four(least).map(i32::from_le_bytes),
                four(greatest).map(i32::from_le_bytes),
                None,
                nulls,
                false,
            ),
            Kind::Int64 | Kind::UInt64 => Statistics::int64(
                eight(least).map(i64::from_le_bytes),
                eight(greatest).map(i64::from_le_bytes),
                None,
                nulls,
                false,
            ),
            Kind::Float => Statistics::float(
                four(least).map(f32::from_le_bytes),
                four(greatest).map(f32::from_le_bytes),
                None,
                nulls,
                false,
            ),
            Kind::Double => Statistics::double(
                eight(least).map(f64::from_le_bytes),
                eight(greatest).map(f64::from_le_bytes),
                None,
                nulls,
                false,
            ),
            Kind::Bytes { .. } => {
                let value = |end: Option<&End>| end.map(|end| ByteArray::from(end.bytes.clone()));
                let is_exact = |end: Option<&End>| end.is_some_and(|end| end.is_exact);
                Statistics::ByteArray(
                    ValueStatistics::new(value(least), value(greatest), None, nulls, false)
                        .with_min_is_exact(is_exact(least))
                        .with_max_is_exact(is_exact(greatest)),
                )
            }
        }
    }
}

/// The least and the greatest order of the values that are marked; the former above the latter where there is none.
fn ends_of_marked(values: &[u64], marks: &[bool], order: impl Fn(u64) -> Option<u64>) -> (u64, u64) {
    let marked = values.iter().zip(marks);
    // No branch on marks, which are anywhere.
    marked.fold((u64::MAX, 0), |(least, greatest), (bits, is_marked)| {
        let order = order(*bits).filter(|_| *is_marked);
        (least.min(order.unwrap_or(u64::MAX)), greatest.max(order.unwrap_or(0)))
    })
}

/// Long strings are cut: the least to a prefix, the greatest to a prefix that is made larger.
fn cut(bytes: &[u8], is_text: bool, is_greatest: bool) -> End {
    let whole = || End { bytes: bytes.to_vec(), is_exact: true };
    if bytes.len() <= MAX_BYTES {
        return whole();
    }
    let text = if is_text { str::from_utf8(bytes).ok() } else { None };
    let prefix = match text {
        Some(text) => text.get(..text.floor_char_boundary(MAX_BYTES)).map(str::as_bytes),
        None => bytes.get(..MAX_BYTES),
    };
    let Some(prefix) = prefix else { return whole() };
    let shorter = match (is_greatest, text) {
        (false, _) => Some(prefix.to_vec()),
        (true, Some(_)) => next_text(prefix),
        (true, None) => next_bytes(prefix),
    };
    shorter.map_or_else(whole, |bytes| End { bytes, is_exact: false })
}

/// The least bytes of that length or shorter that are above everything that begins so.
fn next_bytes(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut bytes = prefix.get(..=last)?.to_vec();
    *bytes.last_mut()? += 1;
    Some(bytes)
}

/// As `next_bytes`, for text.
fn next_text(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut text = str::from_utf8(prefix).ok()?.to_owned();
    while let Some(last) = text.pop() {
        if let Some(next) = u32::from(last).checked_add(1).and_then(char::from_u32) {
            text.push(next);
            return Some(text.into_bytes());
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn range(kind: Kind, values: &[u64]) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut range = Range::new(kind);
        values.iter().for_each(|bits| range.include(Value::Bits(*bits)));
        range.written().map(|(least, greatest)| (least.bytes, greatest.bytes))
    }

    #[test]
    fn nan_is_in_no_range_and_zero_takes_in_both_zeros() {
        let bits = |value: f64| value.to_bits();
        assert_eq!(range(Kind::Double, &[bits(f64::NAN)]), None);
        let found = range(Kind::Double, &[bits(f64::NAN), bits(0.0), bits(-0.0)]);
        assert_eq!(found, Some(((-0.0f64).to_le_bytes().to_vec(), 0.0f64.to_le_bytes().to_vec())));
        let found = range(Kind::Double, &[bits(3.0), bits(-7.5), bits(f64::NAN), bits(2.0)]);
        assert_eq!(found, Some(((-7.5f64).to_le_bytes().to_vec(), 3.0f64.to_le_bytes().to_vec())));
    }

    #[test]
    fn numbers_are_ordered_by_their_sign() {
        let minus_one = u64::from((-1i32).cast_unsigned());
        let found = range(Kind::Int32, &[5, minus_one]);
        assert_eq!(found, Some(((-1i32).to_le_bytes().to_vec(), 5i32.to_le_bytes().to_vec())));
        let found = range(Kind::UInt32, &[5, minus_one]);
        assert_eq!(found, Some((5u32.to_le_bytes().to_vec(), u32::MAX.to_le_bytes().to_vec())));
    }

    #[test]
    fn long_strings_are_cut_to_bounds_that_hold() {
        let long = format!("{}\u{10ffff}é", "ä".repeat(40));
        let least = cut(long.as_bytes(), true, false);
        let greatest = cut(long.as_bytes(), true, true);
        assert!(!least.is_exact && !greatest.is_exact);
        assert!(least.bytes.as_slice() < long.as_bytes() && greatest.bytes.as_slice() > long.as_bytes());
        assert!(least.bytes.len() <= 64 && str::from_utf8(&greatest.bytes).is_ok());
        let top = vec![0xff; 70];
        assert_eq!(cut(&top, false, true), End { bytes: top.clone(), is_exact: true });
        assert_eq!(cut(&[vec![7; 63], vec![0xff; 9]].concat(), false, true).bytes.len(), 63);
    }
}
