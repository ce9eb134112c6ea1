"""What a parser of delimited text takes for a value and is none: held against the text of the file itself.

Of a line break of two characters the first is left at the end of a record. A quote that is not closed, and a line break
of another kind than the header's, take the records after them for their own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.batch import RAW
from lakehouse.lake.frame import as_json, col, materialise
from lakehouse.lake.statements import array_of, expression, struct_of
from lakehouse.lake.storage import plain_path
from lakehouse.read.scan import ORDINAL, URI, glob_escaped, holds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.read.csv import Header
    from lakehouse.spec.files import CsvOptions

UNCLOSED, LINE_BREAK = "UNCLOSED_QUOTE", "LINE_BREAK"
ODD, _BREAKS, _STRANGE = "__odd", "__breaks", "__strange"
OWN = "__own"
"""Beside a row: the code of what is wrong with it, but for the number of its fields."""


def drop_returns(rows: DataFrame, header: Header, options: CsvOptions) -> DataFrame:
    """The rows without the carriage return of a line break; one at the end of a quoted value is the value's."""
    if options.line_separator:
        return rows
    last = header.names[-1]
    keeps = F.lit(False)
    joined = rows
    if options.quote and (texts := _texts_with(rows, col(last).endswith("\r"), f"\r{options.quote}", options)):
        joined = rows.join(texts, URI, "left")
        stands = F.concat(F.lit(options.quote), _written(col(last), options), F.lit(options.quote))
        keeps = F.coalesce(F.col("__text").contains(stands), F.lit(False))
    bare = F.regexp_replace(col(last), r"\r\z", "")
    # an empty field before the line break is NULL
    value = F.when(keeps, col(last)).otherwise(F.when(col(last) != "\r", bare))
    stripped = joined.withColumns({last: value, RAW: F.regexp_replace(RAW, r"\r\z", "")}).drop("__text")
    return stripped if joined is rows else materialise(stripped)


def _texts_with(rows: DataFrame, suspicious: Column, text: str, options: CsvOptions) -> DataFrame | None:
    """The texts of those files with a suspicious row that hold a text; None where there are none.

    The text is looked for line by line first, as few files hold it.
    """
    paths = _paths(rows.where(suspicious))
    if not paths:
        return None
    spark = rows.sparkSession
    lines = spark.read.text([glob_escaped(path) for path in paths], lineSep="\n")
    held = lines.where(F.col("value").contains(text)).select(F.col("_metadata.file_path").alias(URI))
    found = _paths(held)
    return _whole(spark, found, options) if found else None


def _paths(rows: DataFrame) -> list[str]:
    return sorted(plain_path(row[URI], encoded=True) for row in rows.select(URI).distinct().collect())


def _whole(spark: SparkSession, paths: Sequence[str], options: CsvOptions) -> DataFrame:
    """The whole text of each file, with its place."""
    texts = spark.read.text([glob_escaped(path) for path in paths], wholetext=True)
    return texts.select(_unescaped(F.col("value"), options).alias("__text"), F.col("_metadata.file_path").alias(URI))


