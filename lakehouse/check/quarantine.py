"""Where rows go that cannot be used: one table for each target, each row as it was received."""

from __future__ import annotations

from contextlib import contextmanager
from functools import reduce
from typing import TYPE_CHECKING
from uuid import uuid4

from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from lakehouse.errors import CommitMissingError, ConfigError, ImbalanceError, first_line
from lakehouse.lake.batch import RECEIVED_TYPE, SOURCE_TYPE
from lakehouse.lake.frame import literal, small_frame
from lakehouse.lake.statements import expression, run_sql
from lakehouse.lake.table import commits, create, exists, head, read_table
from lakehouse.spec.document import nearest
from lakehouse.spec.expression import columns_of, row_condition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.lake.batch import BadFile, Identity
    from lakehouse.lake.table import Table

STEP = "quarantine"
_ROW = {
    "record": "string",
    "received": RECEIVED_TYPE,
    "source": SOURCE_TYPE,
    "code": "string",
    "reasons": "array<string>",
    "message": "string",
    "types": "string",
    "severity": "string",
    "contract": "string",
    "parsed": "string",
}
_NOTED = ("types", "severity", "contract", "parsed")
_STAMPS = {
    "stage": "string",
    "job": "string",
    "run_id": "string",
    "stream": "string",
    "batch": "bigint",
    "quarantined_at": "timestamp",
}
_MARKS = {
    "requeue": "string",
    "requeued_at": "timestamp",
    "outcome": "string",
    "closed_at": "timestamp",
    "closed_by": "string",
    "why": "string",
}
_COLUMNS = {**_ROW, **_STAMPS, **_MARKS}
_COMMENTS = {
    "record": "The row as it was received: its text, else its columns as JSON; NULL for a whole file",
    "received": "The message that it came in, byte by byte: of Kafka, and of a record of a file that is no text",
    "parsed": "Its columns as JSON, where the record is a text that has others, such as a line of a file",
    "source": "Where it came from: file and position, or topic, partition and offset",
    "code": "Why it cannot be used, for programs",
    "reasons": "Everything that is wrong with it, as CODE:column or CODE:rule",
    "message": "Why it cannot be used, for people",
    "types": "The types of the record's columns, where they are not all text",
    "severity": "How bad it is, by the worst rule that it broke and that says so",
    "contract": "The contract that judged it: name@version, or a hash of what it says",
    "stage": "read (as it came) or write (after the transform)",
    "job": "The job that met it",
    "run_id": "The run that met it",
    "stream": "The job's checkpoint, by its id",
    "batch": "The batch of that checkpoint",
    "quarantined_at": "When that run put it here",
    "requeue": "What took it up again: a requeue (its rows are of the stream requeue/<this>) or a replay (its stream)",
    "requeued_at": "When that was",
    "outcome": "What became of it: requeued, replayed or discarded; NULL while it is here to be dealt with",
    "closed_at": "When that was; after the write's quarantine_retention the row goes",
    "closed_by": "Who discarded it",
    "why": "Why it was discarded",
}

_PLACE = ("file", "position", "topic", "partition", "offset")

REQUEUE = "requeue/"
"""What the stream of a requeue begins with; its id follows."""

REPLAY = "replay/"
"""What the stream of a replay begins with; the id of its checkpoint follows."""

OPEN = "requeue IS NULL AND outcome IS NULL"
"""Rows that nobody has dealt with yet."""

DISCARDED = "outcome = 'discarded'"
"""Rows that a person has closed."""

UNFINISHED = "requeue IS NOT NULL AND outcome IS NULL"
"""Rows that a requeue has taken up, and is not done with."""


