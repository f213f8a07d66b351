//! Row groups that need no change are copied as they are, and no others.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, AsArray, Float32Array, RecordBatch, StringDictionaryBuilder};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float32Type, Int32Type};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use rowmill::dataset::Dataset;
use rowmill::ledger::{Outcome, Status};
use rowmill_tests::embedded::ingest;
use rowmill_tests::fhvhv::{Dirt, Trips, Types, batch};
use rowmill_tests::stack::repository;

const GROUP_ROWS: u64 = 4_000;

/// The benchmark's job, in row groups of [`GROUP_ROWS`], with more TOML behind it.
fn dataset(change: impl Fn(String) -> String) -> Result<Dataset> {
    let text = std::fs::read_to_string(repository().join("tests/src/bin/peers/jobs/trips/rowmill.toml"))?;
    Ok(Dataset::parse(&change(text.replace("1_048_576", "4_000")), "test.toml")?)
}

fn trips(numbers: Range<u64>, dirt: Dirt) -> Result<RecordBatch> {
    Ok(batch(&Trips { seed: 3, dirt }, numbers, Types::Narrow)?)
}

/// A file of these row groups, which have the types, the codec and (but for the last) the rows that the job wants.
fn file(folder: &Path, row_groups: &[RecordBatch]) -> Result<PathBuf> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_data_page_row_count_limit(1_000)
        .set_write_batch_size(500)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(None)
        .build();
    let path = folder.join("trips.parquet");
    let schema = row_groups.first().context("a row group")?.schema();
    let mut writer = ArrowWriter::try_new(File::create(&path)?, schema, Some(properties))?;
    for rows in row_groups {
        writer.write(rows)?;
        writer.flush()?;
    }
    writer.close()?;
    Ok(path)
}

fn three_groups() -> Result<Vec<RecordBatch>> {
    [0..GROUP_ROWS, GROUP_ROWS..2 * GROUP_ROWS, 2 * GROUP_ROWS..9_000]
        .into_iter()
        .map(|rows| trips(rows, Dirt::None))
        .collect()
}

async fn ingested(dataset: &Dataset, source: &Path, sink: &Path, workers: usize) -> Result<(Outcome, Vec<Bytes>)> {
    let outcome = ingest(dataset, &[source], sink, workers).await?.into_iter().next().context("one run")?;
    assert_eq!(outcome.status, Status::Complete, "{:?}", outcome.error);
    let parts = outcome.parts.iter().map(|part| Ok(Bytes::from(std::fs::read(sink.join(&part.key))?)));
    let parts = parts.collect::<Result<_>>()?;
    Ok((outcome, parts))
}

fn metadata(bytes: &Bytes) -> Result<ParquetMetaData> {
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.try_parse(bytes)?;
    Ok(reader.finish()?)
}

/// The bytes of each column chunk, row group by row group.
fn chunks(bytes: &Bytes) -> Result<Vec<Vec<Bytes>>> {
    let chunk = |(start, length): (u64, u64)| -> Result<Bytes> {
        Ok(bytes.slice(usize::try_from(start)?..usize::try_from(start + length)?))
    };
    let metadata = metadata(bytes)?;
    let groups = metadata.row_groups().iter();
    groups.map(|group| group.columns().iter().map(|column| chunk(column.byte_range())).collect()).collect()
}

fn rows(bytes: &Bytes) -> Result<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?;
    let schema = reader.schema().clone();
    let batches = reader.build()?.collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}

