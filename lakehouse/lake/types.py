"""Which type holds every value of another, and what two types become where both are to be held."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    FractionalType,
    IntegralType,
    MapType,
    NullType,
    NumericType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import Column

_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
"""Decimal digits that the type may need."""

_MOST_DIGITS = 38


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
    if isinstance(have, DateType):
        return isinstance(want, TimestampNTZType)
    return isinstance(have, FloatType) and isinstance(want, DoubleType)


def grows(table: DataType, rows: DataType) -> DataType | None:
    """The least type that a table's column can be widened to by Delta and that holds all values of the rows, too.

    Delta does not widen ``bigint`` to ``double``, nor anything to text.
    """
    if isinstance(table, DateType) and isinstance(rows, TimestampNTZType):
        return rows
    if isinstance(table, IntegralType) and isinstance(rows, IntegralType):
        return rows
    if isinstance(table, DecimalType | IntegralType) and isinstance(rows, DecimalType | IntegralType):
        return _decimal(table, rows)
    small = isinstance(table, FloatType) or (isinstance(table, IntegralType) and _DIGITS[table.simpleString()] <= 10)
    if small and isinstance(rows, FractionalType | IntegralType) and widens(rows, DoubleType()):
        return DoubleType()
    return None


def _decimal(table: DataType, rows: DataType) -> DecimalType | None:
    """The least decimal for both; Delta counts a whole number in a table as 10 digits at least, ``bigint`` as 20."""
    before, after = _digits(rows)
    if isinstance(table, IntegralType):
        before = max(before, 20 if _DIGITS[table.simpleString()] > 10 else 10)
    else:
        own = _digits(table)
        before, after = max(before, own[0]), max(after, own[1])
    return DecimalType(before + after, after) if before + after <= _MOST_DIGITS else None


def _digits(kind: DataType) -> tuple[int, int]:
    """Digits before and after the point."""
    if isinstance(kind, DecimalType):
        return kind.precision - kind.scale, kind.scale
    return _DIGITS[kind.simpleString()], 0


@cache
def of_text(declared: str) -> DataType:
    """The type that a text says; Spark is asked once, as thousands of columns may be of it."""
    return DataType.fromDDL(declared)


def alike(one: DataType, other: DataType) -> bool:
    """Whether two types are one but for what may be NULL in them."""
    if isinstance(one, StructType) and isinstance(other, StructType):
        return one.names == other.names and all(
            alike(a.dataType, b.dataType) for a, b in zip(one.fields, other.fields, strict=True)
        )
    if isinstance(one, ArrayType) and isinstance(other, ArrayType):
        return alike(one.elementType, other.elementType)
    if isinstance(one, MapType) and isinstance(other, MapType):
        return alike(one.keyType, other.keyType) and alike(one.valueType, other.valueType)
    return type(one) is type(other) and one.simpleString() == other.simpleString()


@dataclass(frozen=True)
class Difference:
    """Where rows differ from their table in more than the order of fields.

    ``path`` is as Delta writes it: fields by dots, ``element`` of an array, ``key`` and ``value`` of a map. ``kind``:
    a field that is ``new``, one that the rows ``lack``, a type that is to grow (``wider``) or cannot (``clash``).
    """

    path: str
    kind: Literal["new", "lacks", "wider", "clash"]
    table: StructField | DataType | None = None
    rows: DataType | None = None


def joined(table: StructType, rows: StructType) -> tuple[StructType, list[Difference]]:
    """The table's type with all that the rows have beyond it, at every depth, and how the two differ.

    Names meet whatever their case; the table's spelling and order stay, new fields come at the end.
    """
    differences: list[Difference] = []
    return _joined_fields(table, rows, "", differences), differences


def _joined_fields(table: StructType, rows: StructType, above: str, found: list[Difference]) -> StructType:
    given = {field.name.lower(): field for field in rows.fields}
    fields = []
    for field in table.fields:
        one = given.pop(field.name.lower(), None)
        if one is None:
            found.append(Difference(above + field.name, "lacks", field))
            fields.append(field)
        else:
            kind = _joined(field.dataType, one.dataType, above + field.name, found)
            fields.append(StructField(field.name, kind, field.nullable, field.metadata))
    for one in given.values():
        found.append(Difference(above + one.name, "new", None, one.dataType))
        fields.append(StructField(one.name, one.dataType))
    return StructType(fields)


def _joined(table: DataType, rows: DataType, path: str, found: list[Difference]) -> DataType:
    if alike(table, rows):
        return table
    if isinstance(table, StructType) and isinstance(rows, StructType):
        return _joined_fields(table, rows, f"{path}.", found)
    if isinstance(table, ArrayType) and isinstance(rows, ArrayType):
        return ArrayType(_joined(table.elementType, rows.elementType, f"{path}.element", found))
    if isinstance(table, MapType) and isinstance(rows, MapType):
        key = _joined(table.keyType, rows.keyType, f"{path}.key", found)
        return MapType(key, _joined(table.valueType, rows.valueType, f"{path}.value", found))
    if isinstance(table, NullType):
        found.append(Difference(path, "new", None, rows))
        return rows
    if widens(rows, table):
        return table
    grown = grows(table, rows)
    found.append(Difference(path, "wider" if grown else "clash", table, rows))
    return grown or table


def brought(value: Column, have: DataType, want: DataType) -> Column:
    """A value as another type has it: fields by their names, in the other's order, NULL where the value has none."""
    if alike(have, want):
        return value
    if isinstance(have, StructType) and isinstance(want, StructType):
        given = {field.name.lower(): field for field in have.fields}
        fields = []
        for field in want.fields:
            one = given.get(field.name.lower())
            inner = F.lit(None) if one is None else value.getField(one.name)
            fields.append(brought(inner, one.dataType if one else NullType(), field.dataType).alias(field.name))
        return F.when(value.isNotNull(), F.struct(*fields))
    if isinstance(have, ArrayType) and isinstance(want, ArrayType):
        elements = have.elementType, want.elementType
        return F.transform(value, lambda element: brought(element, *elements))
    if isinstance(have, MapType) and isinstance(want, MapType):
        keys, values = (have.keyType, want.keyType), (have.valueType, want.valueType)
        pairs = F.transform(
            F.map_entries(value),
            lambda pair: F.struct(
                brought(pair.getField("key"), *keys).alias("key"), brought(pair.getField("value"), *values)
            ),
        )
        return F.map_from_entries(pairs)
    return value.cast(want)


