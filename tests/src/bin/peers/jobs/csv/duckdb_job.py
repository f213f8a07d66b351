import os

import duckdb
import job

source, folder = job.arguments()
db = duckdb.connect(config={"threads": os.cpu_count()})
columns = job.types("INTEGER", "FLOAT", "TIMESTAMP", "VARCHAR")
rules = [f"{name} >= 0" for name in job.NOT_NEGATIVE] + [f"{job.END} >= {job.BEGIN}"]
read = f"read_csv('{source}', header = true, auto_detect = false, delim = ',', quote = '\"', columns = {columns})"
db.execute(
    f"COPY (SELECT * FROM {read} WHERE {' AND '.join(rules)}) "
    f"TO '{folder}/part.parquet' (FORMAT parquet, ROW_GROUP_SIZE {job.ROW_GROUP_ROWS}, "
    f"COMPRESSION {job.CODEC}, COMPRESSION_LEVEL {job.LEVEL})"
)
