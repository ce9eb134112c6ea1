"""A job with an incremental source: Structured Streaming says what is new, in batches, to its end or for ever."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Literal

from pyspark.errors import StreamingQueryException

from lakehouse.check.contract import is_judged_alone, judge
from lakehouse.errors import CheckpointError, LakehouseError, StreamFailedError, innermost
from lakehouse.lake.batch import Identity
from lakehouse.lake.faults import classify_text, known
from lakehouse.lake.table import exists
from lakehouse.publish.ledger import newest_batch as newest_told
from lakehouse.read.archive import archive
from lakehouse.runtime.batch import Batch, Incoming, explained, pinned, process
from lakehouse.runtime.feeds import feed_of
from lakehouse.runtime.session import having
from lakehouse.spec.files import FilesSource
from lakehouse.write.commit import newest_batch
from lakehouse.write.setback import check_history, mark, newest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery
    from pyspark.sql.streaming.readwriter import DataStreamWriter

    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.lake.table import Table
    from lakehouse.read.feed import Feed
    from lakehouse.runtime.batch import Outcome
    from lakehouse.runtime.journal import Journal
    from lakehouse.runtime.workplace import Workplace
    from lakehouse.spec.job import Trigger
    from lakehouse.write.commit import WriteResult

_POLL = 1
"""Seconds between two looks at whether a stream has ended, or is to be."""

_SPARK_55271 = 'IterableOps.map(scala.Function1)" because the return value of "scala.Option.get()" is null'
"""How Spark 4.1's Kafka source ends a query that has run a batch again which was begun before: the batch is done with,
but its metrics lack what only a new batch asks for. Started again, the query goes on with the next one."""

_STATE = {
    "spark.sql.streaming.stateStore.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows": "false",
    "spark.sql.streaming.statefulOperator.allowMultiple": "true",
}
"""State that is on disk, not in the heap of Java; a batch writes no more of it than it changed, and counts no keys.

