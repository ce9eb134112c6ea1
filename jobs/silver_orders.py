"""One row per order, in its latest state."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

import lakehouse


def transform(orders: DataFrame) -> DataFrame:
    """The status in one spelling; where a row came from stays in bronze."""
    return orders.withColumn("status", F.lower(F.trim("status"))).drop("_source")


if __name__ == "__main__":
    lakehouse.submit(transform)
