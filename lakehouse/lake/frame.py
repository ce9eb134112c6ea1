"""Small things every stage does to a DataFrame."""

from __future__ import annotations

import json
from functools import reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, MapType, StructField, StructType, VariantType

from lakehouse.errors import KeyMissingError
from lakehouse.lake.types import parts, resolved
from lakehouse.spec.sql import quote_name, quote_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame, Row, SparkSession
    from pyspark.sql.types import DataType


def quoted(name: str) -> str:
    """A column's name as SQL, whatever is in it."""
    return quote_name(name)


def col(name: str) -> Column:
    """The column of that very name: dots in it are not fields."""
    return F.col(quoted(name))


def literal(text: str) -> str:
    """A text as an SQL string, whatever is in it."""
    return quote_text(text)


def materialise(frame: DataFrame) -> DataFrame:
    """Evaluate once and keep: two uses of a frame that is not kept are two evaluations, which may differ."""
    return frame.localCheckpoint(eager=True)


def counted(frame: DataFrame, *counts: Column) -> tuple[DataFrame, dict[str, Any]]:
    """Evaluate once and keep, as ``materialise`` does, and count in the same pass."""
    kept = frame.localCheckpoint(eager=False)
    return kept, kept.agg(*counts).collect()[0].asDict()


def counted_by(frame: DataFrame, key: str, *counts: Column) -> tuple[DataFrame, list[Row]]:
    """Evaluate once and keep, and count for each value of a column in the same pass."""
    kept = frame.localCheckpoint(eager=False)
    return kept, kept.groupBy(key).agg(*counts).collect()


def small_frame(spark: SparkSession, rows: Sequence[Sequence[Any]], schema: Mapping[str, str]) -> DataFrame:
    """A few rows of the driver's as a frame; values are what JSON can say, times as ISO 8601.

    ``createDataFrame`` starts Python workers for it, which takes longer than most small jobs.
    """
    fields = ",".join(f"{quoted(name)}:{kind}" for name, kind in schema.items())
    text = json.dumps([dict(zip(schema, row, strict=True)) for row in rows])
    parsed = F.from_json(F.lit(text), f"array<struct<{fields}>>", {"mode": "FAILFAST"})
    return spark.range(1).select(F.explode(parsed).alias("row")).select("row.*")


def row_hash(frame: DataFrame, columns: Sequence[str]) -> Column:
    """A 64-bit hash over the columns by their names; one that is NULL is as one that is not there.

    So ('a', NULL, 'b') and ('a', 'b', NULL) differ, and neither the order of the columns nor a new one that is NULL
    makes another hash. xxhash64 takes no map, and passes over NULLs inside of arrays and structs: these go by their
    text, a map in the order of its entries at every depth. Two different rows share a hash once in 2^64.
    """
    hashed: list[Column] = []
    for name in sorted(columns, key=str.lower):
        kind = frame.schema[name].dataType
        value = ordered_maps(col(name), kind)
        if isinstance(kind, ArrayType | StructType | VariantType):
            value = as_json(value)
        hashed += [F.when(value.isNotNull(), F.lit(name.lower())), value]
    return F.xxhash64(*hashed) if hashed else F.lit(0)


def comparable(value: Column, kind: DataType) -> Column:
    """A value as it can be compared with another of its type: Spark compares no map and no variant, at any depth."""
    if not any(isinstance(one, MapType | VariantType) for _, one in parts(kind, "it")):
        return value
    ordered = ordered_maps(value, kind)
    return ordered if isinstance(kind, MapType) else as_json(ordered)


def ordered_maps(value: Column, kind: DataType) -> Column:
    """A value in which every map is the sorted array of its entries, each as JSON: a map has no order."""
    if not any(isinstance(one, MapType) for _, one in parts(kind, "it")):
        return value
    if isinstance(kind, StructType):
        fields = [ordered_maps(value.getField(one.name), one.dataType).alias(one.name) for one in kind.fields]
        return F.when(value.isNotNull(), F.struct(*fields))
    if isinstance(kind, ArrayType):
        element = kind.elementType
        return F.transform(value, lambda one: ordered_maps(one, element))
    if isinstance(kind, MapType):
        inner = StructType([StructField("key", kind.keyType), StructField("value", kind.valueType)])
        entries = F.transform(F.map_entries(value), lambda entry: as_json(ordered_maps(entry, inner)))
        return F.array_sort(entries)
    return value


