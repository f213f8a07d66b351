import job
import polars as pl

source, folder = job.arguments()
rules = [pl.col(name) >= 0 for name in job.NOT_NEGATIVE] + [pl.col(job.END) >= pl.col(job.BEGIN)]
schema = job.types(pl.Int32, pl.Float32, pl.Datetime("us"), pl.String)
pl.scan_csv(source, schema=schema, try_parse_dates=True).filter(*rules).sink_parquet(
    f"{folder}/part.parquet",
    compression=job.CODEC,
    compression_level=job.LEVEL,
    row_group_size=job.ROW_GROUP_ROWS,
    maintain_order=True,
    engine="streaming",
)
