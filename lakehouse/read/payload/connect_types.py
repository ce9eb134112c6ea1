"""What Kafka Connect and Debezium write for a value in JSON, made into text that says the same to anybody.

A number says nothing by itself: 1700000000000 may be a count, or milliseconds since 1970. What it is, the name of its
type tells, which is in the schema block of the message or in the job's conf. So each value here comes with the name
of its type, and becomes text: 12.50, or 2018-06-20 15:13:16.945104. The contract, which comes next, makes of the text
what it declares, exactly or not at all. A value whose type nobody tells stays as it was received.

It is written in SQL: from Python, every call would be one to Spark, and there are thousands in each batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DoubleType,
    FloatType,
    IntegralType,
    MapType,
    NumericType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from lakehouse.lake.statements import expression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

DECIMAL = "org.apache.kafka.connect.data.Decimal"
_VARIABLE = "io.debezium.data.VariableScaleDecimal"
_BYTES = ("bytes", "io.debezium.data.Bits")


def kind_of(want: DataType) -> str:
    """What a declared type takes of a value: a ``number``, a ``time``, ``text``, ``bytes``, or ``other``: as it is."""
    if isinstance(want, NumericType):
        return "number"
    if isinstance(want, DateType | TimestampType | TimestampNTZType):
        return "time"
    return "text" if isinstance(want, StringType) else "bytes" if isinstance(want, BinaryType) else "other"


def safe(kind: DataType) -> bool:
    """Whether Spark's parser reads such a value inside of another without a guess or a loss.

    It takes a number for a time in seconds, and rounds a decimal.
    """
    if isinstance(kind, ArrayType):
        return safe(kind.elementType)
    if isinstance(kind, MapType):
        return isinstance(kind.keyType, StringType) and safe(kind.valueType)
    if isinstance(kind, StructType):
        return all(safe(field.dataType) for field in kind.fields)
    return isinstance(kind, StringType | BooleanType | IntegralType | FloatType | DoubleType)


@dataclass(frozen=True)
class Value:
    """A value to be told: the column with its JSON text (a string without its quotes), and what is known of it.

    ``told`` is the name of its type as Debezium or Kafka Connect has it, or the plain type (``int64``); None: not told.
    ``kind`` is what is wanted of it, see ``kind_of``; a ``number`` leaves a time as the number that it is.
    """

    text: str
    told: str | None
    scale: int | None
    kind: str


def with_said(frame: DataFrame, values: Mapping[str, Value]) -> DataFrame:
    """The frame with a column for each value: text that needs no type, NULL where it is not what its type says.

    In several steps, since Spark evaluates an expression as often as it is written.
    """
    forms = {name: _form(one) for name, one in values.items()}
    frame = frame.withColumns({name: F.col(one.text) for name, one in values.items()})
    for index in range(max(map(len, forms.values()), default=0)):
        left = {name: form[index] for name, form in forms.items() if len(form) > index}
        places = {name: _places(values[name].told, values[name].text, f"'{values[name].scale}'") for name in left}
        steps = {name: expression(step.format(v=name, places=places[name])) for name, step in left.items()}
        frame = frame.withColumns(steps)
    return frame


def _form(value: Value) -> tuple[str, ...]:
    if value.kind == "bytes":
        return (_OF_BYTES if value.told is None or value.told in _BYTES else "CAST(NULL AS string)",)
    return _FORMS[value.kind].get(value.told or "", ())


def said_by(text: str, told: str, scale: str, kind: str) -> str:
    """The same of one value, as SQL of SQL, where the type is another one from value to value."""
    forms: dict[tuple[str, ...], list[str]] = {}
    for name, form in _FORMS["text"].items():
        forms.setdefault(form, []).append(name)
    cases = []
    for form, names in forms.items():
        places = _places(names[0], text, scale)
        said = reduce(lambda value, step: _let(value, step, places), form[1:], form[0].format(v=text, places=places))
        kinds = [one for one, known in _FORMS.items() if names[0] in known]
        cases.append(f"WHEN {told} IN {_listed(names)} AND {kind} IN {_listed(kinds)} THEN {said}")
    is_bytes = f"{told} IS NULL OR {told} IN {_listed(_BYTES)}"
    return (
        f"CASE WHEN {kind} = 'bytes' THEN CASE WHEN {is_bytes} THEN {_OF_BYTES.format(v=text)} END "
        f"WHEN {told} IS NULL OR NOT startswith({told}, 'io.debezium.') AND NOT startswith({told}, 'org.apache.') "
        f"THEN {text} {' '.join(cases)} ELSE {text} END"
    )


def _let(value: str, step: str, places: str) -> str:
    """A step whose value is evaluated once: within the function for the values of an array no column can keep it."""
    return f"get(transform(array({value}), it -> {step.format(v='it', places=places)}), 0)"


def _listed(texts: tuple[str, ...] | list[str]) -> str:
    return f"({', '.join(repr(text) for text in texts)})"


def _places(told: str | None, text: str, scale: str) -> str:
    """The scale of a decimal as a number, NULL where there is none or it is out of reason."""
    scale = f"get_json_object({text}, '$.scale')" if told == _VARIABLE else scale
    return f"CASE WHEN {scale} RLIKE '^-?[0-9]{{1,4}}$' THEN CAST({scale} AS int) END"


_PART = "CAST(conv(substring({{v}}, {0}, 8), 16, 10) AS decimal(10,0))"
_FIRST = f"CAST({_PART.format(2)} AS decimal(38,0))"
_AFTER = "try_add(try_multiply({0}, CAST(4294967296 AS decimal(10,0))), {1})"
_MAGNITUDE = reduce(lambda high, place: _AFTER.format(high, _PART.format(place)), (10, 18, 26), _FIRST)
_IF_NEGATIVE = "CAST(if(startswith({{v}}, '-'), {0}, {1}) AS decimal(1,0))"
_DIGITS = "translate(CAST({v} AS string), '-', '')"  # not of abs(), which rounds a negative decimal at 34 digits
_FROM_BYTES = (
    # two's complement: of a number below zero the digits of -1 - it, as sixteen bytes with the sign before them
    "CASE WHEN length({v}) BETWEEN 2 AND 32 THEN if({v} >= '8', concat('-', "
    "lpad(translate({v}, '0123456789ABCDEF', 'FEDCBA9876543210'), 32, '0')), concat('+', lpad({v}, 32, '0'))) END",
    # four by four into a number of 38 digits at the most
    f"try_multiply(try_add({_MAGNITUDE}, {_IF_NEGATIVE.format(1, 0)}), {_IF_NEGATIVE.format(-1, 1)})",
    f"concat(if({{v}} < 0, '-', ''), lpad({_DIGITS}, greatest(length({_DIGITS}), {{places}} + 1), '0'))",
    "CASE WHEN {places} > 0 THEN concat(left({v}, length({v}) - {places}), '.', right({v}, {places})) "
    "WHEN {places} <= 0 THEN concat({v}, repeat('0', -{places})) END",
)
_NUMBERS: dict[str, tuple[str, ...]] = {
    DECIMAL: ("hex(try_to_binary({v}, 'base64'))", *_FROM_BYTES),
    _VARIABLE: ("hex(try_to_binary(get_json_object({v}, '$.value'), 'base64'))", *_FROM_BYTES),
}

_OF_BYTES = "CASE WHEN try_to_binary({v}, 'base64') IS NOT NULL THEN {v} END"
_DATE = ("CAST(date_from_unix_date(try_cast({v} AS int)) AS string)",)
_MILLIS = ("CAST(timestamp_micros(try_multiply(try_cast({v} AS bigint), 1000)) AS string)",)
_MICROS = ("CAST(timestamp_micros(try_cast({v} AS bigint)) AS string)",)
_NANOS = (
    "try_cast({v} AS bigint)",
    # with all nine digits: whether the last three count, what is wanted decides
    "concat(date_format(timestamp_micros(try_subtract({v}, pmod({v}, 1000)) div 1000), 'yyyy-MM-dd HH:mm:ss.SSSSSS'), "
    "lpad(pmod({v}, 1000), 3, '0'))",
)
_ISO = ("regexp_replace({v}, 'Z$', '')",)


def _clock(digits: int) -> tuple[str, ...]:
    """Parts of a second since midnight; MySQL has negative times, and times of more than a day."""
    unit = 10**digits
    hours, others = f"abs({{v}}) div {3600 * unit}", [f"abs({{v}}) div {size * unit} % 60" for size in (60, 1)]
    parts = [f"lpad({hours}, greatest(length({hours}), 2), '0')", *[f"lpad({one}, 2, '0')" for one in others]]
    fraction = f"lpad(abs({{v}}) % {unit}, {digits}, '0')"
    return (
        "CASE WHEN {v} RLIKE '^-?[0-9]{{1,18}}$' THEN CAST({v} AS bigint) END",
        f"concat(if({{v}} < 0, '-', ''), {parts[0]}, ':', {parts[1]}, ':', {parts[2]}, '.', {fraction})",
    )


_TIMES: dict[str, tuple[str, ...]] = {
    "io.debezium.time.Date": _DATE,
    "org.apache.kafka.connect.data.Date": _DATE,
    "io.debezium.time.Timestamp": _MILLIS,
    "org.apache.kafka.connect.data.Timestamp": _MILLIS,
    "io.debezium.time.MicroTimestamp": _MICROS,
    "io.debezium.time.NanoTimestamp": _NANOS,
    "io.debezium.time.Time": _clock(3),
    "org.apache.kafka.connect.data.Time": _clock(3),
    "io.debezium.time.MicroTime": _clock(6),
    "io.debezium.time.NanoTime": _clock(9),
    "io.debezium.time.IsoDate": _ISO,
    "io.debezium.time.IsoTime": _ISO,
    "io.debezium.time.IsoTimestamp": _ISO,
}
_FORMS: dict[str, dict[str, tuple[str, ...]]] = {
    "number": _NUMBERS,
    "time": _TIMES,
    "text": {**_NUMBERS, **_TIMES},
    "other": {},
}
"""How a value is made text, step by step, by what is wanted of it and the name of its type; any other is so already.

``{v}`` is the value that the step before made, ``{places}`` the scale of a decimal.
"""
