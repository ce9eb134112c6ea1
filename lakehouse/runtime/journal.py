"""What a run has to tell the ledger: kept until there is time, and found again in the commits if there never was."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse.lake.quality import Quality
from lakehouse.lake.table import Table, commits
from lakehouse.publish import quality
from lakehouse.publish.ledger import Event, newest_batch, record
from lakehouse.runtime.fates import rows_of
from lakehouse.runtime.lock import leased
from lakehouse.write.commit import STEP, result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.lake.table import Commit

_EVERY = 30.0
"""Seconds between two commits to the ledger while a run goes on: a batch of a stream has one commit, to its target."""

_FAR_BACK = 100_000


@dataclass
class Journal:
    """The events of one run, added to the ledger together.

    A batch that made a commit has noted in it all that the ledger wants to know: if the run is killed, the next one
    adds what is missing (``recover``). One that made none is added at once.

    ``note`` is how the job stands, which every commit to the ledger says; ``let_through`` the batch that is not judged,
    ``newest`` the one that the ledger was told of last.
    """

    spark: SparkSession
    ledger: Table
    checkpoint: Checkpoint | None = field(default=None, init=False)
    note: Mapping[str, Any] | None = field(default=None, init=False)
    let_through: tuple[str, int] | None = field(default=None, init=False)
    newest: tuple[str | None, int] | None = field(default=None, init=False)
    _known: int = -1
    _waiting: list[Event] = field(default_factory=list)
    _refused: list[Event] = field(default_factory=list)
    _judged: dict[tuple[str | None, str | None], int] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def add(self, event: Event, *, committed: bool) -> None:
        """Take up an event; ``committed``: a commit of the target holds it, too."""
        if self.checkpoint and event.batch is not None and event.batch <= self._known:
            return
        with self._turn:
            self._waiting.append(event)
        if not committed:
            self.flush()

    def refused(self, event: Event) -> None:
        """Take up how good a batch was of which nothing was written: the history of quality tells of it, too."""
        with self._turn:
            self._refused.append(event)

    def begin_again(self) -> None:
        """Another attempt follows: it finds again in the commits what batches the ledger was not told of."""
        with self._turn:
            self._waiting = [event for event in self._waiting if event.event != "batch"]

    def flush_if_due(self) -> None:
        """Add what is waiting, if that was long ago."""
        if time.monotonic() - self._since > _EVERY:
            self.flush()

    def flush(self) -> None:
        """Add what is waiting."""
        with self._turn:
            self._tell_quality()
            events, self._waiting, self._since = self._waiting, [], time.monotonic()
            if not events:
                return
            try:
                # the first of several runs makes the table
                with leased(self.ledger):
                    record(self.spark, self.ledger, events, note=self.note)
            except Exception:
                self._waiting = events
                raise
            batches = [(event.stream, event.batch) for event in events if event.batch is not None]
            self.newest = batches[-1] if batches else self.newest
            if self.checkpoint and batches:
                self._known = max(number for _, number in batches)
                self.checkpoint.has_recorded(self.spark, self._known)

    def _tell_quality(self) -> None:
        """Add how good the waiting batches were, each once: before the ledger, so that a kill in between is seen."""
        table = Table("ops.quality", f"{self.ledger.path.rpartition('/')[0]}/quality")
        done = [event for event in self._waiting if event.quality and self._is_new(table, event)]
        if done or self._refused:
            # the first of several runs makes the table
            with leased(table):
                quality.record(self.spark, table, [*self._refused, *done])
        self._refused = []
        for event in done:
            self._judged[_line(event)] = event.batch or 0

    def _is_new(self, table: Table, event: Event) -> bool:
        line = _line(event)
        if line not in self._judged:
            self._judged[line] = quality.newest_batch(self.spark, table, line[0] or "", line[1])
        return (event.batch or 0) > self._judged[line]

    def recover(self, target: Table, checkpoint: Checkpoint) -> None:
        """Add the batches that an earlier run committed and never told the ledger of."""
        self.checkpoint, stream = checkpoint, checkpoint.id(self.spark)
        if stream is None:
            return
        self._known = checkpoint.recorded(self.spark)
        missing = self._missing(target, stream)
        if missing or checkpoint.pending(self.spark) is not None:
            # the run was killed, perhaps after the ledger was told, and the checkpoint not
            self._known = newest_batch(self.spark, self.ledger, stream)
            for commit in reversed(missing):
                self.add(recovered(commit, target), committed=True)
            self.flush()

    def _missing(self, target: Table, stream: str) -> list[Commit]:
        """The commits of this checkpoint's batches after the newest that the ledger was told of, newest first."""
        found = []
        for commit in commits(self.spark, target, _FAR_BACK):
            if commit.note.get("stream") == stream and commit.note.get("step") == STEP:
                if commit.note["batch"] <= self._known:
                    break
                found.append(commit)
        return found


def _line(event: Event) -> tuple[str | None, str | None]:
    """The batches that an event's is one of, each with a number of its own."""
    return event.stream, event.run_id if (event.stream or "").startswith("static/") else None


def recovered(commit: Commit, target: Table) -> Event:
    """The event of a batch, from what it noted in its commit."""
    note, written = commit.note, result(commit, replayed=True)
    at = datetime.fromisoformat(commit.at).replace(tzinfo=UTC)
    return Event(
        "batch",
        note["job"],
        note["run_id"],
        "replayed",
        at,
        target=target.name,
        path=target.path,
        batch=note["batch"],
        stream=note["stream"],
        inputs=note["inputs"],
        rows=rows_of(note["rows"], written).balance(),
        rules=note.get("rules", {}),
        quality=tuple(map(Quality.of_note, note.get("quality", ()))),
        version=commit.version,
        rows_added=written.rows_added,
        rows_removed=written.rows_removed,
        strategy=written.strategy,
        why=written.why,
    )
