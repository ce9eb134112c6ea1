"""SCD1: one row per key, the event that comes last in the order, whatever order the events come in.

The table after a batch is the pure fold of all events that it ever received, deletions included. So a replay, a
duplicate or an older event changes nothing.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.errors import WriteError
from lakehouse.lake.frame import col, materialise, row_hash
from lakehouse.lake.table import read_table
from lakehouse.write import auxiliary, partial
from lakehouse.write.change import GONE, PUT, Change, Reach, reach
from lakehouse.write.commit import Plan, merge, replace_on
from lakehouse.write.events import (
    ACTION,
    DELETED,
    REMEMBER,
    TRUNCATE,
    beside,
    flag,
    keys,
    of_keys,
    payload,
    same_key,
    sized,
    without,
)
from lakehouse.write.evolve import fitted, grown
from lakehouse.write.partial import PartialRows
from lakehouse.write.whole import WholeRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Table
    from lakehouse.spec.write import Scd1Write, Write


def plan(
    batch: DataFrame, spec: Scd1Write, target: Table, identity: Identity, about: str, *, of: Write | None = None
) -> Plan:
    """Compare the events with the rows of their keys. Only rows that are new, or newer and different, are written.

    ``of`` is the write as the job has it, where ``spec`` was made of it.
    """
    spark = batch.sparkSession
    flags = {
        DELETED: flag(batch, spec.apply_as_deletes, spec.table, "apply_as_deletes"),
        TRUNCATE: flag(batch, spec.apply_as_truncates, spec.table, "apply_as_truncates"),
    }
    batch = batch.withColumns(flags)
    in_parts = bool(spec.ignore_null_updates) or spec.update_columns is not None
    batch = without(partial.told(batch, spec) if in_parts else batch, (*spec.except_columns, spec.update_columns))
    batch, before, options = fitted(batch, spec, target, about, of=of)
    kind = PartialRows if in_parts else WholeRows
    batch = kind.ranked(batch, spec)
    size = sized(batch, spec.keys)
    if size.truncates:
        # it reaches rows of any key
        size = replace(size, nullable=(True,) * len(spec.keys))
    held = None if before.is_empty_table else read_table(spark, target)
    fold = kind(batch, spec, size, held, auxiliary.recalled(spark, target, identity))
    judged, counts = fold.judged(narrowly=not identity.again)
    if counts.fates.total() != size.rows - size.truncates:
        message = f"{spec.table} has more than one row of a key, and scd1 keeps one"
        raise WriteError(message, hint="take the others out, or run with --full-refresh")
    if size.truncates:
        removed = min(counts.swept, 1)
        counts.fates.update({"deleted": removed, "unchanged": size.truncates - removed})
    near = Reach() if size.truncates else reach(batch, target, spec, size, before, counts.files)
    change = Change(judged, size.operators(spec.keys), counts)
    remember = functools.partial(auxiliary.remember, judged.where(F.col(REMEMBER)), target, identity, spec)
    return replace(
        change.plan(spec, target, identity, before, options, near=near),
        remember=remember if counts.remembered else None,
        mend=functools.partial(_mend, fold, change, target, identity),
    )


def _mend(
    fold: WholeRows, change: Change, target: Table, identity: Identity, version: int, options: Mapping[str, str]
) -> tuple[int, int]:
    """Fold again what another writer changed between the look at the table and this batch's commit.

    What the rows of all keys concerned should be, from the table just before that commit, is held against what they
    are after it.
    """
    spec, size, spark = fold.spec, fold.size, fold.batch.sparkSession
    before, after = (read_table(spark, target, at) for at in (version - 1, version))
    known = auxiliary.recalled(spark, target, identity)
    judged, _ = replace(fold, held=before, remembered=known).judged(narrowly=False)
    decided = judged.where(F.col(ACTION).isNotNull())
    ours = change.rows.where(F.col(ACTION).isNotNull())
    concerned = materialise(decided.select(*size.names).unionByName(ours.select(*size.names)).distinct())
    columns = [col(name) for name in payload(change.rows)]

    def rows_of(table: DataFrame) -> DataFrame:
        table = grown(table, fold.batch)
        return of_keys(table.select(*columns, *keys(table, spec.keys)), concerned, size)

    stay = rows_of(before)
    stay = stay.join(decided, same_key(stay, decided, size), "left_anti")
    right = decided.where(F.col(ACTION) == PUT).select(*columns, *size.names).unionByName(stay)
    actual = materialise(rows_of(after))
    hashed = row_hash(actual, payload(actual)).alias("__held")
    there = (
        actual.select(*size.names, hashed)
        .groupBy(*size.names)
        .agg(F.max("__held").alias("__held"), F.count("*").alias("__copies"))
    )
    right = beside(right.withColumn("__right", row_hash(right, payload(right))), there, size)
    wrong = ~F.col("__right").eqNullSafe(F.col("__held")) | (F.col("__copies") != 1)
    put = materialise(right.where(wrong))
    gone = materialise(actual.join(right, same_key(actual, right, size), "left_anti").withColumn(GONE, F.lit(True)))
    same = size.operators(spec.keys)
    added, replaced = put.agg(F.count("*"), F.coalesce(F.sum("__copies"), F.lit(0))).collect()[0]
    removed = gone.count()
    if added:
        replace_on(put.select(*columns), target, options, same=same, where="")
    if removed:
        merge(gone.select(*columns, GONE), target, options, same=same, where="", gone=GONE)
    return added, replaced + removed
