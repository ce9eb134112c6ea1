"""How far each job is behind its sources, and what it did last: from the checkpoint, the target's log and the sources.

Of a lake on this machine none of it needs Spark.
"""

from __future__ import annotations

import fcntl
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, cast

from lakehouse.errors import LakehouseError
from lakehouse.lake.storage import local
from lakehouse.lake.table import commits, head
from lakehouse.read.feed import Behind
from lakehouse.runtime.breaker import held_as, hold_of
from lakehouse.runtime.feeds import feed_of
from lakehouse.write.commit import REFRESH, STEP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.lake.table import Commit
    from lakehouse.runtime.breaker import Hold
    from lakehouse.runtime.workplace import Workplace

_RECENT = 20
"""Commits over which the rate is taken."""

_FAR_BACK = 1000


@dataclass(frozen=True)
class Status:
    """One job: who runs it, its newest batch, how fast it goes, and how far it is behind.

    ``rows_per_second`` is over the newest batches that made a commit; None where there are fewer than two. ``rebuilt``:
    the last commit is that of ``--full-refresh``, which has no counts of its own. A job that reads tables as they are
    has no batches; it is behind by the commits that its tables had since the versions that it read.
    """

    job: str
    target: str
    trigger: str
    runner: dict[str, Any] | None
    batch: int | None
    committed_at: str | None
    read: int | None
    rows_per_second: float | None
    behind: tuple[Behind, ...]
    error: str | None = None
    held: Hold | None = None
    rebuilt: bool = False

    def as_json(self) -> dict[str, Any]:
        """As ``lakehouse status --json`` prints it."""
        return asdict(self)


def status(work: Workplace, spark: SparkSession | None = None) -> Status:
    """How a job stands. A source that cannot be asked is said, and is no error."""
    # of a lake on this machine nothing asks Spark
    session, checkpoint = cast("SparkSession", spark), work.lake.checkpoint(work.job.job)
    target = work.lake.table(work.job.write.table)
    log = commits(session, target, _FAR_BACK)
    batch: int | None = None
    if work.job.is_incremental:
        stream = checkpoint.id(session)
        own = (commit for commit in log if stream and commit.note.get("stream") == stream)
        recent = list(islice((commit for commit in own if commit.note.get("step") in (STEP, REFRESH)), _RECENT))
        batch = checkpoint.newest_done(session) if recent else None
        behind, error = _behind(work, session, checkpoint)
    else:
        recent = list(islice((commit for commit in log if _is_whole(commit, work.job.job)), 1))
        behind, error = _tables_behind(work, session, recent[0] if recent else None)
    newest = recent[0] if recent else None
    is_rebuilt = newest is not None and newest.note.get("step") == REFRESH
    if newest is not None and not is_rebuilt:
        batch = newest.note.get("batch") if work.job.is_incremental else None
    return Status(
        work.job.job,
        target.name,
        work.job.trigger,
        _runner(work),
        batch,
        newest.at if newest else None,
        newest.note.get("rows", {}).get("read") if newest else None,
        _rate([commit for commit in recent if commit.note.get("step") == STEP]),
        behind,
        error,
        hold_of(work),
        is_rebuilt,
    )


def _is_whole(commit: Commit, job: str) -> bool:
    """Whether a commit is of a job that reads tables as they are."""
    return (commit.note.get("job"), commit.note.get("step")) == (job, STEP)


def _tables_behind(
    work: Workplace, spark: SparkSession, newest: Commit | None
) -> tuple[tuple[Behind, ...], str | None]:
    """The commits that changed rows of the tables of a job since it read them."""
    read = newest.note.get("inputs", {}) if newest else {}
    found, missing = [], []
    for name, source in work.job.statics.items():
        table, seen = work.lake.table(source.table), read.get(name, {}).get("version", -1)
        log = list(takewhile(lambda one, seen=seen: one.version > seen, commits(spark, table, _FAR_BACK)))  # type: ignore[misc]
        if not log and head(spark, table) is None:
            missing.append(source.table)
            continue
        new = [one for one in log if one.changes_rows]
        waited = datetime.now(UTC) - datetime.fromisoformat(new[-1].at).replace(tzinfo=UTC) if new else None
        found.append(Behind(table.name, len(new), "commits", round(waited.total_seconds(), 1) if waited else None))
    return tuple(found), f"SOURCE_NOT_FOUND: no table {', '.join(missing)}" if missing else None


def _behind(work: Workplace, spark: SparkSession, checkpoint: Checkpoint) -> tuple[tuple[Behind, ...], str | None]:
    try:
        return tuple(feed_of(work).behind(spark, checkpoint)), None
    except LakehouseError as error:
        return (), f"{error.code}: {error.message}"


def _rate(recent: list[Commit]) -> float | None:
    """Rows a second that were read between the oldest and the newest of these commits."""
    if len(recent) < 2:
        return None
    newest, oldest = (datetime.fromisoformat(commit.at) for commit in (recent[0], recent[-1]))
    rows = sum(commit.note["rows"].get("read", 0) for commit in recent[:-1])
    return round(float(rows) / max((newest - oldest).total_seconds(), 0.001), 1)


def _runner(work: Workplace) -> dict[str, Any] | None:
    """Who holds the job's lock: its host and process; None where nobody does."""
    path = local(f"{work.lake.root}/_checkpoints/{work.job.job}.lock")
    if path is None or not path.is_file():
        return None
    with path.open("r", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read().strip()
            return dict(json.loads(text)) if text else {"host": "unknown"}
    return None


def told(found: Status) -> Iterator[str]:
    """A status in words, a line at a time."""
    who = f"run by {found.runner.get('pid')} on {found.runner.get('host')}" if found.runner else "not running"
    yield f"{found.job} -> {found.target} ({found.trigger}): {who}"
    if found.committed_at:
        ago = (datetime.now(UTC).replace(tzinfo=None) - datetime.fromisoformat(found.committed_at)).total_seconds()
        rate = f", {found.rows_per_second:,} rows/s" if found.rows_per_second is not None else ""
        did = "rebuilt by --full-refresh" if found.rebuilt else "all of its tables"
        did = f"{did}, up to batch {found.batch}" if found.rebuilt and found.batch is not None else did
        if found.batch is not None and not found.rebuilt:
            did = f"batch {found.batch}, {found.read or 0:,} rows read"
        yield f"  last commit: {did}, {ago:,.0f} s ago{rate}"
    else:
        yield "  last commit: none"
    for one in found.behind:
        late = f", the oldest {one.seconds:,.1f} s old" if one.seconds is not None else ""
        yield f"  behind: {one.count:,} {one.unit} of {one.of}{late}"
    if found.held:
        yield f"  {held_as(found.job, found.held)}"
    if found.error:
        yield f"  cannot tell how far it is behind: {found.error}"
