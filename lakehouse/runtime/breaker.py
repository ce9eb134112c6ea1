"""The circuit breaker of a job: held after runs that failed in a row, or for a batch that looks wrong.

Where a job stands is noted in every commit to the ledger that a run of it makes: to look it up is to read the newest of
a few files. What a run came to and where the job stands after it are one commit, so that no crash comes in between. A
run that was killed tells nothing, and counts for nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from pyspark.sql import functions as F

from lakehouse.errors import ConfigError, HeldError, LakehouseError, SetupError
from lakehouse.lake.storage import local
from lakehouse.lake.table import commits, read_table
from lakehouse.publish.ledger import STEP, Event
from lakehouse.runtime.journal import Journal
from lakehouse.runtime.lock import held
from lakehouse.runtime.session import settled, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import Row, SparkSession

    from lakehouse.lake.table import Table
    from lakehouse.runtime.workplace import Workplace
    from lakehouse.spec.failures import Breaker
    from lakehouse.write.commit import Plan

_FAR_BACK = 2000
"""Commits of the ledger among which the newest of a job is looked for; beyond that its rows are asked."""

_NOT_THE_JOBS = ConfigError, SetupError, HeldError


@dataclass(frozen=True)
class Hold:
    """Why a job is not run: since when, what was wrong, which run met it, and the ``batch`` where it was one batch."""

    since: str
    why: str
    run_id: str
    batch: tuple[str, int] | None = None


@dataclass(frozen=True)
class Standing:
    """How a job stands: the runs that failed one after the other, the hold, and the batch that is let through once."""

    failures: int = 0
    hold: Hold | None = None
    let_through: tuple[str, int] | None = None

    @classmethod
    def of(cls, note: Mapping[str, Any]) -> Standing:
        """As a commit notes it."""
        hold = note.get("hold")
        known = Hold(**{**hold, "batch": _batch(hold.get("batch"))}) if hold else None
        return cls(note["failures"], known, _batch(note.get("let_through")))


def _batch(told: Any) -> tuple[str, int] | None:
    return (str(told[0]), int(told[1])) if told else None


def standing(spark: SparkSession, ledger: Table, job: str) -> Standing:
    """How a job stands; of a lake on this machine that takes no Spark, but where the ledger's log has been cleaned."""
    found = _logged(spark, ledger, job)
    return told_by(_rows(spark, ledger, job)) if found is None else found


def hold_of(work: Workplace) -> Hold | None:
    """Why a job is held, as far as that is told without Spark: of a lake on this machine, by the ledger's log."""
    found = _without_spark(work)
    return found.hold if found else None


def _without_spark(work: Workplace) -> Standing | None:
    """How a job stands; None where that takes Spark."""
    if local(work.lake.root) is None:
        return None
    # of such a lake no session is asked
    return _logged(cast("SparkSession", None), work.lake.ledger, work.job.job)


def _logged(spark: SparkSession, ledger: Table, job: str) -> Standing | None:
    """How a job stands by the newest commit that notes it; None where the log does not go back so far."""
    oldest = 0
    for commit in commits(spark, ledger, _FAR_BACK):
        if (commit.note.get("step"), commit.note.get("job")) == (STEP, job):
            return Standing.of(commit.note)
        oldest = commit.version
    return None if oldest else Standing()


def _rows(spark: SparkSession, ledger: Table, job: str) -> list[Row]:
    """What the ledger tells of a job's runs and holds, from the oldest."""
    told = read_table(spark, ledger).where((F.col("job") == job) & F.col("event").isin("run", "held", "resumed"))
    newest = told.orderBy(F.desc("ended_at"), F.col("event") == "run").limit(1000)
    return newest.select("event", "run_id", "inputs", "error_code", "error_message", "ended_at").collect()[::-1]


def told_by(rows: list[Row]) -> Standing:
    """How a job stands by what the ledger tells of it."""
    now = Standing()
    for row in rows:
        told = json.loads(row.inputs or "{}")
        if row.event == "held":
            hold = Hold(f"{row.ended_at:%Y-%m-%d %H:%M:%S}", row.error_message, row.run_id, _batch(told.get("batch")))
            now = replace(now, hold=hold)
        elif row.event == "resumed":
            now = Standing(let_through=_batch(told.get("let_through")))
        elif row.error_code is None:
            now = Standing()
        elif row.error_code in _counted(LakehouseError):
            now = replace(now, failures=now.failures + 1)
    return now


def _counted(kind: type[LakehouseError]) -> Iterator[str]:
    """The codes of the errors that count."""
    if _counts(kind):
        yield kind.code
    for one in kind.__subclasses__():
        yield from _counted(one)


