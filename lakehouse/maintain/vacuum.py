"""Vacuum: files that no version of the table needs any more are removed, unless somebody has still to read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.frame import literal
from lakehouse.lake.statements import run_sql
from lakehouse.lake.table import commits, head
from lakehouse.maintain.commit import Done, attempted, noted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import SparkSession

    from lakehouse.lake.table import Table
    from lakehouse.maintain.readers import Need

LEAST = timedelta(days=7)
"""Shorter is for those who know that nobody reads or writes: a query or a write may take as long."""


def vacuum(
    spark: SparkSession, table: Table, retain: timedelta, needs: Sequence[Need] = (), *, dry_run: bool = False
) -> Done:
    """Remove the files that left the table longer ago than ``retain``, than the table itself says, and than any need.

    It makes no commit where there is nothing to remove. How long ``retain`` must be is for the caller to say.

    Args:
        spark: the session.
        table: the table.
        retain: how long a file is kept that is no part of the newest version any more.
        needs: who reads older versions.
        dry_run: say what would go.
    """
    for need in needs:
        if need.since is None:
            return Done("vacuum", "skipped", need.why)
    detail = run_sql(spark, f"DESCRIBE DETAIL {table.sql}").select(
        "properties", F.unix_seconds("createdAt").alias("made")
    )
    found = detail.collect()[0]
    now = datetime.now(UTC)
    own = _own(spark, found.properties or {})
    kept, why = _kept(retain, own, needs, now)
    if found.made is not None and found.made > (now - kept).timestamp():
        # no listing is needed to know
        return Done("vacuum", "nothing", f"the table is younger; {why}")
    if kept > own:
        # of what left it before, Delta sees only that it is no part of the table, and would remove it by its age
        told = f"the table remembers for {_told(own)} only which files left it, by delta.deletedFileRetentionDuration"
        return Done("vacuum", "skipped", f"{why}; {told}")
    hours = math.ceil(kept.total_seconds() / 36) / 100
    statement = f"VACUUM {table.sql} RETAIN {hours:.2f} HOURS"
    # Delta lists folders in ten thousand tasks otherwise, which take minutes for the smallest table
    tasks = spark.conf.get("spark.sql.shuffle.partitions", None) or "200"
    settings = {
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": tasks,
        # and does not heed RETAIN; where it cannot be told to, it keeps what the table says, which is no less
        "spark.databricks.delta.vacuum.retentionWindowIgnore.enabled": "false",
        "spark.databricks.delta.retentionDurationCheck.enabled": "true" if kept >= LEAST else "false",
    }
    with noted(spark, "vacuum", settings):
        files = run_sql(spark, f"{statement} DRY RUN").count()
        if not files:
            return Done("vacuum", "nothing", f"no file is older; {why}")
        if dry_run:
            return Done("vacuum", "planned", why, {"files": files})
        before = head(spark, table)
        attempted(lambda: run_sql(spark, statement).collect(), table, "vacuum")
    since = before.version if before else -1
    made = {one.operation: one.metrics for one in commits(spark, table, 20) if one.version > since}
    # not every storage has these commits: there the listing tells
    counts = {"files": made.get("VACUUM END", {}).get("numDeletedFiles", files)}
    if "sizeOfDataToDelete" in made.get("VACUUM START", {}):
        counts["bytes"] = made["VACUUM START"]["sizeOfDataToDelete"]
    return Done("vacuum", "done", why, counts)


def _kept(retain: timedelta, own: timedelta, needs: Sequence[Need], now: datetime) -> tuple[timedelta, str]:
    """How long files are kept, and who wants it."""
    wishes = [(retain, f"files are kept for {_told(retain)}")]
    if own > LEAST:
        wishes.append((own, f"the table itself says {_told(own)}"))
    wishes += [(now - need.since, f"{need.why}: files are kept since then") for need in needs if need.since]
    return max(wishes, key=lambda wish: wish[0])


def _own(spark: SparkSession, properties: Mapping[str, str]) -> timedelta:
    """For how long the table remembers which files left it: a week, where nothing else was given to it."""
    said = properties.get("delta.deletedFileRetentionDuration")
    if not said:
        return timedelta(days=7)
    epoch = "TIMESTAMP '1970-01-01 00:00:00+00:00'"
    row = run_sql(spark, f"SELECT unix_seconds({epoch} + CAST({literal(said)} AS INTERVAL)) AS seconds").collect()[0]
    return timedelta(seconds=row.seconds)


def _told(time: timedelta) -> str:
    hours = round(time.total_seconds() / 3600)
    return f"{hours // 24} days" if hours % 24 == 0 else f"{hours} hours"
