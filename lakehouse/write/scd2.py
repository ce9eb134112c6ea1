"""SCD2: every version of a key, half-open, whatever order the events come in.

The versions of the batch's keys are made anew of all their events; only those that differ from the table's are written.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial, reduce
from typing import TYPE_CHECKING

from lakehouse.lake.frame import materialise
from lakehouse.lake.table import read_table
from lakehouse.write import auxiliary
from lakehouse.write.change import Change, Reach, counted, reach
from lakehouse.write.events import DELETED, OLD, TRUNCATE, flag, sized, without
from lakehouse.write.evolve import fitted
from lakehouse.write.timeline import Fold, ordered, sequence, trackable, with_versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Commit, Table
    from lakehouse.spec.write import Scd2Write, Write
    from lakehouse.write.commit import Plan


def plan(
    batch: DataFrame, spec: Scd2Write, target: Table, identity: Identity, about: str, *, of: Write | None = None
) -> Plan:
    """Make the versions of the batch's keys anew; only those that differ from the table's are written.

    ``of`` is the write as the job has it, where ``spec`` was made of it.
    """
    spark = batch.sparkSession
    flags = {
        DELETED: flag(batch, spec.apply_as_deletes, spec.table, "apply_as_deletes"),
        TRUNCATE: flag(batch, spec.apply_as_truncates, spec.table, "apply_as_truncates"),
    }
    batch = batch.withColumns({**flags, "__sequence": sequence(batch, spec)})
    batch = with_versions(trackable(without(batch, spec.except_columns), spec), spec)
    # the table has the sequence in valid_from, whether or not it keeps the columns of it
    by_start = spec.model_copy(update={"sequence_by": (spec.valid_from,)})
    batch, before, options = fitted(batch, by_start, target, about, of=of or spec)
    batch = materialise(ordered(batch, spec))
    held = None if before.is_empty_table else read_table(spark, target)
    size = sized(batch, spec.keys)
    if size.truncates:
        # it reaches rows of any key
        size = replace(size, nullable=(True,) * len(spec.keys))
    known = auxiliary.recalled(spark, target, identity)
    fold = Fold(batch, spec, size, held, held, known, whole_table=bool(size.truncates))
    return planned(fold, target, identity, before, options)


def planned(
    fold: Fold,
    target: Table,
    identity: Identity,
    before: Commit,
    options: Mapping[str, str],
    *,
    also: DataFrame | None = None,
) -> Plan:
    """What a fold will do to the target. ``also`` are rows to remember besides the events that show in no version."""
    spec = fold.spec
    judged = materialise(fold.judged())
    counts = counted(judged)
    near = Reach() if fold.whole_table else reach(fold.batch, target, spec, fold.size, before, counts.files)
    change = Change(judged.drop(OLD), fold.same, counts)
    parts = [also] if also is not None else []
    if fold.remembers and (counts.remembered or parts):
        parts.append(fold.aside(judged))
    kept = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts) if parts else None
    columns = fold.columns if fold.remembers else ()
    return replace(
        change.plan(spec, target, identity, before, options, near=near),
        remember=partial(auxiliary.remember, kept, target, identity, spec, kept=columns) if kept is not None else None,
        mend=partial(_mend, fold, target, identity),
    )


def _mend(fold: Fold, target: Table, identity: Identity, version: int, options: Mapping[str, str]) -> tuple[int, int]:
    """Fold again what another writer changed between the look at the table and this batch's commit."""
    spark = fold.batch.sparkSession
    before, after = (read_table(spark, target, at) for at in (version - 1, version))
    known = auxiliary.recalled(spark, target, identity) if fold.remembers else fold.remembered
    again = replace(fold, held=before, shown=after, remembered=known)
    judged = materialise(again.judged())
    counts, spec = counted(judged), fold.spec
    if fold.remembers and counts.remembered:
        auxiliary.remember(fold.aside(judged), target, identity, spec, kept=fold.columns)
    change = Change(judged.drop(OLD), fold.same, counts)
    if counts.put or counts.gone:
        change.make("merge" if counts.gone else "replace_on", target, options, where="", flat=not spec.partition_by)
    return counts.put, counts.replaced + counts.gone
