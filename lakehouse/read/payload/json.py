"""JSON with a declared schema: one pass, strict. A value of another type is a reject, never a NULL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import (
    BinaryType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

from lakehouse.lake.batch import CODE, MESSAGE
from lakehouse.lake.frame import col, quoted, sql_type
from lakehouse.read.scan import message_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame

PARSED, KEYS, _CORRUPT, _FAULT = "__parsed", "__keys", "__corrupt", "__fault"

STRICT = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": _CORRUPT,
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
}

MESSAGES = {
    "EMPTY_MESSAGE": "the message has no value: if that deletes the row of its key, say key_column",
    "VALUE_ENCODING": "the value is not UTF-8",
    "MALFORMED_JSON": "the value is not one JSON object",
    "DUPLICATE_JSON_KEY": "a name stands twice in the object",
    "JSON_TYPE": "a value is not of the declared type",
    "UNKNOWN_FIELD": "a field is not declared",
    "NO_DECLARED_FIELD": "no field of the record is declared",
}

_MOST_DIGITS, _SCRUTINY = 38, 10


def decoded(
    messages: DataFrame,
    declared: Mapping[str, DataType],
    *,
    unknown: str = "quarantine",
    rescue: str | None = None,
    missing: str = "allow",
) -> DataFrame:
    """The messages with the declared columns, each in the type in which it can be read without loss.

    That is the declared one where JSON has it; a decimal in a wider one, and times as text: the contract, which comes
    next, makes them what was declared or rejects the row.

    Args:
        messages: see the package.
        declared: the columns and their types.
        unknown: what a field that is not declared does: ``quarantine`` the message, or ``ignore``.
        rescue: a column for such fields, by their names, each as its text.
        missing: ``refuse`` a record of which no field is declared, or ``allow`` that it is a row of NULLs.
    """
    fields = {name: readable(kind) for name, kind in declared.items()}
    schema = ", ".join([*(f"{quoted(name)} {sql_type(kind)}" for name, kind in fields.items()), f"{_CORRUPT} string"])
    parsed = messages.withColumns({PARSED: F.from_json("__text", schema, STRICT), KEYS: F.json_object_keys("__text")})
    known = F.array(*map(F.lit, fields))
    own = {name: F.col(f"{PARSED}.{quoted(name)}") for name in fields}
    is_strange = F.size(F.array_except(KEYS, known)) > 0 if unknown == "quarantine" and not rescue else F.lit(False)
    misfit = F.col(f"{PARSED}.{_CORRUPT}").isNotNull() | _infinite(own, fields)
    code = (
        F.when(F.col("__value").isNull(), "EMPTY_MESSAGE")
        .when(F.col("__text").isNull(), "VALUE_ENCODING")
        .when(F.col(PARSED).isNull() | F.col(KEYS).isNull() | ~one_object("__text"), "MALFORMED_JSON")
        .when(F.size(F.array_distinct(KEYS)) < F.size(KEYS), "DUPLICATE_JSON_KEY")
        # the function that lists the names is lenient; this one is not, and is asked of few
        .when(misfit & F.try_parse_json("__text").isNull(), "MALFORMED_JSON")
        .when(misfit, "JSON_TYPE")
        .when(is_strange, "UNKNOWN_FIELD")
        .when(F.lit(missing == "refuse" and bool(fields)) & ~F.arrays_overlap(KEYS, known), "NO_DECLARED_FIELD")
    )
    result = parsed.withColumn(CODE, code)
    result = result.withColumn(_FAULT, F.when(F.col(CODE).isNotNull(), _fault(own, known)))
    columns = {name: F.when(F.col(CODE).isNull(), value).alias(name) for name, value in own.items()}
    if rescue:
        others = F.map_filter(
            F.from_json("__text", "map<string,string>"), lambda name, _: ~F.array_contains(known, name)
        )
        has_others = F.col(CODE).isNull() & (F.size(F.array_except(KEYS, known)) > 0)
        columns[rescue] = F.when(has_others, others).alias(rescue)
    message = F.concat_ws(": ", message_of(F.col(CODE), MESSAGES), F.col(_FAULT))
    kept = [col(name) for name in messages.columns]
    return result.select(*kept, *columns.values(), CODE, F.when(F.col(CODE).isNotNull(), message).alias(MESSAGE))


def readable(kind: DataType) -> DataType:
    """The type that Spark's parser reads without a loss it does not tell of.

    It rounds a decimal to the scale that it is given, and takes half of a date for a whole one.
    """
    if isinstance(kind, DecimalType):
        whole = kind.precision - kind.scale
        return DecimalType(_MOST_DIGITS, _MOST_DIGITS - whole) if whole + _SCRUTINY <= _MOST_DIGITS else StringType()
    if isinstance(kind, DateType | TimestampType | TimestampNTZType | BinaryType):
        return StringType()
    return kind


def one_object(text: str) -> Column:
    """Whether nothing follows the first object, where the parser stops.

    A text whose first closing brace is its last character ends there; any other is looked at as the one element of an
    array and as the one field of an object: what follows it may close one of them, and not both.
    """
    ends = F.instr(text, "}") == F.length(text)
    element = F.json_array_length(F.concat(F.lit("["), F.col(text), F.lit("]"))) == 1
    field = F.json_object_keys(F.concat(F.lit('{"":'), F.col(text), F.lit("}"))) == F.array(F.lit(""))
    return F.when(ends, F.lit(True)).otherwise(F.coalesce(element & field, F.lit(False)))


def _infinite(own: Mapping[str, Column], fields: Mapping[str, DataType]) -> Column:
    """Whether a number is beyond its type: the parser makes infinity of it, which JSON cannot say."""
    found = F.lit(False)
    for name, kind in fields.items():
        if isinstance(kind, DoubleType | FloatType):
            found = found | F.coalesce(F.abs(own[name]) == F.lit(float("inf")), F.lit(False))
    return found


def _fault(own: Mapping[str, Column], known: Column) -> Column:
    """The names of the fields at fault, for people: evaluated only for messages that are put aside."""
    lost = [F.when(value.isNull() & _is_there(name), F.lit(name)) for name, value in own.items()]
    return (
        F.when(F.col(CODE) == "JSON_TYPE", F.array_join(F.array_compact(F.array(*lost)), ", "))
        .when(F.col(CODE) == "UNKNOWN_FIELD", F.array_join(F.array_except(KEYS, known), ", "))
        .when(F.col(CODE) == "DUPLICATE_JSON_KEY", F.array_join(KEYS, ", "))
    )


def _is_there(name: str) -> Column:
    return F.array_contains(KEYS, F.lit(name)) & F.get_json_object("__text", f"$['{name}']").isNotNull()
