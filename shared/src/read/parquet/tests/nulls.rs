//! Null counts from the footer.

use super::*;
use crate::read::testing::OneFile;

fn written(properties: WriterProperties, batch: &RecordBatch) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn table() -> RecordBatch {
    let mut list = ListBuilder::new(Int32Builder::new());
    (0..6).for_each(|row| list.append(row % 2 == 0));
    let sparse: Int64Array = (0..6).map(|row| (row % 3 != 0).then_some(row)).collect();
    let full = Int64Array::from(vec![1; 6]);
    RecordBatch::try_from_iter_with_nullable([
        ("sparse", Arc::new(sparse) as ArrayRef, true),
        ("list", Arc::new(list.finish()), true),
        ("full", Arc::new(full.clone()), true),
        ("required", Arc::new(full), false),
    ])
    .unwrap()
}

#[tokio::test]
async fn nulls_are_summed_over_row_groups_and_unknown_for_nested_columns() {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(4)).build();
    let (_, source) = OneFile::new(written(properties, &table())).source();
    let (footer, nulls) = Footer::read_with_nulls(&source).await.unwrap();
    assert_eq!((footer.row_groups, nulls), (vec![4, 2], vec![Some(2), None, Some(0), Some(0)]));
}

#[tokio::test]
async fn without_statistics_only_required_columns_are_known() {
    let properties = WriterProperties::builder().set_statistics_enabled(EnabledStatistics::None).build();
    let (_, source) = OneFile::new(written(properties, &table())).source();
    let (_, nulls) = Footer::read_with_nulls(&source).await.unwrap();
    assert_eq!(nulls, [None, None, None, Some(0)]);
}
