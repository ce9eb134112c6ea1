"""What was read of files is held against what each one says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, StructType

from lakehouse.lake.batch import CODE, MESSAGE, RAW
from lakehouse.lake.frame import col, counted_by
from lakehouse.lake.storage import plain_path
from lakehouse.read.layout.layout import INCONSISTENT
from lakehouse.read.scan import URI, Unreadable, place, usable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

    from lakehouse.read.layout.layout import Layout


def keep(
    rows: DataFrame,
    paths: Sequence[str],
    layouts: Mapping[str, Layout | None],
    replaced: Mapping[str, Column] | None = None,
) -> DataFrame:
    """Evaluate the rows of a binary format once, and check in the same pass that they are what the files say.

    ``replaced`` are columns that take the place of others of their names, and ``__raw``, ``__code`` and ``__message``
    where a row can be unusable by itself.

    Raises:
        Unreadable: a column has a name of this library's own, or a file is not what it says.
    """
    usable(rows.columns)
    other = replaced or {}
    columns = [other.get(name, col(name)).alias(name) for name in rows.columns]
    beside = [other.get(name, F.lit(None).cast("string")).alias(name) for name in (RAW, CODE, MESSAGE)]
    frame = rows.select(*columns, *beside, *place())
    sums = dict(_values(rows.schema, layouts))
    counts = [F.sum(values).alias(f"{index}") for index, values in enumerate(sums.values())]
    kept, found = counted_by(frame, URI, F.count("*").alias("rows"), *counts)
    by_path = {plain_path(row[URI], encoded=True): row for row in found}
    for path in paths:
        if layout := layouts.get(path):
            row = by_path.get(path)
            values = {at: row[str(index)] for index, at in enumerate(sums)} if row else {}
            _compare(path, layout, row["rows"] if row else 0, values, rows.schema)
    return kept


def _compare(path: str, layout: Layout, rows: int, values: Mapping[tuple[str, int], int], schema: StructType) -> None:
    if rows != layout.rows:
        message = f"it says {layout.rows:,} rows, and {rows:,} were read"
        raise Unreadable(message, INCONSISTENT, file=path)
    leaves_of = {field.name.lower(): _leaves(field.dataType) for field in schema.fields}
    for (column, index), found in values.items():
        leaves = layout.leaves.get(column, ())
        # of files whose columns differ within the batch the values of one cannot be told from what others lack
        if len(leaves) != leaves_of[column] or (told := leaves[index].values) is None:
            continue
        if rows and told != found:
            message = f"it says {told:,} values of {column}, and {found:,} were read"
            raise Unreadable(message, INCONSISTENT, file=path)


def _values(schema: StructType, layouts: Mapping[str, Layout | None]) -> Iterator[tuple[tuple[str, int], Column]]:
    """How many values a row has of each leaf of which a file says so, by column and number of the leaf."""
    for field in schema.fields:
        name, count = field.name.lower(), _leaves(field.dataType)
        told = {
            index
            for layout in layouts.values()
            if layout and len(layout.leaves.get(name, ())) == count
            for index, leaf in enumerate(layout.leaves[name])
            if leaf.values is not None
        }
        for index in sorted(told):
            yield (name, index), _slots(col(field.name), field.dataType, index)


def _leaves(kind: DataType) -> int:
    return sum(_leaves(part) for part in _parts(kind)) or 1


def _parts(kind: DataType) -> list[DataType]:
    if isinstance(kind, StructType):
        return [field.dataType for field in kind.fields]
    if isinstance(kind, MapType):
        return [kind.keyType, kind.valueType]
    return [kind.elementType] if isinstance(kind, ArrayType) else []


def _slots(value: Column, kind: DataType, leaf: int) -> Column:
    """How many values one leaf has, as Parquet counts: NULL and an empty list are one."""
    if not _repeats(kind, leaf):
        return F.lit(1).cast("bigint")
    part, within = _within(kind, leaf)
    if isinstance(kind, StructType):
        field = kind.fields[part]
        below = _slots(value.getField(field.name), field.dataType, within)
        return F.when(value.isNull(), F.lit(1)).otherwise(below).cast("bigint")
    if isinstance(kind, MapType):
        value = F.map_values(value) if part else F.map_keys(value)
    return _slots_of_list(value, _parts(kind)[part], within)


def _slots_of_list(value: Column, kind: DataType, leaf: int) -> Column:
    if not _repeats(kind, leaf):
        return F.greatest(F.coalesce(F.size(value), F.lit(0)), F.lit(1)).cast("bigint")
    zero = F.lit(0).cast("bigint")
    total = F.aggregate(value, zero, lambda before, item: before + _slots(item, kind, leaf))
    return F.greatest(F.coalesce(total, zero), F.lit(1).cast("bigint"))


def _within(kind: DataType, leaf: int) -> tuple[int, int]:
    """Which part of a nested type holds a leaf, and the number of the leaf in that."""
    for number, part in enumerate(_parts(kind)):
        if leaf < (size := _leaves(part)):
            return number, leaf
        leaf -= size
    message = f"{kind.simpleString()} has fewer leaves"
    raise IndexError(message)


def _repeats(kind: DataType, leaf: int) -> bool:
    """Whether there are lists on the way to a leaf."""
    if isinstance(kind, ArrayType | MapType):
        return True
    if not isinstance(kind, StructType):
        return False
    part, within = _within(kind, leaf)
    return _repeats(kind.fields[part].dataType, within)
