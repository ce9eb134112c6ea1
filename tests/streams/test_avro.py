"""Avro by a schema registry: each message is read by the schema that its writer registered."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import fastavro
import httpx
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.errors import ConfigError, SourceNotFoundError, SourceUnavailableError
from lakehouse.lake.frame import small_frame
from lakehouse.read.payload.avro import decoded
from lakehouse.read.payload.avro import read as read_messages
from lakehouse.read.payload.registry import by_id

if TYPE_CHECKING:
    from scripts.streams import Registry


def record(name: str, /, **fields: Any) -> dict[str, Any]:
    """A field is its type, or its type and its default."""
    kinds = {key: kind if isinstance(kind, tuple) else (kind,) for key, kind in fields.items()}
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": key, **dict(zip(("type", "default"), kind, strict=False))} for key, kind in kinds.items()],
    }


def logical(kind: str, name: str, /, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


@pytest.fixture
def register(registry: Registry) -> Callable[..., int]:
    """Register a schema, by default under a subject of its own, and return its id; versions of one need not fit."""
    registry.start()

    def put(schema: Any, subject: str = "", **more: Any) -> int:
        name = quote(subject or f"s{uuid4().hex}-value", safe="")
        registry.client.put(f"/config/{name}", json={"compatibility": "NONE"})
        answer = registry.client.post(f"/subjects/{name}/versions", json={"schema": json.dumps(schema), **more})
        assert answer.status_code == 200, answer.text
        return int(answer.json()["id"])

    return put


def message(number: int, schema: Any, value: Any) -> bytes:
    out = io.BytesIO(b"\0" + struct.pack(">I", number))
    out.seek(5)
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


@pytest.fixture
def read(spark: SparkSession, registry: Registry) -> Callable[..., Any]:
    """The types of the columns, and of each message its columns without NULLs, or its code and what is told of it."""

    def run(values: Iterable[bytes | None], url: str = "", topics: Iterable[str] = ()) -> tuple[str, list[Any]]:
        rows = [[number, None if value is None else value.hex()] for number, value in enumerate(values)]
        frame = small_frame(spark, rows, {"__offset": "bigint", "hex": "string"})
        frame = frame.select("__offset", F.unhex("hex").alias("__value"))
        result = decoded(frame, registry=url or registry.url, topics=topics).orderBy("__offset").drop("__value")
        found = []
        for row in result.collect():
            columns = {
                name: row[name] for name in row.__fields__ if not name.startswith("__") and row[name] is not None
            }
            found.append((row["__code"], row["__message"].split(": ", 1)[-1]) if row["__code"] else columns)
        kinds = result.drop("__offset", "__code", "__message").schema.simpleString()
        return kinds.removeprefix("struct<").removesuffix(">"), found

    return run


def test_versions_of_a_batch_become_one_set_of_columns(register, read) -> None:
    old = record(
        "Order",
        id="int",
        amount="float",
        gone="string",
        raw="bytes",
        parts={"type": "array", "items": record("Part", n="int")},
    )
    new = record(
        "Order",
        id="long",
        Amount="double",
        new=("string", "none"),
        note=(["null", "string"], None),
        raw="string",
        parts={"type": "array", "items": record("Part", n="long", unit=("string", "kg"))},
    )
    first, second = register(old), register(new)
    sent = [
        message(first, old, {"id": 1, "amount": 1.5, "gone": "g", "raw": b"\xc3\xa9", "parts": [{"n": 1}]}),
        message(second, new, {"id": 2**40, "Amount": 0.1, "new": "x", "note": "y", "raw": "z", "parts": []}),
        message(first, old, {"id": 1, "amount": 1.5, "gone": "g", "raw": b"\xff", "parts": []}),
    ]
    kinds, found = read(sent)
    assert kinds == (
        "id:bigint,Amount:double,new:string,note:string,raw:string,parts:array<struct<n:bigint,unit:string>>,gone:string"
    )
    assert found == [
        # what a version lacks is not there: a default of a newer one would depend on which others are in the batch
        {"id": 1, "Amount": 1.5, "raw": "é", "parts": [(1, None)], "gone": "g"},
        {"id": 2**40, "Amount": 0.1, "new": "x", "note": "y", "raw": "z", "parts": []},
        ("AVRO_VALUE", "a text is not UTF-8, or a number has more digits than its type"),
    ]
    # by themselves they are what they are
    assert read(sent[:1])[0] == "id:int,amount:float,gone:string,raw:binary,parts:array<struct<n:int>>"


def test_times_and_decimals_mean_the_same_in_every_version(register, read) -> None:
    old = record(
        "T",
        at=logical("long", "local-timestamp-millis"),
        day="null",
        d=logical("bytes", "decimal", precision=5, scale=2),
        n="long",
    )
    new = record(
        "T",
        at=logical("long", "local-timestamp-micros"),
        day=logical("int", "date"),
        d=logical("bytes", "decimal", precision=7, scale=3),
        n="double",
    )
    versions = register(old), register(new)
    values = [
        {"at": 5_000, "day": None, "d": Decimal("123.45"), "n": 2**53},
        {"at": 5_000_000, "day": date(2026, 1, 2), "d": Decimal("1234.567"), "n": 0.5},
    ]
    sent = [message(number, schema, value) for number, schema, value in zip(versions, (old, new), values, strict=True)]
    kinds, found = read([*sent, message(versions[0], old, {**values[0], "n": 2**53 + 1})])
    assert kinds == "at:timestamp_ntz,day:date,d:decimal(7,3),n:double"
    assert found[0]["at"] == found[1]["at"]
    assert [row["d"] for row in found[:2]] == [Decimal("123.450"), Decimal("1234.567")]
    assert found[2][0] == "AVRO_VALUE"  # no double is that number


def test_a_type_that_became_a_union_has_its_place_in_it(register, read) -> None:
    old = record("U", u="string", v=["null", "int"])
    new = record("U", u=["null", "string", "int"], v=["null", "int"])
    versions = register(old), register(new)
    _, found = read([message(versions[0], old, {"u": "a", "v": 1}), message(versions[1], new, {"u": 5, "v": None})])
    assert found == [{"u": ("a", None), "v": 1}, {"u": (None, 5)}]


def test_what_does_not_fit_the_older_versions_is_put_aside_and_says_why(register, read) -> None:
    """Of a column that nobody declares: the oldest was there first, as it is in the table."""
    old, new = record("Order", id="int", a=record("In", x="int")), record("Order", id="int", a=record("In", x="string"))
    versions = register(old), register(new)
    sent = [message(versions[0], old, {"id": 1, "a": {"x": 7}}), message(versions[1], new, {"id": 2, "a": {"x": "s"}})]
    told = f"id {versions[1]}: a.x is string, and int in an older schema"
    assert read(sent)[1] == [{"id": 1, "a": (7,)}, ("AVRO_SCHEMA", told)]
    assert read(sent[1:])[1] == [{"id": 2, "a": ("s",)}]


def test_a_schema_may_refer_to_others_that_refer_to_others(register, read) -> None:
    mark = uuid4().hex
    kind = {"type": "enum", "name": "com.x.Kind", "symbols": ["HOME", "WORK"]}
    address = record("com.x.Address", kind="Kind", street="string")
    order = record("com.y.Order", id="int", home="com.x.Address", work=["null", "com.x.Address"], kind="com.x.Kind")
    register(kind, f"kind/{mark}")
    register(address, f"address {mark}", references=[{"name": "com.x.Kind", "subject": f"kind/{mark}", "version": 1}])
    number = register(
        order,
        references=[
            {"name": "com.x.Address", "subject": f"address {mark}", "version": 1},
            {"name": "com.x.Kind", "subject": f"kind/{mark}", "version": 1},
        ],
    )
    value = {"id": 1, "home": {"kind": "HOME", "street": "a"}, "work": {"kind": "WORK", "street": "b"}, "kind": "WORK"}
    whole = record(
        "Order", id="int", home=record("A", kind={**kind, "name": "K"}, street="string"), work=["null", "A"], kind="K"
    )
    kinds, found = read([message(number, whole, value)])
    assert kinds == "id:int,home:struct<kind:string,street:string>,work:struct<kind:string,street:string>,kind:string"
    assert found == [{"id": 1, "home": ("HOME", "a"), "work": ("WORK", "b"), "kind": "WORK"}]


def test_what_has_no_id_or_an_unknown_one_is_put_aside(register, read) -> None:
    schema = record("Order", id="int")
    number = register(schema)
    good = message(number, schema, {"id": 1})
    sent = [good, b"\1" + good[1:], b"", b"\0", good[:4], b"{}", None, good[:5], good + b"\0"]
    unknown = [987_654_321, 2**31 - 1, 2**31, 2**32 - 1]
    sent += [b"\0" + struct.pack(">I", one) + good[5:] for one in unknown]
    kinds, found = read(sent)
    assert kinds == "id:int"
    assert found[0] == {"id": 1}
    assert [code for code, _ in found[1:]] == [
        *["AVRO_MAGIC"] * 5, "EMPTY_MESSAGE", *["MALFORMED_AVRO"] * 2, *["AVRO_SCHEMA_ID"] * 4
    ]  # fmt: skip
    assert [told for _, told in found[-4:]] == [f"id {one}" for one in unknown]


def test_a_schema_that_spark_cannot_have_puts_its_messages_aside(register, read) -> None:
    bad = [
        record("Node", next=["null", "Node"]),
        record("Order", id="int", ID="int"),
        record("Order", u=["null", record("a.In", x="int"), record("b.In", x="int")]),
    ]
    numbers = [register(one) for one in bad]
    good = record("Order", id="int")
    found = read(
        [*(b"\0" + struct.pack(">I", number) + b"\0" for number in numbers), message(register(good), good, {"id": 1})]
    )[1]
    assert [one[0] for one in found[:3]] == ["AVRO_SCHEMA"] * 3
    assert "holds itself" in found[0][1]
    assert found[3] == {"id": 1}


def test_a_batch_without_a_known_schema_has_the_columns_of_the_newest(register, read) -> None:
    topic = uuid4().hex
    register(record("Order", id="int"), f"{topic}-value")
    register(record("Order", id="long", name="string"), f"{topic}-value")
    assert read([b"junk"], topics=[topic, "there-is-no-such-topic"])[0] == "id:bigint,name:string"
    assert read([], topics=[topic])[0] == "id:bigint,name:string"
    assert read([b"junk"])[0] == ""


def test_what_was_written_by_which_schema_is_told(spark, registry, register) -> None:
    old, new = record("Order", id="int"), record("Order", id={"type": "int", "connect.name": "x"})
    versions = register(old), register(new)
    values = [message(number, old, {"id": 1}).hex() for number in versions]
    frame = small_frame(spark, [[one] for one in values], {"hex": "string"}).select(F.unhex("hex").alias("__value"))
    result = read_messages(frame, registry=registry.url)
    assert [row["__schema"] for row in result.messages.orderBy("__schema").collect()] == sorted(versions)
    assert list(result.schemas) == sorted(versions, reverse=True)
    assert result.schemas[versions[1]]["fields"][0]["type"]["connect.name"] == "x"


def test_a_registry_that_is_down_loses_nothing_and_is_not_asked_for_what_is_known(registry, register, read) -> None:
    schema = record("Order", id="int", note="string")
    known = message(register(schema), schema, {"id": 1, "note": ""})
    read([known])
    other = record("Order", id="int", more="string")
    unseen = message(register(other), other, {"id": 2, "more": ""})
    registry.kill()
    try:
        assert read([known])[1] == [{"id": 1, "note": ""}]
        with pytest.raises(SourceUnavailableError, match="cannot be asked") as caught:
            read([known, unseen])
        assert caught.value.retryable
    finally:
        registry.start()
    assert read([known, unseen])[1] == [{"id": 1, "note": ""}, {"id": 2, "more": ""}]


def test_a_registry_that_does_not_answer_is_not_waited_for_without_end(registry, register, monkeypatch) -> None:
    number = register(record("Order", id="int", slow="string"))
    monkeypatch.setattr("lakehouse.read.payload.registry._PATIENCE", 0.3)
    registry.pause()
    try:
        with pytest.raises(SourceUnavailableError, match="timed out"):
            by_id(registry.url, [number])
    finally:
        registry.resume()
    assert by_id(registry.url, [number]).keys() == {number}


def test_what_is_no_registry_is_not_taken_for_one_that_knows_nothing(registry) -> None:
    address = httpx.URL(registry.url)
    with pytest.raises(SourceNotFoundError, match="no schema registry: HTTP 404"):
        by_id(str(address.copy_with(path="/apis/nothing")), [1])
    with pytest.raises(ConfigError, match=r"not http\(s\)"):
        by_id("localhost:8081", [1])
    with pytest.raises(SourceUnavailableError) as caught:
        by_id("http://user:secret@127.0.0.1:1/path", [1])
    assert "secret" not in str(caught.value)
    assert "127.0.0.1:1/path" in str(caught.value)


def test_a_topic_becomes_a_table_and_what_cannot_is_in_quarantine_as_it_came(
    workshop, kafka, registry, register, topic, produce
) -> None:
    old, new = (
        record("Order", id="int", at=logical("long", "timestamp-millis")),
        record("Order", id="long", note="string"),
    )
    name = topic(partitions=2)
    versions = register(old, f"{name}-value"), register(new, f"{name}-value")
    job = workshop.job(
        "bronze_orders",
        f"sources:\n  orders:\n    kind: kafka\n    bootstrap_servers: '{kafka.servers}'\n    topics: {name}\n"
        f"    value: {{format: avro, registry: '{registry.url}'}}\n"
        "    contract: {columns: {id: bigint not null, at: date}}\n"
        "write: {table: bronze.orders, mode: append}\n",
    )
    good = message(versions[0], old, {"id": 1, "at": 0})
    sent = [good, message(versions[1], new, {"id": 2**40, "note": "n"}), good + b"\0", b"{}", b"\0\x7f\0\0\0"]
    produce(name, sent)
    registry.kill()
    with pytest.raises(SourceUnavailableError):
        workshop.run(job)
    assert workshop.version("bronze.orders") is None
    registry.start()
    result = workshop.run(job)
    assert (result.rows.read, result.rows.inserted, result.rows.quarantined) == (5, 2, 3)
    assert workshop.rows("bronze.orders", "id", "at", "note") == [(1, date(1970, 1, 1), None), (2**40, None, "n")]
    codes = workshop.rows("quarantine.bronze_orders", "code", "received.value")
    assert sorted((code, bytes(value)) for code, value in codes) == [
        ("AVRO_MAGIC", b"{}"), ("AVRO_SCHEMA_ID", sent[4]), ("MALFORMED_AVRO", sent[2])
    ]  # fmt: skip