By the last one Spark shuts rows out by the watermark of the batch before: so they are counted, too.
"""

_IDLE = 5.0
"""Seconds that a stream which is to stop may take to end the batch that is done, before it is stopped as it is."""


def explain(work: Workplace, spark: SparkSession, target: Table, checkpoint: Checkpoint) -> WriteResult | None:
    """What the next batch would do to the target; None where there is none. The checkpoint is a copy, to be used up."""
    planned: list[WriteResult] = []

    def look(feed: Feed, batch: DataFrame, number: int) -> None:
        identity = Identity(work.job.job, work.run_id, "plan", number)
        due = _batch(work, feed, batch, identity, target, checkpoint)
        planned.extend([explained(due)] if due else [])
        raise _EnoughError

    try:
        _stream(work, spark, checkpoint, look, stop=threading.Event())
    except _EnoughError:
        return planned[0]
    return None


class _EnoughError(Exception):
    """What was done is all that was wanted."""


def run(
    work: Workplace,
    target: Table,
    checkpoint: Checkpoint,
    done: Callable[[Outcome], None],
    journal: Journal,
    stop: threading.Event,
    *,
    alone: bool = False,
    after: Callable[[DataFrame, Identity], None] = lambda *_: None,
) -> None:
    """Run every batch that is due; with another trigger than ``available_now``, until ``stop`` is set.

    ``alone``: no other runner of the job can be writing. ``after`` is called with what Spark gave and the identity of a
    batch that is done, and called again where a kill came before Spark noted it.

    Raises:
        LakehouseError: what a batch raised; the batches before it stay, and it is run again next time.
    """
    spark = journal.spark
    wrote = check_target(work, spark, target, checkpoint)
    journal.recover(target, checkpoint)
    newest = _newest(journal, target, checkpoint, wrote=wrote) if alone else -1
    seen = _Seen(newest, checkpoint.pending(spark), alone)
    stream_id = cache(lambda: str(checkpoint.id(spark)))
    beside = target.path != work.lake.table(target.name).path

    def each(feed: Feed, frame: DataFrame, number: int) -> None:
        nonlocal wrote
        # while Spark is not looking into the folder
        _archive(work, journal, checkpoint)
        identity = seen.known(Identity(work.job.job, work.run_id, stream_id(), number, beside=beside))
        batch = _batch(work, feed, frame, identity, target, checkpoint)
        if batch is None:
            return
        outcome = process(batch, journal)
        after(frame, batch.identity)
        if outcome.written.version is not None and not wrote:
            checkpoint.has_written(spark)
            wrote = True
        seen.changed |= not outcome.written.is_empty
        seen.asked |= outcome.status == "done" and not outcome.written.is_empty
        done(outcome)

    _archive(work, journal, checkpoint)
    with suppress(_EnoughError):
        _stream(work, spark, checkpoint, each, stop=stop, idle=journal.flush_if_due)
    _mark(work, spark, target, checkpoint, seen)
    _archive(work, journal, checkpoint, ended=True)


def check_target(work: Workplace, spark: SparkSession, target: Table, checkpoint: Checkpoint) -> bool:
    """Whether a batch of the checkpoint made a commit to the target, which must still hold it.

    Raises:
        CheckpointError: it does not.
    """
    wrote = checkpoint.wrote(spark)
    if wrote and not exists(spark, target):
        message = f"{checkpoint.path} has read what made {target.name}, which is not there any more"
        hint = f"put the table back; or lakehouse recover {work.job.job}, or build it anew with --full-refresh"
        raise CheckpointError(message, hint=hint)
    if wrote:
        check_history(spark, target, work.job.job, checkpoint.mark(spark))
    return wrote


def _mark(work: Workplace, spark: SparkSession, target: Table, checkpoint: Checkpoint, seen: _Seen) -> None:
    """Note the job's newest commit, where the run made one: the next run must find it.

    Of a table that is being rebuilt the versions are not the target's.
    """
    if target.path != work.lake.table(work.job.write.table).path:
        return
    if seen.changed and (last := newest_of(spark, target, work.job.job)):
        checkpoint.has_reached(spark, mark(last))


def _archive(work: Workplace, journal: Journal, checkpoint: Checkpoint, *, ended: bool = False) -> None:
    """Move the files away that were read by batches that are done with, where the job says so.

    A replay leaves them where they are.
    """
    name, source = work.job.stream
    if isinstance(source, FilesSource) and source.archive_to and work.span is None:
        if ended:
            journal.flush()
        archive(journal.spark, checkpoint, work.folders[name], work.folders[f"{name}.archive_to"], source)


def _batch(
    work: Workplace,
    feed: Feed,
    frame: DataFrame,
    identity: Identity,
    target: Table,
    checkpoint: Checkpoint,
) -> Batch | None:
    """A batch of the stream: how it is read, what it is made of, and at which versions its static sources are.

    It is None where it is none of the part that is to be read.
    """
    spark = frame.sparkSession
    name, _ = work.job.stream
    taken = feed.take(frame, identity.batch, checkpoint, work.run_id)
    if taken.lies == "behind":
        raise _EnoughError
    if taken.lies == "before":
        return None
    of_span = {"replay": str(work.span)} if work.span else {}
    identity = replace(identity, inputs={name: {**taken.inputs, **of_span}})
    incoming = Incoming(name, taken.arrive, feed.contract, feed.missing, taken.send_on, taken.is_stateful)
    begun = checkpoint.begun_at(spark, identity.batch) if work.job.asks_time else None
    return Batch(work, spark, identity, pinned(work, spark, identity), incoming, target, begun or datetime.now(UTC))


def _newest(journal: Journal, target: Table, checkpoint: Checkpoint, *, wrote: bool) -> int:
    """The newest batch of a checkpoint that was committed; the ledger's, where the log does not go back so far.

    Raises:
        CheckpointError: a batch was begun, and nothing tells any more whether it was committed.
    """
    spark, stream = journal.spark, checkpoint.id(journal.spark)
    if stream is None:
        return -1
    newest = newest_batch(spark, target, stream)
    if newest is not None:
        return newest
    newest, pending = newest_told(spark, journal.ledger, stream), checkpoint.pending(spark)
    if wrote and pending is not None and pending > newest:
        message = f"{checkpoint.path}: batch {pending} was begun, and the log tells no more whether it was committed"
        raise CheckpointError(message, hint="build the target anew with --full-refresh")
    return newest


@dataclass
class _Seen:
    """Which batches may have been made before, by this run or an earlier one: up to ``newest``, and ``pending``.

    Only one that comes after all of those can have been made by nobody. ``asked``: this run has made a commit with a
    transaction of Delta's, which knows those of earlier runs; ``changed``: it has made a commit, or found one.
    """

    newest: int
    pending: int | None
    alone: bool
    asked: bool = False
    changed: bool = False

    def known(self, identity: Identity) -> Identity:
        """A batch's identity with what is known of the batch before it is made."""
        past = identity.batch <= self.newest
        again = past or identity.batch == self.pending
        self.newest = max(identity.batch, self.newest)
        return replace(identity, again=again, past=past, sole=self.alone and self.asked and not again)


