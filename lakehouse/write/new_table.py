"""A new table: its properties, its layout, and the columns that Delta keeps statistics of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import NullType, StringType, StructField, StructType

from lakehouse.lake.frame import col, quoted
from lakehouse.lake.table import create
from lakehouse.lake.types import brought, parts, resolved, settled
from lakehouse.write.holds import WITH_STATISTICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

    from lakehouse.lake.table import Table
    from lakehouse.spec.write import Write

_MOST_WITH_STATISTICS = 32
"""Columns that Delta keeps statistics of where nothing else is said."""


def make(batch: DataFrame, spec: Write, target: Table, about: str, definition: Mapping[str, str]) -> None:
    """Make the target, empty; ``definition`` are the properties that say what wrote it."""
    schema = StructType([field for field in batch.schema.fields if not field.name.startswith("__")])
    properties = {
        **definition,
        "delta.enableDeletionVectors": "true",
        # what compares keys reads the table with each batch, and its log from the newest checkpoint on
        "delta.checkpointInterval": "100" if spec.mode == "append" else "50",
    }
    if spec.mode != "append":
        properties["delta.enableChangeDataFeed"] = "true"
    if spec.column_mapping == "name":
        properties["delta.columnMapping.mode"] = "name"
    partitions = [".".join(path) for path in paths(schema, spec.partition_by)]
    clusters = paths(schema, spec.cluster_by)
    compared = paths(schema, [*getattr(spec, "keys", ()), *getattr(spec, "sequence_by", ())])
    properties |= statistics(schema, [*clusters, *compared], partitions, {})
    create(
        batch.sparkSession,
        target,
        schema,
        about=about,
        comments=spec.comments,
        partition_by=partitions,
        cluster_by=[".".join(path) for path in clusters],
        properties=properties,
    )


def paths(schema: StructType, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Columns, or fields of them, as the schema spells them."""
    return [found[0] for name in names if (found := resolved(schema, name))]


def storable(batch: DataFrame, spec: Write) -> DataFrame:
    """The batch as Delta can hold it: what has no type as text, and no empty text to partition by.

    Delta makes a NULL of an empty partition value; were it not one before, the row would differ from itself.
    """
    partitions = {name.lower() for name in spec.partition_by}

    def is_held(field: StructField) -> bool:
        empty = isinstance(field.dataType, StringType) and field.name.lower() in partitions
        return field.name.startswith("__") or not (
            empty or any(isinstance(one, NullType) for _, one in parts(field.dataType, "it"))
        )

    if all(map(is_held, batch.schema.fields)):
        return batch

    def as_held(field: StructField) -> Column:
        value = col(field.name)
        if field.name.startswith("__"):
            return value
        value = brought(value, field.dataType, settled(field.dataType))
        if isinstance(field.dataType, StringType) and field.name.lower() in partitions:
            value = F.when(value != "", value)
        return value.alias(field.name)

    return batch.select([as_held(field) for field in batch.schema.fields])


def statistics(
    schema: StructType, wanted: Sequence[tuple[str, ...]], partitions: Sequence[str], properties: Mapping[str, str]
) -> dict[str, str]:
    """The property that makes Delta keep statistics of these columns, where it would not by itself.

    It keeps them of the first 32 columns, and clusters by no column without.
    """
    apart = {name.lower() for name in partitions}
    leaves = [leaf for leaf in _leaves(schema) if leaf[0][0].lower() not in apart]
    name, most = "delta.dataSkippingStatsColumns", properties.get("delta.dataSkippingNumIndexedCols")
    first = [path for path, _ in leaves][: int(most) if most and int(most) >= 0 else len(leaves) if most else 32]
    able = {path for path, kind in leaves if isinstance(kind, WITH_STATISTICS)}
    wanted = [path for path in dict.fromkeys(wanted) if path in able]
    if properties.get(name):
        told = properties[name]
        new = [text for path in wanted if (text := ".".join(map(quoted, path))) not in told.replace("``", "")]
        return {name: ", ".join([told, *new])} if new else {}
    if all(path in first for path in wanted):
        return {}
    chosen = dict.fromkeys([*wanted, *[path for path in first if path in able]])
    return {name: ", ".join(".".join(map(quoted, path)) for path in list(chosen)[:_MOST_WITH_STATISTICS])}


def _leaves(schema: StructType, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], DataType]]:
    """The columns, and the fields of those that are structs, in their order."""
    for field in schema.fields:
        if isinstance(field.dataType, StructType):
            yield from _leaves(field.dataType, (*above, field.name))
        else:
            yield (*above, field.name), field.dataType
