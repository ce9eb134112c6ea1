"""What every mode does around its own commit: the target is made or held against the rows, the commit is read back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from lakehouse.errors import (
    CheckpointError,
    CommitMissingError,
)
from lakehouse.lake.table import Commit, commits

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Table

STEP = "target"


@dataclass(frozen=True)
class WriteResult:
    """What became of the rows of a batch, and what the commit did to the table.

    Every row is counted once in the first six. ``rows_added`` and ``rows_removed`` are what Delta reports of the
    commit. ``version`` is the table's after the write, which is the one before it where nothing changed.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    superseded: int = 0
    duplicates: int = 0
    rows_added: int = 0
    rows_removed: int = 0
    version: int | None = None
    replayed: bool = False

    @property
    def rows(self) -> int:
        """All rows of the batch."""
        return self.inserted + self.updated + self.deleted + self.unchanged + self.superseded + self.duplicates

    @property
    def is_empty(self) -> bool:
        """Whether the table is as it was."""
        return not self.rows_added and not self.rows_removed


def earlier(spark: SparkSession, target: Table, identity: Identity, *, among: int = 100) -> Commit | None:
    """The commit that an earlier attempt at this very batch made, looked for among the newest.

    A job with no incremental source starts from nothing each time: only the newest commit that changed rows counts.
    """
    for commit in commits(spark, target, among):
        if identity.made(commit.note, STEP):
            _same_inputs(commit, target, identity)
            return commit
        if not identity.incremental and commit.changes_rows:
            return None
    return None


def _same_inputs(commit: Commit, target: Table, identity: Identity) -> None:
    """Hold what a commit says it was made of against what this batch is made of.

    Raises:
        CheckpointError: the same batch of the same checkpoint, and other input.
    """
    for name, read in identity.inputs.items():
        if ("files" in read or "index" in read) and commit.note["inputs"].get(name) != read:
            message = f"{target.name} has batch {identity.batch} of this checkpoint, made of other input of {name}"
            hint = "the checkpoint is an older copy: put the newest back, or run with --full-refresh"
            raise CheckpointError(message, hint=hint)


def read_back(batch: DataFrame, target: Table, identity: Identity, before: Commit) -> WriteResult:
    """The commit as it stands in the table's log, held against the plan that it notes.

    A write that Delta skipped returns like one that it made, so only the log can tell.

    Raises:
        CommitMissingError: there is no commit of this batch.
        ImbalanceError: it added or removed another number of rows than was planned.
    """
    spark = batch.sparkSession
    found = next(
        (
            commit
            for commit in commits(spark, target, 20)
            if commit.version > before.version and identity.made(commit.note, STEP)
        ),
        None,
    )
    if found is None:
        if replay := earlier(spark, target, identity, among=1_000_000):
            return result(replay, replayed=True)
        message = f"{target.name}: batch {identity.batch} was written, yet the table has no commit of it"
        raise CommitMissingError(
            message, hint="Delta skips a transaction id that it has seen; was the checkpoint replaced by an older copy?"
        )
    return result(found)


def note(planned: WriteResult) -> dict[str, object]:
    """What a commit says of itself."""
    return {"counts": {name: value for name, value in asdict(planned).items() if name not in ("version", "replayed")}}


def result(commit: Commit, *, replayed: bool = False) -> WriteResult:
    """What a commit of this library did: the rows' fates from its note, the table's change from Delta's own metrics."""
    counts = commit.note["counts"]
    known = {name: counts[name] for name in ("inserted", "updated", "deleted", "unchanged", "superseded", "duplicates")}
    # Delta counts the rows that it only moved as written, too
    added = commit.metrics.get("numOutputRows", 0) - commit.metrics.get("numCopiedRows", 0)
    # and says nothing of rows where a commit does no more than remove files
    only_removed = counts["rows_removed"] if commit.metrics.get("numRemovedFiles") else 0
    return WriteResult(
        **known,
        rows_added=added,
        rows_removed=commit.metrics.get("numDeletedRows", only_removed),
        version=commit.version,
        replayed=replayed,
    )


def files_for(rows: int) -> int:
    """How many files a write of so many rows should make."""
    return max(1, -(-rows // 2_000_000))
