"""Lines of one length, cut by position: every value as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.batch import BYTES, CODE, MESSAGE, RAW, TEXT
from lakehouse.lake.frame import materialise
from lakehouse.read.scan import BLOCK, ORDINAL, URI, decode, glob_escaped, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.read.scan import Groups
    from lakehouse.spec.files import FilesSource, FixedWidthOptions


def groups(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> Groups:
    """All files together: their columns are the source's."""
    options = source.fixed_width
    if options is None:
        raise AssertionError

    def scan(some: Sequence[str]) -> DataFrame:
        lines = spark.read.text([glob_escaped(path) for path in some]).where(F.col("value") != "")
        return materialise(_cut(decode(lines.select("value", *place())), options))

    return [(paths, scan)], []


def columns(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> dict[str, str]:
    """The columns that the source names, all text."""
    del spark, paths
    return dict.fromkeys(source.fixed_width.columns if source.fixed_width else (), "string")


def _cut(lines: DataFrame, options: FixedWidthOptions) -> DataFrame:
    wanted = options.line_length or options.end
    good = F.char_length("value") == wanted

    def value(start: int, length: int) -> Column:
        cut = F.substring("value", start, length)
        cut = F.trim(cut) if options.trim else cut
        return F.when(good & (cut != ""), cut)

    cuts = [value(field.start, field.length).alias(name) for name, field in options.fields.items()]
    told = F.format_string(f"the line has %d characters, and not {wanted}", F.char_length("value"))
    return lines.select(
        *cuts,
        F.coalesce(RAW, F.when(~good, F.col("value"))).alias(RAW),
        F.coalesce(CODE, F.when(~good, "LINE_LENGTH")).alias(CODE),
        F.coalesce(MESSAGE, F.when(~good, told)).alias(MESSAGE),
        F.col("value").alias(TEXT),
        *map(F.col, (BYTES, URI, BLOCK, ORDINAL)),
    )
