"""A job that is set back: what is to be done is written down first, and then done, by whoever comes next.

``lakehouse recover`` and ``lakehouse undo`` decide, build the new checkpoint beside the old one and write down what
follows. From then on it is done by them or by the next run of the job: each step is done once, however often it is
begun.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal

from pyspark.sql import functions as F

from lakehouse.check.quarantine import take_back
from lakehouse.errors import BuiltUponError, CommitMissingError, RecoveryError
from lakehouse.lake.frame import literal
from lakehouse.lake.statements import run_sql
from lakehouse.lake.storage import local, write_text
from lakehouse.lake.table import commits, exists, read_table
from lakehouse.maintain.commit import saying
from lakehouse.publish.ledger import Event, record
from lakehouse.runtime.lock import leased
from lakehouse.write.commit import FAR_BACK, UNDO

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

    from lakehouse.lake.place import Lake
    from lakehouse.lake.table import Commit, Table
    from lakehouse.runtime.workplace import Workplace

_MISSING = "Not all files from version"
"""How RESTORE says that a vacuum was there before it."""


@dataclass(frozen=True)
class Setback:
    """What is to be done to a job.

    Attributes:
        event: the command that decided it.
        job: the job's name.
        run_id: the command's own id.
        stream: the id of the checkpoint that waits beside the old one; empty where the old one stays.
        of: the id of the old one, whose batches up to ``batch`` hold.
        line: those that the old one goes on from, of which the same batches hold.
        batch: the newest batch that holds.
        undone: the runs that are undone.
        streams: requeues and the like, of which nothing holds.
        version: the target becomes what it was at this version; None where it stays.
        seen: the target's newest version when that was decided.
        why: what was found, for the ledger.
    """

    event: Literal["recover", "undo"]
    job: str
    run_id: str
    stream: str = ""
    of: str = ""
    batch: int = -1
    undone: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    version: int | None = None
    seen: int | None = None
    why: tuple[str, ...] = ()
    line: tuple[str, ...] = ()
    begun_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())


def folder(lake: Lake) -> Path:
    """Where the checkpoints are.

    Raises:
        RecoveryError: the lake is not on this machine's file system, where a checkpoint can be renamed.
    """
    place = local(f"{lake.root}/_checkpoints")
    if place is None:
        message = f"this renames a checkpoint, which {lake.root} cannot do"
        raise RecoveryError(message, hint="run it where the lake is a folder")
    return place


def beside(lake: Lake, job: str) -> Path:
    """Where a new checkpoint waits; hidden, so that nobody takes it for a reader of tables."""
    return folder(lake) / f".{job}.setback"


def decide(spark: SparkSession, lake: Lake, setback: Setback) -> None:
    """Write down what is to be done; from here on it will be done."""
    write_text(spark, str(_written(lake, setback.job)), json.dumps(asdict(setback)))


def _written(lake: Lake, job: str) -> Path:
    return folder(lake) / f"{job}.setback.json"


def decided(lake: Lake, job: str) -> Setback | None:
    """What was written down and is not done yet."""
    if local(lake.root) is None or not _written(lake, job).is_file():
        return None
    found: dict[str, Any] = json.loads(_written(lake, job).read_text(encoding="utf-8"))
    values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in found.items()}
    return Setback(**values)


def finish(spark: SparkSession, work: Workplace) -> Setback | None:
    """Do what was decided and is not done yet; the job is locked. What it was, if anything.

    Raises:
        RecoveryError: it cannot be done, and nothing was.
    """
    setback = decided(work.lake, work.job.job)
    if setback is None:
        return None
    target = work.lake.table(work.job.write.table)
    with leased(target), saying(spark, json.dumps({"lakehouse": note(setback)})):
        try:
            _restore(spark, target, setback)
            _mark(spark, target, setback)
        except RecoveryError:
            # it is the first step: there is nothing to be finished
            _written(work.lake, work.job.job).unlink()
            raise
        _take_back(spark, work.lake, target, setback)
    if setback.stream:
        _swap(work.lake, work.job.job)
    _tell(spark, work.lake, target, setback)
    _written(work.lake, work.job.job).unlink()
    return setback


def note(setback: Setback) -> dict[str, Any]:
    """What a commit says of itself that undoes runs."""
    names = ("job", "run_id", "stream", "of", "batch", "undone", "version")
    return {"step": UNDO, **{name: getattr(setback, name) for name in names}}


def _restore(spark: SparkSession, target: Table, setback: Setback) -> None:
    """Make the target what it was at a version, by one commit that says why.

    Raises:
        BuiltUponError: somebody has changed it since that was decided.
        RecoveryError: files of that version are gone.
    """
    if setback.version is None:
        return
    since = list(takewhile(lambda one: one.version > (setback.seen or 0), commits(spark, target, FAR_BACK)))
    if any(_is_of(one, setback) for one in since):
        return
    if others := [one for one in since if one.changes_rows]:
        message = f"{target.name} was changed meanwhile, by version {others[-1].version} ({others[-1].operation})"
        raise BuiltUponError(message, hint="look at it, then ask again")
    try:
        run_sql(spark, f"RESTORE TABLE {target.sql} TO VERSION AS OF {setback.version}").collect()
    except Exception as error:
        if _MISSING in str(error):
            message = f"{target.name} cannot become version {setback.version} again: files of it were vacuumed"
            raise RecoveryError(message, hint="correct the rows by a run, or build the target anew") from error
        raise
    newest = next(iter(commits(spark, target, 1)), None)
    if newest is None or not _is_of(newest, setback):
        message = f"{target.name} was restored, yet its newest commit is not that"
        raise CommitMissingError(message)


def _mark(spark: SparkSession, target: Table, setback: Setback) -> None:
    """Commit to a target that stays as it is which batches hold: Delta restores no table to the version that it has."""
    if setback.event != "recover" or not setback.of or not exists(spark, target):
        return
    if not any(_is_of(one, setback) for one in commits(spark, target, FAR_BACK) if one.version > (setback.seen or 0)):
        run_sql(
            spark, f"ALTER TABLE {target.sql} SET TBLPROPERTIES ('lakehouse.recovered' = {literal(setback.run_id)})"
        )


def _is_of(commit: Commit, setback: Setback) -> bool:
    return (commit.note.get("step"), commit.note.get("run_id")) == (UNDO, setback.run_id)


def _take_back(spark: SparkSession, lake: Lake, target: Table, setback: Setback) -> None:
    """What was put beside the target by batches that come again, or are gone."""
    quarantine = lake.quarantine(target.name)
    if setback.event != "undo" and not setback.of:
        return
    if exists(spark, quarantine):
        requeues = [stream.partition("/")[2] for stream in setback.streams if stream.startswith("requeue/")]
        take_back(spark, quarantine, _gone(setback, "stream", "batch"), requeues)
    if exists(spark, target.auxiliary):
        run_sql(spark, f"DELETE FROM {target.auxiliary.sql} WHERE {_gone(setback, '_stream', '_batch')}")  # noqa: S608 -- quoted


def _gone(setback: Setback, stream: str, batch: str) -> str:
    """SQL that is true for the rows of batches that do not hold."""
    listed = ", ".join(map(literal, [*setback.streams, ""]))
    whole = f"{stream} IN ({listed}) AND {stream} <> ''"
    line = ", ".join(map(literal, [setback.of, *setback.line]))
    return f"({stream} IN ({line}) AND {batch} > {setback.batch}) OR ({whole})"


def _swap(lake: Lake, job: str) -> None:
    """Put the checkpoint that waits in the old one's place."""
    new = beside(lake, job)
    if new.is_dir():
        shutil.rmtree(folder(lake) / job, ignore_errors=True)
        new.replace(folder(lake) / job)


def _tell(spark: SparkSession, lake: Lake, target: Table, setback: Setback) -> None:
    """Tell the ledger, once."""
    runs = setback.undone if setback.event == UNDO else (setback.run_id,)
    about = F.col("inputs").contains(setback.run_id) | (F.col("run_id") == setback.run_id)
    if exists(spark, lake.ledger):
        told = (
            read_table(spark, lake.ledger).where((F.col("event") == setback.event) & about).select("run_id").collect()
        )
        runs = tuple(run for run in runs if run not in {row.run_id for row in told})
    newest = next(iter(commits(spark, target, 1)), None)
    inputs = {"by": setback.run_id, "of": setback.of, "restored": setback.version, "why": list(setback.why)}
    events = [
        Event(
            setback.event,
            setback.job,
            run,
            "done",
            datetime.fromisoformat(setback.begun_at),
            target=target.name,
            path=target.path,
            batch=setback.batch if setback.stream else None,
            stream=setback.stream or None,
            inputs=inputs,
            version=newest.version if newest else None,
        )
        for run in runs
    ]
    if events:
        with leased(lake.ledger):
            record(spark, lake.ledger, events)
