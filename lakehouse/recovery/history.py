"""What the batches of a job were: the commits of its tables tell, and where their log was cleaned, the ledger."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse.check.quarantine import REQUEUE
from lakehouse.check.quarantine import STEP as QUARANTINE
from lakehouse.errors import RecoveryError
from lakehouse.lake.effective import effective, is_untold
from lakehouse.lake.table import commits, exists, read_table
from lakehouse.runtime.refresh import REBUILT
from lakehouse.write.auxiliary import STEP as AUXILIARY
from lakehouse.write.commit import FAR_BACK, REFRESH, STEP, UNDO
from lakehouse.write.setback import untold_hint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pyspark.sql import Row, SparkSession

    from lakehouse.lake.table import Commit, Table
    from lakehouse.runtime.workplace import Workplace


_LINKS = (UNDO, "recover")
"""Events after which a checkpoint goes on from another one."""

FROM_START = "build the target anew with --full-refresh"

_SHOWN = 5
"""How many batches are listed one by one."""


@dataclass(frozen=True)
class Past:
    """A batch that was: its number, the run that made it, what it read.

    ``version`` is its commit's, if the log has one; ``changed`` that of a commit of which only the ledger tells.
    """

    number: int
    run_id: str
    inputs: Mapping[str, Any]
    version: int | None = None
    changed: int | None = None


@dataclass(frozen=True)
class History:
    """The batches of a checkpoint, by number; ``stream`` is its id.

    ``begun`` put rows aside and did no more, so that it must come again as it was. ``told`` is the newest that the
    ledger knows, ``wrote`` whether the target has a commit of any. ``first`` is the batch that began it all, ``of`` the
    id of the checkpoint that this one goes on from, where it is still to be made; ``line`` those that the newest one
    that was made goes on from, newest first.
    """

    stream: str
    batches: Mapping[int, Past]
    begun: Past | None
    told: int
    wrote: bool
    first: Past | None = None
    of: str = ""
    line: tuple[str, ...] = ()

    @property
    def newest(self) -> int:
        """The newest batch that was done with; -1 where none was."""
        return max(self.batches, default=-1)

    def until(self, batch: int, stream: str) -> History:
        """The same up to a batch, as the history of another checkpoint."""
        kept = {number: past for number, past in self.batches.items() if number <= batch}
        return replace(self, stream=stream, batches=kept, begun=None, told=min(self.told, batch))


@dataclass(frozen=True)
class _Link:
    """A checkpoint that an undo made goes on after a batch of another one."""

    of: str
    batch: int


@dataclass(frozen=True)
class _Traces:
    """All that is noted of a job's batches: in its target, in what is beside it, and in the ledger."""

    target: Sequence[Commit]
    beside: Sequence[Commit]
    ledger: Sequence[Row]
    path: str

    @property
    def stream(self) -> str | None:
        """The id of the newest checkpoint that left any."""
        notes = [(_at(one), str(one.note["stream"])) for one in (*self.target, *self.beside)]
        rows = [(row.ended_at.replace(tzinfo=UTC), str(row.stream)) for row in self.ledger]
        return max([*notes, *rows], default=(None, None))[1]

    @property
    def links(self) -> dict[str, _Link]:
        """By a checkpoint's id, what it goes on from."""
        rows = [row for row in self.ledger if row.event in _LINKS and json.loads(row.inputs).get("of")]
        told = {row.stream: _Link(json.loads(row.inputs)["of"], row.batch) for row in rows}
        noted = [one.note for one in self.target if one.note["step"] == UNDO]
        return {**told, **{note["stream"]: _Link(note["of"], note["batch"]) for note in noted}}

    def batches(self, stream: str) -> dict[int, Past]:
        """The batches of a checkpoint that hold, with those that it goes on from."""
        link = self.links.get(stream)
        before = self.batches(link.of) if link else {}
        rows = (row for row in self.ledger if row.stream == stream and row.event == "batch")
        return {
            **{number: past for number, past in before.items() if link and number <= link.batch},
            **{
                row.batch: Past(row.batch, row.run_id, json.loads(row.inputs), None, _changed(row, self.path))
                for row in rows
            },
            **_by_number(self.target, stream, STEP),
        }

    def line(self, stream: str) -> tuple[str, ...]:
        """The checkpoints that one goes on from, newest first."""
        link = self.links.get(stream)
        return (link.of, *self.line(link.of)) if link else ()

    def wrote(self, stream: str) -> bool:
        """Whether the target has a commit of the checkpoint, or of one that it goes on from."""
        link = self.links.get(stream)
        return any(one.note["stream"] == stream for one in self.target) or bool(link and self.wrote(link.of))


def history(spark: SparkSession, work: Workplace) -> History | None:
    """The batches of the newest checkpoint that a job made commits with; None where it never made any."""
    traces = _traces(spark, work)
    stream = traces.stream
    if stream is None:
        return None
    batches = traces.batches(stream)
    beside = {**_by_number(traces.beside, stream, AUXILIARY), **_by_number(traces.beside, stream, QUARANTINE)}
    begun = max((past for past in beside.values()), key=lambda past: past.number, default=None)
    if begun and begun.number <= max(batches, default=-1):
        begun = None
    told = max((row.batch for row in traces.ledger if row.stream == stream), default=-1)
    wrote, line = traces.wrote(stream), traces.line(stream)
    return History(stream, batches, begun, told, wrote, batches.get(0, begun), line=line)


