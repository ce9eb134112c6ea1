"""A table, for a person: what it holds, and who wrote it last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.check.quarantine import open_rows
from lakehouse.lake.table import head, read_table
from lakehouse.runtime.breaker import held_as, standing
from lakehouse.runtime.session import settled, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from lakehouse.lake.place import Lake

_RUNS = 10


def shown(table: str, lake: Lake, *, spark: SparkSession | None = None) -> Iterator[str]:
    """The table's columns, its version and what is in quarantine for it, and the last runs that wrote it.

    Raises:
        SourceNotFoundError: there is no such table; NotDeltaError: it is something else.
    """
    spark = spark or start("show", {})
    with settled(spark, {}):
        place = lake.table(table)
        frame = read_table(spark, place)
        newest = head(spark, place)
        yield f"{table}  version {newest.version if newest else '?'}  {frame.count():,} rows  {place.path}"
        for field in frame.schema.fields:
            about = field.metadata.get("comment", "")
            yield f"  {field.name}  {field.dataType.simpleString()}" + (f"  -- {about}" if about else "")
        quarantine = lake.quarantine(table)
        if head(spark, quarantine):
            yield f"quarantine  {quarantine.name}"
            by_code = open_rows(spark, quarantine).groupBy("code").count().orderBy(F.desc("count"), "code")
            for row in by_code.collect():
                yield f"  {row.code}  {row['count']:,}"
        if head(spark, lake.ledger):
            runs = read_table(spark, lake.ledger).where((F.col("event") == "run") & (F.col("target") == table))
            yield "last runs"
            last = runs.orderBy(F.desc("started_at")).limit(_RUNS).collect()
            for row in last:
                ended = f"{row.started_at:%Y-%m-%d %H:%M:%S}  {row.job}  {row.run_id}  {row.status}"
                names = ("read", "quarantined", "inserted", "updated")
                counts = ", ".join(f"{name} {row[name]:,}" for name in names)
                yield f"  {ended}  {counts}" + (f"  {row.error_code}" if row.error_code else "")
            for job in sorted({row.job for row in last}):
                if hold := standing(spark, lake.ledger, job).hold:
                    yield held_as(job, hold)
