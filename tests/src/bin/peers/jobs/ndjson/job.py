"""Commits of an archive's PushEvents: NAME_job.py SOURCE FOLDER.

One row per commit: user, repo, created_at, message, author; Parquet, zstd level 1.
"""

import sys

KEPT = "PushEvent"
ROW_GROUP_ROWS = 1_048_576
CODEC, LEVEL = "zstd", 1


def arguments() -> tuple[str, str]:
    source, folder = sys.argv[1:3]
    return source, folder
