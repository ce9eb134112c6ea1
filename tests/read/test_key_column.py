"""Keys that are plain values, and messages without a value that delete the row of such a key."""

from __future__ import annotations

import io
import json
import struct
from types import SimpleNamespace
from typing import Any

import fastavro
from pyspark.sql import functions as F

from lakehouse.check.contract import judge
from lakehouse.lake.frame import small_frame
from lakehouse.read.kafka import arrived
from lakehouse.spec.kafka import KafkaSource

COLUMNS = {"id": "bigint not null", "name": "string not null"}
SCHEMA = {"type": "record", "name": "R", "fields": [{"name": "id", "type": "int"}, {"name": "name", "type": "string"}]}


def in_avro(value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(SCHEMA), value)
    return out.getvalue()


def tell(spark, records: list[tuple[bytes | None, bytes | None]], **source: Any) -> list[Any]:
    """Of each message its columns and whether it is a deletion, or why it is put aside."""
    rows = [[n, *(None if part is None else part.hex() for part in pair)] for n, pair in enumerate(records)]
    frame = small_frame(spark, rows, {"offset": "bigint", "key": "string", "value": "string"})
    batch = frame.select(
        F.unhex("key").alias("key"), F.unhex("value").alias("value"), F.lit("t").alias("topic"), F.lit(0).alias("partition"),
        "offset", F.lit("2026-01-01").cast("timestamp").alias("timestamp"), F.lit(0).alias("timestampType"),
        F.lit(None).cast("array<struct<key:string,value:binary>>").alias("headers"),
    )  # fmt: skip
    spec = KafkaSource(
        kind="kafka", bootstrap_servers="localhost:9092", topics=("t",), **{"contract": {"columns": COLUMNS}, **source}
    )
    registry = source["value"].get("registry") if isinstance(source["value"], dict) else None
    brokers = SimpleNamespace(registry=registry, schema=json.dumps(SCHEMA))
    found = judge(arrived(batch, spec, brokers, run_id="r").rows, spec.contract).orderBy("_source.offset").collect()
    return [
        row["__code"] or row["__wrong"] or (*(row[name] for name in spec.contract.columns), row["_kafka"].tombstone)
        for row in found
    ]


def test_a_message_without_a_value_deletes_the_row_of_its_plain_key(spark) -> None:
    long, small = struct.pack(">q", -7), struct.pack(">i", -7)
    cases = {
        "json": ({"value": "json"}, json.dumps({"id": 1, "name": "a"}).encode()),
        "csv": ({"value": "csv"}, b"1,a"),
        "avro": ({"value": {"format": "avro", "schema_file": "x.avsc"}}, in_avro({"id": 1, "name": "a"})),
    }
    for source, value in cases.values():
        records = [
            (b"1", value),
            (b"42", None),
            (b"x", None),
            (b"\xff", None),
            (None, None),
            (b"1", b"{"),
            (b'"5"', None),
        ]
        found = tell(spark, records, key_column="id", **source)
        assert found[:2] == [(1, "a", False), (42, None, True)]
        assert found[2:5] == ["CAST:id", "EMPTY_MESSAGE", "EMPTY_MESSAGE"]
        assert isinstance(found[5], str)
        assert found[6] == "CAST:id"
    number = {"key_column": {"name": "id", "format": "number"}, "value": "json"}
    assert tell(spark, [(long, None), (small, None), (b"abc", None), (struct.pack(">q", 2**62), None)], **number) == [
        (-7, None, True), (-7, None, True), "EMPTY_MESSAGE", (2**62, None, True)
    ]  # fmt: skip
    text = {
        "key_column": {"name": "name", "format": "json"},
        "value": "json",
        "contract": {"columns": {"name": "string not null"}},
    }
    assert tell(spark, [(b'"a\\"b"', None), (b"7", None), (b'{"k":1}', None), (b'"a" x', None)], **text) == [
        ('a"b', True), ("7", True), "EMPTY_MESSAGE", "EMPTY_MESSAGE"
    ]  # fmt: skip
    # more than one value, and the braces of the object that it is read in
    several = [b'5,"k":7', b'5, "c": null', b"5}", b"5}{", b"5],[7"]
    assert tell(spark, [(key, None) for key in several], **text) == ["EMPTY_MESSAGE"] * len(several)


def test_a_plain_key_in_avro_is_read_by_its_own_schema(spark, fake_registry) -> None:
    fake_registry.schemas |= {1: SCHEMA, 2: "long", 3: "string", 4: {"type": "array", "items": "int"}}
    heads = [b"\0" + number.to_bytes(4, "big") for number in range(6)]
    records = [
        (heads[2] + b"\2", heads[1] + in_avro({"id": 1, "name": "a"})),
        (heads[2] + b"\x54", None), (heads[3] + b"\x0443", None), (heads[3] + b"\2x", None), (heads[4] + b"\0", None),
        (heads[5] + b"\2", None), (b"7", None),
    ]  # fmt: skip
    avro = {"value": {"format": "avro", "registry": fake_registry.url}, "key_column": {"name": "id", "format": "avro"}}
    found = tell(spark, records, **avro)
    assert found[:4] == [(1, "a", False), (42, None, True), (43, None, True), "CAST:id"]
    assert found[4:] == ["EMPTY_MESSAGE"] * 3