def put_aside(
    spark: SparkSession,
    table: Table,
    rejected: Mapping[str, Sequence[DataFrame]],
    bad_files: Sequence[BadFile],
    identity: Identity,
    *,
    now: datetime,
    expected: int,
) -> None:
    """Put the rows of one batch into its quarantine.

    A batch that is run again may see other rules than its first attempt, so it replaces what that one put there.

    Raises:
        ImbalanceError: the commit holds another number of rows than was counted.
        CommitMissingError: there is no commit.
    """
    if not exists(spark, table):
        create(
            spark,
            table,
            _COLUMNS,
            about="Rows that could not be used, as they were received",
            comments=_COMMENTS,
            properties={"lakehouse.mode": "append", "delta.dataSkippingStatsColumns": "code,run_id,stream,batch"},
        )
    sources = [{"file": file.file, "run_id": identity.run_id} for file in bad_files]
    as_rows = small_frame(
        spark,
        [
            [None, None, source, file.code, [file.code], file.message, None, None, None, None]
            for source, file in zip(sources, bad_files, strict=True)
        ],
        _ROW,
    )
    parts = [
        _stamped(frame, stage, identity, now)
        for stage, frames in {**rejected, "read": [*rejected.get("read", ()), as_rows]}.items()
        for frame in frames
    ]
    together = reduce(lambda one, other: one.unionByName(other), parts)
    writer = (
        together.coalesce(1)
        .write.format("delta")
        # a table of an older version has fewer columns
        .option("mergeSchema", "true")
        .options(**identity.options(STEP, {"counts": {"quarantined": expected}}, once=False))
    )
    if identity.again or not identity.incremental:
        same = f"stream = {literal(identity.stream)} AND batch = {identity.batch}"
        writer.mode("overwrite").option("replaceWhere", same).save(table.path)
    else:
        writer.mode("append").save(table.path)
    if not expected:
        return
    found = head(spark, table)
    if found is None or not identity.made(found.note, STEP) or found.note.get("run_id") != identity.run_id:
        # another job of the same target may have put rows aside meanwhile
        found = next((commit for commit in commits(spark, table, 100) if identity.made(commit.note, STEP)), None)
    if found is None:
        message = f"{table.name}: the rows of batch {identity.batch} were written, yet no commit holds them"
        raise CommitMissingError(message)
    if found.metrics.get("numOutputRows") != expected:
        message = (
            f"{table.name}: {expected} rows were to be put aside, the commit holds {found.metrics.get('numOutputRows')}"
        )
        raise ImbalanceError(message)
    if identity.stream.startswith(REPLAY):
        _discard_again(spark, table, identity)


def _discard_again(spark: SparkSession, table: Table, identity: Identity) -> None:
    """Close what a replay put aside of records that a person has discarded: they are no news to anybody."""
    _complete(spark, table)
    same = " AND ".join(f"q.source.{name} <=> d.{name}" for name in _PLACE)
    places = ", ".join(f"source.{name}" for name in _PLACE)
    job, stream = literal(identity.job), literal(identity.stream)
    own, others = f"q.job = {job} AND q.stream = {stream}", f"job = {job} AND stream <> {stream}"
    closed = f"record, max_by(closed_by, closed_at) AS who, max_by(why, closed_at) AS why FROM {table.sql}"
    seen = f"SELECT {places}, {closed} WHERE {DISCARDED} AND {others} GROUP BY {places}, record"
    run_sql(
        spark,
        f"MERGE INTO {table.sql} AS q USING ({seen}) AS d ON {own} AND q.batch = {identity.batch} "
        f"AND q.outcome IS NULL AND q.record <=> d.record AND {same} WHEN MATCHED THEN UPDATE SET "
        "outcome = 'discarded', closed_at = current_timestamp(), closed_by = d.who, why = d.why",
    )


def every_row(spark: SparkSession, table: Table) -> DataFrame:
    """The quarantine with all of its columns: a table of an older version has fewer."""
    frame = read_table(spark, table)
    lacking = {name: F.lit(None).cast(kind) for name, kind in _COLUMNS.items() if name not in frame.columns}
    return frame.withColumns(lacking) if lacking else frame