/// Which row groups of the source are in the output byte for byte.
fn copied(source: &Path, parts: &[Bytes]) -> Result<Vec<bool>> {
    let before = chunks(&Bytes::from(std::fs::read(source)?))?;
    let after = parts.iter().map(chunks).collect::<Result<Vec<_>>>()?.concat();
    assert_eq!(before.len(), after.len());
    Ok(before.iter().zip(&after).map(|(before, after)| before == after).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uniform_typed_file_is_copied_and_reads_as_before() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let source = file(folder.path(), &three_groups()?)?;
    let (outcome, parts) = ingested(&dataset(|text| text)?, &source, &folder.path().join("sink"), 2).await?;
    assert_eq!(copied(&source, &parts)?, [true, true, true]);
    let counts = outcome.rows;
    assert_eq!((counts.read, counts.kept, counts.written, counts.quarantined), (9_000, 9_000, 9_000, 0));
    let before = Bytes::from(std::fs::read(&source)?);
    let after = parts.iter().map(rows).collect::<Result<Vec<_>>>()?;
    assert_eq!(rows(&before)?.columns(), concat_batches(&after[0].schema(), &after)?.columns());

    let (told, before) = (metadata(&parts[0])?, metadata(&before)?);
    let offsets = told.offset_index().context("an offset index")?;
    for (column, (told, before)) in told.row_group(0).columns().iter().zip(before.row_group(0).columns()).enumerate() {
        assert_eq!(told.statistics(), before.statistics());
        assert!(told.statistics().is_some());
        let pages = offsets[0][column].page_locations();
        assert_eq!(pages.iter().map(|page| page.first_row_index).collect::<Vec<_>>(), [0, 1_000, 2_000, 3_000]);
        assert_eq!(pages[0].offset, told.data_page_offset());
        let end: i64 = pages.last().map(|page| page.offset + i64::from(page.compressed_page_size)).unwrap_or(0);
        let (start, length) = told.byte_range();
        assert_eq!(u64::try_from(end)?, start + length);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_do_not_depend_on_the_workers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut groups = three_groups()?;
    groups[1] = trips(GROUP_ROWS..2 * GROUP_ROWS, Dirt::OnePercent)?;
    let source = file(folder.path(), &groups)?;
    let wide = dataset(|text| text + "slice_row_groups = 3\n")?;
    let (_, one) = ingested(&wide, &source, &folder.path().join("one"), 1).await?;
    let (_, four) = ingested(&wide, &source, &folder.path().join("four"), 4).await?;
    assert!(one == four);
    assert_eq!(copied(&source, &one)?, [true, false, true]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_group_with_a_row_to_set_aside_is_cleaned_and_its_neighbours_are_copied() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut groups = three_groups()?;
    groups[1] = trips(GROUP_ROWS..2 * GROUP_ROWS, Dirt::OnePercent)?;
    let source = file(folder.path(), &groups)?;
    let (outcome, parts) = ingested(&dataset(|text| text)?, &source, &folder.path().join("sink"), 2).await?;
    assert_eq!(copied(&source, &parts)?, [true, false, true]);
    assert!(outcome.rows.quarantined > 10, "{:?}", outcome.rows);
    assert_eq!(outcome.rows.kept + outcome.rows.quarantined, 9_000);
    assert_eq!(rows(&parts[1])?.num_rows() as u64, GROUP_ROWS - outcome.rows.quarantined);
    Ok(())
}

/// A row group whose first flag column has these values, round and round.
fn flagged(rows: Range<u64>, flags: &[&str]) -> Result<RecordBatch> {
    let trips = trips(rows, Dirt::None)?;
    let at = trips.schema().index_of("shared_request_flag")?;
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    flags.iter().cycle().take(trips.num_rows()).for_each(|flag| builder.append_value(flag));
    let mut columns = trips.columns().to_vec();
    columns[at] = Arc::new(builder.finish()) as ArrayRef;
    Ok(RecordBatch::try_new(trips.schema(), columns)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_the_contract_would_change_are_not_copied() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let groups = [
        flagged(0..GROUP_ROWS, &["Y", "N"])?,
        // Trimmed.
        flagged(GROUP_ROWS..2 * GROUP_ROWS, &["Y", "N "])?,
        // Not in the list: null.
        flagged(2 * GROUP_ROWS..3 * GROUP_ROWS, &["Y", "N", "maybe"])?,
        flagged(3 * GROUP_ROWS..4 * GROUP_ROWS, &["N"])?,
    ];
    let source = file(folder.path(), &groups)?;
    let trimming = dataset(|text| {
        text.replace(r#"values = ["Y", "N", " "]"#, r#"values = ["Y", "N", "", " "], otherwise = "null", trim = true"#)
            .replace("*flag*", "shared_request_flag")
    })?;
    let (outcome, parts) = ingested(&trimming, &source, &folder.path().join("sink"), 2).await?;
    assert_eq!(copied(&source, &parts)?, [true, false, false, true]);
    assert_eq!(outcome.rows.kept, 4 * GROUP_ROWS);
    let nulls = |part| -> Result<usize> {
        Ok(rows(part)?.column_by_name("shared_request_flag").context("flags")?.null_count())
    };
    assert_eq!((nulls(&parts[1])?, nulls(&parts[2])?), (0, 1_333));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_warns_is_counted_and_copied() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let source = file(folder.path(), &[trips(0..GROUP_ROWS, Dirt::OnePercent)?])?;
    let (strict, _) = ingested(&dataset(|text| text)?, &source, &folder.path().join("strict"), 1).await?;
    let warning = dataset(|text| {
        text.replace("\"\n\n[[expect", "\"\naction = \"warn\"\n\n[[expect")
            .replace("pickup_datetime\"", "pickup_datetime\"\naction = \"warn\"")
    })?;
    let (outcome, parts) = ingested(&warning, &source, &folder.path().join("sink"), 1).await?;
    assert_eq!(copied(&source, &parts)?, [true]);
    assert_eq!(outcome.warnings, strict.reasons);
    assert_eq!(outcome.warnings.len(), 4, "{:?}", outcome.warnings);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_codec_type_or_size_is_not_copied_but_keep_keeps_the_codec() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let source = file(folder.path(), &[trips(0..GROUP_ROWS, Dirt::None)?])?;
    for (name, change, expected) in [
        ("codec", ("zstd(1)", "snappy"), false),
        ("keep", ("zstd(1)", "keep"), true),
        ("type", ("from = \"float64\", to = \"float32\"", "from = \"int32\", to = \"int64\""), false),
        ("larger", ("4_000", "5_000"), true),
        ("smaller", ("row_group_rows = 4_000", "row_group_rows = 2_000\nslice_row_groups = 2"), false),
    ] {
        let dataset = dataset(|text| text.replace(change.0, change.1))?;
        let (outcome, parts) = ingested(&dataset, &source, &folder.path().join(name), 1).await?;
        assert_eq!(outcome.rows.kept, GROUP_ROWS, "{name}");
        let before = chunks(&Bytes::from(std::fs::read(&source)?))?;
        assert_eq!(chunks(&parts[0])?[0] == before[0], expected, "{name}");
    }
    Ok(())
}

/// Uploads that nobody has completed or aborted.
fn left_uploads(sink: &Path) -> Result<Vec<PathBuf>> {
    let uploads = std::fs::read_dir(sink.join("_rowmill/uploads"))?.map(|upload| Ok(upload?.path()));
    let uploads = uploads.collect::<std::io::Result<Vec<_>>>()?;
    Ok(uploads.into_iter().filter(|upload| upload.extension().is_none_or(|ended| ended != "done")).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_to_set_aside_far_behind_the_first_ones_is_set_aside() -> Result<()> {
    const ROWS: u64 = 140_000;
    let folder = tempfile::tempdir()?;
    let mut groups = vec![trips(0..ROWS, Dirt::None)?, trips(ROWS..2 * ROWS, Dirt::None)?];
    let at = groups[1].schema().index_of("base_passenger_fare")?;
    let mut columns = groups[1].columns().to_vec();
    let fares = columns[at].as_primitive::<Float32Type>().values();
    let fares = fares.iter().enumerate().map(|(row, fare)| if row == 139_000 { -1.0 } else { *fare });
    columns[at] = Arc::new(Float32Array::from_iter_values(fares));
    groups[1] = RecordBatch::try_new(groups[1].schema(), columns)?;
    let source = file(folder.path(), &groups)?;
    let large = |text: String| text.replace("4_000", "140_000");
    for (name, rows_of) in [("in one slice", "slice_row_groups = 2\n"), ("in slices of their own", "")] {
        let (sink, dataset) = (folder.path().join(name), dataset(|text| large(text) + rows_of)?);
        let (outcome, parts) = ingested(&dataset, &source, &sink, 2).await?;
        assert_eq!(copied(&source, &parts)?, [true, false], "{name}");
        let counts = outcome.rows;
        assert_eq!((counts.read, counts.kept, counts.quarantined), (2 * ROWS, 2 * ROWS - 1, 1), "{name}");
        assert_eq!(parts.iter().map(|part| Ok(rows(part)?.num_rows())).sum::<Result<usize>>()?, 279_999, "{name}");
        assert_eq!(left_uploads(&sink)?, Vec::<PathBuf>::new(), "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_no_data_page_ends_the_copy_and_the_run_says_where() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let source = file(folder.path(), &[trips(0..GROUP_ROWS, Dirt::None)?])?;
    let mut bytes = std::fs::read(&source)?;
    let told = metadata(&Bytes::from(bytes.clone()))?;
    // No expression reads tips. A header begins with its page's type, a data page's 0 or an index page's 1 (as a zigzag).
    let tips = told.row_group(0).columns().iter().find(|column| column.column_path().string() == "tips");
    let page = usize::try_from(tips.context("tips")?.data_page_offset())?;
    assert_eq!(bytes[page..page + 2], [0x15, 0]);
    bytes[page + 1] = 2;
    std::fs::write(&source, bytes)?;
    let sink = folder.path().join("sink");
    let outcome = ingest(&dataset(|text| text)?, &[&source], &sink, 1).await?.into_iter().next().context("one run")?;
    assert_eq!(outcome.status, Status::Failed);
    let error = outcome.error.context("an error")?.message;
    assert!(error.contains("trips.parquet") && error.contains("damaged"), "{error}");
    assert_eq!((outcome.parts.len(), left_uploads(&sink)?), (0, Vec::new()));
    Ok(())
}
