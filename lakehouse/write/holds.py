"""What a table can hold, whatever is in it: names, types, and what it is laid out by."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DateType,
    MapType,
    NullType,
    NumericType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
    UserDefinedType,
    VariantType,
)

from lakehouse.errors import KeyMissingError, WriteError
from lakehouse.lake.look import fills_itself
from lakehouse.lake.types import parts, resolved
from lakehouse.write.partitions import is_partition_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType

    from lakehouse.lake.look import Look
    from lakehouse.spec.write import Write

_ODD = frozenset(" ,;{}()\n\t=")
_OF_THE_FEED = frozenset({"_change_type", "_commit_version", "_commit_timestamp"})
WITH_STATISTICS = (NumericType, StringType, DateType, TimestampType, TimestampNTZType)
"""Types of which Delta keeps the least and the greatest value of each file, and by which it clusters."""
_HELD = (
    *WITH_STATISTICS,
    BooleanType, BinaryType, VariantType, StructType, ArrayType, MapType, NullType, UserDefinedType,
)  # fmt: skip
_WITHOUT_ORDER = (MapType, VariantType)
_MOST_CLUSTERED = 4


def holds(batch: DataFrame, spec: Write, found: Look | None = None) -> None:
    """Hold the batch against the columns that the job names, and against what a table can have.

    Raises:
        KeyMissingError: a column is not there.
        WriteError: two columns have one name, or a name or type that Delta does not take where it stands.
    """
    fields = [field for field in batch.schema.fields if not field.name.startswith("__")]
    schema = StructType(fields)
    _names_hold(schema, spec, found)
    for path, kind in parts(schema):
        is_empty = isinstance(kind, StructType) and not kind.fields
        if not isinstance(kind, _HELD) or is_empty or is_collated(kind):
            message = f"{spec.table}: Delta holds no {kind.simpleString()}, and {path} is one"
            raise WriteError(message, hint="cast it, or leave it out, in transform()")
    own = [field for field in found.schema.fields if fills_itself(field)] if found else []
    given = {field.name.lower() for field in fields}
    whole = StructType([*fields, *[field for field in own if field.name.lower() not in given]])
    for field in ("keys", "sequence_by"):
        _named(whole, spec, field)
    check_order(whole, spec)
    _layout_holds(whole, spec, found)


def is_collated(kind: DataType) -> bool:
    """Whether it is a text that is compared otherwise than by its bytes."""
    return isinstance(kind, StringType) and not kind.isUTF8BinaryCollation()


def check_order(schema: StructType, spec: Write) -> None:
    """Hold the columns that rows are compared by against what Spark can compare; one that is missing is passed over.

    Raises:
        WriteError: a map or a variant is named, or a column that has one in it.
    """
    for field in ("keys", "sequence_by", "identity", "snapshot_by"):
        value = getattr(spec, field, ())
        for name in (value,) if isinstance(value, str) else value:
            found = resolved(schema, name)
            if found and any(isinstance(one, _WITHOUT_ORDER) for _, one in parts(found[1], name)):
                message = f"{spec.table}: {field} names {name}, a {found[1].simpleString()}, which cannot be compared"
                raise WriteError(message, hint="make a column of what tells the rows apart in transform()")


def _names_hold(schema: StructType, spec: Write, found: Look | None) -> None:
    """Hold the names at every depth against each other and against Delta's."""
    for path, kind in [("", schema), *parts(schema)]:
        names = Counter(name.lower() for name in kind.names) if isinstance(kind, StructType) else Counter[str]()
        if twice := [name for name, times in names.items() if times > 1]:
            message = f"{spec.table}: {path or 'the rows'} have two columns {twice[0]}"
            raise WriteError(message, hint="drop or rename one in transform()")
    mapped = spec.column_mapping == "name" or (found is not None and found.is_mapped)
    if not mapped and (odd := [name for name in _names(schema) if _ODD.intersection(name)]):
        message = (
            f"{spec.table}: Delta takes no blank, line break or ,;{{}}()= in a name, and a column is named {odd[0]!r}"
        )
        raise WriteError(message, hint="give it another name by rename, or say column_mapping: name")
    reserved = _OF_THE_FEED if spec.mode != "append" or (found is not None and found.has_change_feed) else frozenset()
    for name in schema.names:
        if name.lower() in reserved or (name.lower() == "_metadata" and spec.mode != "append"):
            message = f"{spec.table}: {name} is a name that Delta uses itself"
            raise WriteError(message, hint="give the column another name by rename")


def _names(schema: StructType) -> Iterator[str]:
    """The names of all fields, at every depth."""
    for _, kind in [("", schema), *parts(schema)]:
        yield from kind.names if isinstance(kind, StructType) else ()


def _named(schema: StructType, spec: Write, field: str) -> list[tuple[str, DataType]]:
    """The columns that a field of the job names, with their types."""
    found = {name: resolved(schema, name) for name in getattr(spec, field, ())}
    if missing := [name for name, one in found.items() if one is None]:
        there = ", ".join(schema.names)
        message = f"{spec.table}: {field} names {', '.join(missing)}, which the rows do not have (they have {there})"
        raise KeyMissingError(message)
    return [(name, one[1]) for name, one in found.items() if one]


def _layout_holds(schema: StructType, spec: Write, found: Look | None) -> None:
    """Hold the columns of the layout against what Delta lays a table out by."""
    whole = {name.lower() for name in schema.names}
    for name, kind in _named(schema, spec, "partition_by"):
        if name.lower() not in whole or isinstance(kind, StructType | ArrayType | MapType | VariantType):
            what = "a field of one" if name.lower() not in whole else f"a {kind.simpleString()}"
            message = (
                f"{spec.table}: partition_by names {name}: Delta partitions by whole simple columns, not by {what}"
            )
            raise WriteError(message, hint="make a column of it in transform(), or say cluster_by")
        if not is_partition_type(kind):
            message = f"{spec.table}: partition_by names {name}: not every {kind.simpleString()} has a text of its own"
            is_there = found is not None and name.lower() in map(str.lower, found.layout.partition_by)
            more = ", and rebuild the table with --full-refresh and another partition_by" if is_there else ""
            raise WriteError(message, hint=f"make a text, a whole number or a decimal of it in transform(){more}")
    if len(whole) == len(spec.partition_by):
        message = f"{spec.table}: partition_by names every column, and Delta keeps none of them in the files"
        raise WriteError(message, hint="leave one out")
    if len(spec.cluster_by) > _MOST_CLUSTERED:
        message = f"{spec.table}: cluster_by names {len(spec.cluster_by)} columns, and Delta takes {_MOST_CLUSTERED}"
        raise WriteError(message, hint="keep those that are asked for most")
    for name, kind in _named(schema, spec, "cluster_by"):
        if not isinstance(kind, (*WITH_STATISTICS, NullType)):
            message = f"{spec.table}: cluster_by names {name}, and Delta does not cluster by {kind.simpleString()}"
            raise WriteError(message, hint="choose a number, a text or a time")
