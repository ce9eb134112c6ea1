"""Casts that are exact or fail: a value that cannot become the type is never NULL, rounded or cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegralType,
    NullType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import DataType

_DATE = r"^\d{4}-\d{2}-\d{2}$"
_TIMESTAMP = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6}0*)?)?( ?(Z|UTC|[+-]\d{2}:?\d{2}))?)?$"
_TIMESTAMP_NTZ = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6}0*)?)?)?$"
_INFINITE = r"(?i)^[+-]?inf(inity)?$"
_FLOAT = r"(?i)^([+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|[+-]?inf(inity)?)$"
_NOT_ZERO = r"^[^eE]*[1-9]"
_SCIENTIFIC = r"^[+-]?[\d.]{1,15}[eE][+-]?\d{1,2}$"
"""Of so few digits that no two such numbers are the same double."""


def exact(value: Column, have: DataType, want: DataType, name: str) -> tuple[Column, Column]:
    """The value as the wanted type, and whether nothing of it was lost (true for NULL).

    Text: blanks around it do not matter; dates and times are ISO 8601, with microseconds at the most; a decimal may
    have no more digits than the type; a float is the nearest one. Other types: the value must come back unchanged.
    """
    wanted = want.simpleString()
    if have == want or isinstance(have, NullType):
        return value.cast(wanted), F.lit(True)
    cast = value.try_cast(wanted)
    done = cast.isNotNull()
    if isinstance(want, StringType):
        kept = done & F.is_valid_utf8(cast) if isinstance(have, BinaryType) else done
    elif isinstance(have, StringType):
        kept = done & _nothing_lost(F.trim(value), cast, want)
    else:
        kept = done & (cast.try_cast(have.simpleString()) == value)
    return F.when(kept, cast).alias(name), value.isNull() | F.coalesce(kept, F.lit(False))


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
    return text.rlike(patterns[type(want)])
