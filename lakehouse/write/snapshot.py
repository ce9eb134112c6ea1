"""Snapshots: each is the whole table as of its sequence, so what it lacks is deleted.

As SCD1 the newest snapshot is compared with the table. As SCD2 every snapshot of the batch is laid on the timelines of
the keys as events, the deletion of what it lacks among them, and the versions are made as for any other event. A late
snapshot changes what was so until the next one that was applied, so the state of that one is laid beside it.
"""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from lakehouse.errors import DeleteGuardError, KeyMissingError, WriteError
from lakehouse.lake.batch import SOURCE
from lakehouse.lake.frame import col, materialise, path, row_hash, sql_type
from lakehouse.lake.table import read_table
from lakehouse.lake.types import resolved
from lakehouse.spec.write import Scd1Write, Scd2Write
from lakehouse.write import auxiliary, scd1, scd2
from lakehouse.write.change import PUT, REMOVE, Change, counted
from lakehouse.write.events import (
    ACTION,
    DELETED,
    EVENT,
    FATE,
    KIND,
    OLD,
    RANK,
    TRUNCATE,
    Size,
    beside,
    key,
    keys,
    names,
    order,
    same_key,
    sized,
)
from lakehouse.write.evolve import fitted, grown
from lakehouse.write.timeline import Fold, ordered, trackable, with_versions

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Table
    from lakehouse.spec.write import SnapshotWrite
    from lakehouse.write.commit import Plan

_AT = "__snapshot"
_MEMBER = r"(?i)(\.zip)!/.*$"
_IN_FOLDER = r"(?i)/[^/]*(\.zip!/.*)?$"
"""Which file of a zip, and which file of a folder, that in a zip too."""


def plan(batch: DataFrame, spec: SnapshotWrite, target: Table, identity: Identity, about: str) -> Plan:
    """Compare the snapshots of the batch with what the table holds.

    Raises:
        DeleteGuardError: more of the table would be deleted than the job lets one batch delete.
    """
    batch = batch.withColumns({_AT: _snapshot(batch, spec), DELETED: F.lit(False), TRUNCATE: F.lit(False)})
    if spec.on_absent == "keep":
        return _as_events(batch, spec, target, identity, about)
    known = auxiliary.recalled(batch.sparkSession, target, identity)
    return (_latest if spec.snapshot_as == "scd1" else _versions)(batch, spec, target, identity, about, known)


def _as_events(batch: DataFrame, spec: SnapshotWrite, target: Table, identity: Identity, about: str) -> Plan:
    """Nothing is deleted, so a snapshot is a set of events and no more; the table has to know the snapshot of each."""
    by, dropped = spec.snapshot_by, spec.except_columns
    if by in ("file", "folder") or by.lower() in {name.lower() for name in dropped}:
        by = "_snapshot"
        batch = batch.withColumn(by, F.col(_AT))
    batch = batch.drop(_AT, DELETED, TRUNCATE)
    if spec.snapshot_as == "scd1":
        shared = {name: getattr(spec, name) for name in Scd1Write.model_fields if hasattr(spec, name)}
        as_events = Scd1Write(**{**shared, "mode": "scd1", "sequence_by": (by,)})
        return scd1.plan(batch, as_events, target, identity, about, of=spec)
    shared = {name: getattr(spec, name) for name in Scd2Write.model_fields if hasattr(spec, name)}
    dropped = (*dropped, "_snapshot") if by == "_snapshot" else dropped
    versions = Scd2Write(**{**shared, "mode": "scd2", "sequence_by": (by,), "except_columns": dropped})
    return scd2.plan(batch, versions, target, identity, about, of=spec)


