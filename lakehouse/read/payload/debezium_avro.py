"""Debezium's messages in Avro, as ``debezium`` takes them: as JSON, with the types that their schemas tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    DateType,
    DecimalType,
    MapType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from lakehouse.lake.batch import CODE, MESSAGE
from lakehouse.lake.frame import as_json, col, literal
from lakehouse.lake.statements import expression
from lakehouse.lake.types import brought
from lakehouse.read.payload import avro
from lakehouse.read.payload.avro import SCHEMA
from lakehouse.read.payload.connect_json import FIELDS
from lakehouse.read.payload.keys import key_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pyspark.sql import Column, DataFrame

    from lakehouse.read.payload.avro import Read
    from lakehouse.read.payload.avro_schema import Node
    from lakehouse.spec.kafka import KeyColumn

_CLEAR = (DecimalType, DateType, TimestampType, TimestampNTZType)
"""Types of Spark that say what a value is, whatever its schema adds."""


def as_read(
    messages: DataFrame,
    *,
    registry: str | None = None,
    schema: str | None = None,
    topics: Iterable[str] = (),
    flat: bool,
    key_column: KeyColumn | None = None,
) -> DataFrame:
    """The messages as ``debezium.decoded`` takes them; see ``avro.read``. Each is made JSON by its own schema alone.

    With a registry the keys are read as the values are, which reads the batch once more; else they are taken for JSON.
    """
    key = F.col("__key").cast("string")
    key = key_document(key_column) if key_column else F.when(F.is_valid_utf8(key), key)
    columns = {"__doc_key": key, "__fields_key": F.lit(None).cast(FIELDS)}
    frame = messages
    if registry is not None:
        apart = messages.withColumns({"__own": F.col("__value"), "__value": F.col("__key")})
        keys = avro.read(apart, registry=registry)
        frame = _judged(keys)
        text = F.coalesce(_text(keys, depth=1, plain=key_column.name if key_column else "value"), columns["__doc_key"])
        columns = {"__doc_key": text, "__fields_key": _types(keys, within=None), "__value": F.col("__own")}
    frame = frame.withColumns(columns)
    frame = frame.select(*[col(name) for name in messages.columns], "__doc_key", "__fields_key")
    values = avro.read(frame, registry=registry, schema=schema, topics=topics)
    is_fault = F.col(CODE).isNotNull() & (F.col(CODE) != "EMPTY_MESSAGE")
    return _judged(values).select(
        *[col(name) for name in frame.columns],
        _text(values, depth=1 if flat else 2).alias("__doc"),
        F.when(is_fault, F.col(CODE)).alias("__fault"),
        F.when(is_fault, F.col(MESSAGE)).alias("__fault_said"),
        _by_schema(
            values, lambda one, _: _listed(literal(field["name"]) for field in _fields(one)), "array<string>"
        ).alias("__names"),
        _types(values, within=None if flat else "after").alias("__fields"),
    )


def _judged(read: Read) -> DataFrame:
    return read.judged({one.index: one.exact for one in read.writers})


def _text(read: Read, *, depth: int, plain: str = "value") -> Column:
    """What was read as JSON, in which what is no deeper than that is text; NULL of a message that cannot be used.

    ``plain``: the name of what is no record.
    """
    texts = []
    for one in read.writers:
        if one.exact.fields:
            value = _in_text(brought(one.value, one.read, one.exact), one.exact, depth)
            named = F.when(value.isNotNull(), F.struct(value["value"].alias(plain))) if one.is_bare else value
            texts.append(as_json(named))
    return F.when(F.col(CODE).isNull(), F.coalesce(F.lit(None).cast("string"), *texts))


def _in_text(value: Column, kind: DataType, depth: int) -> Column:
    """A value whose numbers and times are text: as such the parser of JSON leaves them as they are."""
    if isinstance(kind, StructType) and depth:
        parts = [_in_text(value.getField(one.name), one.dataType, depth - 1).alias(one.name) for one in kind.fields]
        return F.when(value.isNotNull(), F.struct(*parts))
    # bytes become base64
    return value if isinstance(kind, StructType | ArrayType | MapType | BinaryType) else value.cast("string")


def _types(read: Read, *, within: str | None) -> Column:
    """The fields of each message's row, with their types as a schema block of JSON has them."""

    def fields(schema: Node, kind: StructType) -> str:
        row: DataType = kind
        for one in _fields(schema):
            if one["name"] == within:
                schema, row = _own(one["type"]), kind[one["name"]].dataType
        kinds = {one.name: one.dataType for one in row.fields} if isinstance(row, StructType) else {}
        return _listed(_field(one, kinds) for one in _fields(schema))

    return _by_schema(read, fields, FIELDS)


def _field(field: Node, kinds: Mapping[str, DataType]) -> str:
    node = _own(field["type"])
    clear = isinstance(kinds.get(field["name"]), _CLEAR)
    scale = (node.get("connect.parameters") or {}).get("scale")
    texts = [field["name"], "string" if clear else node["type"], None if clear else node.get("connect.name"), scale]
    name, plain, told, digits = ("CAST(NULL AS string)" if text is None else literal(str(text)) for text in texts)
    return (
        f"named_struct('field', {name}, 'type', {plain}, 'name', {told}, 'parameters', named_struct('scale', {digits}))"
    )


def _own(node: Node) -> Node:
    """A type, or that of a union which is not null."""
    return next((one for one in node if one["type"] != "null"), node[0]) if isinstance(node, list) else node


def _fields(schema: Node) -> list[Node]:
    return list(schema["fields"]) if isinstance(schema, dict) and "fields" in schema else []


def _listed(parts: Iterable[str]) -> str:
    return f"array({', '.join(parts)})"


def _by_schema(read: Read, what: Callable[[Node, StructType], str], kind: str) -> Column:
    cases = [
        f"WHEN {SCHEMA} = {key} THEN CAST({what(schema, one.exact)} AS {kind})"
        for one in read.writers
        for key, schema in one.schemas.items()
    ]
    return expression(f"CASE {' '.join(cases)} END" if cases else f"CAST(NULL AS {kind})")
