"""The history of quality, ``ops.quality``: what each rule came to with each batch, a row that is only ever added."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.frame import small_frame
from lakehouse.lake.table import create, exists, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from lakehouse.lake.table import Table
    from lakehouse.publish.ledger import Event

_COLUMNS = {
    "stream": "string",
    "batch": "bigint",
    "judged_at": "timestamp",
    "table": "string",
    "status": "string",
    **dict.fromkeys(("job", "run_id", "contract", "version", "rule", "dimension", "severity"), "string"),
    "judged": "bigint",
    "broken": "bigint",
    "score": "double",
}
_COMMENTS = {
    "stream": "The checkpoint of the job, by its id; NULL where a table was checked as it is",
    "table": "The target",
    "status": "done; failed: too much was broken, and nothing of the batch was written",
    "contract": "Where the contract stands: sources.NAME, write, or table (as it was published); run: the job's sla",
    "version": "Which contract it is: another one where anything of it is",
    "rule": "A rule, or RECORD (could be read), CAST (has its type) and NULL_VALUE (is there) for rows times columns",
    "dimension": "completeness, consistency, accuracy or timeliness",
    "judged": "How many rows the rule was asked of; 1 for a rule over all of them together",
    "broken": "How many of them broke it",
    "score": "The share that is right",
}


def record(spark: SparkSession, table: Table, events: Sequence[Event]) -> None:
    """Add what was found, in one commit."""
    if not exists(spark, table):
        create(
            spark,
            table,
            _COLUMNS,
            about="How good the rows of each batch were, by rule",
            comments=_COMMENTS,
            properties={
                "lakehouse.mode": "append",
                "delta.checkpointInterval": "100",
                "delta.dataSkippingNumIndexedCols": "4",
            },
        )
    rows = [row for event in events for row in _rows(event)]
    frame = small_frame(spark, rows, _COLUMNS)
    frame.coalesce(1).write.format("delta").mode("append").option("mergeSchema", "true").save(table.path)


def _rows(event: Event) -> list[list[object]]:
    of_batch = [event.stream, event.batch, event.ended_at.isoformat(), event.target]
    status = "failed" if event.status == "failed" else "done"
    return [
        [*of_batch, status, event.job, event.run_id, quality.contract, quality.version, *astuple(one), one.score]
        for quality in event.quality
        for one in quality.judgements
    ]


def newest_batch(spark: SparkSession, table: Table, stream: str, run_id: str | None = None) -> int:
    """The newest batch of a checkpoint that was written and that the history tells of; -1 where there is none.

    ``run_id``: of that run alone, as the batches of a job with no incremental source have all the same number.
    """
    if not exists(spark, table):
        return -1
    found = read_table(spark, table).where((F.col("stream") == stream) & (F.col("status") == "done"))
    found = found.where(F.col("run_id") == run_id) if run_id else found
    newest = found.agg(F.max("batch").alias("newest")).collect()[0].newest
    return -1 if newest is None else int(newest)
