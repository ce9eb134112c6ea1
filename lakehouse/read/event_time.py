"""What a state makes of a stream: rows once, and windows; and beside it every row that came, so that each is counted.

Spark leaves out a late row or a duplicate without a word, and counts late ones after it has put them together. So the
rows that came are handed on, too. Spark reads a source that a stream names twice up to the same place, and notes a
batch's watermark before it runs the batch: ``lakehouse/check/late.py`` tells from it, row by row, what came too late.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql.types import TimestampNTZType, TimestampType

from lakehouse.errors import ColumnMissingError, ConfigError, first_line
from lakehouse.lake.batch import CAME, FAULTS, HANDED, LATE_AT, ONCE, SOURCE
from lakehouse.lake.frame import col, quoted
from lakehouse.lake.statements import expression
from lakehouse.spec.event_time import EVENTS, WINDOW_END, WINDOW_START, Watermark, Window, seconds

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.spec.source import TableSource


def taken_up(rows: DataFrame, source: TableSource, watermark: Watermark) -> DataFrame:
    """What the state hands on of a stream, and the rows that came, as one stream.

    Raises:
        ColumnMissingError: the rows lack a column that the source names.
        ConfigError: the watermark's column is no timestamp, or Spark does not understand an aggregate.
    """
    _fits(rows, source, watermark)
    faults = [F.when(col(name).isNull(), F.lit(f"NULL_VALUE:{name}")) for name in (watermark.column, *source.dedupe)]
    missing = F.array_compact(F.array(*faults))
    once = rows.where(F.size(missing) == 0).withWatermark(quoted(watermark.column), watermark.delay)
    if source.dedupe:
        once = once.dropDuplicatesWithinWatermark(list(source.dedupe))
    handed = windows(once, source.window, watermark) if source.window else once
    parts = [handed.select(F.struct(*map(col, handed.columns)).alias(HANDED))]
    if source.dedupe and source.window:
        # no aggregate tells which of a window's rows came in this batch: they are counted on their way into it
        parts.append(once.select(F.lit(True).alias(ONCE)))
    elif source.dedupe:
        parts[0] = parts[0].withColumn(ONCE, F.lit(True))
    parts.append(
        rows.select(
            F.struct(*[col(name) for name in rows.columns if name != SOURCE]).alias(CAME),
            F.col(SOURCE),
            missing.alias(FAULTS),
            F.struct(*_late_at(source, watermark)).alias(LATE_AT),
        )
    )
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts)


def columns(rows: DataFrame, source: TableSource) -> DataFrame:
    """The columns that the state hands on of such rows, with none of them.

    Raises:
        ColumnMissingError: the rows lack a column that the source names.
        ConfigError: the watermark's column is no timestamp, or Spark does not understand an aggregate.
    """
    rows = rows.limit(0)
    if source.watermark:
        _fits(rows, source, source.watermark)
    return windows(rows, source.window, source.watermark) if source.window and source.watermark else rows


def windows(rows: DataFrame, window: Window, watermark: Watermark) -> DataFrame:
    """The rows put together by when they happened."""
    stretch = F.window(col(watermark.column), window.size, window.step).alias("__window")
    values = [expression(value).alias(name) for name, value in window.values.items()]
    found = rows.groupBy(stretch, *map(col, window.by)).agg(*values, F.count("*").alias(EVENTS))
    return found.select(
        F.col("__window.start").alias(WINDOW_START),
        F.col("__window.end").alias(WINDOW_END),
        *[col(name) for name in (*window.by, *window.values, EVENTS)],
    )


def _late_at(source: TableSource, watermark: Watermark) -> tuple[Column, Column]:
    """The moments from which on the watermark shuts out a row, in µs: of the first of its windows, and of the last.

    A row that is looked at for duplicates is shut out by its own time, and so before its windows are over.
    """
    at = F.unix_micros(col(watermark.column).cast("timestamp"))
    first = last = at
    if source.window and not source.dedupe:
        step, size = (seconds(duration) * 1_000_000 for duration in (source.window.step, source.window.size))
        begun = at - F.pmod(at, F.lit(step))
        first, last = begun + F.lit(step), begun + F.lit(size)
    return first.alias("first"), last.alias("last")


def _fits(rows: DataFrame, source: TableSource, watermark: Watermark) -> None:
    there = {name.lower(): name for name in rows.columns}
    named = (watermark.column, *source.dedupe, *(source.window.by if source.window else ()))
    if lacking := [name for name in named if name.lower() not in there]:
        message = f"{source.table} has no column {lacking[0]} (it has {', '.join(rows.columns)})"
        raise ColumnMissingError(message, hint="correct the name in watermark, dedupe or window")
    kind = rows.schema[there[watermark.column.lower()]].dataType
    if not isinstance(kind, TimestampType | TimestampNTZType):
        message = f"watermark: {watermark.column} of {source.table} is {kind.simpleString()}, not a timestamp"
        raise ConfigError(message, hint="cast it in the job that writes the table: its contract can say so")
    for name, value in source.window.values.items() if source.window else ():
        try:
            rows.groupBy().agg(expression(value).alias("it")).schema  # noqa: B018 -- this is where Spark looks at it
        except PySparkException as error:
            message = f"window.values.{name}: Spark does not understand '{value}': {first_line(error)}"
            raise ConfigError(message) from None
