"""Forget: events that a table remembers beside itself go once they are older than the job wants to know."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.frame import col
from lakehouse.lake.statements import expression
from lakehouse.lake.table import read_table
from lakehouse.maintain.commit import attempted, note, noted

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructField

    from lakehouse.lake.table import Table

FORGOTTEN, FORGETTABLE = "forgotten", ("event", "truncate")
"""Kinds of remembered rows: what stands for all that was forgotten, and what may be. Snapshots never are."""


def forget(spark: SparkSession, auxiliary: Table, older_than: datetime) -> int:
    """Remove the events that were put aside before a time; how many they were.

    In their place one row stays, the last by the order of events of all that were ever forgotten, in the same commit:
    an event that is not newer than it comes too late to be judged, and the writer can tell. Without anything to forget
    there is no commit.

    Args:
        spark: the session.
        auxiliary: the table of a target's remembered events.
        older_than: a time with its zone.

    Raises:
        WriteConflictError: other writers were quicker each time.
    """
    at = f"TIMESTAMP '{older_than.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00:00'"
    kinds = ", ".join(f"'{kind}'" for kind in FORGETTABLE)
    old = f"(_kind IN ({kinds}) AND _kept_at < {at}) OR _kind = '{FORGOTTEN}'"

    def forgotten() -> int:
        # the frame is evaluated inside of the commit's own transaction, which so has read what it replaces
        table = read_table(spark, auxiliary)
        found = table.where(expression(old))
        count = found.where(F.col("_kind") != FORGOTTEN).count()
        if count:
            writer = _remains(found, table, at).coalesce(1).write.format("delta").mode("overwrite")
            writer.option("replaceWhere", old).option("userMetadata", note("forget")).save(auxiliary.path)
        return count

    with noted(spark, "forget"):
        return attempted(forgotten, auxiliary, "forget")


def forgettable(spark: SparkSession, auxiliary: Table, older_than: datetime) -> int:
    """How many events ``forget`` would remove."""
    table = read_table(spark, auxiliary)
    return table.where(F.col("_kind").isin(*FORGETTABLE) & (F.col("_kept_at") < F.lit(older_than))).count()


def _remains(found: DataFrame, table: DataFrame, at: str) -> DataFrame:
    """The one row that stands for all of these."""
    told = {
        "_kind": F.lit(FORGOTTEN),
        # by sequence first, as all events are ordered
        "_event": F.col("_event"),
        "_kept_at": expression(at),
        # of no batch: NULL would be neither a batch's own row nor another's
        "_stream": F.lit(""),
        "_batch": F.lit(-1),
    }

    def kept(field: StructField) -> Column:
        value = told.get(field.name, F.lit(None))
        return value.cast(field.dataType).alias(field.name)

    last = found.agg(F.max(col("_event")).alias("_event"))
    return last.select([kept(field) for field in table.schema.fields])