def settled(kind: DataType) -> DataType:
    """A type as a table can have it: what has no type is text."""
    if isinstance(kind, StructType):
        return StructType([StructField(one.name, settled(one.dataType), one.nullable) for one in kind.fields])
    if isinstance(kind, ArrayType):
        return ArrayType(settled(kind.elementType), kind.containsNull)
    if isinstance(kind, MapType):
        return MapType(settled(kind.keyType), settled(kind.valueType), kind.valueContainsNull)
    return StringType() if isinstance(kind, NullType) else kind


def parts(kind: DataType, path: str = "") -> Iterator[tuple[str, DataType]]:
    """Every type within a type, with its path."""
    if path:
        yield path, kind
    inner: list[tuple[str, DataType]] = []
    if isinstance(kind, StructType):
        inner = [(f"{path}.{one.name}" if path else one.name, one.dataType) for one in kind.fields]
    elif isinstance(kind, ArrayType):
        inner = [(f"{path}.element", kind.elementType)]
    elif isinstance(kind, MapType):
        inner = [(f"{path}.key", kind.keyType), (f"{path}.value", kind.valueType)]
    for below, one in inner:
        yield from parts(one, below)


def resolved(schema: StructType, name: str) -> tuple[tuple[str, ...], DataType] | None:
    """A column by its very name, else by its name in any case, else a field of a struct by a dotted path.

    The result is the path as the schema spells it, and the type there.
    """
    pieces = name.split(".")
    for count in range(len(pieces), 0, -1):
        text = ".".join(pieces[:count])
        fields = [one for one in schema.fields if one.name == text]
        fields += [one for one in schema.fields if one.name.lower() == text.lower()]
        if not fields:
            continue
        if count == len(pieces):
            return (fields[0].name,), fields[0].dataType
        inner = fields[0].dataType
        below = resolved(inner, ".".join(pieces[count:])) if isinstance(inner, StructType) else None
        if below:
            return (fields[0].name, *below[0]), below[1]
    return None
