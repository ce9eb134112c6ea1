"""A job, run: its batches one after the other."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakehouse.errors import LakehouseError, WriteConflictError, first_line
from lakehouse.lake.table import exists, head
from lakehouse.publish.ledger import Event, Rows, record
from lakehouse.runtime import refresh, stream, whole
from lakehouse.runtime.lock import held
from lakehouse.runtime.result import RunResult, Target
from lakehouse.runtime.session import settled, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession

    from lakehouse.lake.table import Commit
    from lakehouse.runtime.batch import Outcome
    from lakehouse.runtime.workplace import Workplace


def execute(
    work: Workplace,
    *,
    spark: SparkSession | None = None,
    full_refresh: bool = False,
    say: Callable[[Outcome], None] = lambda _: None,
) -> RunResult:
    """Run a job to its end. How it failed, if it did, is in the result and, as far as there is a lake, in the ledger.

    Args:
        work: the job in its place.
        spark: the session to run in; one is started where there is none.
        full_refresh: rebuild the target from the start, and put it in the place of the old one at the end.
        say: called after each batch.
    """
    begin, clock = datetime.now(UTC), time.perf_counter()
    outcomes: list[Outcome] = []
    error: LakehouseError | None = None
    newest: Commit | None = None

    def done(outcome: Outcome) -> None:
        outcomes.append(outcome)
        say(outcome)

    try:
        work.lake.writable()
        spark = spark or start(work.job.job, work.settings)
        with settled(spark, work.settings), held(work.lake, work.job.job):
            _run(work, spark, done, full_refresh=full_refresh)
            newest = head(spark, work.lake.table(work.job.write.table))
    except LakehouseError as raised:
        error = raised
    except Exception as raised:
        # whatever it is, it is the run's result, and the ledger has to say it
        conflict = "Concurrent" in type(raised).__name__ or "DELTA_CONCURRENT" in str(raised)
        error = (WriteConflictError if conflict else LakehouseError)(f"{type(raised).__name__}: {first_line(raised)}")
        error.__cause__ = raised
    result = _result(work, outcomes, newest, error, time.perf_counter() - clock)
    if spark is not None:
        result = _recorded(work, spark, result, begin)
    return result


def _run(work: Workplace, spark: SparkSession, done: Callable[[Outcome], None], *, full_refresh: bool) -> None:
    target = work.lake.table(work.job.write.table)
    refresh.finish(work, spark, target)
    if not work.job.is_incremental:
        whole.run(work, spark, target, done, again=full_refresh)
    elif full_refresh:
        refresh.run(work, spark, target, done)
    else:
        stream.run(work, spark, target, work.lake.checkpoint(work.job.job), done)
    if exists(spark, target):
        work.lake.register(spark, target)


def _result(
    work: Workplace, outcomes: list[Outcome], newest: Commit | None, error: LakehouseError | None, seconds: float
) -> RunResult:
    table = work.lake.table(work.job.write.table)
    stages: Counter[str] = Counter()
    for outcome in outcomes:
        stages.update(outcome.seconds)
    target = Target(
        table.name,
        table.path,
        newest.version if newest else None,
        sum(outcome.written.rows_added for outcome in outcomes),
        sum(outcome.written.rows_removed for outcome in outcomes),
    )
    rows = sum((outcome.rows for outcome in outcomes), Rows())
    return RunResult(
        work.job.job,
        work.run_id,
        "failed" if error else "done",
        len(outcomes),
        rows,
        target,
        seconds,
        dict(stages),
        error,
    )


def _recorded(work: Workplace, spark: SparkSession, result: RunResult, begin: datetime) -> RunResult:
    """The result, once the ledger has it; a ledger that cannot be written fails a run that went well."""
    event = Event(
        "run",
        result.job,
        result.run_id,
        result.status,
        begin,
        target=result.target.table,
        path=result.target.path,
        rows=result.rows,
        version=result.target.version,
        rows_added=result.target.rows_added,
        rows_removed=result.target.rows_removed,
        seconds={**result.stages, "total": round(result.seconds, 3)},
        error_code=result.error.code if result.error else None,
        error_message=str(result.error) if result.error else None,
    )
    try:
        with settled(spark, work.settings):
            record(spark, work.lake.ledger, event)
    except Exception as failure:
        if result.error is None:
            error = (
                failure
                if isinstance(failure, LakehouseError)
                else LakehouseError(f"the ledger cannot be written: {str(failure).splitlines()[0]}")
            )
            return replace(result, status="failed", error=error)
    return result
