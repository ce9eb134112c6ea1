"""Keys that are plain values: the column that they are, and the deletions that messages without a value are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.batch import CODE, MESSAGE, TOLD, TYPED
from lakehouse.lake.frame import as_json, col

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
    if form.format == "number":
        # a negative number of four bytes as one of eight
        wide = F.expr("CASE WHEN octet_length(__key) = 4 AND hex(__key) >= '8' THEN 'FFFFFFFF' ELSE '' END")
        digits = F.concat(wide, F.hex(key))
        return F.when(F.octet_length(key).isin(4, 8), F.conv(digits, 16, -10))
    parsed = F.from_json(F.concat(F.lit('{"k":'), text, F.lit("}")), "k string, c string", _STRICT)
    is_scalar = ~F.ltrim(text).rlike(r"^[\[{]")
    return F.when(is_scalar & parsed["c"].isNull(), parsed["k"])


_STRICT = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": "c", "allowSingleQuotes": "false"}


def key_document(form: KeyColumn) -> Column:
    """The record's key as a JSON object of its column, which a key that is an object is already."""
    text = F.col("__key").cast("string")
    is_object = F.is_valid_utf8(text) & F.ltrim(text).startswith("{")
    plain = key_text(form)
    return F.when(is_object, text).otherwise(F.when(plain.isNotNull(), as_json(F.struct(plain.alias(form.name)))))


def with_tombstones(decoded: DataFrame, form: KeyColumn) -> DataFrame:
    """Messages with a key and no value as deletions: rows of the key's column alone, which is held against its type.

    A message whose key is not of the declared form stays as it is.
    """
    kinds = {field.name: field.dataType for field in decoded.schema.fields}
    name = next((one for one in kinds if one.lower() == form.name.lower()), form.name)
    is_tombstone = F.col("__value").isNull() & F.col("__key").isNotNull() & key_text(form).isNotNull()
    frame = decoded.withColumns({TOMBSTONE: F.coalesce(is_tombstone, F.lit(False)), "__key_text": key_text(form)})
    deleted = F.when(F.col(TOMBSTONE), F.col("__key_text"))
    if f"{TYPED}{name}" in kinds:
        came = [F.col(f"`{TYPED}{name}`").getField(one).alias(one) for one in kinds[f"{TYPED}{name}"].names]  # type: ignore[attr-defined]
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
