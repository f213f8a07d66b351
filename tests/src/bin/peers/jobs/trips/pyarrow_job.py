import job
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

source, folder = job.arguments()
reader = pq.ParquetFile(source, read_dictionary=job.FLAGS, pre_buffer=False)


def narrowed(field: pa.Field) -> pa.Field:
    if field.name in job.INTEGERS:
        return field.with_type(pa.int32())
    if field.name in job.AMOUNTS:
        return field.with_type(pa.float32())
    if field.name in job.FLAGS:
        return field.with_type(pa.dictionary(pa.int32(), pa.string()))
    return field


def clean(batch: pa.RecordBatch) -> pa.RecordBatch:
    good = pc.greater_equal(batch[job.END], batch[job.BEGIN])
    for name in job.NOT_NEGATIVE:
        good = pc.and_(good, pc.greater_equal(batch[name], 0))
    kept = batch.filter(good)
    # Rounding an amount to float32 is wanted, losing an integer is not.
    columns = [kept[field.name].cast(field.type, safe=field.name not in job.AMOUNTS) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


schema = pa.schema([narrowed(field) for field in reader.schema_arrow], metadata=None)
waiting: list[pa.RecordBatch] = []
rows = 0
with pq.ParquetWriter(f"{folder}/part.parquet", schema, compression=job.CODEC, compression_level=job.LEVEL) as writer:
    for batch in reader.iter_batches(batch_size=131_072):
        waiting.append(clean(batch))
        rows += waiting[-1].num_rows
        if rows >= job.ROW_GROUP_ROWS:
            table = pa.Table.from_batches(waiting)
            writer.write_table(table.slice(0, job.ROW_GROUP_ROWS), row_group_size=job.ROW_GROUP_ROWS)
            rest = table.slice(job.ROW_GROUP_ROWS)
            waiting, rows = rest.to_batches(), rest.num_rows
    writer.write_table(pa.Table.from_batches(waiting, schema=schema), row_group_size=job.ROW_GROUP_ROWS)
