//! Compressed, damaged and hostile sources.

use proptest::prelude::*;

use super::{CSV, gzip, read_now, row};
use crate::Error;

const EVENTS: &str = r#"name = "t"
[source]
format = "ndjson"
keep = "type = 'P'"
depth = 16
[schema]
columns = [
  { name = "user", type = "string", path = "actor.login" },
  { name = "size", type = "int32", path = "n" },
  { name = "message", type = "string", path = "commits[].message" },
]
[output]
prefix = "t/"
"#;

#[test]
fn members_and_frames_are_read_to_the_last() {
    let pieces = ["a,b\n1,", "x\n2,y\n", "", "3,z\n"];
    let rows = [row(&["1", "x"]), row(&["2", "y"]), row(&["3", "z"])];
    let members: Vec<u8> = pieces.iter().flat_map(|piece| gzip(piece.as_bytes())).collect();
    assert_eq!(read_now(CSV, "t.csv.gz", &members).unwrap().rows, rows);
    let padded = [members, vec![0; 512]].concat();
    assert_eq!(read_now(CSV, "t.csv.gz", &padded).unwrap().rows, rows);
    let frames: Vec<u8> = pieces.iter().flat_map(|piece| zstd::encode_all(piece.as_bytes(), 1).unwrap()).collect();
    assert_eq!(read_now(CSV, "t.csv.zst", &frames).unwrap().rows, rows);
}

#[test]
fn a_large_gzip_is_read_whole() {
    let mut text = String::from("n,text\n");
    for number in 0..200_000_u64 {
        text.push_str(&format!("{number},{:x}\n", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    }
    for level in [0, 1, 6] {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
        std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
        let mut twice = encoder.finish().unwrap();
        let half = twice.len();
        twice.extend_from_within(..half);
        let read = read_now(CSV, "t.csv.gz", &twice).unwrap();
        assert_eq!(read.records, 400_001, "the second header is a record as any other");
        assert_eq!(
            read.rows[199_999],
            row(&["199999", &format!("{:x}", 199_999_u64.wrapping_mul(0x9e37_79b9_7f4a_7c15))])
        );
    }
}

#[test]
fn damage_is_told_and_never_ends_in_fewer_rows() {
    let whole = gzip("a,b\n1,x\n2,y\n".repeat(50).as_bytes());
    for cut in 1..whole.len() {
        let error = read_now(CSV, "t.csv.gz", &whole[..cut]).unwrap_err();
        assert!(error.is_permanent() && matches!(error, Error::Source { .. }), "{cut}: {error}");
    }
    for at in whole.len() - 8..whole.len() {
        let mut wrong = whole.clone();
        wrong[at] ^= 1;
        let error = read_now(CSV, "t.csv.gz", &wrong).unwrap_err().to_string();
        assert!(error.contains("checksum"), "{error}");
    }
    let garbage = [whole, b"garbage".to_vec()].concat();
    assert!(read_now(CSV, "t.csv.gz", &garbage).is_err());
    let frame = zstd::encode_all(&b"a,b\n1,x\n"[..], 1).unwrap();
    for cut in 1..frame.len() {
        assert!(read_now(CSV, "t.csv.zst", &frame[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn what_swells_too_much_and_records_without_end_are_refused_by_name() {
    let bomb = gzip(&b"a,b\n1,2\n".repeat(1 << 20));
    let strict = CSV.replace("[output]", "expansion = 10\n[output]");
    let error = read_now(&strict, "t.csv.gz", &bomb).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("source.expansion"), "{error}");
    let limited = CSV.replace("[output]", "record_bytes = 1000\nblock_bytes = 100\n[output]");
    let long = format!("a,b\n1,2\n3,\"{}\n", "x\n".repeat(2_000_000));
    let error = read_now(&limited, "t.csv", long.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("line 3") && error.contains("source.record_bytes"), "{error}");
    let one_slice = CSV.replace("[output]", "record_bytes = 1000\n[output]");
    let error = read_now(&one_slice, "t.csv", long.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("line 3"), "{error}");
}

#[test]
fn events_are_kept_mapped_exploded_or_told_to_be_bad() {
    let deep = format!("{{\"type\":\"P\",\"x\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    let lines = [
        r#"{"type":"W","actor":{"login":"skipped"}}"#,
        r#"{"type":"P","actor":{"login":"a"},"n":1,"commits":[{"message":"m1"},{"message":"m\u00e42"}]}"#,
        r#"{"type":"P","actor":{"login":"b"},"n":"x","commits":[{"message":null}]}"#,
        r#"{"type":"P","actor":"old shape","n":2}"#,
        "",
        r#"{"type":"P","actor":{"login":"c"},"commits":[{"message":"cut o"#,
        "no json at all",
        deep.as_str(),
        r#"{"actor":{"login":"d"},"type":"\u0050","commits":[{"message":"m3"}]}"#,
    ];
    let read = read_now(EVENTS, "e.json.gz", &gzip(lines.join("\n").as_bytes())).unwrap();
    assert_eq!(
        read.rows,
        [row(&["a", "1", "m1"]), row(&["a", "1", "mä2"]), row(&["b", "-", "-"]), row(&["d", "-", "m3"]),]
    );
    let bad: Vec<_> = read.bad.iter().map(|(number, line, _, why)| (*number, *line, *why)).collect();
    assert_eq!(bad, [(4, 6, "json: not well formed"), (5, 7, "json: no object"), (6, 8, "json: nested too deep")]);
    assert_eq!(read.records, 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0usize..6) {
        let (dataset, key) = [(CSV, "t.csv"), (CSV, "t.csv.gz"), (CSV, "t.csv.zst"),
            (EVENTS, "t.json"), (EVENTS, "t.json.gz"), (EVENTS, "t.json.zst")][kind];
        if let Err(error) = read_now(dataset, key, &bytes) {
            prop_assert!(error.is_permanent(), "{}", error);
        }
    }

    #[test]
    fn no_damage_to_packed_bytes_passes_unseen(at in any::<proptest::sample::Index>(), flip in 1u8..=255) {
        let text = "a,b\n1,x\n2,y\n".repeat(300);
        for (key, mut packed) in [("t.csv.gz", gzip(text.as_bytes())), ("t.csv.zst", {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_checksum(true).unwrap();
            std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        })] {
            let place = at.index(packed.len());
            packed[place] ^= flip;
            // A gzip header's time, system and hints mean nothing to the data.
            match read_now(CSV, key, &packed) {
                Ok(read) => prop_assert_eq!(read.records, 899, "{} at {}", key, place),
                Err(error) => prop_assert!(error.is_permanent(), "{}", error),
            }
        }
    }
}
