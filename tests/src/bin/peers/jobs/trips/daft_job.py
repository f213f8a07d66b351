import daft
import job
from daft import DataType, col

source, folder = job.arguments()
# Daft sizes row groups by bytes; its own choice stands.
frame = daft.read_parquet(source)
frame = frame.where(col(job.END) >= col(job.BEGIN))
for name in job.NOT_NEGATIVE:
    frame = frame.where(col(name) >= 0)
types = {name: DataType.int32() for name in job.INTEGERS} | {name: DataType.float32() for name in job.AMOUNTS}
names = frame.column_names
frame = frame.select(*[col(name).cast(types[name]) if name in types else col(name) for name in names])
frame.write_parquet(folder, compression=job.CODEC)
