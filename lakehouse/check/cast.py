"""Casts that are exact or fail: a value that cannot become the type is never NULL, rounded or cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegralType,
    MapType,
    NullType,
    NumericType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
    VariantType,
)

from lakehouse.check import text as written
from lakehouse.lake.frame import as_json, as_text
from lakehouse.lake.types import alike, of_text, parts
from lakehouse.spec.time_pattern import EPOCHS

if TYPE_CHECKING:
    from pyspark.sql import Column

    from lakehouse.spec.column import Column as Declared

_DATE = r"^\d{4}-\d{2}-\d{2}$"
_TIMESTAMP = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6}0*)?)?( ?(Z|UTC|[+-]\d{2}:?\d{2}))?)?$"
_TIMESTAMP_NTZ = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6}0*)?)?)?$"
_YEARS: dict[type[DataType], tuple[str, str]] = {
    DateType: ("0001-01-01", "9999-12-31"),
    TimestampType: ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
    TimestampNTZType: ("0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"),
}
_ALIKE: tuple[tuple[type[DataType], ...], ...] = (
    (NumericType, BooleanType),
    (DateType, TimestampType, TimestampNTZType),
)
"""Types of which some values mean the same."""

_INFINITE = r"(?i)^[+-]?inf(inity)?$"
_FLOAT = r"(?i)^([+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|[+-]?inf(inity)?)$"
_NOT_ZERO = r"^[^eE]*[1-9]"
_SCIENTIFIC = r"^[+-]?[\d.]{1,15}[eE][+-]?\d{1,2}$"
"""Of so few digits that no two such numbers are the same double."""


def exact(value: Column, have: DataType, declared: Declared, name: str) -> tuple[Column, Column]:
    """The value as the declared type, and whether nothing of it was lost (true for NULL).

    Text: as the column says that it is written; where it says nothing, blanks around it do not matter, dates and times
    are ISO 8601, with microseconds at the most; a decimal may have no more digits than the type; a float is the
    nearest one. Other types: the value must come back unchanged; a struct's fields are matched by their names. A number
    is no date or time, as nobody knows its unit, unless a format says it; nor is a date or time a number. A year is one
    from 1 to 9999: Spark can hold others, and most readers cannot.
    """
    want = of_text(declared.type)
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
    if isinstance(want, tuple(_YEARS)):
        first, last = (F.lit(text).cast(want) for text in _YEARS[type(want)])
        kept = kept & cast.between(first, last)
    if declared.not_finite == "reject":
        kept = kept & ~F.isnan(cast) & (F.abs(cast) != float("inf"))
    return F.when(kept, cast).alias(name), value.isNull() | F.coalesce(kept, F.lit(False))


def _of_typed(value: Column, have: DataType, want: DataType) -> tuple[Column, Column]:
    """The value as that type, and whether it comes back from it unchanged."""
    if alike(have, want) or isinstance(have, NullType):
        return value.cast(want), F.lit(True)
    if isinstance(want, StringType):
        cast = _convert(value, have, want) if isinstance(have, BinaryType) else as_text(value, have)
        return cast, cast.isNotNull()
    if not _can_become(have, want):
        return F.lit(None).cast(want), F.lit(False)
    cast = _convert(value, have, want)
    back = _convert(cast, want, have)
    if any(isinstance(kind, MapType | VariantType) for kind in _kinds(have)):
        # what cannot be compared is so by its text
        back, value = as_json(back), as_json(value)
    return cast, back == value


def can_become(have: DataType, declared: Declared) -> bool:
    """Whether some value of a typed column is one of what is declared."""
    want = of_text(declared.type)
    is_epoch = isinstance(have, IntegralType) and bool(set(declared.formats) & EPOCHS.keys())
    return is_epoch or isinstance(have, StringType) or _can_become(have, want)


def _can_become(have: DataType, want: DataType) -> bool:
    if isinstance(have, NullType) or alike(have, want) or isinstance(want, StringType):
        return True
    if isinstance(have, StructType) and isinstance(want, StructType):
        wanted = {field.name.lower(): field.dataType for field in want.fields}
        pairs = [(one.dataType, wanted[one.name.lower()]) for one in have.fields if one.name.lower() in wanted]
        return bool(pairs) and all(_can_become(*pair) for pair in pairs)
    if isinstance(have, ArrayType) and isinstance(want, ArrayType):
        return _can_become(have.elementType, want.elementType)
    if isinstance(have, MapType) and isinstance(want, MapType):
        return _can_become(have.keyType, want.keyType) and _can_become(have.valueType, want.valueType)
    if isinstance(have, StringType):
        return not isinstance(want, StructType | ArrayType | MapType | VariantType)
    return any(isinstance(have, group) and isinstance(want, group) for group in _ALIKE)


def _convert(value: Column, have: DataType, want: DataType) -> Column:
    """The value as the other type, NULL wherever in it something cannot become that; fields by their names."""
    if alike(have, want):
        return value
    if isinstance(have, StructType) and isinstance(want, StructType):
        given = {field.name.lower(): field for field in have.fields}
        fields = []
        for field in want.fields:
            one = given.get(field.name.lower())
            inner = _convert(value[one.name], one.dataType, field.dataType) if one else F.lit(None)
            fields.append(inner.cast(field.dataType).alias(field.name))
        return F.when(value.isNotNull(), F.struct(*fields))
    if isinstance(have, ArrayType) and isinstance(want, ArrayType):
        elements = have.elementType, want.elementType
        return F.transform(value, lambda element: _convert(element, *elements))
    if isinstance(have, MapType) and isinstance(want, MapType):
        keys, values = (have.keyType, want.keyType), (have.valueType, want.valueType)
        found = F.transform(F.map_keys(value), lambda key: _convert(key, *keys))
        held = F.transform(F.map_values(value), lambda one: _convert(one, *values))
        return F.when(~F.exists(found, lambda key: key.isNull()), F.map_from_arrays(found, held))
    cast = value.try_cast(want)
    is_text_of_bytes = isinstance(have, BinaryType) and isinstance(want, StringType)
    return F.when(F.is_valid_utf8(cast), cast) if is_text_of_bytes else cast


def _kinds(kind: DataType) -> list[DataType]:
    return [kind, *(inner for _, inner in parts(kind))]


def may_reject(have: DataType, declared: Declared) -> bool:
    """Whether there are values of that type which ``exact`` does not keep."""
    want = of_text(declared.type)
    return not alike(have, want) or declared.not_finite == "reject" or isinstance(want, tuple(_YEARS))


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
