"""Parquet and ORC files: their own types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lakehouse.read.scan import glob_escaped, is_the_files_fault, kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.read.scan import Groups
    from lakehouse.spec.files import FilesSource

_OPTIONS = {"mergeSchema": "true", "parquet.page.verify-checksum.enabled": "true"}
"""A page says its checksum, and left to itself Spark does not look: a flipped bit would be another number."""


@dataclass(frozen=True)
class Columnar:
    """One of the two, by Spark's name for it."""

    name: Literal["parquet", "orc"]

    def groups(self, spark: SparkSession, paths: Sequence[str], source: FilesSource) -> Groups:
        """All files together, their schemas merged; files whose types clash are read apart, and meet as text."""
        del source
        return [(paths, lambda some: kept(self._rows(spark, some)))], []

    def columns(self, spark: SparkSession, paths: Sequence[str], source: FilesSource) -> dict[str, str]:
        """The columns of the files' footers, with their types; none where one of them cannot be read."""
        del source
        try:
            rows = self._rows(spark, paths)
        except Exception as error:
            if not is_the_files_fault(error):
                raise
            return {}
        return {field.name: field.dataType.simpleString() for field in rows.schema.fields}

    def _rows(self, spark: SparkSession, paths: Sequence[str]) -> DataFrame:
        return spark.read.format(self.name).options(**_OPTIONS).load([glob_escaped(path) for path in paths])
