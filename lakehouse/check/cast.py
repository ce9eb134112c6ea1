"""Casts that are exact or fail: a value that cannot become the type is never NULL, rounded or cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import (
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegralType,
    NullType,
    NumericType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

from lakehouse.check import text as written
from lakehouse.spec.time_pattern import EPOCHS

if TYPE_CHECKING:
    from pyspark.sql import Column

    from lakehouse.spec.column import Column as Declared

_DATE = r"^\d{4}-\d{2}-\d{2}$"
_TIMESTAMP = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6}0*)?)?( ?(Z|UTC|[+-]\d{2}:?\d{2}))?)?$"
_TIMESTAMP_NTZ = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6}0*)?)?)?$"
_INFINITE = r"(?i)^[+-]?inf(inity)?$"
_FLOAT = r"(?i)^([+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|[+-]?inf(inity)?)$"
_NOT_ZERO = r"^[^eE]*[1-9]"
_SCIENTIFIC = r"^[+-]?[\d.]{1,15}[eE][+-]?\d{1,2}$"
"""Of so few digits that no two such numbers are the same double."""


def exact(value: Column, have: DataType, declared: Declared, name: str) -> tuple[Column, Column]:
    """The value as the declared type, and whether nothing of it was lost (true for NULL).

    Text: as the column says that it is written; where it says nothing, blanks around it do not matter, dates and times
    are ISO 8601, with microseconds at the most; a decimal may have no more digits than the type; a float is the
    nearest one. Other types: the value must come back unchanged.
    """
    want = DataType.fromDDL(declared.type)
    if isinstance(have, IntegralType) and set(declared.formats) & EPOCHS.keys():
        value, have = value.cast("string"), StringType()
    if isinstance(have, StringType):
        value = written.told(value, want, declared)
        cast, kept = _of_text(value, want, declared)
    elif declared.time_zone and isinstance(have, TimestampNTZType | DateType):
        cast = written.in_zone(value.cast("timestamp"), declared)
        kept = cast.isNotNull()
    else:
        cast, kept = _of_typed(value, have, want)
    if declared.not_finite == "reject":
        kept = kept & ~F.isnan(cast) & (F.abs(cast) != float("inf"))
    return F.when(kept, cast).alias(name), value.isNull() | F.coalesce(kept, F.lit(False))


def _of_typed(value: Column, have: DataType, want: DataType) -> tuple[Column, Column]:
    """The value as that type, and whether it comes back from it unchanged."""
    wanted = want.simpleString()
    if have == want or isinstance(have, NullType):
        return value.cast(wanted), F.lit(True)
    cast = value.try_cast(wanted)
    if isinstance(want, StringType):
        return cast, F.is_valid_utf8(cast) if isinstance(have, BinaryType) else cast.isNotNull()
    return cast, cast.try_cast(have.simpleString()) == value


def may_reject(have: DataType, declared: Declared) -> bool:
    """Whether there are values of that type which ``exact`` does not keep."""
    return have != DataType.fromDDL(declared.type) or declared.not_finite == "reject"


def _of_text(text: Column, want: DataType, declared: Declared) -> tuple[Column, Column]:
    """The text as that type, and whether it says exactly that."""
    if isinstance(want, StringType):
        return text, F.lit(True)
    if declared.formats or declared.true_values:
        cast = written.moment(text, want, declared) if declared.formats else written.truth(text, declared)
        return cast, cast.isNotNull()
    if isinstance(want, NumericType):
        text = written.number(text, want, declared)
    cast = text.try_cast(declared.type)
    kept = cast.isNotNull() & _nothing_lost(text, cast, want)
    if declared.time_zone:
        told = F.when(kept, cast)
        cast = F.when(written.has_offset(text), told).otherwise(written.in_zone(told, declared))
        return cast, cast.isNotNull()
    return cast, kept


def _nothing_lost(text: Column, cast: Column, want: DataType) -> Column:
    """Whether the text says exactly what the cast made of it, where Spark's cast is more lenient than that."""
    if isinstance(want, DecimalType):
        plain = rf"^[+-]?0*\d{{0,{want.precision - want.scale}}}(\.\d{{0,{want.scale}}}0*)?$"
        same_double = text.try_cast("double") == cast.cast("double")
        return text.rlike(plain) | (text.rlike(_SCIENTIFIC) & same_double)
    if isinstance(want, IntegralType):
        return text.rlike(r"^[+-]?\d+$")
    if isinstance(want, DoubleType | FloatType):
        number = cast.cast("double")
        overflow = number.isin(float("inf"), float("-inf")) & ~text.rlike(_INFINITE)
        return text.rlike(_FLOAT) & ~overflow & ~((number == 0) & text.rlike(_NOT_ZERO))
    if isinstance(want, BooleanType | BinaryType):
        return F.lit(True)
    patterns: dict[type[DataType], str] = {
        DateType: _DATE,
        TimestampType: _TIMESTAMP,
        TimestampNTZType: _TIMESTAMP_NTZ,
    }
    # what no text can become, Spark says of the cast
    return text.rlike(patterns[type(want)]) if type(want) in patterns else F.lit(True)