@dataclass
class _Turnstile:
    """Lets batches through one by one, and none any more once the stream is to stop."""

    each: Callable[[DataFrame, int], None]
    stop: threading.Event
    failures: list[Exception] = field(default_factory=list)
    busy: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False

    def close(self) -> None:
        """Let none through any more, also of a query that nobody has a hold of; the one that is within ends first."""
        self.closed = True
        with self.busy:
            pass

    def __call__(self, batch: DataFrame, number: int) -> None:
        """Called by Spark, in a thread of its own."""
        with self.busy:
            try:
                self._pass(batch, number)
            except Exception as failure:
                self.failures.append(failure)
                raise

    def _pass(self, batch: DataFrame, number: int) -> None:
        if self.stop.is_set() or self.closed:
            raise _EnoughError
        self.each(batch, number)


def _stream(
    work: Workplace,
    spark: SparkSession,
    checkpoint: Checkpoint,
    each: Callable[[Feed, DataFrame, int], None],
    *,
    stop: threading.Event,
    idle: Callable[[], None] = lambda: None,
) -> None:
    """Hand over every batch that is due.

    Raises:
        LakehouseError: what a batch raised; the batches before it stay, and it is run again next time.
    """
    feed = feed_of(work)
    only_begun = feed.look(spark, checkpoint)
    mode = work.job.output_mode
    checkpoint.claim(spark, owner(work, feed))
    turnstile = _Turnstile(lambda batch, number: each(feed, batch, number), stop)
    frame = feed.stream(spark, work.run_id)
    if feed.gives_rows and is_judged_alone(feed.contract):
        frame = judge(frame, feed.contract, missing=feed.missing)
    writer = (
        frame.writeStream.foreachBatch(turnstile)
        .outputMode(mode)
        .queryName(f"{work.job.job} {work.run_id}")
        .option("checkpointLocation", checkpoint.path)
    )
    again = True
    try:
        while again:
            with having(spark, _STATE if work.job.is_stateful else {}):
                query = triggered(writer, "once" if only_begun else work.job.trigger).start()
            again = _to_its_end(query, turnstile, feed, idle) or (only_begun and not stop.is_set())
            only_begun = again and feed.look(spark, checkpoint)
    finally:
        turnstile.close()


def owner(work: Workplace, feed: Feed) -> dict[str, str]:
    """Whose a checkpoint is: it holds places in this source, and a state of this form, for this target."""
    windows = {"windows": work.job.output_mode} if work.job.windows else {}
    return {"job": work.job.job, "source": feed.where, "target": work.job.write.table, **windows}


def _to_its_end(query: StreamingQuery, turnstile: _Turnstile, feed: Feed, idle: Callable[[], None]) -> bool:
    """Wait for the end of a query; whether it must be started again.

    Raises:
        LakehouseError: what a batch raised, or what Spark says of the source.
    """
    try:
        _awaited(query, turnstile, idle)
    except StreamingQueryException as error:
        failure = turnstile.failures[0] if turnstile.failures else None
        if turnstile.stop.is_set() and isinstance(failure, _EnoughError):
            return False
        if failure is None and _SPARK_55271 in str(error):
            return not turnstile.stop.is_set()
        if isinstance(failure, LakehouseError | _EnoughError):
            raise failure from None
        told = feed.failure(str(failure or error)) or (known(failure) if failure else classify_text(str(error)))
        unknown = failure or StreamFailedError(f"the stream of {feed.where} failed: {innermost(str(error))}")
        raise told or unknown from error
    finally:
        query.stop()
    return False


def _awaited(query: StreamingQuery, turnstile: _Turnstile, idle: Callable[[], None]) -> None:
    """Wait until the stream ends, by itself or after the batch in which it is told to stop."""
    while not query.awaitTermination(_POLL):
        idle()
        if turnstile.stop.is_set():
            # the batch that is being written is ended; one that Spark has begun since is left for the next run
            with turnstile.busy:
                pass
            until = time.monotonic() + _IDLE
            while query.isActive and query.status["isTriggerActive"] and time.monotonic() < until:
                time.sleep(0.05)
            return


def triggered(writer: DataStreamWriter, trigger: Trigger | Literal["once"]) -> DataStreamWriter:
    """The writer with the job's trigger; ``once`` runs one batch, which is the one that was begun."""
    if trigger == "once":
        return writer.trigger(once=True)
    if trigger == "available_now":
        return writer.trigger(availableNow=True)
    return writer.trigger(processingTime="0 seconds" if trigger == "as_fast_as_possible" else trigger)
