import job
import polars as pl

source, folder = job.arguments()
rules = [pl.col(name) >= 0 for name in job.NOT_NEGATIVE] + [pl.col(job.END) >= pl.col(job.BEGIN)]
narrowed = [
    pl.col(job.INTEGERS).cast(pl.Int32),
    pl.col(job.AMOUNTS).cast(pl.Float32),
    pl.col(job.FLAGS).cast(pl.Categorical),
]
pl.scan_parquet(source).filter(*rules).with_columns(narrowed).sink_parquet(
    f"{folder}/part.parquet",
    compression=job.CODEC,
    compression_level=job.LEVEL,
    row_group_size=job.ROW_GROUP_ROWS,
    maintain_order=True,
    engine="streaming",
)
