"""Delta tables of the lake: what was appended since the last run, or all of it at a fixed version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.errors import ReservedNameError
from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE, SOURCE_TYPE, Arrived
from lakehouse.lake.frame import materialise
from lakehouse.lake.table import read_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.lake.table import Table
    from lakehouse.spec.source import TableSource


def stream(spark: SparkSession, table: Table, source: TableSource) -> DataFrame:
    """The rows appended to the table, from its beginning."""
    read_table(spark, table)
    reader = spark.readStream.format("delta")
    if source.max_bytes:
        reader = reader.option("maxBytesPerTrigger", source.max_bytes)
    else:
        reader = reader.option("maxFilesPerTrigger", source.max_files or 1000)
    return reader.load(table.path)


def arrived(rows: DataFrame) -> Arrived:
    """The rows of one batch; those of a table that does not say where they came from have an empty ``_source``."""
    if own := [name for name in rows.columns if name.startswith("__")]:
        message = f"the table has a column {own[0]}: names that begin with two underscores are reserved"
        raise ReservedNameError(message, hint="rename it where the table is made")
    if SOURCE not in rows.columns:
        rows = rows.withColumn(SOURCE, F.lit(None).cast(SOURCE_TYPE))
    beside = {name: F.lit(None).cast("string") for name in (RAW, CODE, MESSAGE)}
    return Arrived(materialise(rows.withColumns(beside)))
