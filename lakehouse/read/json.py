"""JSON lines: one object a line, its top-level values as the text that was received."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.batch import BYTES, CODE, MESSAGE, RAW, SOURCE, TEXT
from lakehouse.lake.frame import materialise, quoted
from lakehouse.lake.statements import expression
from lakehouse.lake.storage import plain_path
from lakehouse.read.layout.layout import check_columns
from lakehouse.read.scan import (
    BLOCK,
    ORDINAL,
    URI,
    Unreadable,
    decode,
    glob_escaped,
    is_the_files_fault,
    message_of,
    place,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.read.scan import Groups
    from lakehouse.spec.files import FilesSource
    from lakehouse.spec.limits import FileLimits

_MARK = "\ue0ff#"
"""Goes before a number while it passes through the parser; of Unicode's private area, so that no feed has it."""

_NUMBER = r'\G((?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^"0-9-])*+)(-?[0-9][0-9.eE+-]*+)'
"""Everything up to a number outside of strings, and the number.

Each match begins where the last one ended (``\\G``), so never inside of a string; possessive throughout, so that the
depth of the match does not grow with the line.
"""

_NO_SINGLE_QUOTE = r"""^(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^"']++)*+$"""
"""A line with no single quote outside of its strings: Spark's parser would take it for a string's."""

_HALF = r"(?i)\\ud[89a-f]"
_PAIR = r"(?i)\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}"

_CORRUPT = "__corrupt"
_PARSING = {"allowUnquotedControlChars": "true", "columnNameOfCorruptRecord": _CORRUPT}
"""As lenient as the functions that look for names; else a tab in a string would make every value of its line NULL."""

_MESSAGES = {
    "MALFORMED_JSON": "the line is not one JSON object",
    "LONE_SURROGATE": "the line escapes one half of a character",
    "DUPLICATE_JSON_KEY": "a name stands twice in the object, or twice but for case",
    "RESERVED_NAME": "a name is empty, or reserved",
}


_TOO_MUCH = "the line is more than is read: 1,000 levels, a number of 1,000 digits, a text of 20,000,000 characters"


