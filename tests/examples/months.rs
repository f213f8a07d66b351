//! Writes made-up fhvhv months, each with a drift that TLC's files showed, into a folder: `months FOLDER`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rowmill_tests::months::drifted;

/// Rows of each month.
const ROWS: i64 = 10_000;

fn main() -> Result<()> {
    let folder: PathBuf = std::env::args_os().nth(1).context("name the folder to write into")?.into();
    std::fs::create_dir_all(&folder)?;
    for (index, (_, month)) in drifted(ROWS)?.into_iter().enumerate() {
        let (year, month_of_year) = (2023 + index / 12, index % 12 + 1);
        let path = folder.join(format!("fhvhv_tripdata_{year}-{month_of_year:02}.parquet"));
        std::fs::write(&path, month.parquet()?).with_context(|| format!("{}", path.display()))?;
    }
    Ok(())
}