def _snapshot(batch: DataFrame, spec: SnapshotWrite) -> Column:
    """Which snapshot a row is of, which is its sequence as well."""
    if spec.snapshot_by not in ("file", "folder"):
        found = resolved(batch.schema, spec.snapshot_by)
        if found and len(found[0]) > 1:
            message = f"{spec.table}: snapshot_by: {spec.snapshot_by} is a field of a struct, and must be a column"
            raise WriteError(message, hint="let transform() make a column of it")
        return path(batch, spec.snapshot_by)
    if SOURCE not in batch.columns:
        message = f"{spec.table}: snapshot_by: {spec.snapshot_by} needs the column {SOURCE}, which the rows do not have"
        raise KeyMissingError(message, hint="let transform() carry _source along, or name a column")
    file = F.col(f"{SOURCE}.file")
    return file if spec.snapshot_by == "file" else F.regexp_replace(file, _IN_FOLDER, "")


def _applied(known: DataFrame | None, kind: str) -> DataFrame | None:
    """The snapshots that the table has, as one column."""
    if known is None:
        return None
    mine = known.where(F.col("_kind") == auxiliary.SNAPSHOT_KIND)
    return mine.select(F.col("_event.sequence.s0").cast(kind).alias("applied")).distinct()


def _ranked(batch: DataFrame, spec: SnapshotWrite, columns: list[str]) -> DataFrame:
    """The rows by key and snapshot: the first of each is the one that counts, the others are its duplicates."""
    event = order(batch, [F.col(_AT)], deleted=F.lit(False), columns=columns)
    rows = batch.select("*", event.alias(EVENT), *keys(batch, spec.keys))
    one = Window.partitionBy(*names(len(spec.keys)), _AT).orderBy(F.col(EVENT).desc())
    return rows.withColumn(RANK, F.row_number().over(one)).drop(*names(len(spec.keys)), EVENT)


def _kept(batch: DataFrame, spec: SnapshotWrite) -> list[str]:
    """The columns that the table keeps."""
    dropped = {name.lower() for name in spec.except_columns}
    return [name for name in batch.columns if not name.startswith("__") and name.lower() not in dropped]


def _unread(identity: Identity) -> int:
    """How many rows of the batch could not be used."""
    return identity.rows.get("quarantined", 0) + identity.rows.get("rejected", 0)


def _guard(table: str, most: float, there: int, gone: int, identity: Identity) -> None:
    """Stop what would delete too much, or what nobody can tell from rows that could not be read."""
    if not gone:
        return
    if unread := _unread(identity):
        message = f"{table}: the batch lacks {gone:,} keys, and {unread:,} of its rows are not usable"
        raise DeleteGuardError(message, hint="mend them, or say on_absent: keep")
    if gone > most * there:
        message = (
            f"{table}: the snapshot lacks {gone:,} of {there:,} keys, more than "
            f"max_delete_fraction: {most:g} lets one batch delete"
        )
        raise DeleteGuardError(
            message, hint="look whether it is whole; if it is, raise max_delete_fraction for this run"
        )


def _empty(batch: DataFrame, spec: SnapshotWrite, identity: Identity) -> list[str]:
    """The files or folders of the batch that brought no row: snapshots that are empty."""
    if spec.snapshot_by not in ("file", "folder"):
        return []
    files = [str(file[0]) for read in identity.inputs.values() for file in read.get("files", ())]
    if spec.snapshot_by == "folder":
        files = [file.rsplit("/", 1)[0] for file in files]
    came = {row[_AT] for row in batch.select(_AT).distinct().collect()} if files else set()
    if spec.snapshot_by == "file":
        # each file of a zip is a snapshot, and the zip is none unless nothing was in it
        came = {re.sub(_MEMBER, r"\1", str(file)) for file in came}
    return sorted(set(files) - came)


def _to_remember(batch: DataFrame, spec: SnapshotWrite, empty: list[str]) -> DataFrame | None:
    """Which snapshots the batch had, as rows of the auxiliary table; None where it had none."""
    snapshots = _snapshots(batch, empty)
    if snapshots.isEmpty():
        return None
    event = order(snapshots, [F.col("__at")], deleted=F.lit(False), columns=None).alias(EVENT)
    kinds = [batch.select(path(batch, name).alias("it")).schema["it"].dataType for name in spec.keys]
    unkeyed = [F.lit(None).cast(sql_type(kind)).alias(key(index)) for index, kind in enumerate(kinds)]
    return snapshots.select(event, *unkeyed, F.lit(auxiliary.SNAPSHOT_KIND).alias(KIND))


