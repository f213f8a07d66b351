import frame
import job
import pandas as pd

source, folder = job.arguments()
frame.good(pd.read_parquet(source)).astype(frame.types()).to_parquet(
    f"{folder}/part.parquet",
    compression=job.CODEC,
    compression_level=job.LEVEL,
    row_group_size=job.ROW_GROUP_ROWS,
    index=False,
)
