import job
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

source, folder = job.arguments()
types = job.types(pa.int32(), pa.float32(), pa.timestamp("us"), pa.string())
options = csv.ConvertOptions(column_types=types, strings_can_be_null=True)
reader = csv.open_csv(source, read_options=csv.ReadOptions(block_size=16 << 20), convert_options=options)


def clean(batch: pa.RecordBatch) -> pa.RecordBatch:
    good = pc.greater_equal(batch[job.END], batch[job.BEGIN])
    for name in job.NOT_NEGATIVE:
        good = pc.and_(good, pc.greater_equal(batch[name], 0))
    return batch.filter(good)


waiting: list[pa.RecordBatch] = []
rows = 0
with pq.ParquetWriter(
    f"{folder}/part.parquet", reader.schema, compression=job.CODEC, compression_level=job.LEVEL
) as writer:
    for batch in reader:
        waiting.append(clean(batch))
        rows += waiting[-1].num_rows
        if rows >= job.ROW_GROUP_ROWS:
            table = pa.Table.from_batches(waiting)
            writer.write_table(table.slice(0, job.ROW_GROUP_ROWS), row_group_size=job.ROW_GROUP_ROWS)
            rest = table.slice(job.ROW_GROUP_ROWS)
            waiting, rows = rest.to_batches(), rest.num_rows
    writer.write_table(pa.Table.from_batches(waiting, schema=reader.schema), row_group_size=job.ROW_GROUP_ROWS)
