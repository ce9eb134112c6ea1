"""What a lake holds, small enough to be held against another: of each table the sums of hashes of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from lakehouse.lake.frame import as_json, col, quoted
from lakehouse.lake.quality import OF_RUN
from lakehouse.lake.statements import expression
from lakehouse.lake.table import exists, read_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.lake.place import Lake
    from lakehouse.lake.table import Table

_OF_A_RUN = {"run_id", "ingested_at", "quarantined_at", "stream", "batch", "_source.run_id", "_source.ingested_at"}
"""Columns of this library's own that say which run and batch made a row, and when: no two runs agree in them."""

_OF_ALL_BATCHES = ("read", "accepted", "quarantined", "dropped", "produced", "rows_added - rows_removed")
"""What is the same however records are cut into batches: after some kills Spark puts two batches into one."""

_OF_QUALITY = ("table", "status", "contract", "rule")


@dataclass(frozen=True)
class Fingerprint:
    """A table: how many rows, and for each column, and for all together, the sum of the hashes of the values."""

    rows: int
    columns: Mapping[str, int]
    whole: int

    def differs_in(self, other: Fingerprint | None) -> list[str]:
        """What is not the same of two: columns, or how many rows."""
        if other is None:
            return ["the table itself"]
        names = sorted(self.columns.keys() | other.columns.keys())
        found = [name for name in names if self.columns.get(name) != other.columns.get(name)]
        if self.rows != other.rows:
            return [f"{self.rows:,} rows, not {other.rows:,}", *found]
        return found or (["which values stand together in a row"] if self.whole != other.whole else [])


def fingerprints(
    spark: SparkSession, lake: Lake, target: str, without: Mapping[str, Collection[str]]
) -> dict[str, Fingerprint]:
    """The target, its quarantine, and what the ledger and the history of quality say of the batches.

    Args:
        spark: the session.
        lake: where they are.
        target: the target's name.
        without: columns to leave out, by table.
    """
    quarantine = lake.quarantine(target)
    found = {}
    for table in (lake.table(target), quarantine):
        if exists(spark, table):
            found[table.name] = _of(read_table(spark, table), without.get(table.name, ()))
    if exists(spark, lake.ledger):
        found[lake.ledger.name] = _of(_batches(spark, lake.ledger), ())
    if exists(spark, lake.quality):
        told = read_table(spark, lake.quality).where(F.col("contract") != OF_RUN).groupBy(*_OF_QUALITY)
        found[lake.quality.name] = _of(told.agg(F.sum("judged").alias("judged"), F.sum("broken").alias("broken")), ())
    return found


def _batches(spark: SparkSession, ledger: Table) -> DataFrame:
    told = read_table(spark, ledger).where(expression("event = 'batch'"))
    return told.agg(*[expression(f"sum({one}) AS `{one}`") for one in _OF_ALL_BATCHES])


def _of(frame: DataFrame, without: Collection[str]) -> Fingerprint:
    values = {name: value for name, value in _values(frame) if name not in _OF_A_RUN and name not in without}
    hashes = {name: F.xxhash64(F.lit(name), as_json(F.struct(value.alias("v")))) for name, value in values.items()}
    whole = F.xxhash64(*hashes.values()) if hashes else F.lit(0)
    summed = [F.sum(one.cast("decimal(38,0)")).alias(f"c{at}") for at, one in enumerate([*hashes.values(), whole])]
    row = frame.agg(F.count("*").alias("rows"), *summed).collect()[0]
    sums = [int(row[f"c{at}"] or 0) for at in range(len(summed))]
    return Fingerprint(row.rows, dict(zip(hashes, sums, strict=False)), sums[-1])


def _values(frame: DataFrame) -> Iterator[tuple[str, Column]]:
    """The columns, and for structs their fields, by their paths."""
    for field in frame.schema.fields:
        if isinstance(field.dataType, StructType):
            for inner in field.dataType.fields:
                name = "_source" if field.name == "source" else field.name
                yield f"{name}.{inner.name}", F.col(f"{quoted(field.name)}.{quoted(inner.name)}")
        else:
            yield field.name, col(field.name)
