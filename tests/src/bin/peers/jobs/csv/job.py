"""Yellow taxi trips from CSV: NAME_job.py SOURCE FOLDER.

Declared types; keep the rows that break none of three rules; write Parquet in row groups of 1,048,576 rows, zstd level 1, in
the source's order.
"""

import sys

# Column and type: i (32-bit integer), f (32-bit float), t (timestamp in microseconds) or s (string).
COLUMNS = {
    "VendorID": "i",
    "tpep_pickup_datetime": "t",
    "tpep_dropoff_datetime": "t",
    "passenger_count": "f",
    "trip_distance": "f",
    "RatecodeID": "f",
    "store_and_fwd_flag": "s",
    "PULocationID": "i",
    "DOLocationID": "i",
    "payment_type": "f",
    "fare_amount": "f",
    "extra": "f",
    "mta_tax": "f",
    "tip_amount": "f",
    "tolls_amount": "f",
    "improvement_surcharge": "f",
    "total_amount": "f",
    "congestion_surcharge": "f",
}
NOT_NEGATIVE = ["trip_distance", "fare_amount"]
BEGIN, END = "tpep_pickup_datetime", "tpep_dropoff_datetime"

ROW_GROUP_ROWS = 1_048_576
CODEC, LEVEL = "zstd", 1


def types(i, f, t, s) -> dict:
    by_letter = {"i": i, "f": f, "t": t, "s": s}
    return {name: by_letter[letter] for name, letter in COLUMNS.items()}


def arguments() -> tuple[str, str]:
    source, folder = sys.argv[1:3]
    return source, folder