def _latest(
    batch: DataFrame, spec: SnapshotWrite, target: Table, identity: Identity, about: str, known: DataFrame | None
) -> Plan:
    """The newest snapshot against the table."""
    empty = _empty(batch, spec, identity)
    # where a row came from is another place in each snapshot
    batch = _ranked(batch, spec, _kept(batch, spec)).drop(*spec.except_columns, SOURCE)
    batch, before, options = fitted(batch, spec, target, about)
    size = _whole(batch, spec)
    held = grown(read_table(batch.sparkSession, target), batch)
    judged = materialise(_compared(batch, spec, size, held, _newest(batch, empty, known)))
    counts = counted(judged)
    if counts.fates.total() != size.rows:
        message = f"{spec.table} has more than one row of a key, and a snapshot keeps one"
        raise WriteError(message, hint="take the others out, or run with --full-refresh")
    _guard(spec.table, spec.max_delete_fraction, held.count() if counts.gone else 0, counts.gone, identity)
    change = Change(judged, size.operators(spec.keys), counts)
    applied = _to_remember(batch, spec, empty)
    return replace(
        change.plan(spec, target, identity, before, options),
        remember=functools.partial(auxiliary.remember, applied, target, identity, spec) if applied else None,
    )


def _whole(batch: DataFrame, spec: SnapshotWrite) -> Size:
    """The size of the batch, as rows of the table are compared that it may lack: their keys may be NULL."""
    return replace(sized(batch, spec.keys), nullable=(True,) * len(spec.keys))


def _newest(batch: DataFrame, empty: list[str], known: DataFrame | None) -> DataFrame:
    """One row: the newest snapshot of the batch, the newest that the table has, and whether the former applies."""
    kind = sql_type(batch.schema[_AT].dataType)
    newest = _snapshots(batch, empty).agg(F.max("__at").cast(kind).alias("__last"))
    applied = _applied(known, kind)
    if applied is None:
        newest = newest.withColumn("__done", F.lit(None).cast(kind))
    else:
        newest = newest.crossJoin(applied.agg(F.max("applied").alias("__done")))
    # the one that is remembered as the newest applies again: a kill may have kept it from the table
    applies = F.col("__last").isNotNull() & (F.col("__done").isNull() | (F.col("__last") >= F.col("__done")))
    return newest.withColumn("__applies", applies)


def _compared(batch: DataFrame, spec: SnapshotWrite, size: Size, held: DataFrame, newest: DataFrame) -> DataFrame:
    """The rows of the batch with their fates, and what is to be done to the table's."""
    count = len(spec.keys)
    columns = [name for name in batch.columns if not name.startswith("__")]
    # the snapshot's own value is another in each: a row that is else the same keeps the one it has
    same = [name for name in columns if name.lower() != spec.snapshot_by.lower()]
    rows = batch.select("*", *keys(batch, spec.keys), row_hash(batch, same).alias("__new"))
    rows = rows.crossJoin(F.broadcast(newest))
    old = held.select(*[col(name) for name in columns], *keys(held, spec.keys), row_hash(held, same).alias("__held"))
    joined = beside(rows, old.select(*names(count), "__held"), size, few=False)
    fate = (
        F.when(F.col(RANK) > 1, "duplicates")
        .when(~F.col("__applies") | (F.col(_AT) < F.col("__last")), "superseded")
        .when(F.col("__held").isNull(), "inserted")
        .when(F.col("__held") == F.col("__new"), "unchanged")
        .otherwise("updated")
    )
    action = F.when(F.col(FATE).isin("inserted", "updated"), PUT)
    judged = joined.withColumn(FATE, fate).withColumns({ACTION: action, OLD: F.col("__held").isNotNull()})
    judged = judged.select(*[col(name) for name in columns], FATE, ACTION, OLD)
    live = rows.where(F.col("__applies") & (F.col(_AT) == F.col("__last")))
    gone = old.join(live, same_key(old, live, size), "left_anti")
    gone = gone.crossJoin(F.broadcast(newest.where(F.col("__applies")).select("__last")))
    gone = gone.withColumns({FATE: F.lit(None).cast("string"), ACTION: F.lit(REMOVE), OLD: F.lit(True)})
    return judged.unionByName(gone.select(*map(col, judged.columns)))


