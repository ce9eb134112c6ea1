"""A change of a keyed table: rows to put in, rows to take out, and the cheapest way to commit them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType

from lakehouse.lake.frame import col
from lakehouse.lake.look import weighed
from lakehouse.lake.table import read_table
from lakehouse.write.commit import THERE, Plan, WriteResult, append, files_for, merge, replace_on
from lakehouse.write.events import ACTION, FATE, FILE, OLD, REMEMBER, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Commit, Table
    from lakehouse.spec.write import Scd1Write, Scd2Write, SnapshotWrite
    from lakehouse.write.commit import Strategy
    from lakehouse.write.events import Size

PUT, REMOVE = "put", "remove"
_FEW_FILES = 4
"""A table of fewer is read as a whole: to ask which of them a range leaves out takes longer."""
GONE = "__gone"
"""Whether a row of a MERGE goes."""
_BROADCAST_ROWS = 2_000_000
"""Rows whose keys are sent to every task, so that the table is read and not shuffled."""


@dataclass(frozen=True)
class Counts:
    """What was decided, counted: the fates of the batch's rows, and the rows of the table that are put in and go.

    ``replaced`` of those that are put in take the place of another; ``swept`` of those that go have no event in the
    batch. ``files`` is in how many files, at the most, the rows are that go or are replaced.
    """

    fates: Counter[str]
    put: int
    replaced: int
    gone: int
    swept: int
    files: int
    remembered: bool

    def result(self, before: Commit, strategy: Strategy, why: str) -> WriteResult:
        """What the write is to do."""
        return WriteResult(
            **cast("dict[str, Any]", self.fates),
            rows_added=self.put,
            rows_removed=self.replaced + self.gone,
            version=before.version,
            strategy=strategy,
            why=why,
        )


def counted(judged: DataFrame) -> Counts:
    """Count rows with ``__fate``, ``__action`` and ``__old`` (not NULL, nor false: in place of a row that is there)."""
    is_old = F.col(OLD) if isinstance(judged.schema[OLD].dataType, BooleanType) else F.col(OLD).isNotNull()
    there = set(judged.columns)
    groups = (
        judged.groupBy(FATE, ACTION, F.coalesce(is_old, F.lit(False)).alias(OLD))
        .agg(
            F.count("*").alias("rows"),
            (F.size(F.collect_set(FILE)) if FILE in there else F.lit(0)).alias("files"),
            F.coalesce(F.max(REMEMBER) if REMEMBER in there else F.lit(None), F.lit(False)).alias("remembered"),
        )
        .collect()
    )
    fates: Counter[str] = Counter()
    for row in groups:
        fates.update({row[FATE]: row.rows} if row[FATE] else {})
    removed = [row for row in groups if row[ACTION] == REMOVE]
    return Counts(
        fates,
        put=sum(row.rows for row in groups if row[ACTION] == PUT),
        replaced=sum(row.rows for row in groups if row[ACTION] == PUT and row[OLD]),
        gone=sum(row.rows for row in removed),
        swept=sum(row.rows for row in removed if row[FATE] is None),
        files=sum(row.files for row in groups if row[ACTION]),
        remembered=any(row.remembered for row in groups),
    )


@dataclass(frozen=True)
class Reach:
    """How much of a table a change reaches: a condition, where that leaves out files, and a word on it."""

    where: str = ""
    told: str = ""


_EVERYWHERE = Reach()


@dataclass(frozen=True)
class Change:
    """Rows of a table with what is to be done to them (``__action``: put, remove or NULL), evaluated once.

    Args:
        rows: the table's columns and ``__action``; in a row that is to go all but its identity is without meaning.
        same: the columns that tell a row from all others, each with the operator of SQL that compares it.
        counts: how many rows are put in, how many of them take the place of another, and how many are taken out.
    """

    rows: DataFrame
    same: Mapping[str, str]
    counts: Counts

    def plan(
        self,
        spec: Scd1Write | Scd2Write | SnapshotWrite,
        target: Table,
        identity: Identity,
        before: Commit,
        options: Mapping[str, str],
        *,
        near: Reach = _EVERYWHERE,
    ) -> Plan:
        """The change as a commit to be made, by the cheapest way; who knows more than that adds it."""
        strategy, why = self.strategy(spec.strategy, near.told)
        flat = not spec.partition_by
        return Plan(
            target,
            identity,
            before,
            self.counts.result(before, strategy, why),
            make=lambda more: self.make(strategy, target, {**options, **more}, where=near.where, flat=flat),
            rejected=self.rows.where(F.col(FATE) == "rejected") if self.counts.fates["rejected"] else None,
        )

    def strategy(self, pinned: str, reach: str) -> tuple[Strategy, str]:
        """The way to commit it, and why; ``reach`` says of how much of the table."""
        put, replaced, gone = self.counts.put, self.counts.replaced, self.counts.gone
        told = f"{put - replaced:,} new rows, {replaced:,} replaced, {gone:,} gone"
        if not put and not gone:
            return "nothing", "nothing changes"
        if gone:
            return "merge", f"{told}: rows go without another in their place{reach}"
        if pinned == "merge":
            return "merge", f"{told}: the job says so{reach}"
        if not replaced and pinned == "auto":
            return "append", f"{told}: no row of the table changes{reach}"
        return "replace_on", f"{told}{reach}"

    def make(self, strategy: Strategy, target: Table, options: Mapping[str, str], *, where: str, flat: bool) -> None:
        """Commit it. ``flat``: the table has no partitions, so the number of files is for us to choose."""
        changed = self.rows.where(F.col(ACTION).isNotNull())
        columns = [col(name) for name in self.rows.columns if not name.startswith("__")]
        gone = [(F.col(ACTION) == REMOVE).alias(GONE)] if strategy == "merge" else []
        changed = changed.select(*columns, *gone)
        if flat:
            changed = changed.coalesce(files_for(self.counts.put))
        if self.counts.put + self.counts.gone <= _BROADCAST_ROWS:
            changed = F.broadcast(changed)
        if strategy == "append":
            append(changed, target, options)
        elif strategy == "replace_on":
            replace_on(changed, target, options, same=self.same, where=where)
        elif strategy == "merge":
            merge(changed, target, options, same=self.same, where=where, gone=GONE)


def reach(
    batch: DataFrame, target: Table, spec: Scd1Write | Scd2Write, size: Size, before: Commit, touched: int
) -> Reach:
    """The range of the batch's keys, where the rows that change are in at most half of the table's files.

    Where they are in most of them a range leaves out few, and costs more to test than it saves.

    Args:
        batch: the rows.
        target: the table.
        spec: the write.
        size: the batch's range.
        before: the table's newest commit.
        touched: in how many files, at the most, the rows are that change.
    """
    if before.is_empty_table:
        return Reach()
    files, weight = weighed(target, before)
    if not files:
        files = len(read_table(batch.sparkSession, target).inputFiles())
    touched = min(touched, files)
    told = f"; of {files:,} files{f', {weight:,} bytes' if weight else ''}, {touched:,} are touched"
    if files < _FEW_FILES or touched * 2 > files:
        return Reach(told=told)
    return Reach(within(size, spec.keys, batch, f"{THERE}.") or "", told)
