"""Expire: rows of the quarantine that were dealt with go once they are older than their job wants to keep them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.check import quarantine
from lakehouse.lake.statements import expression
from lakehouse.maintain.commit import Done, attempted, noted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from pyspark.sql import SparkSession

    from lakehouse.lake.table import Table


def expire(spark: SparkSession, table: Table, kept: Mapping[str, timedelta], *, dry_run: bool = False) -> Done:
    """Remove the rows that were requeued, replayed or discarded longer ago than their job keeps them.

    Rows that nobody has dealt with are never removed, however old they are: they are counted.

    Args:
        spark: the session.
        table: a quarantine.
        kept: how long, by job; rows of others stay.
        dry_run: say how many would go.

    Raises:
        WriteConflictError: other writers were quicker each time.
    """
    now = datetime.now(UTC)
    closed, still_open = zip(*(quarantine.closed_before(job, now - time) for job, time in kept.items()), strict=True)
    old, waiting = (" OR ".join(f"({which})" for which in one) for one in (closed, still_open))
    rows = quarantine.every_row(spark, table)
    found = rows.agg(
        F.count_if(expression(old)).alias("old"), F.count_if(expression(waiting)).alias("waiting")
    ).collect()[0]
    why = f"rows dealt with longer ago than {', '.join(sorted({str(time) for time in kept.values()}))}"
    if found.waiting:
        why += "; rows as old that nobody has dealt with stay: requeue or discard them"
    counts = {"rows": found.old, "open_rows_kept": found.waiting}
    if not found.old:
        return Done("expire", "nothing", why, counts)
    if dry_run:
        return Done("expire", "planned", why, counts)
    with noted(spark, "expire"):
        gone = attempted(lambda: quarantine.expire(spark, table, old), table, "expire")
    return Done("expire", "done", why, {**counts, "rows": gone})
