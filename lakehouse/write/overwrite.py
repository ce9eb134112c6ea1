"""Overwrite: the table becomes what the job made, in one commit; what did not change is not written again."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.errors import WriteError
from lakehouse.lake.batch import SOURCE
from lakehouse.lake.frame import col, literal, materialise, quoted, row_hash
from lakehouse.lake.statements import expression
from lakehouse.lake.table import read_table
from lakehouse.write.commit import Plan, WriteResult, files_for
from lakehouse.write.events import flag
from lakehouse.write.evolve import fitted, grown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, Row

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Table
    from lakehouse.spec.write import OverwriteWrite

_MOST_PARTITIONS = 1000
"""Changed partitions that are named one by one; beyond that the whole table is written."""


def plan(batch: DataFrame, spec: OverwriteWrite, target: Table, identity: Identity, about: str) -> Plan:
    """Replace the partitions whose rows differ (the whole table where it has none), and those that are no more."""
    batch, before, options = fitted(batch, spec, target, about)
    held = read_table(batch.sparkSession, target)
    if spec.replace_where:
        _all_within(batch, spec)
        held = held.where(expression(spec.replace_where))
    differences = materialise(_differences(batch, held, spec))
    total = differences.agg(*[F.coalesce(F.sum(side), F.lit(0)).alias(side) for side in ("new", "old")]).collect()[0]
    changed = differences.where(F.col("changed")).limit(_MOST_PARTITIONS + 1).collect()
    by_name = bool(changed and spec.partition_by) and not spec.replace_where and len(changed) <= _MOST_PARTITIONS
    added = sum(row.new for row in changed) if by_name else total.new if changed else 0
    removed = sum(row.old for row in changed) if by_name else total.old if changed else 0
    planned = WriteResult(
        inserted=added,
        unchanged=total.new - added,
        rows_added=added,
        rows_removed=removed,
        version=before.version,
        strategy="overwrite" if changed else "nothing",
        why=f"{len(changed):,} partitions differ" if by_name else "its rows differ" if changed else "nothing changes",
    )
    predicate = _predicate(changed, spec, batch) if by_name else spec.replace_where or "true"
    written = batch.where(expression(predicate))
    if not spec.partition_by:
        written = written.coalesce(files_for(added))

    def make(more: Mapping[str, str]) -> None:
        writer = written.write.format("delta").mode("overwrite").option("replaceWhere", predicate)
        writer.options(**options, **more).save(target.path)

    return Plan(target, identity, before, planned, make)


def _all_within(batch: DataFrame, spec: OverwriteWrite) -> None:
    """Hold the rows against ``replace_where``.

    Raises:
        WriteError: it is no condition on the table's columns, or a row lies outside of it.
    """
    inside = flag(batch, spec.replace_where, spec.table, "replace_where")
    if outside := batch.where(~inside).count():
        message = f"{spec.table}: {outside:,} rows are outside of replace_where: {spec.replace_where}"
        raise WriteError(message, hint="filter them in transform(), or widen replace_where")


def _differences(batch: DataFrame, target: DataFrame, spec: OverwriteWrite) -> DataFrame:
    """Per partition, how many rows it has and will have, and whether they differ: by count and by sum of row hashes."""
    columns = [name for name in batch.columns if name != SOURCE]
    target = grown(target, batch)
    names = [f"__part{index}" for index in range(len(spec.partition_by))]

    def summed(frame: DataFrame, side: str) -> DataFrame:
        parts = [col(name).alias(alias) for name, alias in zip(spec.partition_by, names, strict=True)]
        total = F.sum(row_hash(frame, columns).cast("decimal(20,0)"))
        return frame.groupBy(*parts).agg(F.count("*").alias(side), total.alias(f"{side}_hash"))

    new, old = summed(batch, "new"), summed(target, "old")
    same = reduce(lambda one, other: one & other, [new[name].eqNullSafe(old[name]) for name in names], F.lit(True))
    # as text, since a collected timestamp would pass through this machine's own time zone
    parts = [F.coalesce(new[name], old[name]).cast("string").alias(name) for name in names]
    differs = ~(F.col("new").eqNullSafe(F.col("old")) & F.col("new_hash").eqNullSafe(F.col("old_hash")))
    return new.join(old, same, "full").select(
        *parts,
        F.coalesce("new", F.lit(0)).alias("new"),
        F.coalesce("old", F.lit(0)).alias("old"),
        differs.alias("changed"),
    )


def _predicate(partitions: list[Row], spec: OverwriteWrite, batch: DataFrame) -> str:
    """The partitions as a condition on nothing but partition columns, so that Delta removes whole files."""
    kinds = {field.name.lower(): field.dataType.simpleString() for field in batch.schema.fields}

    def one(row: Row) -> str:
        terms = []
        for index, name in enumerate(spec.partition_by):
            value = row[f"__part{index}"]
            text = f"CAST({literal(value or '')} AS {kinds[name.lower()]})"
            terms.append(f"{quoted(name)} IS NULL" if value is None else f"{quoted(name)} = {text}")
        return f"({' AND '.join(terms)})"

    return " OR ".join(one(row) for row in partitions)
