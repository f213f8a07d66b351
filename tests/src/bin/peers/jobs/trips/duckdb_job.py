import os

import duckdb
import job

source, folder = job.arguments()
db = duckdb.connect(config={"threads": os.cpu_count()})
replaced = [f"{name}::INTEGER AS {name}" for name in job.INTEGERS] + [f"{name}::FLOAT AS {name}" for name in job.AMOUNTS]
rules = [f"{name} >= 0" for name in job.NOT_NEGATIVE] + [f"{job.END} >= {job.BEGIN}"]
db.execute(
    f"COPY (SELECT * REPLACE ({', '.join(replaced)}) FROM read_parquet('{source}') WHERE {' AND '.join(rules)}) "
    f"TO '{folder}/part.parquet' (FORMAT parquet, ROW_GROUP_SIZE {job.ROW_GROUP_ROWS}, "
    f"COMPRESSION {job.CODEC}, COMPRESSION_LEVEL {job.LEVEL})"
)