def groups(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> Groups:
    """All files together: their fields are found per line."""

    def scan(some: Sequence[str]) -> DataFrame:
        lines = spark.read.text([glob_escaped(path) for path in some]).where(F.col("value").rlike(r"\S"))
        # what is no text is NULL to the parser, and comes through by what stands beside it
        lines = decode(lines.select(F.col("value").alias(TEXT), *place()), TEXT)
        lines = materialise(lines.withColumn(TEXT, F.regexp_replace(TEXT, "^\ufeff", "")))
        return materialise(_parse(lines, source.limits))

    return [(paths, scan)], []


def _parse(lines: DataFrame, limits: FileLimits) -> DataFrame:
    keys = F.json_object_keys(TEXT)
    lowered = F.transform(keys, F.lower)
    code = (
        F.when(F.col(CODE).isNotNull(), F.col(CODE))
        .when(~_is_one_object(), "MALFORMED_JSON")
        .when(_has_half_a_character(), "LONE_SURROGATE")
        .when(F.size(F.array_distinct(lowered)) < F.size(lowered), "DUPLICATE_JSON_KEY")
        .when(F.exists(lowered, lambda key: key.startswith("__") | key.isin("", SOURCE)), "RESERVED_NAME")
    )
    checked = lines.withColumn(CODE, code)
    found = checked.where(F.col(CODE).isNull()).select(F.explode(keys).alias("key")).distinct().collect()
    if len(found) > limits.columns:
        _check_names(checked.select(URI, F.explode(keys).alias("key")), limits)
    spellings: dict[str, list[str]] = {}
    for name in sorted(row.key for row in found):
        spellings.setdefault(name.lower(), []).append(name)
    raw = F.when(F.col(CODE).isNotNull(), F.coalesce(RAW, TEXT)).alias(RAW)
    too_much = F.when((F.col(CODE) == "MALFORMED_JSON") & _may_be_too_much(), _TOO_MUCH)
    message = F.coalesce(MESSAGE, too_much, message_of(F.col(CODE), _MESSAGES)).alias(MESSAGE)
    kept = [raw, F.col(CODE), message, *map(F.col, (TEXT, BYTES, URI, BLOCK, ORDINAL))]
    # names that differ by case cannot be fields of one struct, so the second spelling of each has a struct of its own
    values: dict[str, list[str]] = {}
    parsed = checked
    for index in range(max(map(len, spellings.values()), default=0)):
        layer = [names[index] for names in spellings.values() if len(names) > index]
        alias = f"__parsed{index}"
        schema = ", ".join(f"{quoted(name)} string" for name in [*layer, _CORRUPT])
        parsed = parsed.withColumn(alias, F.from_json(_numbers_as_text(), schema, _PARSING))
        for name in layer:
            values.setdefault(name.lower(), []).append(_value(f"{alias}.{quoted(name)}"))
    if spellings:
        # what the functions that look for names pass over may still be too much for the parser
        is_too_much = F.when(F.col(f"__parsed0.{_CORRUPT}").isNotNull(), "MALFORMED_JSON")
        parsed = parsed.withColumn(CODE, F.coalesce(CODE, is_too_much))
    # a value that is left out of a broken line must not be taken for a NULL of a good one
    columns = [
        expression(f"CASE WHEN {CODE} IS NULL THEN coalesce({', '.join(values[lowered])}) END").alias(names[0])
        for lowered, names in spellings.items()
    ]
    return parsed.select(*columns, *kept)


def _check_names(keys: DataFrame, limits: FileLimits) -> None:
    """Look for a file with more names than a file may have.

    Raises:
        Unreadable: there is one.
    """
    counts = keys.groupBy(URI).agg(F.count_distinct("key").alias("names")).orderBy(F.desc("names"))
    for row in counts.limit(1).collect():
        try:
            check_columns(row["names"], limits)
        except Unreadable as error:
            raise Unreadable(str(error), error.code, file=plain_path(row[URI], encoded=True)) from None


def _is_one_object() -> Column:
    """Whether the line is one JSON object and nothing else, with strings in double quotes.

    Spark's parser stops after the first value, whatever follows it: ``{"id": 1} {"id": 2}`` would lose its second
    half. As the one element of an array and as a field before another, the line must end where its value ends.
    """
    alone = F.json_array_length(F.concat(F.lit("["), F.col(TEXT), F.lit("]"))) == 1
    followed = F.get_json_object(F.concat(F.lit('{"v":'), F.col(TEXT), F.lit(',"end":1}')), "$.end") == "1"
    is_object = F.json_object_keys(TEXT).isNotNull()
    strict = ~F.col(TEXT).contains("'") | F.col(TEXT).rlike(_NO_SINGLE_QUOTE)
    return F.coalesce(alone & followed & is_object & strict, F.lit(False))


def _may_be_too_much() -> Column:
    """Whether a line has so much of something that Spark's parser may have given it up for that alone."""
    opened = F.length(F.regexp_replace(TEXT, r"[^\[{]", ""))
    return (F.length(TEXT) > 20_000_000) | (opened >= 1_000) | F.col(TEXT).rlike(r"\d{1000}")


def _has_half_a_character() -> Column:
    """Whether the line escapes one half of a surrogate pair, of which Spark would make a question mark."""
    escapes = F.regexp_replace(F.regexp_replace(TEXT, r"\\\\", ""), _PAIR, "")
    return F.col(TEXT).rlike(_HALF) & escapes.rlike(_HALF)


def _numbers_as_text() -> Column:
    """The line with each number quoted and marked, since the parser would make a double of it: 12.50 stays 12.50."""
    marked = F.regexp_replace(TEXT, _NUMBER, f'$1"{_MARK}$2"')
    return F.when(F.col(TEXT).contains(_MARK), F.col(TEXT)).otherwise(marked)


def _value(parsed: str) -> str:
    """A value with the marks taken off: its own, and those of numbers inside of an array or object; as SQL.

    One expression for each of thousands of columns takes too long to make of smaller ones.
    """
    inner = f"""regexp_replace({parsed}, '"{_MARK}([^"]*)"', '$1')"""
    return (
        f"CASE WHEN startswith({parsed}, '{_MARK}') THEN substring({parsed}, {len(_MARK) + 1})"
        f" WHEN left({parsed}, 1) IN ('[', '{{') THEN {inner} ELSE {parsed} END"
    )


def columns(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> dict[str, str]:
    """The columns that the first lines of the files name, all text; a file that cannot be read names none."""
    try:
        return dict.fromkeys(_names(spark, paths), "string")
    except Exception as error:
        if not is_the_files_fault(error):
            raise
        half = len(paths) // 2
        parts = (paths[:half], paths[half:]) if half else ()
        return dict(sorted(pair for part in parts for pair in columns(spark, part, source).items()))


def _names(spark: SparkSession, paths: Sequence[str]) -> list[str]:
    lines = (
        spark.read.text([glob_escaped(path) for path in paths]).select("value", *place()).where(F.trim("value") != "")
    )
    first = lines.groupBy(URI).agg(F.min_by("value", ORDINAL).alias("value"))
    keys = first.select(F.explode(F.json_object_keys("value")).alias("key")).distinct().collect()
    return sorted(row.key for row in keys)