def _versions(
    batch: DataFrame, spec: SnapshotWrite, target: Table, identity: Identity, about: str, known: DataFrame | None
) -> Plan:
    """Every snapshot of the batch on the timelines of all keys."""
    spark = batch.sparkSession
    empty = _empty(batch, spec, identity)
    as_scd2 = _as_scd2(spec)
    ranked = materialise(_ranked(batch, spec, _kept(batch, spec)))
    batch = ranked.where(F.col(RANK) == 1).drop(*spec.except_columns, SOURCE, RANK)
    duplicates = ranked.where(F.col(RANK) > 1).count()
    trackable(batch, as_scd2)
    batch = with_versions(batch.withColumn("__sequence", F.col(_AT)), as_scd2)
    by_start = as_scd2.model_copy(update={"sequence_by": (spec.valid_from,)})
    batch, before, options = fitted(batch, by_start, target, about, of=spec)
    batch = materialise(ordered(batch, by_start))
    size = _whole(batch, spec)
    held = None if before.is_empty_table else read_table(spark, target)
    fold = Fold(batch, as_scd2, size, held, held, None, whole_table=True, remembers=False)
    if fold.untracked:
        # a version shows the last values of its run, so those of each snapshot have to be kept
        fold = replace(fold, remembered=known, remembers=True)
    snapshots = _due(_snapshots(batch, empty), fold)
    absent = _absent(fold, snapshots)
    _hold(absent, fold, spec, identity)
    more = [absent]
    applied = _applied(known, sql_type(batch.schema[_AT].dataType))
    if applied is not None and held is not None:
        more.append(_restated(fold, snapshots, applied, held))
    fold = replace(fold, more=reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), more))
    also = _to_remember(batch, spec, empty)
    plan = scd2.planned(fold, target, identity, before, options, also=also)
    return replace(plan, planned=replace(plan.planned, duplicates=plan.planned.duplicates + duplicates))


def _due(snapshots: DataFrame, fold: Fold) -> DataFrame:
    """The snapshots that can be folded: newer than what was forgotten."""
    if fold.remembered is None:
        return snapshots
    forgotten = auxiliary.greatest(fold.remembered, auxiliary.FORGOTTEN_KIND)
    kind = sql_type(snapshots.schema["__at"].dataType)
    forgotten = forgotten.select(F.col("_event.sequence.s0").cast(kind).alias("__forgotten"))
    known = snapshots.crossJoin(F.broadcast(forgotten))
    return known.where(F.col("__forgotten").isNull() | (F.col("__at") > F.col("__forgotten"))).drop("__forgotten")


def _hold(absent: DataFrame, fold: Fold, spec: SnapshotWrite, identity: Identity) -> None:
    """Hold what the snapshots lack, of the table and of each other, against what the job lets a batch delete.

    Raises:
        DeleteGuardError: it is too much, or rows that could not be read may be what is lacking.
    """
    if _unread(identity):
        first = fold.batch.groupBy(*fold.size.names).agg(F.min(_AT).alias("__first"))
        later = same_key(absent, first, fold.size) & (absent[f"{EVENT}.sequence.s0"] > first["__first"])
        gone = absent.join(first, later, "left_semi").count()
        _guard(spec.table, 1.0, gone, gone, identity)
    if fold.held is not None:
        current = fold.held.where(col(spec.is_current)).select(*keys(fold.held, spec.keys))
        lost = absent.join(current, same_key(absent, current, fold.size), "left_semi")
        most = lost.groupBy(f"{EVENT}.sequence").count().agg(F.max("count").alias("most")).collect()[0].most
        _guard(spec.table, spec.max_delete_fraction, current.count(), most or 0, identity)