def open_rows(spark: SparkSession, table: Table) -> DataFrame:
    """The rows that nobody has dealt with yet."""
    return every_row(spark, table).where(expression(OPEN))


def condition(rows: DataFrame, text: str) -> str:
    """The text, once it is a condition on the columns of the quarantine.

    Raises:
        ConfigError: it is not, or names what there is not.
    """
    if fault := _fault(rows, text):
        message = f"--where {text}: {fault}"
        raise ConfigError(message, hint=f"the columns are {', '.join(_COLUMNS)}")
    return f"({row_condition(text)})"


def _fault(rows: DataFrame, text: str) -> str | None:
    """Why a text is no condition on the rows."""
    if "${" in text:
        return "it holds a reference"
    try:
        strange = sorted(name for name in columns_of(text) if name.lower() not in _COLUMNS)
        if strange:
            return f"the quarantine has no column '{strange[0]}'{nearest(strange[0], list(_COLUMNS))}"
        kind = rows.select(expression(row_condition(text)).alias("it")).schema["it"].dataType.simpleString()
    except (ValueError, PySparkException) as error:
        return first_line(error)
    if kind != "boolean":
        return f"it is {kind}, not true or false"
    return None


@contextmanager
def judging(where: str) -> Iterator[None]:
    """Say of a condition that fails on some row of the block that it does.

    Raises:
        ConfigError: it does.
    """
    try:
        yield
    except PySparkException as error:
        # what Spark says holds the value, which may be personal
        message = f"--where {where}: it fails on some row: {error.getCondition() or type(error).__name__}"
        raise ConfigError(message, hint="say what such a row means, with try_cast() and the like") from None


def mark(spark: SparkSession, table: Table, requeue: str, which: str) -> int:
    """Take up the open rows for which a condition is true, in one commit; how many there are.

    The rows that are taken up are those of the one moment, whatever is put aside meanwhile.
    """
    _complete(spark, table)
    taken = f"requeue = {literal(requeue)}, requeued_at = current_timestamp()"
    return _updated(spark, table, taken, f"{OPEN} AND {which}")


def _complete(spark: SparkSession, table: Table) -> None:
    """Give the quarantine all of its columns: a table of an older version has fewer."""
    have = read_table(spark, table).columns
    lacking = {name: kind for name, kind in _COLUMNS.items() if name not in have}
    if lacking:
        told = ", ".join(f"{name} {kind} COMMENT {literal(_COMMENTS[name])}" for name, kind in lacking.items())
        run_sql(spark, f"ALTER TABLE {table.sql} ADD COLUMNS ({told})")


def supersede(came: DataFrame, table: Table, identity: Identity, same: str) -> None:
    """Close what was put aside of records that a replay has read again: what is still wrong, it has put aside itself.

    Args:
        came: what was read again, each once; as ``c`` in the condition.
        table: the quarantine.
        identity: the replay's batch.
        same: the condition that a row of the quarantine, as ``q``, is of what came.
    """
    spark, view = came.sparkSession, f"lakehouse_{uuid4().hex}"
    _complete(spark, table)
    came.createOrReplaceTempView(view)
    others = f"q.job = {literal(identity.job)} AND q.stream <> {literal(identity.stream)}"
    try:
        run_sql(
            spark,
            f"MERGE INTO {table.sql} AS q USING {view} AS c "
            f"ON {others} AND q.requeue IS NULL AND q.outcome IS NULL AND ({same}) WHEN MATCHED THEN UPDATE SET "
            f"requeue = {literal(identity.stream)}, requeued_at = current_timestamp(), outcome = 'replayed', "
            "closed_at = current_timestamp()",
        )
    finally:
        spark.catalog.dropTempView(view)


def close(spark: SparkSession, table: Table, requeue: str) -> None:
    """Note that a requeue is done with its rows, in one commit."""
    _complete(spark, table)
    taken = f"requeue = {literal(requeue)} AND outcome IS NULL"
    _updated(spark, table, "outcome = 'requeued', closed_at = current_timestamp()", taken)


