"""Rows that a state has taken up, sorted by what became of them: handed on, held, too late, or there already."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.check.contract import Checked
from lakehouse.errors import ImbalanceError
from lakehouse.lake.batch import CAME, FAULTS, HANDED, LATE_AT, ONCE, SOURCE
from lakehouse.lake.frame import as_json, counted
from lakehouse.lake.statements import expression

if TYPE_CHECKING:
    from lakehouse.lake.batch import Arrived

LATE = "BEHIND_WATERMARK"


def by_watermark(arrived: Arrived) -> Checked:
    """Sort rows as ``read.event_time`` hands them on; all of it is one pass over them.

    What was read, accepted and dropped are the rows that came; ``handed`` are those that the state makes of them.

    Raises:
        ImbalanceError: the state has taken more rows than came in time.
    """
    passed = F.lit(1000 * (arrived.watermark_ms or 0))
    is_late = F.col(LATE_AT)["last"] <= passed
    reasons = F.when(F.size(FAULTS) > 0, F.col(FAULTS)).when(is_late, F.array(F.lit(LATE)))
    came, aside = F.col(CAME).isNotNull(), F.col(FAULTS).isNotNull()
    rows = arrived.rows if ONCE in arrived.rows.columns else arrived.rows.withColumn(ONCE, F.lit(None))
    # a row that the state has taken is counted, and not carried
    slim = rows.withColumn(FAULTS, reasons).select(
        HANDED,
        ONCE,
        came.alias("__is_row"),
        (came & ~aside & (F.col(LATE_AT)["first"] <= passed)).alias("__is_partly_late"),
        F.when(aside, as_json(F.col(CAME))).alias("record"),
        F.when(aside, F.col(SOURCE)).alias("source"),
        F.split(F.element_at(FAULTS, 1), ":")[0].alias("code"),
        F.col(FAULTS).alias("reasons"),
    )
    kept, counts = counted(
        slim,
        F.count_if("__is_row").alias("read"),
        F.count(HANDED).alias("handed"),
        F.count(ONCE).alias("once"),
        F.count("code").alias("quarantined"),
        F.count_if("__is_partly_late").alias("late_for_some_windows"),
    )
    in_time = counts["read"] - counts["quarantined"]
    duplicates = in_time - counts["once"] if ONCE in arrived.rows.columns else 0
    if duplicates < 0:
        message = f"{in_time:,} rows came in time, and a state took {counts['once']:,} of them"
        raise ImbalanceError(message, hint="a fault of this library, or Spark reads the source in another way")
    at = datetime.fromtimestamp((arrived.watermark_ms or 0) / 1000, UTC)
    told = F.when(F.col("code") == LATE, f"the watermark was at {at.isoformat(timespec='milliseconds')}")
    rejected = kept.where(expression("code IS NOT NULL")).select(
        "record", "source", "code", "reasons", F.coalesce(told, F.array_join("reasons", ", ")).alias("message")
    )
    broken = {"dedupe": duplicates, "late_for_some_windows": counts["late_for_some_windows"]}
    return Checked(
        kept.where(F.col(HANDED).isNotNull()).select(f"{HANDED}.*"),
        rejected,
        read=counts["read"],
        kept=in_time - duplicates,
        quarantined=counts["quarantined"],
        dropped=duplicates,
        broken={name: count for name, count in broken.items() if count},
        handed=counts["handed"],
    )
