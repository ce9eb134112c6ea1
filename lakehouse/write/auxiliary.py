"""What a table must remember and does not show: deletions, events that changed nothing, snapshots.

The auxiliary table is committed before its target. A kill in between leaves it with events that the target has not yet:
they are the same batch's, which is run again, and an event that is there twice is there once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.errors import TypeChangeError
from lakehouse.lake.frame import col, literal
from lakehouse.lake.statements import run_sql
from lakehouse.lake.table import create, exists, read_table
from lakehouse.lake.types import alike, brought, joined
from lakehouse.write.events import EVENT, key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from lakehouse.lake.batch import Identity
    from lakehouse.lake.table import Table
    from lakehouse.spec.write import Scd1Write, Scd2Write, SnapshotWrite

STEP = "auxiliary"
EVENT_KIND, TRUNCATE_KIND, FORGOTTEN_KIND, SNAPSHOT_KIND = "event", "truncate", "forgotten", "snapshot"


def recalled(spark: SparkSession, target: Table, identity: Identity) -> DataFrame | None:
    """All that is remembered but what an earlier attempt at this very batch put there; None where there is nothing."""
    if not exists(spark, target.auxiliary):
        return None
    own = (F.col("_stream") == identity.stream) & (F.col("_batch") == identity.batch)
    return read_table(spark, target.auxiliary).where(~own)


def forget_attempt(spark: SparkSession, target: Table, identity: Identity) -> None:
    """Take back what an earlier attempt at this batch remembered, where the batch itself has nothing to remember."""
    if exists(spark, target.auxiliary):
        run_sql(spark, f"DELETE FROM {target.auxiliary.sql} WHERE {_own(identity)}")  # noqa: S608 -- quoted


def _own(identity: Identity) -> str:
    return f"_stream = {literal(identity.stream)} AND _batch = {identity.batch}"


def events(auxiliary: DataFrame, count: int) -> DataFrame:
    """The remembered events of keys, with the keys under the engine's own names."""
    named = [F.col(f"_key.{key(index)}").alias(key(index)) for index in range(count)]
    return auxiliary.where(F.col("_kind") == EVENT_KIND).select("*", *named)


def greatest(auxiliary: DataFrame, kind: str) -> DataFrame:
    """One row with the greatest event of a kind, NULL where there is none."""
    return auxiliary.where(F.col("_kind") == kind).agg(F.max("_event").alias("_event"))


def remember(
    rows: DataFrame,
    target: Table,
    identity: Identity,
    spec: Scd1Write | Scd2Write | SnapshotWrite,
    *,
    kept: Sequence[str] = (),
) -> None:
    """Keep events aside, before the target's own commit.

    Args:
        rows: the events: ``__k0``…, ``__event``, ``__kind``, and the columns in ``kept``.
        target: the table whose events they are.
        identity: the batch; what an earlier attempt at it put there is replaced.
        spec: the write.
        kept: the columns whose values the fold will need again.
    """
    spark = rows.sparkSession
    fields = [F.col(key(index)) for index in range(len(spec.keys))]
    shown = rows.select(
        F.col("__kind").alias("_kind"),
        F.struct(*fields).alias("_key"),
        F.col(EVENT).alias("_event"),
        *([F.struct(*[col(name) for name in kept]).alias("_row")] if kept else []),
        F.lit(datetime.now(UTC)).cast("timestamp").alias("_kept_at"),
        F.lit(identity.stream).alias("_stream"),
        F.lit(identity.batch).cast("bigint").alias("_batch"),
    )
    if exists(spark, target.auxiliary):
        shown = _brought(shown, read_table(spark, target.auxiliary).schema, target)
    else:
        create(
            spark,
            target.auxiliary,
            shown.schema,
            about=f"What {target.name} must remember and does not show; made and read by its job alone",
            properties={
                "delta.enableDeletionVectors": "true",
                "delta.checkpointInterval": "50",
                # keys, sequences and columns grow as those of the target do
                "delta.enableTypeWidening": "true",
                "delta.feature.timestampNtz": "supported",
                **({"delta.columnMapping.mode": "name"} if spec.column_mapping == "name" else {}),
            },
        )
    writer = (
        shown.coalesce(1)
        .write.format("delta")
        .option("mergeSchema", "true")
        .options(**identity.options(STEP, {}, once=False))
    )
    if identity.again or not identity.incremental:
        writer.mode("overwrite").option("replaceWhere", _own(identity)).save(target.auxiliary.path)
    else:
        writer.mode("append").save(target.auxiliary.path)


def _brought(rows: DataFrame, held: StructType, target: Table) -> DataFrame:
    """The rows with the types that the auxiliary table has for them.

    An event that the target does not show may have brought a column to it that the target has not, so that the next
    one with the column finds another type here than there.

    Raises:
        TypeChangeError: a type does not hold the values of the rows.
    """
    if alike(held, rows.schema):
        return rows
    after, differences = joined(held, rows.schema)
    if wrong := [one for one in differences if one.kind == "clash"]:
        told = ", ".join(one.path.removeprefix("_row.") for one in wrong)
        message = f"{target.name}: {told} had another type in an event that is remembered and shows in no row"
        raise TypeChangeError(message, hint="cast in transform(), or rebuild the table with --full-refresh")
    kinds = {field.name: field.dataType for field in after.fields}
    return rows.select(*[brought(col(one.name), one.dataType, kinds[one.name]).alias(one.name) for one in rows.schema])
