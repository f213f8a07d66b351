import job
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as json
import pyarrow.parquet as pq

source, folder = job.arguments()
commit = pa.struct({"message": pa.string(), "author": pa.struct({"name": pa.string()})})
schema = pa.schema(
    {
        "type": pa.string(),
        "actor": pa.struct({"login": pa.string()}),
        "repo": pa.struct({"name": pa.string()}),
        "created_at": pa.timestamp("s"),
        "payload": pa.struct({"commits": pa.list_(commit)}),
    }
)
options = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
written = pa.schema(
    {
        "user": pa.string(),
        "repo": pa.string(),
        "created_at": pa.timestamp("us"),
        "message": pa.string(),
        "author": pa.string(),
    }
)
with (
    pa.input_stream(source, compression="gzip") as text,
    pq.ParquetWriter(f"{folder}/part.parquet", written, compression=job.CODEC, compression_level=job.LEVEL) as writer,
):
    for batch in json.open_json(text, json.ReadOptions(block_size=16 << 20), options):
        pushes = batch.filter(pc.equal(batch["type"], job.KEPT))
        lists = pc.struct_field(pushes["payload"], "commits")
        events, commits = pc.list_parent_indices(lists), pc.list_flatten(lists)
        columns = [
            pc.struct_field(pushes["actor"], "login").take(events),
            pc.struct_field(pushes["repo"], "name").take(events),
            pushes["created_at"].take(events).cast(pa.timestamp("us")),
            pc.struct_field(commits, "message"),
            pc.struct_field(commits, ["author", "name"]),
        ]
        writer.write_table(pa.Table.from_arrays(columns, schema=written), row_group_size=job.ROW_GROUP_ROWS)