def find_swallowed(rows: DataFrame, header: Header, options: CsvOptions) -> DataFrame:
    """The rows, with those that took the records after them for their own.

    A quote that is not closed does so: such a value holds a line break and either begins with the quote or is in the
    last record. So does a line break of another kind than the header's. Only these are looked for in the file's text: a
    good one stands there between two quotes.
    """
    if not options.quote:
        return rows
    ends, other = _patterns(header, options)

    def breaks(value: Column) -> Column:
        return value.rlike(ends)

    def is_strange(value: Column) -> Column:
        return (breaks(value) & value.startswith(options.quote)) | (value.rlike(other) & F.col(RAW).isNull())

    values = array_of(header.names)
    last = rows.groupBy(URI).agg(
        F.max(ORDINAL).alias("__last"), F.max_by(_BREAKS, ORDINAL).alias("__ends"), F.max(_STRANGE).alias("__strange")
    )
    suspects = _paths(last.where(expression("__ends OR __strange")))
    if not suspects:
        return rows.withColumn(OWN, F.coalesce(OWN, _mixed(F.col(RAW), other, options)))
    texts = _whole(rows.sparkSession, suspects, options)
    joined = rows.join(last.select(URI, "__last"), URI, "left").join(texts, URI, "left")
    is_last = F.col(ORDINAL) == F.col("__last")
    quote = F.lit(options.quote)

    def lost(value: Column) -> Column:
        stands = F.col("__text").contains(F.concat(quote, _written(value, options), quote))
        return (is_strange(value) | (breaks(value) & is_last)) & ~stands

    def foreign(value: Column) -> Column:
        """Whether what it holds is a line break of another kind, and no quote is open."""
        open_quote = F.col("__text").contains(F.concat(quote, value)) & ~value.startswith(options.quote)
        odd = (F.length(value) - F.length(F.replace(value, quote, F.lit("")))) % 2 == 1
        return value.rlike(other) & ~odd & ~open_quote

    code = F.when(holds(values, lambda value: lost(value) & foreign(value)), LINE_BREAK)
    code = code.when(holds(values, lost), UNCLOSED)
    shown = as_json(struct_of(header.names))
    joined = materialise(joined.withColumn("__swallows", code).drop("__last", "__text"))
    found = F.coalesce(OWN, _mixed(F.col(RAW), other, options), "__swallows")
    return joined.withColumns({RAW: F.coalesce(RAW, F.when(F.col("__swallows").isNotNull(), shown)), OWN: found})


def _mixed(raw: Column, other: str, options: CsvOptions) -> Column:
    """The code of a record whose number of fields is wrong since it holds a line break that is not the file's."""
    return F.when(raw.rlike(other) & ~raw.contains(options.quote), LINE_BREAK)


def look_for_signs(text: Column, header: Header, options: CsvOptions) -> dict[str, Column]:
    """Look in all values of a record, as one text, for what may be wrong with it; few records have any such sign.

    Returns:
        Columns: ``ODD``, there is a character that stands for a byte which is no text; and the signs that
        ``find_swallowed`` goes by.
    """
    ends, other = _patterns(header, options)
    # of a line break of two characters the first is left at the end
    bare = F.regexp_replace(text, r"\r\z", "")
    quoted_first = text.rlike(f"(?:^|\x1f){re.escape(options.quote)}") if options.quote else F.lit(False)
    strange = (bare.rlike(ends) & quoted_first) | (bare.rlike(other) & F.col(RAW).isNull())
    return {
        ODD: text.contains("\ufffd") | F.coalesce(F.col(RAW).contains("\ufffd"), F.lit(False)),
        _BREAKS: bare.rlike(ends),
        _STRANGE: strange,
    }


def _patterns(header: Header, options: CsvOptions) -> tuple[str, str]:
    """What breaks a line, and what breaks one in another way than the header's end does."""
    ends = re.escape(options.line_separator) if options.line_separator else r"[\r\n]"
    return ends, {"\n": r"\r(?!\n)", "\r": r"(?<!\r)\n"}.get(header.line_break, r"[^\s\S]")


def _written(value: Column, options: CsvOptions) -> Column:
    """A value as it stands between quotes, in a text that went through ``_unescaped``."""
    return F.replace(_unescaped(value, options), F.lit(options.quote), F.lit(_twice(options)))


def _twice(options: CsvOptions) -> str:
    return options.quote * 2 if options.escape == options.quote else options.quote


def _unescaped(text: Column, options: CsvOptions) -> Column:
    """A text in which neither the kind of its line breaks nor needless escapes make a difference."""
    text = F.replace(text, F.lit("\r\n"), F.lit("\n"))
    return text if options.escape == options.quote else F.replace(text, F.lit(options.escape), F.lit(""))
