"""Keys that are plain values: the column that they are, and the deletions that messages without a value are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, DataType, MapType, StructType

from lakehouse.lake.batch import CODE, MESSAGE, TOLD, TYPED
from lakehouse.lake.frame import as_json, col
from lakehouse.lake.statements import expression
from lakehouse.lake.types import brought
from lakehouse.read.payload import avro

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.spec.kafka import KeyColumn

TOMBSTONE = "__tombstone"
"""Beside a message: whether it has a key and no value."""


def key_text(form: KeyColumn) -> Column:
    """The record's key as text; NULL where it is not of the form that is declared."""
    key = F.col("__key")
    text = F.when(F.is_valid_utf8(key.cast("string")), key.cast("string"))
    if form.format == "text":
        return text
    if form.format == "avro":
        # of a schema, which is asked for elsewhere
        return F.lit(None).cast("string")
    if form.format == "number":
        # a negative number of four bytes as one of eight
        wide = expression("CASE WHEN octet_length(__key) = 4 AND hex(__key) >= '8' THEN 'FFFFFFFF' ELSE '' END")
        digits = F.concat(wide, F.hex(key))
        return F.when(F.octet_length(key).isin(4, 8), F.conv(digits, 16, -10))
    parsed = F.from_json(F.concat(F.lit('{"k":'), text, F.lit("}")), "k string, c string", _STRICT)
    is_scalar = ~F.ltrim(text).rlike(r"^[\[{]")
    # what follows the value within the braces could say it once more: 5,"k":7
    is_alone = F.json_array_length(F.concat(F.lit("["), text, F.lit("]"))) == 1
    return F.when(is_scalar & is_alone & parsed["c"].isNull(), parsed["k"])


_STRICT = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": "c", "allowSingleQuotes": "false"}


def key_document(form: KeyColumn) -> Column:
    """The record's key as a JSON object of its column, which a key that is an object is already."""
    text = F.col("__key").cast("string")
    is_object = F.is_valid_utf8(text) & F.ltrim(text).startswith("{")
    plain = key_text(form)
    return F.when(is_object, text).otherwise(F.when(plain.isNotNull(), as_json(F.struct(plain.alias(form.name)))))


def with_key_text(messages: DataFrame, form: KeyColumn, registry: str | None) -> DataFrame:
    """The messages with ``__key_text``: the key as text, by its own schema where it is Avro.

    Raises:
        SourceUnavailableError: the registry does not answer; see ``avro.read``.
    """
    if form.format != "avro":
        return messages.withColumn("__key_text", key_text(form))
    apart = messages.withColumns({"__own": F.col("__value"), "__value": F.col("__key")})
    read = avro.read(apart, registry=registry)
    texts = [
        brought(one.value, one.read, one.exact)["value"].cast("string")
        for one in read.writers
        if one.is_bare and is_plain(one.exact["value"].dataType)
    ]
    text = F.when(F.col(CODE).isNull(), F.coalesce(F.lit(None).cast("string"), *texts))
    frame = read.judged({one.index: one.exact for one in read.writers}).withColumn("__key_text", text)
    kept = [F.col("__own").alias(name) if name == "__value" else col(name) for name in messages.columns]
    return frame.select(*kept, "__key_text")


def is_plain(kind: DataType) -> bool:
    """Whether a value of the type has one text."""
    return not isinstance(kind, ArrayType | MapType | StructType | BinaryType)


def with_tombstones(decoded: DataFrame, form: KeyColumn) -> DataFrame:
    """Messages with a key and no value as deletions: rows of the key's column alone, which is held against its type.

    A message whose key is not of the declared form stays as it is. The messages have ``__key_text``.
    """
    kinds = {field.name: field.dataType for field in decoded.schema.fields}
    name = next((one for one in kinds if one.lower() == form.name.lower()), form.name)
    is_tombstone = F.col("__value").isNull() & F.col("__key_text").isNotNull()
    frame = decoded.withColumn(TOMBSTONE, F.coalesce(is_tombstone, F.lit(False)))
    deleted = F.when(F.col(TOMBSTONE), F.col("__key_text"))
    if f"{TYPED}{name}" in kinds:
        came = [col(f"{TYPED}{name}").getField(one).alias(one) for one in kinds[f"{TYPED}{name}"].names]  # type: ignore[attr-defined]
    else:
        came = [col(name).alias("kind_0")] if name in kinds else []
    plain = F.coalesce(deleted, col(name).cast("string")) if name in kinds else deleted
    return frame.withColumns(
        {
            f"{TYPED}{name}": F.struct(*came, deleted.alias("key")),
            name: plain,
            CODE: F.when(~F.col(TOMBSTONE), F.col(CODE)),
            MESSAGE: F.when(~F.col(TOMBSTONE), F.col(MESSAGE)),
            TOLD: F.when(F.col(TOMBSTONE), F.array(F.lit(form.name))),
        }
    ).drop("__key_text")
