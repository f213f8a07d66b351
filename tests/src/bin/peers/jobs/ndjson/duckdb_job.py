import os

import duckdb
import job

source, folder = job.arguments()
db = duckdb.connect(config={"threads": os.cpu_count()})
columns = {
    "type": "VARCHAR",
    "actor": "STRUCT(login VARCHAR)",
    "repo": "STRUCT(name VARCHAR)",
    "created_at": "TIMESTAMP",
    "payload": "STRUCT(commits STRUCT(message VARCHAR, author STRUCT(name VARCHAR))[])",
}
read = f"read_json('{source}', format = 'newline_delimited', columns = {columns}, maximum_object_size = 16777216)"
db.execute(
    f"COPY (SELECT user, repo, created_at, commit.message AS message, commit.author.name AS author FROM ("
    f"SELECT actor.login AS user, repo.name AS repo, created_at, unnest(payload.commits) AS commit "
    f"FROM {read} WHERE type = '{job.KEPT}')) "
    f"TO '{folder}/part.parquet' (FORMAT parquet, ROW_GROUP_SIZE {job.ROW_GROUP_ROWS}, "
    f"COMPRESSION {job.CODEC}, COMPRESSION_LEVEL {job.LEVEL})"
)
