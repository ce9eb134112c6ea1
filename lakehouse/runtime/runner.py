"""A job, run: its batches one after the other."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from lakehouse.errors import LakehouseError, LedgerError, StoppedError, first_line
from lakehouse.lake.faults import typed
from lakehouse.lake.look import look
from lakehouse.lake.quality import OF_RUN, Judgement, Quality
from lakehouse.lake.table import exists, head
from lakehouse.publish.ledger import Event, Rows
from lakehouse.runtime import refresh, setback, stream, whole
from lakehouse.runtime.attempts import persistently
from lakehouse.runtime.breaker import after, noted, refuse, standing
from lakehouse.runtime.journal import Journal
from lakehouse.runtime.lock import held
from lakehouse.runtime.order import check_order
from lakehouse.runtime.result import RunResult, Target
from lakehouse.runtime.session import settled, start
from lakehouse.spec.event_time import seconds
from lakehouse.write.definition import check_definition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyspark.sql import SparkSession

    from lakehouse.lake.table import Commit
    from lakehouse.runtime.attempts import Failure
    from lakehouse.runtime.batch import Outcome
    from lakehouse.runtime.breaker import Hold
    from lakehouse.runtime.progress import Progress
    from lakehouse.runtime.result import Status
    from lakehouse.runtime.workplace import Workplace

_AWAKE = 0.2
"""Seconds between two looks at jobs that run side by side."""


def side_by_side(
    works: Sequence[Workplace],
    *,
    full_refresh: bool,
    stop: threading.Event,
    progress: Callable[..., Progress],
) -> list[RunResult]:
    """Run jobs in one process, each in a thread and a session of its own where there are several.

    Raises:
        RunOrderError: one reads what another writes; nothing was begun.
    """
    check_order([work.job for work in works])
    if len(works) == 1:
        return [_told(works[0], None, progress(), full_refresh=full_refresh, stop=stop)]
    spark = start("lakehouse", works[0].settings)
    with ThreadPoolExecutor(len(works)) as pool:
        begun = [
            pool.submit(_told, work, spark.newSession(), progress(alone=False), full_refresh=full_refresh, stop=stop)
            for work in works
        ]
        while any(not one.done() for one in begun):
            # a signal is heard by a thread that is awake
            time.sleep(_AWAKE)
    return [one.result() for one in begun]


def _told(
    work: Workplace, spark: SparkSession | None, progress: Progress, *, full_refresh: bool, stop: threading.Event
) -> RunResult:
    """Run a job, and say how it goes."""
    progress.start(work)
    result = execute(work, spark=spark, full_refresh=full_refresh, stop=stop, say=progress.batch, warn=progress.retry)
    progress.end(result)
    return result


def execute(
    work: Workplace,
    *,
    spark: SparkSession | None = None,
    full_refresh: bool = False,
    stop: threading.Event | None = None,
    say: Callable[[Outcome], None] = lambda _: None,
    warn: Callable[[Failure], None] = lambda _: None,
    instead: Callable[[Journal, Callable[[Outcome], None]], None] | None = None,
) -> RunResult:
    """Run a job to its end. How it failed, if it did, is in the result and, as far as there is a lake, in the ledger.

    Args:
        work: the job in its place.
        spark: the session to run in; one is started where there is none.
        full_refresh: rebuild the target from the start, and put it in the place of the old one at the end.
        stop: set from elsewhere, it ends the run after the batch that it is at.
        say: called after each batch.
        warn: called after each attempt that another one follows.
        instead: runs other batches than those that are due.
    """
    stop = stop or threading.Event()
    total = _Total(say, anew=full_refresh, is_due=instead is None)
    journal: Journal | None = None
    try:
        work.lake.writable()
        spark = spark or start(work.job.job, work.settings)
        work.lake.guarded(spark)
        journal = Journal(spark, work.lake.ledger)
        with settled(spark, work.settings), held(work.lake, work.job.job, spark) as alone:
            due = partial(_due, work, stop=stop, full_refresh=full_refresh, alone=alone)
            once = partial(_attempt, work, journal, total, instead or due)
            tell = partial(_told_of, work, journal, warn)
            run = partial(persistently, once, work.job.retry, stop=stop, progress=lambda: total.came, tell=tell)
            end = partial(_to_its_end, work, total, run, stop)
            error = _supervised(work, journal, end, counts=instead is None)
            return _ended(work, total, error, journal=journal, is_stopped=stop.is_set())
    except Exception as raised:
        # whatever it is, it is the run's result, and the ledger has to say it
        return _ended(work, total, typed(raised), journal=journal, is_stopped=stop.is_set())


def _to_its_end(work: Workplace, total: _Total, run: Callable[[], None], stop: threading.Event) -> None:
    """Run what is due.

    Raises:
        StoppedError: the run would have ended by itself, and was told to before that.
    """
    if not stop.is_set():
        run()
    is_whole = not work.job.is_incremental and total.batches
    if stop.is_set() and work.job.trigger == "available_now" and not is_whole:
        message = f"stopped before what was due was done, after {total.batches:,} batches"
        raise StoppedError(message, hint="run it again: it goes on where it stopped")


def _supervised(work: Workplace, journal: Journal, run: Callable[[], None], *, counts: bool) -> LakehouseError | None:
    """Run as the job's breaker lets it; how it failed, if it did. Where the job stands then goes with the run's event.

    ``counts``: whether how it ends changes where the job stands.
    """
    job, error = work.job, None
    before = now = standing(journal.spark, journal.ledger, job.job)
    journal.note, journal.let_through = noted(job.job, before), before.let_through
    try:
        refuse(job.job, before)
        run()
    except Exception as raised:
        error = typed(raised)
    if counts:
        now = after(before, error, job.breaker, work.run_id)
        journal.note = noted(job.job, now)
    if now.hold and not before.hold:
        journal.add(_held(work, now.hold, error), committed=True)
    return error


def _held(work: Workplace, hold: Hold, error: LakehouseError | None) -> Event:
    """The event of a breaker that opened; it is told with the run's own."""
    at, code = datetime.now(UTC), error.code if error else None
    job, table, told = work.job.job, work.job.write.table, {"batch": hold.batch}
    return Event(
        "held", job, work.run_id, "failed", at, target=table, inputs=told, error_code=code, error_message=hold.why
    )


