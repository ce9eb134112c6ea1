"""Messages that are text, bytes, or a line of delimited text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.batch import CODE, MESSAGE
from lakehouse.lake.frame import col, quoted
from lakehouse.read.scan import message_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame

    from lakehouse.spec.kafka import DelimitedText

_PARSED, _CORRUPT = "__parsed", "__corrupt"

MESSAGES = {
    "EMPTY_MESSAGE": "the message has no value: if that deletes the row of its key, say key_column",
    "VALUE_ENCODING": "the value is not UTF-8",
    "FIELD_COUNT": "the line has another number of fields than the contract has columns",
    "SEVERAL_LINES": "the value has more than one line",
}


def binary(messages: DataFrame) -> DataFrame:
    """The value as it is; none is one too."""
    nothing = F.lit(None).cast("string")
    return messages.withColumns({"value": F.col("__value"), CODE: nothing, MESSAGE: nothing})


def text(messages: DataFrame) -> DataFrame:
    """The value as text; none is one too."""
    code = F.when(F.col("__value").isNotNull() & F.col("__text").isNull(), "VALUE_ENCODING")
    return messages.withColumns({"value": F.col("__text"), CODE: code}).withColumn(
        MESSAGE, message_of(F.col(CODE), MESSAGES)
    )


def delimited(messages: DataFrame, names: Sequence[str], form: DelimitedText) -> DataFrame:
    """The fields of one line, in the order of the names, as the text that was received."""
    schema = ", ".join([*(f"{quoted(name)} string" for name in names), f"{_CORRUPT} string"])
    options = {
        "sep": form.delimiter,
        "quote": form.quote,
        "escape": form.escape,
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": _CORRUPT,
        "maxCharsPerColumn": "-1",
        "nullValue": "",
        "emptyValue": "",
    }
    parsed = messages.withColumn(_PARSED, F.from_csv("__text", schema, options))
    line = F.regexp_replace("__text", r"\r?\n$", "")
    quote = F.lit(form.quote)
    code = (
        F.when(F.col("__value").isNull(), "EMPTY_MESSAGE")
        .when(F.col("__text").isNull(), "VALUE_ENCODING")
        .when(line.rlike(r"[\r\n]") & ~line.contains(quote), "SEVERAL_LINES")
        .when((line == "") & F.lit(len(names) > 1), "FIELD_COUNT")
        .when(F.col(_PARSED).isNull() | F.col(f"{_PARSED}.{_CORRUPT}").isNotNull(), "FIELD_COUNT")
    )
    coded = parsed.withColumn(CODE, code)
    values = [F.when(F.col(CODE).isNull(), F.col(f"{_PARSED}.{quoted(name)}")).alias(name) for name in names]
    kept = [col(name) for name in messages.columns]
    return coded.select(*kept, *values, CODE, message_of(F.col(CODE), MESSAGES).alias(MESSAGE))
