"""Each customer as the data base has it now."""

from __future__ import annotations

from pyspark.sql import DataFrame

import lakehouse


def transform(changes: DataFrame) -> DataFrame:
    """The row and its place in the log; what Kafka says of the message stays in bronze."""
    return changes.drop("_kafka")


if __name__ == "__main__":
    lakehouse.submit(transform)
