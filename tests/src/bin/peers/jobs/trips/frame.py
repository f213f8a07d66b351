"""What pandas and Dask share."""

import job


def good(frame):
    rows = frame[job.END] >= frame[job.BEGIN]
    for name in job.NOT_NEGATIVE:
        rows &= frame[name] >= 0
    return frame[rows]


def types() -> dict[str, str]:
    narrowed = dict.fromkeys(job.INTEGERS, "int32") | dict.fromkeys(job.AMOUNTS, "float32")
    return narrowed | dict.fromkeys(job.FLAGS, "category")