def _traces(spark: SparkSession, work: Workplace) -> _Traces:
    target = work.lake.table(work.job.write.table)
    own = _noted(spark, work, target)
    swapped = {str(one.note["stream"]) for one in own if one.note["step"] == REFRESH}
    beside = [*_noted(spark, work, work.lake.quarantine(target.name)), *_noted(spark, work, target.auxiliary)]
    # a rebuild that did not come to its end is no history of the table
    beside = [one for one in beside if not one.note.get("beside") or one.note["stream"] in swapped]
    told = [row for row in _told(spark, work) if REBUILT not in row.path or row.stream in swapped]
    return _Traces(own, beside, told, target.path)


def _noted(spark: SparkSession, work: Workplace, table: Table) -> list[Commit]:
    """The commits of the job's batches in a table, newest first."""
    steps = (STEP, REFRESH, UNDO, QUARANTINE, AUXILIARY)
    return [
        one
        for one in commits(spark, table, FAR_BACK)
        if one.note.get("job") == work.job.job
        and one.note.get("step") in steps
        and _is_checkpoint(one.note.get("stream"))
    ]


def _told(spark: SparkSession, work: Workplace) -> list[Row]:
    """What the ledger tells of the job's batches."""
    if not exists(spark, work.lake.ledger):
        return []
    ledger = read_table(spark, work.lake.ledger)
    rows = ledger.where((F.col("job") == work.job.job) & F.col("event").isin("batch", *_LINKS))
    rows = rows.select(
        "event", "run_id", "stream", "batch", "inputs", "ended_at", "path", "version", "rows_added", "rows_removed"
    )
    return [row for row in rows.collect() if _is_checkpoint(row.stream)]


def _is_checkpoint(stream: str | None) -> bool:
    """Whether an id is a checkpoint's, and not that of a requeue, or of a job that reads all there is."""
    return bool(stream) and "/" not in str(stream) and not str(stream).startswith(REQUEUE)


def _by_number(noted: Iterable[Commit], stream: str, step: str) -> dict[int, Past]:
    """The batches of a checkpoint of which a table has a commit; of several the newest tells."""
    own = [one for one in noted if (one.note["stream"], one.note["step"]) == (stream, step)]
    return {
        one.note["batch"]: Past(one.note["batch"], one.note["run_id"], one.note["inputs"], one.version)
        for one in reversed(own)
    }


def _changed(row: Row, path: str) -> int | None:
    """The version of a table that a batch made, as the ledger tells; None where it made none."""
    if row.path != path:
        return None
    return int(row.version) if row.version is not None and (row.rows_added or row.rows_removed) else None


def taken_back(spark: SparkSession, target: Table, past: History) -> set[int]:
    """The batches whose commits the table does not hold any more: it was restored, put back from a copy, made again.

    A commit that was cleaned out of the log is taken for one that holds.

    Raises:
        RecoveryError: the table was rebuilt, and that was taken back; or batches after one that is gone are there; or
            it was restored, and the log does not tell to which version.
    """
    log = list(commits(spark, target, FAR_BACK))
    hold, oldest = {one.version for one in effective(log)}, log[-1].version if log else 0
    rebuilt = [one for one in log if (one.note.get("step"), one.note.get("stream")) == (REFRESH, past.stream)]
    if rebuilt and rebuilt[0].version not in hold:
        message = f"{target.name} was rebuilt by version {rebuilt[0].version}, which was taken back by hand"
        raise RecoveryError(message, hint="build it anew with --full-refresh, or restore it to that version")
    _not_untold(log, target, past)
    gone = {number for number, one in past.batches.items() if one.version is not None and one.version not in hold}
    gone |= {
        number
        for number, one in past.batches.items()
        if one.version is None and one.changed is not None and one.changed >= oldest
    }
    _check_end(target, past, gone)
    return gone


def _not_untold(log: Sequence[Commit], target: Table, past: History) -> None:
    """Hold the batches against every RESTORE after them that does not tell its version.

    Raises:
        RecoveryError: there is one, and nothing tells which of them it took back.
    """
    versions = [one.version for one in past.batches.values() if one.version is not None]
    untold = next((one for one in effective(log) if is_untold(one)), None)
    if untold and versions and min(versions) < untold.version:
        message = (
            f"{target.name} was restored by hand (version {untold.version}), and the log does not tell to which "
            "version: which batches that took back cannot be told"
        )
        later = f"lakehouse replay lets a span come again; or {FROM_START}"
        raise RecoveryError(message, hint=later if max(versions) > untold.version else untold_hint(untold))


def _check_end(target: Table, past: History, gone: set[int]) -> None:
    """Hold that the batches that are gone are the newest: a checkpoint goes back to a batch, and leaves none out.

    Raises:
        RecoveryError: the table holds batches after one that is gone, which would be written twice.
    """
    stand = sorted(
        number
        for number, one in past.batches.items()
        if gone and number > min(gone) and number not in gone and (one.version, one.changed) != (None, None)
    )
    if stand:
        message = (
            f"{target.name} holds no more what batch {_listed(sorted(gone))} committed to it, and holds what batch "
            f"{_listed(stand)} did: to go back would write that twice"
        )
        hint = f"lakehouse replay lets the span of what is gone come again; or {FROM_START}"
        raise RecoveryError(message, hint=hint)


def _listed(numbers: Sequence[int]) -> str:
    """Numbers as a person reads them; of many the first and the last."""
    if len(numbers) > _SHOWN:
        return f"{numbers[0]} … {numbers[-1]} ({len(numbers):,} batches)"
    return ", ".join(map(str, numbers))


def _at(commit: Commit) -> datetime:
    return datetime.fromisoformat(commit.at).replace(tzinfo=UTC)
