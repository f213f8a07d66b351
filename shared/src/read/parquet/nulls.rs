//! How many nulls each column has, as far as the footer's statistics say.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::file::metadata::{
    ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
};

use super::footer::{Footer, FooterLimits, footer_bytes, parse};
use crate::Result;
use crate::read::SourceFile;

impl Footer {
    /// Reads and checks the footer as [`Footer::read`] does, and with it the nulls of each column of
    /// [`Footer::schema`]: `None` where the file does not say, or the column is nested. What a writer says there is
    /// nothing to rely on, only something to show; statistics that cannot be read are none.
    pub async fn read_with_nulls(source: &SourceFile) -> Result<(Self, Vec<Option<u64>>)> {
        let limits = FooterLimits::default();
        let bytes = footer_bytes(source, &limits).await?;
        let footer = parse(source, &bytes, &limits)?;
        let fields = footer.schema.fields().len();
        let again = catch_unwind(AssertUnwindSafe(|| {
            ParquetMetaDataReader::decode_metadata_with_options(&bytes, Some(&options()))
        }));
        let nulls = match again {
            Ok(Ok(metadata)) => nulls(&metadata, fields),
            _ => vec![None; fields],
        };
        Ok((footer, nulls))
    }
}

fn options() -> ParquetMetaDataOptions {
    ParquetMetaDataOptions::new()
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
}

fn nulls(metadata: &ParquetMetaData, fields: usize) -> Vec<Option<u64>> {
    let schema = metadata.file_metadata().schema_descr();
    let mut nulls = vec![Some(0u64); fields];
    for (leaf, column) in schema.columns().iter().enumerate() {
        let Some(sum) = nulls.get_mut(schema.get_column_root_idx(leaf)) else { continue };
        let flat = column.path().parts().len() == 1 && column.max_rep_level() == 0;
        for group in metadata.row_groups() {
            let said = match group.columns().get(leaf) {
                Some(_) if !flat => None,
                Some(_) if column.max_def_level() == 0 => Some(0),
                Some(chunk) => chunk.statistics().and_then(|statistics| statistics.null_count_opt()),
                None => None,
            };
            // More nulls than rows is a lie.
            let said = said.filter(|nulls| i64::try_from(*nulls).is_ok_and(|nulls| nulls <= group.num_rows()));
            *sum = sum.zip(said).and_then(|(sum, said)| sum.checked_add(said));
        }
    }
    nulls
}
