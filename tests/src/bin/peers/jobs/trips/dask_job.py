"""The design that Rowmill replaces, without its cluster: partitions of 100 MB, on threads."""

import dask
import dask.dataframe as dd
import frame
import job


def main() -> None:
    source, folder = job.arguments()
    dask.config.set(scheduler="threads")
    clean = frame.good(dd.read_parquet(source)).astype(frame.types()).repartition(partition_size="100MB")
    clean.to_parquet(folder, compression=job.CODEC, compression_level=job.LEVEL, write_index=False)


if __name__ == "__main__":
    main()
