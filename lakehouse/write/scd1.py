"""SCD1: one row per key, the event that comes last in the order, whatever order the events come in.

The table after a batch is the pure fold of all events that it ever received, deletions included. So a replay, a
duplicate or an older event changes nothing.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from pyspark.sql import functions as F

from lakehouse.lake.frame import materialise
from lakehouse.lake.table import read_table
from lakehouse.write import auxiliary, partial
from lakehouse.write.change import Change, Reach, reach
from lakehouse.write.commit import Plan, WriteResult, replace_on
from lakehouse.write.events import (
    ACTION,
    DELETED,
    FATE,
    REMEMBER,
    TRUNCATE,
    flag,
    keys,
    names,
    of_keys,
    same_key,
    sized,
)
from lakehouse.write.evolve import fitted
from lakehouse.write.partial import PartialRows
from lakehouse.write.whole import WholeRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Table
    from lakehouse.spec.write import Scd1Write


def plan(batch: DataFrame, spec: Scd1Write, target: Table, identity: Identity, about: str) -> Plan:
    """Compare the events with the rows of their keys. Only rows that are new, or newer and different, are written."""
    spark = batch.sparkSession
    flags = {
        DELETED: flag(batch, spec.apply_as_deletes, spec.table, "apply_as_deletes"),
        TRUNCATE: flag(batch, spec.apply_as_truncates, spec.table, "apply_as_truncates"),
    }
    batch = batch.withColumns(flags)
    in_parts = bool(spec.ignore_null_updates) or spec.update_columns is not None
    batch = (partial.told(batch, spec, target) if in_parts else batch).drop(*spec.except_columns)
    batch, before, options = fitted(batch, spec, target, about)
    kind = PartialRows if in_parts else WholeRows
    batch = kind.ranked(batch, spec)
    size = sized(batch, spec.keys)
    forgets = spec.apply_as_deletes is not None or spec.apply_as_truncates is not None
    held = None if before.is_empty_table else read_table(spark, target)
    fold = kind(batch, spec, size, held, auxiliary.recalled(spark, target, identity) if forgets else None)
    judged, counts = fold.judged(narrowly=not identity.again)
    if size.truncates:
        counts.fates.update(deleted=bool(counts.swept), unchanged=size.truncates - bool(counts.swept))
    near = Reach() if size.truncates else reach(batch, target, spec, size, before, counts.files)
    change = Change(judged, spec.keys, counts)
    strategy, why = change.strategy(spec.strategy, near.told)
    planned = WriteResult(
        **cast("dict[str, Any]", counts.fates),
        rows_added=counts.put,
        rows_removed=counts.replaced + counts.gone,
        version=before.version,
        strategy=strategy,
        why=why,
    )
    return Plan(
        target,
        identity,
        before,
        planned,
        make=lambda more: change.make(
            strategy, target, {**options, **more}, where=near.where, flat=not spec.partition_by
        ),
        remember=functools.partial(auxiliary.remember, judged.where(REMEMBER), target, identity, spec)
        if counts.remembered
        else None,
        mend=functools.partial(partial.mend if in_parts else _mend, fold, change, target),
        rejected=judged.where(F.col(FATE) == "rejected") if counts.fates["rejected"] else None,
    )


def _mend(fold: WholeRows, change: Change, target: Table, version: int, options: Mapping[str, str]) -> tuple[int, int]:
    """Put back what another writer had made newer, between the look at the table and this batch's commit."""
    spec, count = fold.spec, len(fold.spec.keys)
    before = read_table(fold.batch.sparkSession, target, version - 1)
    judged, _ = replace(fold, held=before).judged(narrowly=False)
    right, ours = (rows.where(F.col(ACTION).isNotNull()).select(*names(count)) for rows in (judged, change.rows))
    wrong = ours.join(right, same_key(ours, right, count), "left_anti")
    table = before.select("*", *keys(before, spec.keys))
    back = materialise(of_keys(table, wrong, count, small=fold.size.small).drop(*names(count)))
    lost = back.count()
    if lost:
        replace_on(back, target, options, same=spec.keys, where="")
    return lost, lost
