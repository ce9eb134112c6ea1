"""Orders and revenue of each day and customer segment."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

import lakehouse


def transform(orders: DataFrame, customers: DataFrame) -> DataFrame:
    """A customer counts with the latest segment; an unknown one, and one without a segment, as 'unknown'."""
    latest = F.max_by("segment", F.col("updated_at").cast("timestamp"))
    segments = customers.groupBy(F.col("customer_id").cast("bigint").alias("customer_id")).agg(latest.alias("segment"))
    return (
        orders.where("status <> 'cancelled'")
        .join(segments, "customer_id", "left")
        .groupBy(F.to_date("ordered_at").alias("order_date"), F.coalesce("segment", F.lit("unknown")).alias("segment"))
        .agg(F.count("*").alias("orders"), F.sum("amount").alias("revenue"))
    )


if __name__ == "__main__":
    lakehouse.submit(transform)
