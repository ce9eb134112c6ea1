"""Where rows go that cannot be used: one table for each target, each row as it was received."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.errors import CommitMissingError, ImbalanceError
from lakehouse.lake.batch import RECEIVED_TYPE, SOURCE_TYPE
from lakehouse.lake.frame import literal, small_frame
from lakehouse.lake.table import commits, create, exists, head

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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
}
_STAMPS = {
    "stage": "string",
    "job": "string",
    "run_id": "string",
    "stream": "string",
    "batch": "bigint",
    "quarantined_at": "timestamp",
}
_COMMENTS = {
    "record": "The row as it was received: its text, else its columns as JSON; NULL for a whole file",
    "received": "The message that it came in: key, value and headers, byte by byte; of Kafka only",
    "source": "Where it came from: file and position, or topic, partition and offset",
    "code": "Why it cannot be used, for programs",
    "reasons": "Everything that is wrong with it, as CODE:column or CODE:rule",
    "message": "Why it cannot be used, for people",
    "stage": "read (as it came) or write (after the transform)",
    "job": "The job that met it",
    "run_id": "The run that met it",
    "stream": "The job's checkpoint, by its id",
    "batch": "The batch of that checkpoint",
    "quarantined_at": "When that run put it here",
}


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
            {**_ROW, **_STAMPS},
            about="Rows that could not be used, as they were received",
            comments=_COMMENTS,
            properties={"lakehouse.mode": "append", "delta.dataSkippingStatsColumns": "code,run_id,stream,batch"},
        )
    sources = [{"file": file.file, "run_id": identity.run_id} for file in bad_files]
    as_rows = small_frame(
        spark,
        [
            [None, None, source, file.code, [file.code], file.message]
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


def _stamped(frame: DataFrame, stage: str, identity: Identity, now: datetime) -> DataFrame:
    return frame.select(
        "record",
        (F.col("received") if "received" in frame.columns else F.lit(None)).cast(RECEIVED_TYPE).alias("received"),
        F.col("source").cast(SOURCE_TYPE).alias("source"),
        "code",
        "reasons",
        "message",
        F.lit(stage).alias("stage"),
        F.lit(identity.job).alias("job"),
        F.lit(identity.run_id).alias("run_id"),
        F.lit(identity.stream).alias("stream"),
        F.lit(identity.batch).cast("bigint").alias("batch"),
        F.lit(now).cast("timestamp").alias("quarantined_at"),
    )