def _counts(kind: type[LakehouseError]) -> bool:
    """Whether a run that failed so says something of the job, and not of the moment or of the machine."""
    return not kind.retryable and not issubclass(kind, _NOT_THE_JOBS)


def after(before: Standing, error: LakehouseError | None, limits: Breaker, run_id: str) -> Standing:
    """How the job stands after a run."""
    if error is None:
        return Standing()
    if before.hold is None and isinstance(error, HeldError):
        return replace(before, hold=Hold(_now(), error.message, run_id, error.batch))
    if before.hold or not _counts(type(error)):
        return before
    failures = before.failures + 1
    if limits.max_failures is None or failures < limits.max_failures:
        return replace(before, failures=failures)
    why = f"{failures} runs failed one after the other, the last by {error.code}: {error.message}"
    return replace(before, failures=failures, hold=Hold(_now(), why, run_id))


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"


def noted(job: str, now: Standing) -> dict[str, Any]:
    """How a job stands, as a commit to the ledger notes it."""
    return {"step": STEP, "job": job, **asdict(now)}


def refuse(job: str, now: Standing) -> None:
    """Let no run of a job that is held begin.

    Raises:
        HeldError: it is held; the message says since when, why, and by which run.
    """
    if now.hold:
        hint = f"look into it, then: lakehouse resume {job}"
        hint += " (--let-through takes the batch as it is)" if now.hold.batch else ""
        raise HeldError(held_as(job, now.hold), hint=hint)


def held_as(job: str, hold: Hold) -> str:
    """A hold in words."""
    return f"{job} is held since {hold.since}, by run {hold.run_id}: {hold.why}"


def judge(spark: SparkSession, plan: Plan, limits: Breaker, *, aside: int, of: int) -> None:
    """Hold a batch against the limits, before anything of it is written.

    Args:
        spark: the session.
        plan: what the batch would do to its target.
        limits: the job's breaker.
        aside: how many rows would be put aside.
        of: how many rows came.

    Raises:
        HeldError: it is too much, of what came or of what the table holds.
    """
    most, planned = limits.max_quarantine_fraction, plan.planned
    if most is not None and aside > most * of:
        raise _tripped(plan, f"{aside:,} of its {of:,} rows would be put aside", f"max_quarantine_fraction: {most:g}")
    most = limits.max_duplicate_fraction
    if most is not None and planned.duplicates > most * planned.rows:
        told = f"{planned.duplicates:,} of its {planned.rows:,} rows are duplicates of another by key and sequence"
        raise _tripped(plan, told, f"max_duplicate_fraction: {most:g}")
    most, changed = limits.max_change_fraction, planned.updated + planned.deleted
    # what is overwritten or truncated has no row of the batch for each that goes
    changed = max(changed, planned.rows_removed - planned.rows_added)
    if most is not None and changed:
        there = read_table(spark, plan.target, plan.before.version).count()
        if there and changed > most * there:
            told = f"{changed:,} of the {there:,} rows of {plan.target.name} would be updated or deleted"
            raise _tripped(plan, told, f"max_change_fraction: {most:g}")


def _tripped(plan: Plan, told: str, limit: str) -> HeldError:
    identity = plan.identity
    message = f"batch {identity.batch}: {told}, more than {limit} allows; nothing of it is written"
    hint = f"lakehouse resume {identity.job} judges it again, with --let-through it is taken as it is"
    return HeldError(message, hint=hint, batch=(identity.stream, identity.batch))


def resume(work: Workplace, *, let_through: bool = False, spark: SparkSession | None = None) -> Hold | None:
    """End the hold of a job, and say what it was; None where there was none.

    Args:
        work: the job in its place.
        let_through: the batch that was held is not judged the next time, and that once.
        spark: the session; one is started where there is none.

    Raises:
        ConfigError: there is no batch to be let through: runs failed.
        LockedError: the job is being run.
    """
    known = None if spark else _without_spark(work)
    if known and known.hold is None:
        return None
    spark = spark or start("resume", work.settings)
    work.lake.guarded(spark)
    job, ledger = work.job.job, work.lake.ledger
    with settled(spark, work.settings), held(work.lake, job, spark):
        hold = standing(spark, ledger, job).hold
        if hold is None:
            return None
        if let_through and hold.batch is None:
            message = f"{job}: no batch is held, so there is none to let through: {hold.why}"
            raise ConfigError(message, hint=f"lakehouse resume {job}")
        through = hold.batch if let_through else None
        journal = Journal(spark, ledger)
        journal.note = noted(job, Standing(let_through=through))
        now, table = datetime.now(UTC), work.job.write.table
        told = {"held": asdict(hold), "let_through": through}
        journal.add(Event("resumed", job, work.run_id, "done", now, target=table, inputs=told), committed=False)
    return hold
