"""Every change of every customer, as Debezium told it."""

from __future__ import annotations

from pyspark.sql import DataFrame

import lakehouse


def transform(customers: DataFrame) -> DataFrame:
    """As they came: bronze keeps what was received."""
    return customers


if __name__ == "__main__":
    lakehouse.submit(transform)
