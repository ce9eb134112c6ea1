"""Avro of several schemas in one batch: what becomes of a message does not depend on which others came with it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import fastavro
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.check.contract import judge
from lakehouse.lake.frame import small_frame
from lakehouse.read.kafka import arrived
from lakehouse.spec.kafka import KafkaSource


def record(name: str = "Order", /, **fields: Any) -> dict[str, Any]:
    """A field is its type, or a dict with ``of`` and ``default``."""
    listed = [
        {"name": key, "type": kind["of"], "default": kind["default"]}
        if isinstance(kind, dict) and "of" in kind
        else {"name": key, "type": kind}
        for key, kind in fields.items()
    ]
    return {"type": "record", "name": name, "fields": listed}


def decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def framed(number: int, schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), value)
    return b"\0" + number.to_bytes(4, "big") + out.getvalue()


Tell = Callable[..., list[Any]]


@pytest.fixture
def tell(spark: SparkSession, fake_registry) -> Tell:
    """Of each message, as (id of its schema, value), its columns without NULLs, or why it is put aside."""

    def run(sent: list[tuple[int, Any]], columns: dict[str, Any] | None = None, **debezium: Any) -> list[Any]:
        values = [framed(number, fake_registry.schemas[number], value) for number, value in sent]
        frame = small_frame(
            spark, [[place, one.hex()] for place, one in enumerate(values)], {"offset": "bigint", "hex": "string"}
        )
        batch = frame.select(
            F.lit(None).cast("binary").alias("key"), F.unhex("hex").alias("value"), F.lit("t").alias("topic"),
            F.lit(0).alias("partition"), "offset", F.lit("2026-01-01").cast("timestamp").alias("timestamp"),
            F.lit(0).alias("timestampType"), F.lit(None).cast("array<struct<key:string,value:binary>>").alias("headers"),
        )  # fmt: skip
        source = KafkaSource(
            kind="kafka", bootstrap_servers="localhost:9092", topics=("t",), contract={"columns": columns} if columns else None,
            value={"format": "avro", "registry": fake_registry.url}, debezium=debezium or None,
        )  # fmt: skip
        brokers = SimpleNamespace(registry=fake_registry.url, schema=None)
        rows = judge(arrived(batch, source, brokers, run_id="r").rows, source.contract).orderBy("_source.offset")
        found = []
        for row in rows.collect():
            names = [name for name in row.__fields__ if not name.startswith("_")]
            given = {name: row[name] for name in names if row[name] is not None}
            found.append(row["__code"] or row["__wrong"] or given)
        return found

    return run


def test_one_record_of_an_incompatible_schema_is_put_aside_and_the_good_ones_come_in(tell, fake_registry) -> None:
    fake_registry.schemas |= {1: record(id="long"), 7: record(id="long", n=["null", "int"]), 9: record(id="string")}
    sent = [(1, {"id": 1}), (1, {"id": 2}), (7, {"id": 3, "n": 5}), (9, {"id": "x"}), (7, {"id": 4, "n": None}), (1, {"id": 5})]  # fmt: skip
    good = [{"id": 1}, {"id": 2}, {"id": 3, "n": 5}, "CAST:id", {"id": 4}, {"id": 5}]
    assert tell(sent, {"id": "bigint", "n": "int"}) == good
    # where nobody declares the column the oldest schema says what it is
    assert tell(sent) == [*good[:3], "AVRO_SCHEMA", *good[4:]]


COLUMNS: dict[str, Any] = {
    "id": "bigint not null", "n": "bigint", "d": "decimal(10,3)", "s": "string", "b": "string", "x": "double",
    "u": "struct<member_int:int,member_string:string>", "p": "struct<q:bigint>", "z": {"type": "decimal(9,2)", "decimal": ","},
}  # fmt: skip
SCHEMAS: dict[int, Any] = {
    1: record(id="int", n="int", d=decimal(6, 2), s="string", b="bytes", x="float", u="string", p=record("P", q="int"), z="string"),
    2: record(id="long", n="double", d=decimal(9, 4), s="long", b="string", x="long", u=["null", "int", "string"], p=record("P", q="long"), z=decimal(9, 2)),
    3: record(id="string", n="string", d="double", s=["null", "boolean"], new={"of": "string", "default": "none"}),
    4: record(id="long", n=record("N", a="int"), d={"type": "array", "items": "int"}, x="boolean", u="int", p="string"),
    5: record(id={"type": "int", "logicalType": "date"}),
}  # fmt: skip
MESSAGES: list[tuple[int, Any]] = [
    (1, {"id": 1, "n": 2, "d": Decimal("1.25"), "s": "5.0", "b": b"ab", "x": 0.5, "u": "a", "p": {"q": 1}, "z": "1,5"}),
    (1, {"id": 1, "n": 2, "d": Decimal("1.25"), "s": "t", "b": b"\xff", "x": 0.5, "u": "a", "p": {"q": 1}, "z": "1.5"}),
    (2, {"id": 2**53 + 1, "n": 2.5, "d": Decimal("1.2345"), "s": 5, "b": "c", "x": 2**53 + 1, "u": 7, "p": {"q": 2**40}, "z": Decimal("1.50")}),
    (2, {"id": 2**53 + 1, "n": 3.0, "d": Decimal("1.2340"), "s": 5, "b": "c", "x": 7, "u": "s", "p": {"q": 2}, "z": Decimal("1.50")}),
    (3, {"id": "12", "n": "13", "d": 0.5, "s": True, "new": "y"}),
    (3, {"id": "nobody", "n": "1.5", "d": 0.1, "s": None, "new": "y"}),
    (4, {"id": 4, "n": {"a": 1}, "d": [1], "x": True, "u": 3, "p": "s"}),
    (5, {"id": 3}),
]  # fmt: skip


def test_a_message_becomes_the_same_however_its_batch_is_cut(tell, fake_registry) -> None:
    fake_registry.schemas |= SCHEMAS
    columns = {**COLUMNS, "new": "string"}
    together = tell(MESSAGES, columns)
    apart: list[Any] = [None] * len(MESSAGES)
    for cut in ((1, 4), (2, 5), (3,)):
        places = [place for place, (number, _) in enumerate(MESSAGES) if number in cut]
        for place, found in zip(places, tell([MESSAGES[place] for place in places], columns), strict=True):
            apart[place] = found
    assert together == apart
    assert together[0] == {
        "id": 1, "n": 2, "d": Decimal("1.250"), "s": "5.0", "b": "ab", "x": 0.5, "u": (None, "a"), "p": (1,), "z": Decimal("1.50"),
    }  # fmt: skip
    assert {name: together[3][name] for name in "nuz"} == {"n": 3, "u": (None, "s"), "z": Decimal("1.50")}
    # no default of a newer version is put in the place of what an older one does not have
    assert "new" not in together[0]
    assert together[4] == {"id": 12, "n": 13, "d": Decimal("0.500"), "s": "true", "new": "y"}
    wrong = [one.replace("\x1f", " ") if isinstance(one, str) else "" for one in together]
    assert wrong == [
        "", "CAST:b CAST:z", "CAST:n CAST:d CAST:x", "", "", "CAST:id CAST:n", "CAST:n CAST:d CAST:p", "CAST:id",
    ]  # fmt: skip


def test_changes_of_a_table_are_each_read_by_their_own_schema(tell, fake_registry) -> None:
    """Debezium in Avro: long, double and text in one column, and decimals of several scales."""

    def envelope(**fields: Any) -> dict[str, Any]:
        row = record("Value", **fields)
        return record("Envelope", before=["null", row], after=["null", "Value"], op="string")

    kinds = {"n": ["long", "double", "string", "boolean"], "d": [decimal(6, 2), decimal(9, 4), "string", "double"]}
    values = [(2**53 + 1, Decimal("1.50")), (2.0, Decimal("1.5000")), ("5", "1.5"), (True, 1.5)]
    sent = []
    for number, (n, d) in enumerate(values, 11):
        fake_registry.schemas[number] = envelope(n=kinds["n"][number - 11], d=kinds["d"][number - 11])
        sent.append((number, {"before": None, "after": {"n": n, "d": d}, "op": "c"}))
    columns = {"n": "bigint", "d": "decimal(6,2)"}
    together = tell(sent, columns, decimals="string")
    assert together[::2] == tell(sent[::2], columns, decimals="string")
    assert together[0] == {"n": 2**53 + 1, "d": Decimal("1.50")}
    assert together[2] == {"n": 5, "d": Decimal("1.50")}
    assert together[3] == "CAST:n"
