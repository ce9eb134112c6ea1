"""Parquet and ORC files: their own types, and as many rows and values as each says of itself."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from lakehouse.read.layout.compare import keep
from lakehouse.read.layout.look import look_at
from lakehouse.read.nanoseconds import Nanos, nanos_of, timestamps
from lakehouse.read.scan import glob_escaped, is_the_files_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.read.layout.layout import Layout
    from lakehouse.read.scan import Groups
    from lakehouse.spec.files import FilesSource

_OPTIONS = {"mergeSchema": "true", "parquet.page.verify-checksum.enabled": "true"}
"""A page says its checksum, and left to itself Spark does not look: a flipped bit would be another number."""

_NANOS_AS_LONG = "spark.sql.legacy.parquet.nanosAsLong"
"""Spark has no timestamp of nanoseconds: with this their number is read, else the file is refused."""


@dataclass(frozen=True)
class Columnar:
    """One of the two, by Spark's name for it."""

    name: Literal["parquet", "orc"]

    def groups(self, spark: SparkSession, paths: Sequence[str], source: FilesSource) -> Groups:
        """The files together, their schemas merged; files whose types clash are read apart, and meet as text.

        Files whose timestamps are in nanoseconds are a group of their own, for their numbers are read.
        """
        layouts, bad = look_at(spark, paths, self.name, source.limits)
        return [
            (same, partial(self._scan, spark, layouts=layouts, nanos=nanos)) for nanos, same in _by_nanos(layouts)
        ], bad

    def columns(self, spark: SparkSession, paths: Sequence[str], source: FilesSource) -> dict[str, str]:
        """The columns of the files' footers, with their types; none where one of them cannot be read."""
        found: dict[str, str] = {}
        layouts, _ = look_at(spark, paths, self.name, source.limits)
        for nanos, same in _by_nanos(layouts):
            try:
                with _read_nanos(spark, nanos):
                    rows = self._rows(spark, same)
                    made = timestamps(rows.schema, nanos) if nanos else {}
                    rows = rows.withColumns({name: made[name] for name in rows.columns if name in made})
                    found |= {field.name: field.dataType.simpleString() for field in rows.schema.fields}
            except Exception as error:
                if not is_the_files_fault(error):
                    raise
        return found

    def _scan(
        self, spark: SparkSession, paths: Sequence[str], *, layouts: Mapping[str, Layout | None], nanos: Nanos
    ) -> DataFrame:
        with _read_nanos(spark, nanos):
            rows = self._rows(spark, paths)
            return keep(rows, paths, layouts, timestamps(rows.schema, nanos) if nanos else None)

    def _rows(self, spark: SparkSession, paths: Sequence[str]) -> DataFrame:
        return spark.read.format(self.name).options(**_OPTIONS).load([glob_escaped(path) for path in paths])


def _by_nanos(layouts: Mapping[str, Layout | None]) -> Iterator[tuple[Nanos, list[str]]]:
    keyed = sorted((nanos_of(layout), path) for path, layout in layouts.items())
    for nanos, same in groupby(keyed, key=lambda pair: pair[0]):
        yield nanos, [path for _, path in same]


@contextmanager
def _read_nanos(spark: SparkSession, nanos: Nanos) -> Iterator[None]:
    """Have Spark read nanoseconds as numbers, where there are any."""
    if not nanos:
        yield
        return
    spark.conf.set(_NANOS_AS_LONG, "true")
    try:
        yield
    finally:
        spark.conf.unset(_NANOS_AS_LONG)