def release(spark: SparkSession, table: Table, requeue: str) -> None:
    """Undo a requeue that reached nothing: its rows are open again, and stand for what it put aside of them.

    That goes first: where this is ended in between, no row is there twice, and it is done again.
    """
    run_sql(spark, f"DELETE FROM {table.sql} WHERE stream = {literal(REQUEUE + requeue)}")  # noqa: S608 -- quoted
    taken = f"requeue = {literal(requeue)} AND outcome IS NULL"
    _updated(spark, table, "requeue = NULL, requeued_at = NULL", taken)


def take_back(spark: SparkSession, table: Table, which: str, requeues: Sequence[str]) -> None:
    """Undo what batches and requeues did here: the rows that were taken up are open again, and those they made go."""
    if requeues:
        taken = f"requeue IN ({', '.join(map(literal, requeues))})"
        _complete(spark, table)
        _updated(spark, table, "requeue = NULL, requeued_at = NULL, outcome = NULL, closed_at = NULL", taken)
    run_sql(spark, f"DELETE FROM {table.sql} WHERE {which}")  # noqa: S608 -- quoted


def discard(spark: SparkSession, table: Table, which: str, *, why: str, who: str) -> int:
    """Close the open rows for which a condition is true, in one commit; how many they were.

    They stay here as they were received, until they are old enough to go.
    """
    _complete(spark, table)
    closed = f"outcome = 'discarded', closed_at = current_timestamp(), closed_by = {literal(who)}, why = {literal(why)}"
    return _updated(spark, table, closed, f"{OPEN} AND {which}")


def reopen(spark: SparkSession, table: Table, which: str) -> int:
    """Take back that rows were discarded, in one commit; of how many."""
    _complete(spark, table)
    opened = "outcome = NULL, closed_at = NULL, closed_by = NULL, why = NULL"
    return _updated(spark, table, opened, f"{DISCARDED} AND {which}")


def closed_before(job: str, limit: datetime) -> tuple[str, str]:
    """The conditions by which rows of a job are closed since before a time, and are as old and not dealt with."""
    at, own = f"TIMESTAMP {literal(limit.isoformat())}", f"job = {literal(job)}"
    closed = f"{own} AND outcome IS NOT NULL AND coalesce(closed_at, requeued_at, quarantined_at) < {at}"
    return closed, f"{own} AND outcome IS NULL AND quarantined_at < {at}"


def expire(spark: SparkSession, table: Table, which: str) -> int:
    """Remove rows for good, in one commit; how many they were. Their bytes go with the files, by vacuum."""
    _complete(spark, table)
    return int(run_sql(spark, f"DELETE FROM {table.sql} WHERE {which}").collect()[0][0])  # noqa: S608 -- quoted


def _updated(spark: SparkSession, table: Table, what: str, which: str) -> int:
    """Change marks, in one commit; of how many rows. Spark has judged the condition by itself before."""
    return int(run_sql(spark, f"UPDATE {table.sql} SET {what} WHERE {which}").collect()[0][0])  # noqa: S608 -- judged


def _stamped(frame: DataFrame, stage: str, identity: Identity, now: datetime) -> DataFrame:
    return frame.select(
        "record",
        (F.col("received") if "received" in frame.columns else F.lit(None)).cast(RECEIVED_TYPE).alias("received"),
        F.col("source").cast(SOURCE_TYPE).alias("source"),
        "code",
        "reasons",
        "message",
        *[(F.col(name) if name in frame.columns else F.lit(None)).cast("string").alias(name) for name in _NOTED],
        F.lit(stage).alias("stage"),
        F.lit(identity.job).alias("job"),
        F.lit(identity.run_id).alias("run_id"),
        F.lit(identity.stream).alias("stream"),
        F.lit(identity.batch).cast("bigint").alias("batch"),
        F.lit(now).cast("timestamp").alias("quarantined_at"),
    )
