"""Types of Avro's schemas: the one that holds what two schemas have, and whether a value is sound in it."""

from __future__ import annotations

from decimal import Decimal
from functools import reduce
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    DecimalType,
    DoubleType,
    LongType,
    MapType,
    NullType,
    StringType,
    StructField,
    StructType,
)

from lakehouse.lake.types import alike, widens
from lakehouse.read.payload.avro_schema import MOST_DIGITS, Unusable

_NUMBERS = ("int", "bigint", "float", "double")
_EXACT = 2**53
"""Up to here a double has every whole number."""


def hold_both(older: DataType, newer: DataType, path: str) -> Any:
    """The type that holds what two schemas have, by Avro's rules, but a double for whole and broken numbers.

    The older one was there first: where it is text it takes what has a text, as a table's column of text does.

    Raises:
        Unusable: there is none.
    """
    if alike(newer, older) or isinstance(older, NullType):
        return newer
    if isinstance(newer, StructType) and isinstance(older, StructType):
        others = {field.name.lower(): field for field in older.fields}
        fields = []
        for one in newer.fields:
            other = others.pop(one.name.lower(), one)
            fields.append(StructField(one.name, hold_both(other.dataType, one.dataType, f"{path}.{one.name}")))
        return StructType([*fields, *others.values()])
    if isinstance(newer, ArrayType) and isinstance(older, ArrayType):
        return ArrayType(hold_both(older.elementType, newer.elementType, f"{path}.items"))
    if isinstance(newer, MapType) and isinstance(older, MapType):
        return MapType(newer.keyType, hold_both(older.valueType, newer.valueType, f"{path}.values"))
    return _hold_scalars(older, newer, path)


def _hold_scalars(older: DataType, newer: DataType, path: str) -> DataType:
    names = {newer.simpleString(), older.simpleString()}
    if isinstance(newer, DecimalType) and isinstance(older, DecimalType):
        scale = max(newer.scale, older.scale)
        digits = max(newer.precision - newer.scale, older.precision - older.scale) + scale
        if digits <= MOST_DIGITS:
            return DecimalType(digits, scale)
    if names <= set(_NUMBERS):
        return LongType() if names == {"int", "bigint"} else DoubleType()
    if isinstance(newer, NullType):
        return older
    if names == {"string", "binary"} or widens(newer, older):
        return StringType() if "string" in names else older
    where = path.removeprefix(".")
    raise Unusable(f"{where} is {newer.simpleString()}, and {older.simpleString()} in an older schema")


def is_sound(value: Column, have: StructType, want: StructType) -> Column:
    """Whether texts are texts, and numbers fit the types that they are brought to.

    The texts are looked at as one, with commas between, so that no two bad pieces make a good one: a look at each would
    be more code than Java compiles as one method, and cost three times as much.
    """
    texts, fits = _parts(value, have, want)
    return every([F.is_valid_utf8(F.concat_ws(",", *texts)), *fits])


def every(conditions: list[Column]) -> Column:
    """Whether all of the conditions hold."""
    return reduce(lambda one, other: one & other, conditions, F.lit(True))


def _parts(value: Column, have: DataType, want: DataType) -> tuple[list[Column], list[Column]]:
    """The texts within a value, each as a text or an array of them; and whether each of its numbers fits."""
    if isinstance(have, StructType) and isinstance(want, StructType):
        kinds = {field.name.lower(): field.dataType for field in want.fields}
        inner = [_parts(value.getField(one.name), one.dataType, kinds[one.name.lower()]) for one in have.fields]
        return [text for one, _ in inner for text in one], [fit for _, one in inner for fit in one]
    if isinstance(have, MapType) and isinstance(want, MapType):
        texts, fits = _parts(F.map_values(value), ArrayType(have.valueType), ArrayType(want.valueType))
        return [F.map_keys(value), *texts], fits
    if isinstance(have, ArrayType) and isinstance(want, ArrayType):
        inner_have, inner_want = have.elementType, want.elementType
        texts, fits = _parts(value, inner_have, inner_want)
        if texts:
            joined = F.transform(value, lambda one: F.concat_ws(",", *_parts(one, inner_have, inner_want)[0]))
            texts = [value if isinstance(inner_have, StringType) else joined]
        all_fit = F.forall(value, lambda one: every(_parts(one, inner_have, inner_want)[1]))
        return texts, [F.coalesce(all_fit, F.lit(True))] if fits else []
    if isinstance(have, StringType) or (isinstance(have, BinaryType) and isinstance(want, StringType)):
        return [value.cast("string")], []
    fit = _fit(value, have, want)
    return [], [] if fit is None else [F.coalesce(fit, F.lit(True))]


def _fit(value: Column, have: DataType, want: DataType) -> Column | None:
    if isinstance(have, LongType) and isinstance(want, DoubleType):
        return value.between(-_EXACT, _EXACT)
    if isinstance(have, DecimalType) and isinstance(want, DecimalType) and have != want:
        # not by abs(), which rounds a negative decimal at 34 digits
        bound = Decimal(10 ** (want.precision - want.scale))
        return (value > F.lit(-bound)) & (value < F.lit(bound))
    return None
