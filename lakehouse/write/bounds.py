"""The range of a batch's keys, as wide as the statistics of other writers are inexact.

Delta leaves out a file whose smallest and greatest value lie outside of a range. A file that is left out wrongly hides
its keys, which would then be inserted a second time. Spark's statistics are exact or err outwards; delta-rs writes
those of a decimal as a float, or as the nearest 64-bit number, and other writers cut texts.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import TYPE_CHECKING

from pyspark.sql.types import DateType, DecimalType, IntegralType, StringType, TimestampNTZType, TimestampType

if TYPE_CHECKING:
    from pyspark.sql.types import DataType

_RANGED = (IntegralType, DecimalType, DateType, TimestampType, TimestampNTZType)
_EXACT_DIGITS = 15
"""Decimal digits that a float of 64 bits always keeps."""
_ERROR = Decimal(2) ** -50
"""More than a float of 64 bits differs from what it stands for, as a part of it."""
_LEAST, _MOST = Decimal(-(2**63)), Decimal(2**63 - 1)
_TEXT_BYTES = 32
"""No writer cuts a text shorter than this in its statistics."""
_BINARY = "UTF8_BINARY"


def has_range(kind: DataType) -> bool:
    """Whether keys of a type can be found by a range; texts only where they are ordered by their bytes."""
    if isinstance(kind, StringType):
        return getattr(kind, "collation", _BINARY) == _BINARY
    return isinstance(kind, _RANGED)


def widen(low: str, high: str, kind: DataType) -> tuple[str, str]:
    """Bounds beyond those of a range, so that inexact statistics of a file with a key in it still meet them.

    Args:
        low: the least key as text.
        high: the greatest key as text.
        kind: the type of the keys.
    """
    if isinstance(kind, StringType):
        # of a text that was cut, what is left is never less than the cut text of a lesser one
        return low.encode()[:_TEXT_BYTES].decode(errors="ignore"), high
    if isinstance(kind, DecimalType) and kind.precision > _EXACT_DIGITS:
        return _lower(Decimal(low), kind), _higher(Decimal(high), kind)
    return low, high


def _lower(value: Decimal, kind: DecimalType) -> str:
    # Python's own context, in which even a minus sign rounds, has 28 digits
    exact, unit = Context(prec=80, rounding=ROUND_FLOOR), Decimal(1).scaleb(-kind.scale)
    error = exact.add(exact.multiply(exact.abs(value), _ERROR), unit)
    wide = min(exact.subtract(value, error), _MOST)
    return str(max(exact.quantize(wide, unit), exact.minus(_greatest(kind))))


def _higher(value: Decimal, kind: DecimalType) -> str:
    exact, unit = Context(prec=80, rounding=ROUND_CEILING), Decimal(1).scaleb(-kind.scale)
    error = exact.add(exact.multiply(exact.abs(value), _ERROR), unit)
    wide = max(exact.add(value, error), _LEAST)
    return str(min(exact.quantize(wide, unit), _greatest(kind)))


def _greatest(kind: DecimalType) -> Decimal:
    """The greatest value of a decimal type."""
    return Decimal("9" * kind.precision).scaleb(-kind.scale, Context(prec=80))
