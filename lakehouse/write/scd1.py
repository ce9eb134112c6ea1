"""SCD1: one row per key, the one with the highest sequence, whatever order the rows come in.

The table after a batch is the pure fold of all rows that it ever received: per key, the greatest by (sequence, source
position where the rows carry it, row hash). So a replay, a duplicate or an older row changes nothing.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from lakehouse.lake.batch import SOURCE
from lakehouse.lake.frame import col, materialise, quoted, row_hash
from lakehouse.lake.table import read_table
from lakehouse.write.commit import STEP, WriteResult, files_for, note, read_back
from lakehouse.write.evolve import fitted, grown

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Table
    from lakehouse.spec.write import Scd1Write

_FATE, _RANK, _ORDER, _FIRST, _OLD = "__fate", "__rank", "__order", "__first", "__old"
_BROADCAST = 500_000
"""Rows of a batch that are sent to every task of the probe; the target then is read, not shuffled."""


def scd1(batch: DataFrame, spec: Scd1Write, target: Table, identity: Identity, about: str) -> WriteResult:
    """Upsert the rows by key. Only rows that are new, or newer and different, are written."""
    batch, before, options = fitted(batch, spec, target, about)
    small = batch.count() <= _BROADCAST
    held = None if before.is_empty_table else read_table(batch.sparkSession, target)
    judged = materialise(_judged(batch, held, spec, small=small))
    counts = {row[_FATE]: row["count"] for row in judged.groupBy(_FATE).count().collect()}
    inserted, updated = counts.get("inserted", 0), counts.get("updated", 0)
    planned = WriteResult(**counts, rows_added=inserted + updated, rows_removed=updated, version=before.version)
    if planned.is_empty:
        return planned
    changed = judged.where(F.col(_FATE).isin("inserted", "updated")).drop(_FATE)
    if not spec.partition_by:
        changed = changed.coalesce(files_for(inserted + updated))
    writer = (
        (F.broadcast(changed) if small else changed)
        .alias("s")
        .write.format("delta")
        .options(**options, **identity.options(STEP, note(planned), once=identity.incremental))
    )
    if updated:
        # deletes the rows of these keys and adds the new ones, in one commit, with the batch broadcast
        matches = " AND ".join(f"t.{quoted(key)} <=> s.{quoted(key)}" for key in spec.keys)
        writer.mode("overwrite").option("replaceOn", matches).option("targetAlias", "t").save(target.path)
    else:
        writer.mode("append").save(target.path)
    return read_back(batch, target, identity, before)


def _judged(batch: DataFrame, target: DataFrame | None, spec: Scd1Write, *, small: bool) -> DataFrame:
    """The batch with the fate of each row: against the other rows of its key, then against the table's row, if any."""
    payload = [name for name in batch.columns if name != SOURCE]
    newest_first = Window.partitionBy(*map(col, spec.keys)).orderBy(F.col(_ORDER).desc())
    ranked = (
        batch.withColumn(_ORDER, _order(batch, spec, payload))
        .withColumn(_RANK, F.row_number().over(newest_first))
        .withColumn(_FIRST, F.first(_ORDER).over(newest_first))
    )
    if target is None:
        joined = ranked.withColumn(_OLD, F.lit(None).cast(ranked.schema[_ORDER].dataType))
    else:
        held = _held(ranked, grown(target, batch), spec, payload, small=small)
        joined = ranked.join(F.broadcast(held) if small else held, _same_key(ranked, held, spec), "left")
    sequence, first, old = (F.col(f"{name}.sequence") for name in (_ORDER, _FIRST, _OLD))
    fate = (
        F.when(F.col(_RANK) > 1, F.when(sequence == first, "duplicates").otherwise("superseded"))
        .when(F.col(_OLD).isNull(), "inserted")
        .when(F.col(_ORDER) == F.col(_OLD), "unchanged")
        .when(F.col(_ORDER) > F.col(_OLD), "updated")
        .when(sequence == old, "duplicates")
        .otherwise("superseded")
    )
    return joined.select(*[col(name) for name in batch.columns], fate.alias(_FATE))


def _held(ranked: DataFrame, target: DataFrame, spec: Scd1Write, payload: list[str], *, small: bool) -> DataFrame:
    """What the table holds of the batch's keys: the keys, under names of their own, and what its row compares by."""
    winners = ranked.where(F.col(_RANK) == 1)
    keys = winners.select(*[col(key).alias(f"__key{index}") for index, key in enumerate(spec.keys)])
    old = target.withColumn(_OLD, _order(target, spec, payload))
    return old.join(F.broadcast(keys) if small else keys, _same_key(old, keys, spec)).select(*keys.columns, _OLD)


def _same_key(rows: DataFrame, keys: DataFrame, spec: Scd1Write) -> Column:
    pairs = [rows[quoted(key)].eqNullSafe(keys[f"__key{index}"]) for index, key in enumerate(spec.keys)]
    return reduce(lambda one, other: one & other, pairs)


def _order(frame: DataFrame, spec: Scd1Write, payload: list[str]) -> Column:
    """What rows of a key are compared by: sequence, then where the row came from, then its hash."""
    position = (
        [F.col(f"{SOURCE}.{field}") for field in ("file", "topic", "partition", "offset", "position")]
        if SOURCE in frame.columns
        else [F.lit(None).cast("string")]
    )
    return F.struct(
        F.struct(*[col(name) for name in spec.sequence_by]).alias("sequence"),
        F.struct(*position).alias("position"),
        row_hash(frame, payload).alias("hash"),
    )
