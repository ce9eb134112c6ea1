"""Plain text: each line, as it is, in the column ``value``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.lake.frame import materialise
from lakehouse.read.scan import decode, glob_escaped, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.read.scan import Groups
    from lakehouse.spec.files import FilesSource


def groups(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> Groups:
    """All files together; a blank line is a record, too."""
    del source

    def scan(some: Sequence[str]) -> DataFrame:
        lines = spark.read.text([glob_escaped(path) for path in some]).select("value", *place())
        return materialise(decode(lines))

    return [(paths, scan)], []


def columns(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> dict[str, str]:
    """The one column."""
    del spark, paths, source
    return {"value": "string"}
