"""Every order and order update, as it was received."""

from __future__ import annotations

from pyspark.sql import DataFrame

import lakehouse


def transform(orders: DataFrame) -> DataFrame:
    """As they came: bronze keeps what was received."""
    return orders


if __name__ == "__main__":
    lakehouse.submit(transform)