_TIME = "yyyy-MM-dd'T'HH:mm:ss.SSSSSS"
_TIMES = {"timestampFormat": f"{_TIME}XXX", "timestampNTZFormat": _TIME}


def as_json(value: Column) -> Column:
    """A struct, array or map as JSON with all that is in it: NULLs too, and times to the microsecond."""
    return F.to_json(value, {"ignoreNullFields": "false", **_TIMES})


def as_text(value: Column, kind: DataType) -> Column:
    """Write a value of any type as text, losing nothing: nested ones as JSON, bytes in Base64, else as Spark does."""
    if isinstance(kind, ArrayType | MapType | StructType | VariantType):
        return as_json(value)
    return F.base64(value) if isinstance(kind, BinaryType) else value.cast("string")


def together(frames: Sequence[DataFrame]) -> DataFrame:
    """Unite frames by the names of their columns; one that differs in type between them becomes text in all."""
    types: dict[str, set[str]] = {}
    for frame in frames:
        for field in frame.schema.fields:
            types.setdefault(field.name.lower(), set()).add(field.dataType.simpleString())
    mixed = {name for name, kinds in types.items() if len(kinds) > 1}

    def aligned(frame: DataFrame) -> DataFrame:
        fields = [field for field in frame.schema.fields if field.name.lower() in mixed]
        return (
            frame.withColumns({one.name: as_text(col(one.name), one.dataType) for one in fields}) if fields else frame
        )

    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), map(aligned, frames))


def by_types(frames: Sequence[DataFrame]) -> list[DataFrame]:
    """Unite frames where no column differs in type between them; the others stay apart."""
    parts: list[tuple[dict[str, str], list[DataFrame]]] = []
    for frame in frames:
        types = {field.name.lower(): field.dataType.simpleString() for field in frame.schema.fields}
        for seen, same in parts:
            if all(seen.get(name, kind) == kind for name, kind in types.items()):
                seen.update(types)
                same.append(frame)
                break
        else:
            parts.append((types, [frame]))
    return [together(same) for _, same in parts]


def of_json(text: Column, schema: StructType) -> tuple[Column, Column]:
    """The struct that ``as_json`` made a text of, and whether it is: nothing of the text was lost or is another."""
    value = F.from_json(text, schema, {"columnNameOfCorruptRecord": "__corrupt", **_TIMES})
    told, found = (F.map_entries(F.from_json(one, "map<string,string>")) for one in (text, as_json(value)))
    return value, F.coalesce(F.size(F.array_except(told, found)) == 0, F.lit(False))


def sql_type(kind: DataType) -> str:
    """The type as SQL writes it, whatever its fields are called."""
    if isinstance(kind, StructType):
        return f"struct<{', '.join(f'{quoted(one.name)}: {sql_type(one.dataType)}' for one in kind.fields)}>"
    if isinstance(kind, ArrayType):
        return f"array<{sql_type(kind.elementType)}>"
    if isinstance(kind, MapType):
        return f"map<{sql_type(kind.keyType)}, {sql_type(kind.valueType)}>"
    return kind.simpleString()


def sql_path(frame: DataFrame, name: str) -> str:
    """A column as SQL: the one of that very name, else by its name in any case, else a field of a struct by a path.

    Raises:
        KeyMissingError: there is none.
    """
    found = resolved(frame.schema, name)
    if found is None:
        message = f"there is no column {name} (there are {', '.join(frame.columns)})"
        raise KeyMissingError(message)
    return ".".join(map(quoted, found[0]))


def path(frame: DataFrame, name: str) -> Column:
    """A column or a field of one, as ``sql_path`` finds it."""
    return F.col(sql_path(frame, name))
