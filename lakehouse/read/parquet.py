"""Parquet files: their own types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE
from lakehouse.lake.frame import materialise
from lakehouse.read.scan import Unreadable, glob_escaped, is_the_files_fault, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.read.scan import Groups
    from lakehouse.spec.files import FilesSource


def groups(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> Groups:
    """All files together, their schemas merged; files whose types clash are read apart, and meet as text."""
    del source

    def scan(some: Sequence[str]) -> DataFrame:
        rows = spark.read.option("mergeSchema", "true").parquet(*[glob_escaped(path) for path in some])
        if own := [name for name in rows.columns if name.lower() == SOURCE or name.startswith("__")]:
            message = f"the column {own[0]} is reserved"
            raise Unreadable(message)
        missing = [F.lit(None).cast("string").alias(name) for name in (RAW, CODE, MESSAGE)]
        return materialise(rows.select("*", *missing, *place()))

    return [(paths, scan)], []


def columns(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> dict[str, str]:
    """The columns of the files' footers, with their types; none where one of them cannot be read."""
    del source
    try:
        rows = spark.read.option("mergeSchema", "true").parquet(*[glob_escaped(path) for path in paths])
    except Exception as error:
        if not is_the_files_fault(error):
            raise
        return {}
    return {field.name: field.dataType.simpleString() for field in rows.schema.fields}
