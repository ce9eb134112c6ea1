"""A change of a keyed table: rows to put in, rows to take out, and the cheapest way to commit them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.frame import col
from lakehouse.lake.look import weighed
from lakehouse.lake.table import read_table
from lakehouse.write.commit import THERE, append, files_for, merge, replace_on
from lakehouse.write.events import ACTION, within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame

    from lakehouse.lake.table import Commit, Table
    from lakehouse.spec.write import Scd1Write, Scd2Write, SnapshotWrite
    from lakehouse.write.commit import Strategy
    from lakehouse.write.events import Size

PUT, REMOVE = "put", "remove"
_FEW_FILES = 4
"""A table of fewer is read as a whole: to ask which of them a range leaves out takes longer."""
_GONE = "__gone"
_BROADCAST_ROWS = 2_000_000
"""Rows whose keys are sent to every task, so that the table is read and not shuffled."""


@dataclass(frozen=True)
class Change:
    """Rows of a table with what is to be done to them (``__action``: put, remove or NULL), evaluated once.

    Args:
        rows: the table's columns and ``__action``; in a row that is to go all but its identity is without meaning.
        same: the columns that tell a row from all others.
        added: how many rows are put in; ``replaced`` of them take the place of another; ``gone`` are taken out.
    """

    rows: DataFrame
    same: Sequence[str]
    added: int
    replaced: int
    gone: int

    def strategy(self, pinned: str, reach: str) -> tuple[Strategy, str]:
        """The way to commit it, and why; ``reach`` says of how much of the table."""
        counts = f"{self.added - self.replaced:,} new rows, {self.replaced:,} replaced, {self.gone:,} gone"
        if not self.added and not self.gone:
            return "nothing", "nothing changes"
        if self.gone:
            return (
                "merge",
                f"{counts}: rows go without another in their place{reach}",
            )
        if pinned == "merge":
            return "merge", f"{counts}: the job says so{reach}"
        if not self.replaced and pinned == "auto":
            return "append", f"{counts}: no row of the table changes{reach}"
        return "replace_on", f"{counts}{reach}"

    def make(self, strategy: Strategy, target: Table, options: Mapping[str, str], *, where: str, flat: bool) -> None:
        """Commit it. ``flat``: the table has no partitions, so the number of files is for us to choose."""
        changed = self.rows.where(F.col(ACTION).isNotNull())
        columns = [col(name) for name in self.rows.columns if not name.startswith("__")]
        gone = [(F.col(ACTION) == REMOVE).alias(_GONE)] if strategy == "merge" else []
        changed = changed.select(*columns, *gone)
        if flat:
            changed = changed.coalesce(files_for(self.added))
        if self.added + self.gone <= _BROADCAST_ROWS:
            changed = F.broadcast(changed)
        if strategy == "append":
            append(changed, target, options)
        elif strategy == "replace_on":
            replace_on(changed, target, options, same=self.same, where=where)
        elif strategy == "merge":
            merge(changed, target, options, same=self.same, where=where, gone=_GONE)


@dataclass(frozen=True)
class Reach:
    """How much of a table the keys of a batch reach: a condition, where it leaves out files, and a word on it."""

    where: str = ""
    told: str = ""

    def __bool__(self) -> bool:
        """Whether files are left out."""
        return bool(self.where)


def reach(
    batch: DataFrame, target: Table, spec: Scd1Write | Scd2Write | SnapshotWrite, size: Size, before: Commit
) -> Reach:
    """The range of the batch's keys, where it leaves out at least half of the table's files.

    Where it leaves out few it costs more to test than it saves.
    """
    files, weight = weighed(target, before)
    told = f"; the table has {files:,} files, {weight:,} bytes" if files else ""
    condition = within(size, spec.keys, batch)
    if condition is None or 0 < files < _FEW_FILES:
        return Reach(told=told)
    table = read_table(batch.sparkSession, target)
    files = files or len(table.inputFiles())
    some = len(table.where(condition).inputFiles())
    told = f"{told}; the range of the keys reaches {some:,} of {files:,} files"
    return Reach((within(size, spec.keys, batch, f"{THERE}.") or "") if some * 2 <= files else "", told)
