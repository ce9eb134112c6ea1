"""Plain Avro: a message is what its writer meant, or it is put aside. The other decoder is fastavro."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from lakehouse.errors import ConfigError
from lakehouse.lake.frame import small_frame
from lakehouse.read.payload.avro import decoded
from lakehouse.read.payload.avro import read as read_messages
from lakehouse.read.payload.avro_schema import Unusable, completed, resolved

ROOT = Path(__file__).resolve().parents[2]


def record(name: str = "Order", /, **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": key, "type": kind} for key, kind in fields.items()]}


def encoded(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def logical(kind: str, name: str, /, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


def messages(spark: SparkSession, values: Iterable[bytes | None]) -> DataFrame:
    rows = [[number, None if value is None else value.hex()] for number, value in enumerate(values)]
    frame = small_frame(spark, rows, {"__offset": "bigint", "hex": "string"})
    return frame.select("__offset", F.unhex("hex").alias("__value"))


Read = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def read(spark: SparkSession) -> Read:
    """Of each message its columns without NULLs, or its code: ``read(schema, messages)``."""

    def run(schema: Any, values: Iterable[bytes | None]) -> list[Any]:
        text = schema if isinstance(schema, str) else json.dumps(schema)
        rows = decoded(messages(spark, values), schema=text).orderBy("__offset").collect()
        found = []
        for row in rows:
            columns = {name: plain(row[name]) for name in row.__fields__ if not name.startswith("__")}
            assert row["__code"] is None or all(value is None for value in columns.values())
            assert (row["__code"] is None) == (row["__message"] is None)
            given = {name: value for name, value in columns.items() if value is not None}
            found.append(row["__code"] or given)
        return found

    return run


def plain(value: Any) -> Any:
    if isinstance(value, Row):
        return {name: plain(one) for name, one in value.asDict().items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return bytes(value) if isinstance(value, bytearray) else value


ORDER = record(id="long", name=["null", "string"])
GOOD = encoded(ORDER, {"id": 1, "name": "x"})


def test_a_message_is_whole_and_nothing_follows_or_it_is_put_aside(read: Read) -> None:
    nothing = encoded(ORDER, {"id": 0, "name": None})
    other = [GOOD + b"\0", GOOD + GOOD, GOOD[:-1], GOOD[:1], b"", GOOD[1:], b"\2\3x", b"\2\4x", b"\0\0\0\0\1" + GOOD]
    found = read(ORDER, [GOOD, nothing, *other, None])
    assert found == [{"id": 1, "name": "x"}, {"id": 0}, *["MALFORMED_AVRO"] * len(other), "EMPTY_MESSAGE"]


def test_a_row_of_NULLs_is_a_row(read: Read) -> None:  # noqa: N802
    schema = record(a=["null", "int"], b="null")
    assert read(schema, [b"\0", b"", b"\0\0"]) == [{}, "MALFORMED_AVRO", "MALFORMED_AVRO"]
    assert read(record(), [b"", b"\0"]) == [{}, "MALFORMED_AVRO"]


def number(value: int) -> bytes:
    """A number as Avro writes it."""
    value, out = (value << 1) ^ (value >> 63), b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def test_a_length_that_no_memory_has_room_for_is_put_aside(read: Read) -> None:
    cases = {"string": b"abc", "bytes": b"abc", "array": b"\2\2", "map": b"\2a\2"}
    for kind, rest in cases.items():
        schema = {"type": kind, "items": "long", "values": "long"} if kind in ("array", "map") else kind
        lengths = [2**31 - 9, 2**31 - 10, 2**30, 2**31, 2**40, 2**63 - 1, -1, -5, -(2**62)]
        assert read(record(a=schema), [number(one) + rest for one in lengths]) == ["MALFORMED_AVRO"] * len(lengths)


def test_a_length_within_what_is_stepped_over_takes_no_memory(read: Read) -> None:
    # the writer says how many bytes its items have, and the first look does not see into them
    schema = record(a={"type": "array", "items": "string"}, b="long")
    claim = b"".join((number(-1), number(len(number(2**30))), number(2**30), number(0), number(7)))
    listed = b"".join((number(2**30), number(1), b"x"))
    good = encoded(schema, {"a": ["x"], "b": 5})
    assert read(schema, [claim, listed, good]) == ["MALFORMED_AVRO", "MALFORMED_AVRO", {"a": ["x"], "b": 5}]


def test_text_that_is_none_is_put_aside_wherever_it_is(read: Read) -> None:
    inner = record("Inner", s="string")
    kinds = [
        "string",
        {"type": "array", "items": "string"},
        {"type": "map", "values": "int"},
        {"type": "map", "values": "string"},
        inner,
    ]
    kinds += [{"type": "array", "items": inner}, {"type": "array", "items": {"type": "array", "items": "string"}}]
    bad = [
        b"\4\xc3\x28",
        b"\2\4\xff\xfe\0",
        b"\2\2\xff\2\0",
        b"\2\2a\2\xff\0",
        b"\2\x80",
        b"\2\2\xff\0",
        b"\2\2\2\xff\0\0",
    ]
    good = [
        b"\4\xc3\xa9",
        b"\2\4\xc3\xa9\0",
        b"\2\4\xc3\xa9\2\0",
        b"\2\2a\4\xc3\xa9\0",
        b"\2e",
        b"\2\2e\0",
        b"\2\2\2e\0\0",
    ]
    for kind, wrong, right in zip(kinds, bad, good, strict=True):
        found = read(record(a="string", b=kind), [b"\0" + wrong, b"\0" + right])
        assert found[0] == "AVRO_VALUE"
        assert isinstance(found[1], dict)
    # two halves of a letter are no text, though together they would be
    assert read(record(a="string", b="string"), [b"\2\xc3\2\xa9"]) == ["AVRO_VALUE"]


def test_a_decimal_has_the_digits_that_it_says_or_is_put_aside(read: Read) -> None:
    def big(value: int, size: int) -> bytes:
        return value.to_bytes(size, "big", signed=True)

    def sized(value: int, size: int) -> bytes:
        return number(size) + big(value, size)

    small = record(d=logical("bytes", "decimal", precision=4, scale=2))
    # its last 64 bits are those of 1.50
    assert read(small, [sized(150, 1 + 1), sized(-150, 9), sized(2**64 + 150, 9), sized(10_000, 2), sized(-9_999, 2), b"\0"]) == [
        {"d": Decimal("1.50")}, {"d": Decimal("-1.50")}, "AVRO_VALUE", "AVRO_VALUE", {"d": Decimal("-99.99")}, "MALFORMED_AVRO"
    ]  # fmt: skip
    listed = record(d={"type": "array", "items": small["fields"][0]["type"]})
    assert read(listed, [b"\2" + sized(2**64 + 150, 9) + b"\0", b"\2" + sized(150, 9) + b"\0"]) == [
        "AVRO_VALUE",
        {"d": [Decimal("1.50")]},
    ]
    wide = record(d=logical("fixed", "decimal", name="Wide", size=16, precision=10, scale=2))
    assert read(wide, [big(150, 16), big(2**64 + 150, 16), big(1 - 10**38, 16)]) == [
        {"d": Decimal("1.50")},
        "AVRO_VALUE",
        "AVRO_VALUE",
    ]
    # Kafka Connect says 64 digits where it does not know; Spark has 38
    unknown = record(d=logical("bytes", "decimal", precision=64, scale=2))
    assert read(unknown, [sized(10**38 - 1, 16), sized(1 - 10**38, 16), sized(10**38, 17)]) == [
        {"d": Decimal("9" * 36 + ".99")},
        {"d": Decimal("-" + "9" * 36 + ".99")},
        "MALFORMED_AVRO",
    ]
    most = record(d=logical("bytes", "decimal", precision=20, scale=0))
    assert read(most, [sized(10**20 - 1, 9), sized(10**20, 9)]) == [{"d": Decimal(10**20 - 1)}, "MALFORMED_AVRO"]


def test_what_is_no_record_is_the_column_value(read: Read) -> None:
    assert read('"int"', [b"\2", b"", b"\2\2"]) == [{"value": 1}, "MALFORMED_AVRO", "MALFORMED_AVRO"]
    assert read(["null", "string"], [b"\0", b"\2\2a"]) == ["EMPTY_MESSAGE", {"value": "a"}]
    assert read({"type": "array", "items": "long"}, [b"\2\2\0"]) == [{"value": [1]}]


def test_a_union_is_a_struct_with_a_field_for_each_type(read: Read) -> None:
    schema = record(u=["null", "int", "string", record("Sub", q="int")])
    values = [5, "s", {"q": 3}, None]
    empty = {"member_int": None, "member_string": None, "member_Sub": None}
    assert read(schema, [encoded(schema, {"u": one}) for one in values]) == [
        {"u": empty | {"member_int": 5}},
        {"u": empty | {"member_string": "s"}},
        {"u": empty | {"member_Sub": {"q": 3}}},
        {},
    ]
    both = ["A", "B"]
    top = [record(name, inner=record("Inner", **{name.lower(): "int"})) for name in both]
    assert read(top, [b"\0\2", b"\2\4"]) == [{"member_A": {"inner": {"a": 1}}}, {"member_B": {"inner": {"b": 2}}}]


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ("", "no schema of Avro"),
        ("{", "no schema of Avro"),
        ('"Order"', "the type Order is not defined"),
        ('{"type": "record", "name": "Order"}', "no schema of Avro"),
        (json.dumps(record(a="int", A="int")), "nothing but the case"),
        (json.dumps(record("Node", next=["null", "Node"])), "Node holds itself"),
        (json.dumps(record(**{"a-b": "int"})), "Illegal character in: a-b"),
        (json.dumps(record(a=["int", "int"])), "Duplicate in union"),
    ],
)
def test_a_schema_file_that_cannot_be_used_is_an_error_of_the_configuration(
    spark: SparkSession, schema: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        decoded(messages(spark, []), schema=schema)


def test_a_field_with_a_name_of_this_library_puts_its_messages_aside(read: Read) -> None:
    assert read(record(__op="string", id="int"), [b"\2c\2", b""]) == ["RESERVED_NAME", "MALFORMED_AVRO"]
    assert read(record(_Source="string"), [b"\2c"]) == ["RESERVED_NAME"]


def test_a_type_is_found_by_its_name_as_avro_says() -> None:
    address = {
        "type": "record",
        "name": "Address",
        "namespace": "com.x",
        "fields": [{"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A"]}}],
    }
    order = record("com.x.Order", home=address, work="Address", kinds={"type": "array", "items": "com.x.Kind"})
    found = resolved("AVRO", (json.dumps(order),))
    home, work, kinds = (field["type"] for field in found["fields"])
    assert home == work
    assert (
        home["fields"][0]["type"]
        == kinds["items"]
        == {"type": "enum", "name": "Kind", "namespace": "com.x", "symbols": ["A"]}
    )
    # in a schema of its own, before
    apart = resolved("AVRO", (json.dumps(address), json.dumps(record("com.y.Order", home="com.x.Address"))))
    assert apart["fields"][0]["type"] == home
    with pytest.raises(Unusable, match=r"Address is not defined"):
        resolved("AVRO", (json.dumps(address), json.dumps(record("com.y.Order", home="Address"))))
    with pytest.raises(Unusable, match="PROTOBUF"):
        resolved("PROTOBUF", ("message Order {}",))


def test_what_connect_says_of_a_type_stays(spark: SparkSession) -> None:
    time_of = {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp", "connect.parameters": {"a": "b"}}
    value = record("Value", at=["null", time_of])
    envelope = record("Envelope", before=["null", value], after=["null", "Value"])
    result = read_messages(
        messages(spark, [encoded(envelope, {"before": None, "after": {"at": 5}}), b"", None]),
        schema=json.dumps(envelope),
    )
    (writer,) = result.writers
    judged = result.judged({0: writer.exact}).withColumn("value", writer.value).orderBy("__offset")
    assert [(row["__code"], plain(row["value"])) for row in judged.collect()] == [
        (None, {"before": None, "after": {"at": 5}}), ("MALFORMED_AVRO", None), ("EMPTY_MESSAGE", None)
    ]  # fmt: skip
    after = result.schemas[0]["fields"][1]["type"][1]
    assert after["fields"][0]["type"][1] == time_of


def test_a_type_that_became_a_union_is_read_as_one_and_nothing_is_added_to_a_version() -> None:
    old = resolved("AVRO", (json.dumps(record(a="int", b={"type": "array", "items": record("In", x="int")}, u="int")),))
    new = record(
        A="long",
        b={"type": "array", "items": record("In", x=["string", "int"], y="string")},
        c="int",
        u=["null", "string", "int"],
    )
    for field, default in ((new["fields"][1]["type"]["items"]["fields"][1], "n"), (new["fields"][2], 7)):
        field["default"] = default
    newest = resolved("AVRO", (json.dumps(new),))
    found = completed(old, newest)
    assert [field["name"] for field in found["fields"]] == ["a", "b", "u"]
    assert found["fields"][0]["type"] == {"type": "int"}
    inner = found["fields"][1]["type"]["items"]["fields"]
    assert [field["name"] for field in inner] == ["x"]
    assert inner[0]["type"] == [{"type": kind} for kind in ("null", "string", "int")]
    assert found["fields"][2]["type"] == [{"type": kind} for kind in ("null", "string", "int")]
    assert completed(old, newest, {"u", "b"}) == old


NAMES = st.text("abcdefgh", min_size=1, max_size=6)
UTC_TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))  # no zone: it is put to them below


def scalars(named: Callable[[], str]) -> list[tuple[Any, st.SearchStrategy[Any]]]:
    """Types with the values that they may have."""
    symbols = ["RED", "GREEN", "BLUE"]
    return [
        ("boolean", st.booleans()),
        ("int", st.integers(-(2**31), 2**31 - 1)),
        ("long", st.integers(-(2**63), 2**63 - 1)),
        ("float", st.floats(width=32, allow_nan=False)),
        ("double", st.floats(allow_nan=False)),
        ("string", st.text(max_size=12)),
        ("bytes", st.binary(max_size=12)),
        ({"type": "enum", "name": named(), "symbols": symbols}, st.sampled_from(symbols)),
        ({"type": "fixed", "name": named(), "size": 5}, st.binary(min_size=5, max_size=5)),
        (logical("int", "date"), st.dates(date(1, 1, 1))),
        (logical("long", "timestamp-micros"), UTC_TIMES.map(lambda one: one.replace(tzinfo=UTC))),
        (logical("long", "timestamp-millis"), UTC_TIMES.map(lambda one: one.replace(tzinfo=UTC, microsecond=5000))),
        (logical("long", "local-timestamp-micros"), UTC_TIMES),
        (logical("int", "time-millis"), st.times().map(lambda one: one.replace(microsecond=7000))),
        (logical("string", "uuid"), st.uuids()),
        (logical("bytes", "decimal", precision=9, scale=3), st.integers(-(10**9) + 1, 10**9 - 1).map(lambda one: Decimal(one).scaleb(-3))),
        (logical("bytes", "decimal", precision=38, scale=10), st.integers(-(10**27), 10**27).map(lambda one: Decimal(one).scaleb(-10))),
        (logical("fixed", "decimal", name=named(), size=12, precision=15, scale=0), st.integers(-(10**14), 10**14).map(Decimal)),
    ]  # fmt: skip


@st.composite
def written(draw: st.DrawFn) -> tuple[Any, list[Any]]:
    """A schema, and records of it."""
    count = iter(range(10_000))

    def named() -> str:
        return f"Type{next(count)}"

    def kind(depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        form = draw(st.sampled_from(["scalar"] * 4 + ["null", "array", "map", "record"] * (depth > 0)))
        if form == "null":
            inner, values = kind(depth - 1)
            return (inner, values) if isinstance(inner, list) else (["null", inner], st.none() | values)
        if form == "array":
            inner, values = kind(depth - 1)
            return {"type": "array", "items": inner}, st.lists(values, max_size=3)
        if form == "map":
            inner, values = kind(depth - 1)
            return {"type": "map", "values": inner}, st.dictionaries(st.text(max_size=4), values, max_size=3)
        return fields(depth - 1) if form == "record" else draw(st.sampled_from(scalars(named)))

    def fields(depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
        names = draw(st.lists(NAMES, min_size=1, max_size=8, unique_by=str.lower))
        kinds = {name: kind(depth) for name in names}
        schema = record(named(), **{name: one for name, (one, _) in kinds.items()})
        return schema, st.fixed_dictionaries({name: values for name, (_, values) in kinds.items()})

    schema, values = fields(3)
    return schema, draw(st.lists(values, min_size=1, max_size=8))


def as_spark(value: Any) -> Any:
    """A value of fastavro's as a row has it."""
    if isinstance(value, Mapping):
        return {name: as_spark(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_spark(one) for one in value]
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone().replace(tzinfo=None)
    if isinstance(value, time):
        return timedelta(
            hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
        ) // timedelta(milliseconds=1)
    return str(value) if isinstance(value, uuid.UUID) else value


@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(case=written(), seed=st.integers())
def test_what_is_read_is_what_fastavro_reads(read: Read, case: tuple[Any, list[Any]], seed: int) -> None:
    schema, values = case
    whole = [encoded(schema, value) for value in values]
    expected = [
        as_spark(fastavro.schemaless_reader(io.BytesIO(one), fastavro.parse_schema(schema), None)) for one in whole
    ]
    expected = [{name: value for name, value in one.items() if value is not None} for one in expected]
    cut = [one[: random.Random(seed).randrange(len(one))] for one in whole if one]
    longer = [one + bytes([seed % 256]) for one in whole]
    found = read(schema, [*whole, *cut, *longer])
    assert found[: len(whole)] == expected
    assert set(found[len(whole) :]) <= {"MALFORMED_AVRO"}


def test_of_random_bytes_none_is_taken_that_fastavro_does_not_take(read: Read) -> None:
    kinds = {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}
    schema = record(
        a="long",
        b="string",
        c={"type": "array", "items": "string"},
        d={"type": "map", "values": ["null", kinds]},
        e="double",
    )
    chance = random.Random(7)
    good = [encoded(schema, {"a": 2**40, "b": "text", "c": ["x", "yz"], "d": {"k": "B", "l": None}, "e": 0.5})] * 500
    values = [chance.randbytes(chance.randrange(40)) for _ in range(2000)]
    for one in good:  # some bytes of a good one changed
        changed = bytearray(one)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        values.append(bytes(changed))
    taken = 0
    for value, found in zip(values, read(schema, values), strict=True):
        if isinstance(found, dict):
            stream = io.BytesIO(value)
            expected = as_spark(fastavro.schemaless_reader(stream, fastavro.parse_schema(schema), None))
            assert struct.pack("<d", found.pop("e")) == struct.pack("<d", expected.pop("e"))  # NaN too
            assert (found, stream.read()) == (expected, b"")
            taken += 1
    assert 50 < taken < 400


@pytest.mark.connect
@pytest.mark.skipif(os.environ.get("SPARK_API_MODE") == "connect", reason="it starts the very session that this one is")
def test_it_is_the_same_on_spark_connect() -> None:
    wanted = "is_whole or NULLs or decimal or text_that or union or connect_says or cannot_be_used"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-W",
        "ignore",
        "-p",
        "no:cacheprovider",
        "-k",
        wanted,
        __file__,
    ]
    environment = {**os.environ, "SPARK_API_MODE": "connect"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
