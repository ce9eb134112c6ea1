"""What became of orders in each minute, by when it happened."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

import lakehouse


def transform(orders: DataFrame) -> DataFrame:
    """Each window with what an order brought on average; ``orders`` are windows by now, as the YAML says."""
    average = F.coalesce("revenue", F.lit(0)) / F.col("orders")
    return orders.select(
        F.col("window_start").alias("minute"),
        "status",
        "orders",
        "revenue",
        F.round(average, 2).cast("decimal(12,2)").alias("average"),
        "_events",
    )


if __name__ == "__main__":
    lakehouse.submit(transform)
