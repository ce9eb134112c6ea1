"""What each order was, and from when to when."""

from __future__ import annotations

from pyspark.sql import DataFrame

import lakehouse


def transform(events: DataFrame) -> DataFrame:
    """What happened and when; where it came from stays, so that events of one time have an order, too."""
    return events.select("order_id", "status", "amount", "at", "_source")


if __name__ == "__main__":
    lakehouse.submit(transform)