def _as_scd2(spec: SnapshotWrite) -> Scd2Write:
    """The write as one of events whose sequence is their snapshot."""
    # in a version it is that of the snapshot that began it, and makes none by itself
    sequence = "__sequence" if spec.snapshot_by in ("file", "folder") else spec.snapshot_by
    shared = {name: getattr(spec, name) for name in Scd2Write.model_fields if hasattr(spec, name)}
    return Scd2Write(**{**shared, "mode": "scd2", "sequence_by": (sequence,)})


def _snapshots(batch: DataFrame, empty: list[str]) -> DataFrame:
    """The snapshots of the batch, those without a row among them."""
    snapshots = batch.select(F.col(_AT).alias("__at")).distinct()
    if empty:
        none = batch.sparkSession.range(1).select(F.explode(F.array(*map(F.lit, empty))).alias("__at"))
        snapshots = snapshots.unionByName(none)
    return snapshots


def _absent(fold: Fold, snapshots: DataFrame) -> DataFrame:
    """The deletions: one for each key that is known and that a snapshot lacks."""
    count = len(fold.spec.keys)
    mine = fold.batch.select(*keys(fold.batch, fold.spec.keys), F.col(_AT).alias("__at"))
    all_keys = fold.batch.select(*[col(name) for name in fold.columns], *keys(fold.batch, fold.spec.keys))
    if fold.held is not None:
        all_keys = all_keys.unionByName(
            grown(fold.held, fold.batch).select(*[col(name) for name in fold.columns], *keys(fold.held, fold.spec.keys))
        )
    all_keys = all_keys.dropDuplicates(names(count))
    wanted = all_keys.crossJoin(F.broadcast(snapshots))
    present = same_key(wanted, mine, fold.size) & wanted["__at"].eqNullSafe(mine["__at"])
    gone = wanted.join(mine, present, "left_anti")
    event = order(gone, [F.col("__at")], deleted=F.lit(True), columns=None, placed=False)
    return fold.known(gone.withColumn(EVENT, event))


def _restated(fold: Fold, snapshots: DataFrame, applied: DataFrame, held: DataFrame) -> DataFrame:
    """What was so in the next snapshot after each of these, which were late: the versions that cover it."""
    spec, count = fold.spec, len(fold.spec.keys)
    later = snapshots.crossJoin(F.broadcast(applied)).where(F.col("applied") > F.col("__at"))
    following = later.groupBy("__at").agg(F.min("applied").alias("next")).select("next").distinct()
    following = following.join(snapshots, following["next"] == snapshots["__at"], "left_anti")
    table = grown(held, fold.batch)
    table = table.select("*", *keys(table, spec.keys)).crossJoin(F.broadcast(following))
    covers = (col(spec.valid_from) <= F.col("next")) & (col(spec.is_current) | (col(spec.valid_to) > F.col("next")))
    there = table.where(covers)
    own = {name: F.col("next") for name in fold.columns if name.lower() == spec.sequence_by[0].lower()}
    there = there.withColumns(own) if own else there
    event = order(there, [F.col("next")], deleted=F.lit(False), columns=fold.columns, placed=False)
    there = there.withColumn(EVENT, event)
    mine = fold.batch.select(*[col(name) for name in fold.columns], *keys(fold.batch, spec.keys))
    mine = mine.dropDuplicates(names(count)).crossJoin(F.broadcast(following))
    covered = same_key(mine, there, fold.size) & (mine["next"] == there["next"])
    gone = mine.join(there, covered, "left_anti")
    gone = gone.withColumn(EVENT, order(gone, [F.col("next")], deleted=F.lit(True), columns=None, placed=False))
    # where events are remembered, those of that snapshot are
    return fold.known(gone) if fold.remembers else fold.known(there).unionByName(fold.known(gone))
