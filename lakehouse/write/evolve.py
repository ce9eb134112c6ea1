"""The table and the rows are brought together before anything is committed: columns, types, names and layout."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, NullType, StringType, StructField, StructType

from lakehouse.errors import (
    KeyMissingError,
    LayoutChangeError,
    SchemaDriftError,
    TypeChangeError,
    WriteError,
)
from lakehouse.lake.frame import col
from lakehouse.lake.table import Commit, Layout, create, exists, head, layout, read_table
from lakehouse.lake.types import widens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

    from lakehouse.lake.table import Table
    from lakehouse.spec.write import Write

_ODD = frozenset(" ,;{}()\n\t=")


def fits(batch: DataFrame, spec: Write, target: Table) -> None:
    """Hold the rows of a batch against the target before anything of it is committed.

    Raises:
        KeyMissingError, LayoutChangeError, SchemaDriftError, TypeChangeError.
    """
    holds(batch, spec)
    if exists(batch.sparkSession, target):
        same_layout(layout(batch.sparkSession, target), spec, target)
        aligned(batch, read_table(batch.sparkSession, target).schema, spec, target)


def fitted(batch: DataFrame, spec: Write, target: Table, about: str) -> tuple[DataFrame, Commit, dict[str, str]]:
    """The batch as the target has its columns, the target's newest commit, and what the writer needs to add columns.

    The target is made where it is not there yet.

    Raises:
        KeyMissingError, LayoutChangeError, SchemaDriftError, TypeChangeError.
    """
    spark = batch.sparkSession
    holds(batch, spec)
    newest = head(spark, target)
    if newest is None:
        batch = _settled(batch, spec)
        properties = {
            "lakehouse.mode": spec.mode,
            "delta.enableDeletionVectors": "true",
            "delta.checkpointInterval": "50",
        }
        if spec.mode != "append":
            properties["delta.enableChangeDataFeed"] = "true"
        create(
            spark,
            target,
            batch.schema,
            about=about,
            comments=spec.comments,
            partition_by=_spelled(batch, spec.partition_by),
            cluster_by=_spelled(batch, spec.cluster_by),
            properties=properties,
        )
        return batch, head(spark, target) or Commit(0, "CREATE TABLE"), {}
    same_layout(layout(spark, target), spec, target)
    batch = _settled(aligned(batch, read_table(spark, target).schema, spec, target), spec)
    return batch, newest, {"mergeSchema": "true"} if spec.evolve == "add_columns" else {}


def _spelled(batch: DataFrame, names: Sequence[str]) -> list[str]:
    """The columns as the batch spells them."""
    known = {name.lower(): name for name in batch.columns}
    return [known[name.lower()] for name in names]


def _settled(batch: DataFrame, spec: Write) -> DataFrame:
    """The batch as Delta can hold it: a column of no type as text, and no empty text to partition by.

    Delta makes a NULL of an empty partition value; were it not one before, the row would differ from itself.
    """
    partitions = {name.lower() for name in spec.partition_by}

    def settled(field: StructField) -> Column:
        value = col(field.name)
        if isinstance(field.dataType, NullType):
            value = value.cast("string")
        elif isinstance(field.dataType, StringType) and field.name.lower() in partitions:
            value = F.when(value != "", value)
        return value.alias(field.name)

    return batch.select([settled(field) for field in batch.schema.fields])


def holds(batch: DataFrame, spec: Write) -> None:
    """Hold the batch against the columns that the job names, and against what a table can have.

    Raises:
        KeyMissingError: a column is not there.
        WriteError: two columns have one name, or a name that Delta does not take.
    """
    lowered = Counter(name.lower() for name in batch.columns)
    if twice := [name for name, times in lowered.items() if times > 1]:
        message = f"{spec.table}: the rows have two columns {twice[0]}"
        raise WriteError(message, hint="drop or rename one in transform()")
    if odd := [name for name in _names(batch.schema) if _ODD.intersection(name)]:
        message = (
            f"{spec.table}: Delta takes no blank, line break or ,;{{}}()= in a name, and a column is named {odd[0]!r}"
        )
        raise WriteError(message, hint="rename it in transform()")
    for field in ("keys", "sequence_by", "partition_by", "cluster_by"):
        missing = [name for name in getattr(spec, field, ()) if name.lower() not in lowered]
        if missing:
            there = ", ".join(batch.columns)
            message = (
                f"{spec.table}: {field} names {', '.join(missing)}, which the rows do not have (they have {there})"
            )
            raise KeyMissingError(message)


def _names(kind: DataType) -> Iterator[str]:
    """The names of all fields in a type, at every depth."""
    if isinstance(kind, StructType):
        for field in kind.fields:
            yield field.name
            yield from _names(field.dataType)
    elif isinstance(kind, ArrayType):
        yield from _names(kind.elementType)
    elif isinstance(kind, MapType):
        yield from _names(kind.keyType)
        yield from _names(kind.valueType)


def same_layout(have: Layout, spec: Write, target: Table) -> None:
    """Hold the table's layout against the job's.

    Raises:
        LayoutChangeError: they differ.
    """
    want = Layout(spec.partition_by, spec.cluster_by)
    lowered = [
        Layout(tuple(map(str.lower, one.partition_by)), tuple(map(str.lower, one.cluster_by))) for one in (have, want)
    ]
    if lowered[0] != lowered[1]:
        message = f"{target.name} is {_told(have)}, the job says {_told(want)}"
        raise LayoutChangeError(message, hint="rebuild the table with --full-refresh, or take the change back")


def _told(one: Layout) -> str:
    if one.partition_by:
        return f"partitioned by {', '.join(one.partition_by)}"
    return f"clustered by {', '.join(one.cluster_by)}" if one.cluster_by else "not laid out by any column"


def aligned(batch: DataFrame, table: StructType, spec: Write, target: Table) -> DataFrame:
    """The batch with the table's columns first, by the table's spelling and types; then new ones, if they may come."""
    given: dict[str, StructField] = {field.name.lower(): field for field in batch.schema.fields}
    known = {field.name.lower() for field in table.fields}
    new = [field.name for field in batch.schema.fields if field.name.lower() not in known]
    if new and spec.evolve == "strict":
        message = f"{target.name} has no column {', '.join(new)}"
        raise SchemaDriftError(
            message, hint="say evolve: add_columns to let the table grow, or leave them out in transform()"
        )
    columns, clashes = [], []
    for field in table.fields:
        have = given.get(field.name.lower())
        if have is None:
            columns.append(F.lit(None).cast(field.dataType).alias(field.name))
        elif have.dataType.simpleString() == field.dataType.simpleString():
            columns.append(col(have.name).alias(field.name))
        elif widens(have.dataType, field.dataType):
            columns.append(col(have.name).cast(field.dataType).alias(field.name))
        else:
            kinds = f"{field.dataType.simpleString()} in the table and {have.dataType.simpleString()} in the rows"
            clashes.append(f"{field.name} is {kinds}")
    if clashes:
        message = f"{target.name}: {'; '.join(clashes)}"
        raise TypeChangeError(message, hint="cast in transform(), or rebuild the table with --full-refresh")
    return batch.select(*columns, *[col(name) for name in new])


def grown(target: DataFrame, batch: DataFrame) -> DataFrame:
    """The table as it will be once it has the batch's new columns."""
    known = {name.lower() for name in target.columns}
    new = [field for field in batch.schema.fields if field.name.lower() not in known]
    return target.withColumns({field.name: F.lit(None).cast(field.dataType) for field in new}) if new else target