def _ended(
    work: Workplace, total: _Total, error: LakehouseError | None, *, journal: Journal | None, is_stopped: bool
) -> RunResult:
    """What the run came to, once the ledger has it."""
    newest = head(journal.spark, work.lake.table(work.job.write.table)) if journal and not error else None
    is_stream = work.job.trigger != "available_now"
    is_stopped = isinstance(error, StoppedError) or (is_stopped and is_stream and not error)
    status: Status = "stopped" if is_stopped else "failed" if error else "done"
    result = _result(work, total, newest, status, error)
    return _recorded(work, journal, result, total.begun) if journal else result


@dataclass
class _Total:
    """What the batches of a run came to; a stream may have millions of them. ``is_due``: they are those of the job."""

    say: Callable[[Outcome], None]
    batches: int = 0
    rows: Rows = field(default_factory=Rows)
    added: int = 0
    removed: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    anew: bool = False
    is_due: bool = True
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.perf_counter)
    newest: dict[str, int] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """One more batch; one that an earlier attempt of the run had told of counts once."""
        if outcome.number <= self.newest.get(outcome.stream, -1):
            return
        self.newest[outcome.stream] = outcome.number
        self.batches += 1
        self.rows += outcome.rows
        self.added += outcome.written.rows_added
        self.removed += outcome.written.rows_removed
        self.stages.update(outcome.seconds)
        self.say(outcome)

    def begin(self) -> None:
        """An attempt begins; one that is ``anew`` throws away what was made before, and so what was counted."""
        if self.anew:
            self.batches, self.rows, self.added, self.removed = 0, Rows(), 0, 0

    @property
    def came(self) -> int:
        """How many batches came through for good."""
        return 0 if self.anew else self.batches


