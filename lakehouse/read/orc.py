"""ORC files: their own types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.read.scan import glob_escaped, is_the_files_fault, kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.read.scan import Groups
    from lakehouse.spec.files import FilesSource


def groups(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> Groups:
    """All files together, their schemas merged; files whose types clash are read apart, and meet as text."""
    del source
    return [(paths, lambda some: kept(_rows(spark, some)))], []


def columns(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> dict[str, str]:
    """The columns of the files' footers, with their types; none where one of them cannot be read."""
    del source
    try:
        rows = _rows(spark, paths)
    except Exception as error:
        if not is_the_files_fault(error):
            raise
        return {}
    return {field.name: field.dataType.simpleString() for field in rows.schema.fields}


def _rows(spark: SparkSession, paths: Sequence[str]) -> DataFrame:
    return spark.read.option("mergeSchema", "true").orc([glob_escaped(path) for path in paths])
