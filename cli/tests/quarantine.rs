//! Rows set aside, as a reader of the quarantine finds them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use common::{run, visible};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The quarantine's files below `out`, each as one batch.
fn quarantine(folder: &Path) -> Vec<RecordBatch> {
    let files = visible(&folder.join("out")).into_iter().filter(|(path, _)| path.starts_with("_quarantine"));
    let read = |bytes: Vec<u8>| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
        let schema = reader.schema().clone();
        concat_batches(&schema, &reader.build().unwrap().map(Result::unwrap).collect::<Vec<_>>()).unwrap()
    };
    files.map(|(_, bytes)| read(bytes)).collect()
}

const RULES: &str = "[output]\nprefix = \"trips/\"\nmax_quarantined = 1.0\n\
                     [schema]\ncolumns = [{ name = \"id\", type = \"int32\" }, { name = \"amt\", type = \"decimal(8,2)\" }]\n\
                     [[expectations]]\nname = \"id is positive\"\nexpr = \"id > 0\"\n";

fn ingest(folder: &Path, format: &str, sources: &[&str]) {
    let text = format!("name = \"trips\"\n[source]\nformat = \"{format}\"\n{RULES}");
    std::fs::write(folder.join("trips.toml"), text).unwrap();
    let ran = run(folder, &[&["run", "--dataset", "trips.toml", "--sink", "out"], sources].concat());
    assert_eq!(ran.code, 0, "{ran:#?}");
}

#[test]
fn the_quarantine_of_drifting_months_and_formats_is_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let january: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, -1, 1 << 40]))),
        ("amt", Arc::new(StringArray::from(vec!["abc", "2.5", "3"]))),
    ];
    write(&folder.path().join("2024-01.parquet"), january);
    let february: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int32Array::from(vec![-5, 6]))),
        ("amt", Arc::new(Float64Array::from(vec![1.5, 2.5]))),
        ("tip", Arc::new(Float64Array::from(vec![Some(0.25), None]))),
    ];
    write(&folder.path().join("2024-02.parquet"), february);
    ingest(folder.path(), "parquet", &["2024-01.parquet", "2024-02.parquet"]);
    std::fs::write(folder.path().join("2024-03.csv"), "id,amt,note\n1,abc,x\n").unwrap();
    ingest(folder.path(), "csv", &["2024-03.csv"]);

    let files = quarantine(folder.path());
    assert_eq!(files.len(), 3);
    let schemas: BTreeSet<String> = files.iter().map(|file| format!("{:?}", file.schema().fields())).collect();
    assert_eq!(schemas.len(), 1, "{schemas:#?}");

    let all = concat_batches(&files[0].schema(), &files).unwrap();
    let values = all.column_by_name("_rowmill_values").unwrap().as_string::<i64>();
    let values: Vec<&str> = values.iter().map(Option::unwrap).collect();
    let wanted = [
        r#"{"id":1,"amt":"abc"}"#,
        r#"{"id":-1,"amt":"2.5"}"#,
        r#"{"id":1099511627776,"amt":"3"}"#,
        r#"{"id":-5,"amt":1.5,"tip":0.25}"#,
        r#"{"id":"1","amt":"abc","note":"x"}"#,
    ];
    assert_eq!(values, wanted);
    let reasons = all.column_by_name("_rowmill_reasons").unwrap().as_list::<i32>();
    let reasons = reasons.values().as_string::<i64>().iter().map(Option::unwrap);
    let wanted = [
        r#"amt: "abc" is no decimal(8,2)"#,
        "id is positive",
        "id: 1099511627776 is no int32",
        "id is positive",
        r#"amt: "abc" is no decimal(8,2)"#,
    ];
    assert_eq!(reasons.collect::<Vec<_>>(), wanted);
}