def _attempt(
    work: Workplace,
    journal: Journal,
    total: _Total,
    batches: Callable[[Journal, Callable[[Outcome], None]], None],
) -> None:
    """Run what is due."""
    total.begin()
    journal.begin_again()
    _run(work, journal, total.add, batches, anew=total.anew and work.job.is_incremental)


def _told_of(work: Workplace, journal: Journal, warn: Callable[[Failure], None], failure: Failure) -> None:
    """Say of an attempt that it failed and another follows, to whoever looks on and to the ledger."""
    warn(failure)
    event = Event(
        "retry",
        work.job.job,
        work.run_id,
        "failed",
        datetime.now(UTC),
        target=work.job.write.table,
        inputs={"attempt": failure.attempt, "of": failure.of, "waits": failure.waits},
        error_code=failure.error.code,
        error_message=str(failure.error),
    )
    # a ledger that cannot be written now is told with the next commit to it
    with suppress(Exception):
        journal.add(event, committed=False)


def _run(
    work: Workplace,
    journal: Journal,
    done: Callable[[Outcome], None],
    batches: Callable[[Journal, Callable[[Outcome], None]], None],
    *,
    anew: bool,
) -> None:
    spark, target = journal.spark, work.lake.table(work.job.write.table)
    refresh.finish(work, spark, target)
    setback.finish(spark, work)
    if not anew and (found := look(spark, target)):
        check_definition(found.properties, work.job.write, target)
    batches(journal, done)
    if exists(spark, target):
        work.lake.register(spark, target)


def _due(
    work: Workplace,
    journal: Journal,
    done: Callable[[Outcome], None],
    stop: threading.Event,
    *,
    full_refresh: bool,
    alone: bool,
) -> None:
    spark, target = journal.spark, work.lake.table(work.job.write.table)
    if not work.job.is_incremental:
        whole.run(work, target, done, journal, again=full_refresh)
    elif full_refresh:
        refresh.run(work, spark, target, done, stop)
    else:
        stream.run(work, target, work.lake.checkpoint(work.job.job), done, journal, stop, alone=alone)


def _result(
    work: Workplace,
    total: _Total,
    newest: Commit | None,
    status: Status,
    error: LakehouseError | None,
) -> RunResult:
    table = work.lake.table(work.job.write.table)
    target = Target(table.name, table.path, newest.version if newest else None, total.added, total.removed)
    stages, took = dict(total.stages), time.perf_counter() - total.clock
    is_late = took > seconds(work.job.sla) if work.job.sla and total.is_due and status == "done" else None
    return RunResult(work.job.job, work.run_id, status, total.batches, total.rows, target, took, stages, error, is_late)


def _in_time(result: RunResult) -> tuple[Quality, ...]:
    """Whether the run was done in time, as the history of quality has it."""
    if result.is_late is None:
        return ()
    return (Quality(OF_RUN, "", (Judgement("SLA", "timeliness", "warning", 1, int(result.is_late)),)),)


def _recorded(work: Workplace, journal: Journal, result: RunResult, begin: datetime) -> RunResult:
    """The result, once the ledger has it; a ledger that cannot be written fails a run that went well."""
    event = Event(
        "run",
        result.job,
        result.run_id,
        result.status,
        begin,
        target=result.target.table,
        path=result.target.path,
        inputs={"replay": str(work.span)} if work.span else {},
        rows=result.rows,
        version=result.target.version,
        rows_added=result.target.rows_added,
        rows_removed=result.target.rows_removed,
        quality=_in_time(result),
        seconds={**result.stages, "total": round(result.seconds, 3)},
        error_code=result.error.code if result.error else None,
        error_message=str(result.error) if result.error else None,
    )
    try:
        with settled(journal.spark, work.settings):
            journal.add(event, committed=False)
    except Exception as failure:
        if result.error is None:
            error = (
                failure
                if isinstance(failure, LakehouseError)
                else LedgerError(f"the ledger cannot be written: {first_line(failure)}")
            )
            return replace(result, status="failed", error=error)
    return result
