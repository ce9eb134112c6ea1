"""JSON lines: one object a line, its top-level values as the text that was received."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.batch import CODE, MESSAGE, RAW, SOURCE
from lakehouse.lake.frame import materialise, quoted
from lakehouse.read.scan import BLOCK, ORDINAL, URI, glob_escaped, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.read.scan import Groups
    from lakehouse.spec.source import FilesSource

_MARK = "\ue0ff#"
"""Goes before a number while it passes through the parser; of Unicode's private area, so that no feed has it."""

_NUMBER = r'\G((?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^"0-9-])*+)(-?[0-9][0-9.eE+-]*+)'
"""Everything up to a number outside of strings, and the number.

Each match begins where the last one ended (``\\G``), so never inside of a string; possessive throughout, so that the
depth of the match does not grow with the line.
"""


def groups(spark: SparkSession, paths: Sequence[str], source: FilesSource) -> Groups:
    """All files together: their fields are found per line."""
    del source

    def scan(some: Sequence[str]) -> DataFrame:
        lines = spark.read.text([glob_escaped(path) for path in some]).where(F.trim("value") != "")
        return _parsed(materialise(lines.select(F.regexp_replace("value", "^\ufeff", "").alias(RAW), *place())))

    return [(paths, scan)], []


def _parsed(lines: DataFrame) -> DataFrame:
    keys = F.json_object_keys(RAW)
    lowered = F.transform(keys, F.lower)
    code = (
        F.when(~_is_one_object(), "MALFORMED_JSON")
        .when(F.size(F.array_distinct(lowered)) < F.size(lowered), "DUPLICATE_JSON_KEY")
        .when(F.exists(lowered, lambda key: key.startswith("__") | (key == SOURCE)), "RESERVED_NAME")
    )
    checked = lines.withColumn(CODE, code)
    found = checked.where(F.col(CODE).isNull()).select(F.explode(keys).alias("key")).distinct().collect()
    spellings: dict[str, list[str]] = {}
    for name in sorted(row.key for row in found):
        spellings.setdefault(name.lower(), []).append(name)
    message = F.when(F.col(CODE) == "MALFORMED_JSON", "the line is not one JSON object").when(
        F.col(CODE).isNotNull(), "a name stands twice in the object, or is reserved"
    )
    kept = [F.when(F.col(CODE).isNotNull(), F.col(RAW)).alias(RAW), CODE, message.alias(MESSAGE), URI, BLOCK, ORDINAL]
    if not spellings:
        return checked.select(*kept)
    schema = ", ".join(f"{quoted(name)} string" for names in spellings.values() for name in names)
    parsed = checked.withColumn("__parsed", F.from_json(_numbers_as_text(), schema))
    values = [
        F.coalesce(*[_value(F.col(f"__parsed.{quoted(name)}")) for name in names]).alias(names[0])
        for names in spellings.values()
    ]
    # one object per name and line, so a value that is left out of a broken line cannot be taken for a NULL of a good one
    return parsed.select(
        *[
            F.when(F.col(CODE).isNull(), value).alias(names[0])
            for value, names in zip(values, spellings.values(), strict=True)
        ],
        *kept,
    )


def _is_one_object() -> Column:
    """Whether the line is one JSON object and nothing else.

    Spark's parser stops after the first value, whatever follows it: ``{"id": 1} {"id": 2}`` would lose its second
    half. As the one element of an array and as a field before another, the line must end where its value ends.
    """
    alone = F.json_array_length(F.concat(F.lit("["), F.col(RAW), F.lit("]"))) == 1
    followed = F.get_json_object(F.concat(F.lit('{"v":'), F.col(RAW), F.lit(',"end":1}')), "$.end") == "1"
    is_object = F.json_object_keys(RAW).isNotNull()
    return F.coalesce(alone & followed & is_object, F.lit(False))


def _numbers_as_text() -> Column:
    """The line with each number quoted and marked, since the parser would make a double of it: 12.50 stays 12.50."""
    marked = F.regexp_replace(RAW, _NUMBER, f'$1"{_MARK}$2"')
    return F.when(F.col(RAW).contains(_MARK), F.col(RAW)).otherwise(marked)


def _value(parsed: Column) -> Column:
    """A value with the marks taken off: its own, and those of numbers inside of an array or object."""
    inner = F.regexp_replace(parsed, f'"{_MARK}([^"]*)"', "$1")
    return (
        F.when(parsed.startswith(_MARK), F.substring(parsed, len(_MARK) + 1, 2**31 - 1))
        .when(parsed.rlike(r"^[\[{]"), inner)
        .otherwise(parsed)
    )
