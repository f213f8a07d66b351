import job
import polars as pl

source, folder = job.arguments()
commit = pl.Struct({"message": pl.String, "author": pl.Struct({"name": pl.String})})
schema = {
    "type": pl.String,
    "actor": pl.Struct({"login": pl.String}),
    "repo": pl.Struct({"name": pl.String}),
    "created_at": pl.String,
    "payload": pl.Struct({"commits": pl.List(commit)}),
}
commits = pl.col("payload").struct.field("commits")
(
    pl.scan_ndjson(source, schema=schema)
    .filter(pl.col("type") == job.KEPT, commits.list.len() > 0)
    .select(
        pl.col("actor").struct.field("login").alias("user"),
        pl.col("repo").struct.field("name").alias("repo"),
        pl.col("created_at").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us"),
        commits.alias("commit"),
    )
    .explode("commit")
    .select(
        "user",
        "repo",
        "created_at",
        pl.col("commit").struct.field("message").alias("message"),
        pl.col("commit").struct.field("author").struct.field("name").alias("author"),
    )
    .sink_parquet(
        f"{folder}/part.parquet",
        compression=job.CODEC,
        compression_level=job.LEVEL,
        row_group_size=job.ROW_GROUP_ROWS,
        engine="streaming",
    )
)
