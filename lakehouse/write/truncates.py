"""Truncates of scd2: each is a deletion of every key, as of its place in the order of events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from lakehouse.lake.batch import CODE
from lakehouse.write import auxiliary
from lakehouse.write.events import EVENT, FATE, KIND, RANK, REMEMBER, TRUNCATE

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

CUT = "__cut"
"""Beside an event of a timeline: it is a truncate; beside one that was judged: a truncate that ended a version."""
_FORGOTTEN, _KNOWN, _ENDS = "__forgotten", "__known_cut", "__ends"


def of_batch(batch: DataFrame, remembered: DataFrame | None, kind: str) -> DataFrame:
    """The truncates of a batch with ``__late``: nobody can tell any more what one ended."""
    rows = batch.where(F.col(TRUNCATE)).withColumn(EVENT, F.col(EVENT).cast(kind))
    if remembered is None:
        return rows.withColumn("__late", F.lit(False))
    forgotten = auxiliary.greatest(remembered, auxiliary.FORGOTTEN_KIND)
    rows = rows.crossJoin(F.broadcast(forgotten.select(F.col("_event").cast(kind).alias(_FORGOTTEN))))
    return rows.withColumn("__late", _is_late(F.col(EVENT))).drop(_FORGOTTEN)


def heed(batch: DataFrame | None, remembered: DataFrame | None, kind: str) -> DataFrame | None:
    """The places of all truncates that count, in the column ``__event``; None where there cannot be any.

    Args:
        batch: the rows of a batch, where some of them are truncates.
        remembered: what the table's auxiliary table remembers.
        kind: the type of an event.
    """
    found = None if batch is None else of_batch(batch, remembered, kind).where(~F.col("__late")).select(EVENT)
    if remembered is None:
        return None if found is None else found.distinct()
    known = _known(remembered, kind)
    forgotten = auxiliary.greatest(remembered, auxiliary.FORGOTTEN_KIND)
    known = known.crossJoin(F.broadcast(forgotten.select(F.col("_event").cast(kind).alias(_FORGOTTEN))))
    # what is not newer than what was forgotten the versions show
    known = known.where(~_is_late(F.col(EVENT))).select(EVENT)
    return (known if found is None else known.unionByName(found)).distinct()


def judge(batch: DataFrame, remembered: DataFrame | None, ended: DataFrame, kind: str) -> DataFrame:
    """The fate of each truncate of a batch.

    Args:
        batch: the rows.
        remembered: what the table's auxiliary table remembers.
        ended: in ``__event`` the truncates that ended a version.
        kind: the type of an event.
    """
    rows = of_batch(batch, remembered, kind)
    rows = rows.withColumn(RANK, F.row_number().over(Window.partitionBy(EVENT).orderBy(EVENT)))
    found = ended.select(F.col(EVENT).alias(_ENDS)).distinct()
    rows = rows.join(F.broadcast(found), F.col(EVENT).eqNullSafe(F.col(_ENDS)), "left")
    if remembered is None:
        rows = rows.withColumn(_KNOWN, F.lit(None).cast(kind))
    else:
        known = _known(remembered, kind).select(F.col(EVENT).alias(_KNOWN)).distinct()
        rows = rows.join(F.broadcast(known), F.col(EVENT).eqNullSafe(F.col(_KNOWN)), "left")
    fate = (
        F.when(F.col(_KNOWN).isNotNull() | (F.col(RANK) > 1), "unchanged")
        .when(F.col("__late"), "rejected")
        .when(F.col(_ENDS).isNotNull(), "deleted")
        .otherwise("unchanged")
    )
    return rows.withColumns(
        {
            FATE: fate,
            REMEMBER: F.col(_KNOWN).isNull() & ~F.col("__late") & (F.col(RANK) == 1),
            KIND: F.lit(auxiliary.TRUNCATE_KIND),
            CODE: F.when(fate == "rejected", "LATE_EVENT"),
        }
    )


def _known(remembered: DataFrame, kind: str) -> DataFrame:
    own = remembered.where(F.col("_kind") == auxiliary.TRUNCATE_KIND)
    return own.select(F.col("_event").cast(kind).alias(EVENT))


def _is_late(event: Column) -> Column:
    return F.coalesce(event["sequence"] <= F.col(f"{_FORGOTTEN}.sequence"), F.lit(False))
