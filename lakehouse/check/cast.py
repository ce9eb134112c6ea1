"""Casts that are exact or fail: a value that cannot become the type is never NULL, rounded or cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import (
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
_WIDEST = 38


def exact(value: Column, have: DataType, want: DataType, name: str) -> tuple[Column, Column]:
    """The value as the wanted type, and whether nothing of it was lost (true for NULL).

    Text: blanks around it do not matter; dates and times are ISO 8601, with microseconds at the most; a decimal may
    have no more digits than the type. Other types: the value must come back unchanged.
    """
    wanted = want.simpleString()
    if have == want or isinstance(have, NullType):
        return value.cast(wanted), F.lit(True)
    cast = value.try_cast(wanted)
    done = cast.isNotNull()
    if isinstance(want, StringType):
        kept = done
    elif isinstance(have, StringType):
        kept = done & _nothing_lost(F.trim(value), cast, want)
    else:
        kept = done & (cast.try_cast(have.simpleString()) == value)
    return F.when(kept, cast).alias(name), value.isNull() | F.coalesce(kept, F.lit(False))


def _nothing_lost(text: Column, cast: Column, want: DataType) -> Column:
    """Whether the text says exactly what the cast made of it, where Spark's cast is more lenient than that."""
    if isinstance(want, DecimalType):
        widest = f"decimal({_WIDEST},{_WIDEST - want.precision + want.scale})"
        return (F.length(text) <= _WIDEST + 2) & (text.try_cast(widest) == cast)
    if isinstance(want, IntegralType):
        return text.rlike(r"^[+-]?\d+$")
    if isinstance(want, DoubleType | FloatType):
        infinite = cast.try_cast("double").isin(float("inf"), float("-inf"))
        return ~infinite | text.rlike(_INFINITE)
    pattern = {DateType: _DATE, TimestampType: _TIMESTAMP, TimestampNTZType: _TIMESTAMP_NTZ}.get(type(want))
    return text.rlike(pattern) if pattern else F.lit(True)
