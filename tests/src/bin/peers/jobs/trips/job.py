"""The job that every peer does, each in its own idiom: NAME_job.py SOURCE FOLDER.

Keep the rows that break none of four rules; narrow integers and amounts; make dictionaries of flags; write Parquet in row
groups of 1,048,576 rows, zstd level 1, in the source's order.
"""

import sys

INTEGERS = ["PULocationID", "DOLocationID", "trip_time"]
AMOUNTS = [
    "trip_miles",
    "base_passenger_fare",
    "tolls",
    "bcf",
    "sales_tax",
    "congestion_surcharge",
    "airport_fee",
    "tips",
    "driver_pay",
]
FLAGS = ["shared_request_flag", "shared_match_flag", "access_a_ride_flag", "wav_request_flag", "wav_match_flag"]
NOT_NEGATIVE = ["trip_miles", "base_passenger_fare", "trip_time"]
BEGIN, END = "pickup_datetime", "dropoff_datetime"

ROW_GROUP_ROWS = 1_048_576
CODEC, LEVEL = "zstd", 1


def arguments() -> tuple[str, str]:
    source, folder = sys.argv[1:3]
    return source, folder
