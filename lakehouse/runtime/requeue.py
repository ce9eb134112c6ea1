"""``lakehouse quarantine requeue``: what was put aside goes through its job again after a fix, once.

A requeue is a run of the job whose batch comes from the quarantine and not from the source. One commit on the
quarantine marks the rows with the requeue's id; they go the way of every batch, with an identity made of that id in the
target's commit; and one more commit closes them. What is still wrong is a row of its own by then. Where that was
interrupted, the next requeue of the job looks whether the target has the commit: if so it closes the rows, and if not
it opens them again and takes back what was put aside of them.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse.check.quarantine import OPEN, REQUEUE, UNFINISHED, close, condition, every_row, judging, mark, release
from lakehouse.errors import ConfigError, ImbalanceError, LakehouseError
from lakehouse.lake.batch import Identity
from lakehouse.lake.frame import literal
from lakehouse.lake.statements import expression
from lakehouse.lake.table import exists, head, read_table
from lakehouse.publish.ledger import newest_batch
from lakehouse.runtime.batch import Batch, Incoming, pinned, process, replayed
from lakehouse.runtime.feeds import again_of, feed_of
from lakehouse.runtime.journal import recovered
from lakehouse.runtime.lock import leased
from lakehouse.runtime.result import told
from lakehouse.runtime.runner import execute
from lakehouse.runtime.session import settled, start
from lakehouse.runtime.stream import check_target
from lakehouse.runtime.workplace import prepare
from lakehouse.spec.document import nearest
from lakehouse.spec.failures import NEVER
from lakehouse.spec.project import Project
from lakehouse.write.commit import earlier, forebears

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.lake.table import Commit
    from lakehouse.runtime.batch import Outcome
    from lakehouse.runtime.journal import Journal
    from lakehouse.runtime.progress import Progress
    from lakehouse.runtime.result import RunResult
    from lakehouse.runtime.workplace import Workplace

_FAR_BACK = 1_000_000
"""Commits of the target among which that of an interrupted requeue is looked for."""


@dataclass(frozen=True)
class Found:
    """Open rows that were asked for: of which job, how many, and why they cannot be requeued, if so."""

    job: str
    rows: int
    refused: str | None = None


@dataclass(frozen=True)
class Report:
    """What was found, and the run of each job."""

    table: str
    dry_run: bool
    found: tuple[Found, ...]
    unfinished: int = 0
    runs: tuple[RunResult, ...] = ()

    @property
    def error(self) -> LakehouseError | None:
        """The first error; those of other jobs are beside them."""
        return next((run.error for run in self.runs if run.error), None)

    def as_json(self) -> dict[str, Any]:
        """The object that ``lakehouse quarantine requeue --json`` prints."""
        return {
            "table": self.table,
            "status": "failed" if self.error else "done",
            "dry_run": self.dry_run,
            "unfinished": self.unfinished,
            "chosen": [{"job": one.job, "rows": one.rows} for one in self.found if not one.refused],
            "refused": [{"job": one.job, "rows": one.rows, "reason": one.refused} for one in self.found if one.refused],
            "runs": [run.as_json() for run in self.runs],
            "error": told(self.error),
        }


def requeue(
    works: Sequence[Workplace],
    *,
    where: str | None = None,
    dry_run: bool = False,
    spark: SparkSession | None = None,
    progress: Callable[[], Progress] | None = None,
) -> Report:
    """Let the jobs that write a table have another go at what they put aside.

    Args:
        works: the jobs in their places, as ``writers`` gives them.
        where: an SQL condition on the quarantine's columns; all open rows where there is none.
        dry_run: say what would be done, and do nothing.
        spark: the session; one is started where there is none.
        progress: makes what tells of each run.

    Raises:
        ConfigError: ``where`` is no condition on the quarantine.
    """
    table = works[0].job.write.table
    spark = spark or start("requeue", works[0].settings)
    works[0].lake.guarded(spark)
    quarantine = works[0].lake.quarantine(table)
    with settled(spark, works[0].settings):
        if not exists(spark, quarantine):
            return Report(table, dry_run, ())
        rows = every_row(spark, quarantine)
        which = condition(rows, where) if where else "true"
        found, begun = _found(spark, works, rows, which)
    concerned = {one.job for one in (*found, *begun) if not one.refused}
    chosen = [work for work in works if work.job.job in concerned and not dry_run]
    runs = tuple(_run(work, spark, which, progress() if progress else None) for work in chosen)
    return Report(table, dry_run, found, sum(one.rows for one in begun), runs)


def _run(work: Workplace, spark: SparkSession, which: str, progress: Progress | None) -> RunResult:
    """Run a job with the rows that are chosen, and say how it goes."""
    instead = partial(_requeued, work, which=which)
    if progress is None:
        return execute(work, spark=spark, instead=instead)
    progress.start(work)
    result = execute(work, spark=spark, say=progress.batch, warn=progress.retry, instead=instead)
    progress.end(result)
    return result


def _nothing(_: Outcome) -> None:
    """Say nothing."""


def writers(table: str, *, root: Path | None = None, **where: Any) -> list[Workplace]:
    """The jobs that write a table, in their places; one that cannot be read is in the way only where no other does.

    Args:
        table: the target, ``schema.table``.
        root: the project's folder; the one around here where none is given.
        where: the environment, the lake and the parameters, as ``prepare`` takes them.

    Raises:
        ConfigError: there is none.
    """
    project = Project(root) if root else Project.around(Path.cwd())
    writes: dict[str, str] = {}
    unreadable: list[ConfigError] = []
    for name in project.jobs:
        try:
            writes[name] = project.job(name).write.table
        except ConfigError as error:
            unreadable.append(error)
    names = [name for name, written in writes.items() if written == table]
    if not names and unreadable:
        raise unreadable[0]
    if not names:
        message = f"no job of {project.root} writes {table}{nearest(table, list(writes.values()))}"
        raise ConfigError(message, hint="TABLE is the table that the rows were to go to, as schema.table")
    return [prepare(name, root=project.root, **where) for name in names]


def _found(
    spark: SparkSession, works: Sequence[Workplace], rows: DataFrame, which: str
) -> tuple[tuple[Found, ...], tuple[Found, ...]]:
    """The rows that are asked for, by job and by why they cannot be requeued; and those of an interrupted requeue.

    Raises:
        ConfigError: the condition fails on some row.
    """
    cases = " ".join(f"WHEN job = {literal(work.job.job)} THEN {_refusal(spark, work)}" for work in works)
    nobody = literal("no job of the project that writes this table has this name")
    refusal = expression(f"CASE WHEN {UNFINISHED} THEN NULL {cases} ELSE {nobody} END").alias("refusal")
    chosen = rows.where(expression(f"({UNFINISHED}) OR ({OPEN} AND {which})"))
    grouped = chosen.groupBy("job", expression(UNFINISHED).alias("is_begun"), refusal).count()
    with judging(which[1:-1].rstrip()):
        counted = grouped.orderBy("job", "refusal").collect()
    sorts: dict[bool, list[Found]] = {True: [], False: []}
    for row in counted:
        sorts[row.is_begun].append(Found(row.job, row["count"], row.refusal))
    return tuple(sorts[False]), tuple(sorts[True])


def _refusal(spark: SparkSession, work: Workplace) -> str:
    """SQL that says of a row of the job why it cannot be requeued; NULL where it can."""
    job, write = work.job, work.job.write
    checkpoint = work.lake.checkpoint(job.job)
    own, pending = str(checkpoint.id(spark)), checkpoint.pending(spark)
    cases = [("NOT stage <=> 'read'", "transform() made it: what came is not here")]
    if write.mode == "snapshot":
        cases.append(("true", "a snapshot is one unit: deliver it again"))
    if job.is_stateful:
        cases.append(("true", "a state has gone on without it: --full-refresh with a longer delay takes it up in time"))
    if job.is_incremental:
        cases += again_of(work).refusals
    else:
        cases.append(("true", "the job has no incremental source"))
    if pending is not None:
        # it will be judged again, and what is put aside of it then takes the place of these rows
        last = f"stream = {literal(own)} AND batch = {pending}"
        cases.append((last, "its batch was begun and not ended: run the job first"))
    if write.mode == "append" and not write.identity:
        # another checkpoint may have read it again, and nothing tells the two rows from each other
        line = ", ".join(map(literal, [own, *forebears(spark, work.lake.table(write.table), own)]))
        others = f"stream NOT IN ({line}) AND stream NOT LIKE '{REQUEUE}%'"
        cases.append((others, "a checkpoint before this one read it, and the write says no identity"))
    return f"CASE {' '.join(f'WHEN {case} THEN {literal(why)}' for case, why in cases)} END"


def _requeued(work: Workplace, journal: Journal, done: Callable[[Outcome], None], *, which: str) -> None:
    """Settle what was interrupted, then take up the rows that are chosen now; the job is locked.

    Raises:
        LakehouseError: what the batch raised; its rows are open again then, unless the target has them.
    """
    spark, target = journal.spark, work.lake.table(work.job.write.table)
    # what was taken back by hand is told before one more commit hides it
    check_target(work, spark, target, work.lake.checkpoint(work.job.job))
    quarantine, job = work.lake.quarantine(target.name), literal(work.job.job)
    begun = every_row(spark, quarantine).where(expression(f"job = {job} AND {UNFINISHED}")).select("requeue").distinct()
    settled_now = {row.requeue: _settle(work, journal, row.requeue, done) for row in begun.collect()}
    if settled_now.get(work.run_id):
        # an earlier attempt of this very run came through: what it put aside again is not taken up once more
        return
    with leased(target):
        count = mark(spark, quarantine, work.run_id, f"job = {job} AND ({_refusal(spark, work)}) IS NULL AND {which}")
    if not count:
        return
    try:
        batch, expected = _batch(work, spark, count)
        outcome = process(batch, journal)
    except Exception:
        # where this fails, too, the next requeue does it
        with suppress(Exception):
            _settle(work, journal, work.run_id, _nothing)
        raise
    journal.flush()
    with leased(target):
        close(spark, quarantine, work.run_id)
    done(outcome)
    if outcome.rows.read != expected:
        message = f"{quarantine.name}: {count:,} rows were taken up: {outcome.rows.read:,} came, and not {expected:,}"
        raise ImbalanceError(message, hint="a fault of this library; the rows are those of the requeue in its column")


def _batch(work: Workplace, spark: SparkSession, count: int) -> tuple[Batch, int]:
    """The rows that are marked with this run as a batch of the job, and how many records that is.

    A row is one, but for a file that can be read by now.
    """
    target = work.lake.table(work.job.write.table)
    quarantine, feed = work.lake.quarantine(target.name), feed_of(work)
    newest = head(spark, quarantine)
    rows = read_table(spark, quarantine, newest.version if newest else None).where(F.col("requeue") == work.run_id)
    came = again_of(work).arrive(rows)
    name, _ = work.job.stream
    inputs = {"requeue": work.run_id, "quarantine": quarantine.name, "rows": count}
    if came.files:
        inputs["files"] = [[file.path, file.modified_ms, file.bytes] for file in came.files]
    identity = _identity(work, work.run_id, {name: inputs})
    incoming = Incoming(name, lambda: came.arrived, feed.contract, feed.missing)
    # the rows were chosen by hand, and many of them may be put aside again
    unjudged = replace(work, job=work.job.model_copy(update={"breaker": NEVER}))
    versions = pinned(work, spark, identity)
    return Batch(unjudged, spark, identity, versions, incoming, target, row_by_row=True), count + came.more


def _identity(work: Workplace, requeue: str, inputs: Mapping[str, Any] | None = None) -> Identity:
    return Identity(work.job.job, work.run_id, f"{REQUEUE}{requeue}", 0, inputs=inputs or {})


def _settle(work: Workplace, journal: Journal, requeue: str, done: Callable[[Outcome], None]) -> bool:
    """Finish an interrupted requeue that reached the target or the ledger, and undo one that did not; which it was.

    The ledger tells of a batch that had nothing to write: then there is no commit to look for.
    """
    spark, target = journal.spark, work.lake.table(work.job.write.table)
    quarantine, identity = work.lake.quarantine(target.name), _identity(work, requeue)
    with leased(target):
        made: Commit | None = earlier(spark, target, identity, among=_FAR_BACK)
        is_told = newest_batch(spark, journal.ledger, identity.stream) >= 0
        if made is None and not is_told:
            release(spark, quarantine, requeue)
            return False
        if made is not None and not is_told:
            journal.add(recovered(made, target), committed=True)
            journal.flush()
        close(spark, quarantine, requeue)
    if made is not None:
        done(replayed(made, identity))
    return True
