"""Timestamps in nanoseconds, which Spark has not: read as numbers, and made timestamps where nothing is lost."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, LongType, MapType, StructType

from lakehouse.lake.batch import CODE, MESSAGE, RAW
from lakehouse.lake.frame import as_json, col
from lakehouse.read.scan import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyspark.sql.types import DataType

    from lakehouse.read.layout.layout import Layout

Nanos = tuple[tuple[str, tuple[str, ...]], ...]
"""The columns with timestamps in nanoseconds, by name in lower case: of each leaf ``utc``, ``local`` or nothing."""

NANOSECONDS = "NANOSECONDS"
"""The code of a row with a timestamp that is no whole number of microseconds."""

_MESSAGE = "a timestamp has nanoseconds that are no whole microsecond, which no table holds: deliver it rounded"


def nanos_of(layout: Layout | None) -> Nanos:
    """The columns of a file that have such timestamps."""
    leaves = layout.leaves.items() if layout else ()
    return tuple(
        sorted((name, tuple(leaf.nanos for leaf in some)) for name, some in leaves if any(leaf.nanos for leaf in some))
    )


def timestamps(schema: StructType, nanos: Nanos) -> dict[str, Column]:
    """The columns with timestamps in the place of numbers, and what is wrong with a row.

    Raises:
        Unreadable: the files' columns differ, so that nobody knows which number is a timestamp: read each alone.
    """
    wanted, found, lossy = dict(nanos), {}, []
    for field in schema.fields:
        if units := wanted.get(field.name.lower()):
            if len(units) != _count(field.dataType):
                message = f"the fields of {field.name} differ between files"
                raise Unreadable(message)
            found[field.name] = _change(col(field.name), field.dataType, iter(units), _timestamp)
            lossy.append(_is_lossy(col(field.name), field.dataType, units))
    broken = reduce(Column.__or__, lossy, F.lit(False))
    record = as_json(F.struct(*[col(field.name) for field in schema.fields]))
    return {
        **found,
        RAW: F.when(broken, record),
        CODE: F.when(broken, F.lit(NANOSECONDS)),
        MESSAGE: F.when(broken, F.lit(_MESSAGE)),
    }


def _is_lossy(value: Column, kind: DataType, units: Sequence[str]) -> Column:
    """Whether any of the timestamps is no whole number of microseconds."""
    whole = _change(value, kind, iter(units), lambda number, _: number - number % 1000)
    # maps cannot be compared
    if isinstance(kind, LongType):
        differs = whole != value
    else:
        differs = as_json(F.struct(whole.alias("value"))) != as_json(F.struct(value.alias("value")))
    return F.coalesce(differs, F.lit(False))


def _count(kind: DataType) -> int:
    if isinstance(kind, StructType):
        return sum(_count(field.dataType) for field in kind.fields)
    if isinstance(kind, MapType):
        return _count(kind.keyType) + _count(kind.valueType)
    return _count(kind.elementType) if isinstance(kind, ArrayType) else 1


def _timestamp(number: Column, unit: str) -> Column:
    moment = F.timestamp_micros(F.call_function("div", number, F.lit(1000)))
    return moment if unit == "utc" else moment.cast("timestamp_ntz")


def _change(value: Column, kind: DataType, units: Iterator[str], change: Callable[[Column, str], Column]) -> Column:
    """The value with every leaf changed that is of such a unit."""
    if isinstance(kind, StructType):
        parts = [_change(value.getField(one.name), one.dataType, units, change).alias(one.name) for one in kind.fields]
        return F.when(value.isNotNull(), F.struct(*parts))
    if isinstance(kind, ArrayType):
        inner = tuple(next(units) for _ in range(_count(kind.elementType)))
        return F.transform(value, lambda item: _change(item, kind.elementType, iter(inner), change))
    if isinstance(kind, MapType):
        keys = tuple(next(units) for _ in range(_count(kind.keyType)))
        values = tuple(next(units) for _ in range(_count(kind.valueType)))
        changed = F.transform_keys(value, lambda key, _: _change(key, kind.keyType, iter(keys), change))
        return F.transform_values(changed, lambda _, item: _change(item, kind.valueType, iter(values), change))
    unit = next(units)
    return change(value, unit) if unit and isinstance(kind, LongType) else value
