"""Every event of every order, as the shop told it."""

from __future__ import annotations

from pyspark.sql import DataFrame

import lakehouse


def transform(events: DataFrame) -> DataFrame:
    """As they came: bronze keeps what was received."""
    return events


if __name__ == "__main__":
    lakehouse.submit(transform)
