"""Which type holds every value of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    FractionalType,
    IntegralType,
    NullType,
    NumericType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

if TYPE_CHECKING:
    from pyspark.sql.types import DataType

_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
"""Decimal digits that the type may need."""


def widens(have: DataType, want: DataType) -> bool:
    """Whether every value of one type is a value of the other."""
    # by their names, since whether an array may hold a NULL is no part of a type
    if have.simpleString() == want.simpleString() or isinstance(have, NullType):
        return True
    if isinstance(want, StringType):
        return isinstance(have, NumericType | DateType | TimestampType | TimestampNTZType | BooleanType)
    if isinstance(have, IntegralType):
        digits = _DIGITS[have.simpleString()]
        if isinstance(want, IntegralType):
            return digits <= _DIGITS[want.simpleString()]
        if isinstance(want, DecimalType):
            return digits <= want.precision - want.scale
        return isinstance(want, FractionalType) and digits <= (7 if isinstance(want, FloatType) else 15)
    if isinstance(have, DecimalType) and isinstance(want, DecimalType):
        return have.scale <= want.scale and have.precision - have.scale <= want.precision - want.scale
    return isinstance(have, FloatType) and isinstance(want, DoubleType)
