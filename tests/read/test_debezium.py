"""Debezium's messages, as its documentation has them: each is a change of a row, no row for a reason, or put aside."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from lakehouse.check.contract import check
from lakehouse.errors import ConfigError
from lakehouse.lake.frame import small_frame
from lakehouse.read.kafka import arrived
from lakehouse.read.payload.debezium import MESSAGES, SKIPS, placeholders
from lakehouse.spec.kafka import KafkaSource

DBZ, CONNECT = "io.debezium.time", "org.apache.kafka.connect.data"
GONE = "__debezium_unavailable_value"
CUSTOMERS = {"id": "bigint not null", "first_name": "string", "email": "string"}


@dataclass
class Told:
    """What became of messages, in their order: the row without NULLs, the reason why there is none, or the code."""

    rows: list[Any]
    changes: list[dict[str, Any] | None]
    said: list[str | None]
    counts: dict[str, int]


def in_bytes(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value)).encode()


Tell = Callable[..., Told]


@pytest.fixture(scope="module")
def tell(spark: SparkSession) -> Tell:
    """``tell([(key, value), ...], columns, types=...)``: messages of one partition, read by the feed and its contract."""

    def run(
        records: Iterable[Sequence[Any]],
        columns: dict[str, str],
        more: dict[str, Any] | None = None,
        brokers: Any = None,
        **debezium: Any,
    ) -> Told:
        rows = []
        for offset, (key, value, *header) in enumerate(records):
            hexed = [None if part is None else part.hex() for part in (in_bytes(key), in_bytes(value))]
            rows.append([offset, *hexed, header[0] if header else None])
        frame = small_frame(spark, rows, {"offset": "bigint", "key": "string", "value": "string", "header": "string"})
        header = F.struct(F.col("header").alias("key"), F.lit(b"{}").alias("value"))
        batch = frame.select(
            F.unhex("key").alias("key"), F.unhex("value").alias("value"), F.lit("srv.public.customers").alias("topic"),
            F.lit(0).alias("partition"), "offset", F.lit("2026-01-01").cast("timestamp").alias("timestamp"),
            F.lit(0).alias("timestampType"), F.when(F.col("header").isNotNull(), F.array(header)).alias("headers"),
        )  # fmt: skip
        source = KafkaSource(
            kind="kafka", bootstrap_servers="localhost:9092", topics=("t",),
            debezium=debezium, contract={"columns": columns}, **({"value": {"format": "json"}} | (more or {})),
        )  # fmt: skip
        found = arrived(batch, source, brokers, run_id="r")
        checked = check(found, source.contract)
        told = Told([None] * len(rows), [None] * len(rows), [None] * len(rows), dict(checked.broken))
        assert checked.read == len(rows) == checked.kept + checked.quarantined + checked.dropped
        assert found.skips == SKIPS
        for row in checked.accepted.collect():
            values = {name: plain(row[name]) for name in row.__fields__ if not name.startswith("_")}
            told.rows[row["_source"].offset] = {name: one for name, one in values.items() if one is not None}
            told.changes[row["_source"].offset] = row["_change"].asDict()
        for row in checked.rejected.collect():
            told.rows[row["source"].offset] = ",".join(row.reasons)
            told.said[row["source"].offset] = row.message
            assert row.received.value == in_bytes(records[row["source"].offset][1])
        return told

    return run


def plain(value: Any) -> Any:
    if isinstance(value, Row):
        return value.asDict(recursive=True)
    return bytes(value) if isinstance(value, bytearray) else value


def postgres(op: str | None, before: Any, after: Any, **source: Any) -> dict[str, Any]:
    told = {
        "version": "3.0.0.Final", "connector": "postgresql", "name": "srv", "ts_ms": 1559033904863,
        "ts_us": 1559033904863123, "snapshot": "false", "db": "postgres", "schema": "public", "table": "customers",
        "sequence": '["24023119","24023128"]', "txId": 555, "lsn": 24023128, "xmin": None, **source,
    }  # fmt: skip
    return {"before": before, "after": after, "source": told, "transaction": None, "op": op, "ts_ms": 1559033904961}


def mysql(op: str, before: Any, after: Any, **source: Any) -> dict[str, Any]:
    told = {
        "version": "3.0.0.Final", "connector": "mysql", "name": "mysql-server-1", "ts_ms": 1465581029100,
        "snapshot": False, "db": "inventory", "table": "customers", "server_id": 223344, "gtid": None,
        "file": "mysql-bin.000003", "pos": 484, "row": 0, "thread": 7, "query": "UPDATE customers SET x", **source,
    }  # fmt: skip
    return {"before": before, "after": after, "source": told, "op": op, "ts_ms": 1465581029523}


def block(schema: dict[str, Any] | None, payload: Any) -> dict[str, Any]:
    return {"schema": schema, "payload": payload}


def struct(**fields: Any) -> dict[str, Any]:
    """A schema block of a row: ``id="int32"``, or a type with its name and parameters."""
    listed = [
        {"field": name, "optional": True, **(kind if isinstance(kind, dict) else {"type": kind})}
        for name, kind in fields.items()
    ]
    return {"type": "struct", "fields": listed, "optional": False, "name": "srv.public.customers.Value"}


def envelope(**fields: Any) -> dict[str, Any]:
    row = struct(**fields)
    parts = [{**row, "field": "before"}, {**row, "field": "after"}, {"type": "string", "field": "op"}]
    return {"type": "struct", "fields": parts, "name": "srv.public.customers.Envelope"}


def semantic(kind: str, name: str, **parameters: str) -> dict[str, Any]:
    return {"type": kind, "name": name, "version": 1, **({"parameters": parameters} if parameters else {})}


def in_base64(number: int) -> str:
    """As Java's BigInteger.toByteArray."""
    return base64.b64encode(number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)).decode()


ANNE = {"id": 1, "first_name": "Anne", "email": "anne@example.com"}


def test_changes_of_postgres_become_rows_with_what_the_change_was(tell):
    marie = {**ANNE, "first_name": "Anne Marie"}
    told = tell(
        [
            ({"id": 1}, postgres("c", None, ANNE)),
            ({"id": 1}, postgres("u", {"id": 1}, marie, sequence='["24023128","24023200"]', lsn=24023200)),
            ({"id": 1}, {**postgres("d", {"id": 1}, None), "transaction": {"id": "571:53195832", "total_order": "1"}}),
            ({"id": 1}, None),
            ({"id": 2}, postgres("r", None, {**ANNE, "id": 2}, snapshot="last", sequence='[null,"24023000"]', lsn=24023000)),
            # without the fields before and after, as the documentation has it
            (None, {"source": postgres("t", None, None)["source"], "op": "t", "ts_ms": 1559033904961}),
        ],
        CUSTOMERS,
    )  # fmt: skip
    assert told.rows == [ANNE, marie, {"id": 1}, None, {**ANNE, "id": 2}, {}]
    assert told.counts == {"tombstone": 1}
    assert [change and change["op"] for change in told.changes] == ["c", "u", "d", None, "r", "t"]
    assert [change and change["set"] for change in told.changes] == [None, None, ["id"], None, None, []]
    assert told.changes[0] == {
        "op": "c", "sequence": "1-00000000000024023119-1-00000000000024023128", "set": None, "transaction": "555",
        "committed_at": datetime(2019, 5, 28, 8, 58, 24, 863123), "table": "public.customers",
    }  # fmt: skip
    assert told.changes[2]["transaction"] == "571:53195832"


def test_changes_of_mysql_become_rows_with_what_the_change_was(tell):
    sally = {"id": 1004, "first_name": "Anne", "email": "annek@noanswer.org"}
    told = tell(
        [
            ({"id": 1004}, mysql("r", None, sally, snapshot="first", pos=154)),
            ({"id": 1004}, mysql("u", sally, {**sally, "first_name": "Anne Marie"}, gtid="24DA-11:5", ts_us=1465581029100456)),
            ({"id": 1004}, mysql("d", {**sally, "first_name": "Anne Marie"}, None, pos=805, row=2)),
            ({"id": 1004}, mysql("c", None, sally, file="mysql-bin.1000000", pos=4)),
        ],
        CUSTOMERS,
    )  # fmt: skip
    assert told.rows == [sally, *[{**sally, "first_name": "Anne Marie"}] * 2, sally]
    sequences = [change["sequence"] for change in told.changes]
    assert sequences[2] == "1-00000000000000000003-00000000000000000805-00000000000000000002"
    assert sequences == sorted(sequences)
    assert told.changes[1]["transaction"] == "24DA-11:5"
    assert told.changes[1]["committed_at"] == datetime(2016, 6, 10, 17, 50, 29, 100456)
    assert {change["table"] for change in told.changes} == {"inventory.customers"}
    assert all(change["set"] is None for change in told.changes)


def test_messages_that_are_no_rows_are_left_out_and_counted(tell):
    schema = {"type": "struct", "fields": [{"type": "int64", "optional": False, "field": "ts_ms"}], "name": "Heartbeat"}
    ddl = {"source": mysql("c", None, None)["source"], "ts_ms": 1, "databaseName": "inventory", "schemaName": None,
           "ddl": "ALTER TABLE customers ADD COLUMN x INT", "tableChanges": [{"type": "ALTER", "id": "x"}]}  # fmt: skip
    end = {"status": "END", "id": "571:5", "ts_ms": 1, "event_count": 2, "data_collections": [{"event_count": 1}]}
    message = {"op": "m", "ts_ms": 1, "source": {"lsn": 1}, "message": {"prefix": "x", "content": "Ynk="}}
    records = [
        (b'{"serverName":"srv"}', {"ts_ms": 1559033904863}), (None, block(schema, {"ts_ms": 1})),
        (None, {"status": "BEGIN", "id": "571:4", "ts_ms": 1, "event_count": None, "data_collections": None}),
        (None, block({"type": "struct"}, end)), (None, ddl), (None, message), (None, {"op": "m", **message}),
        ({"id": 1}, None), ({"id": 1}, block(None, None)), ({"id": 1}, postgres("c", None, ANNE)),
    ]  # fmt: skip
    expected = {"heartbeat": 2, "transaction": 2, "schema_change": 1, "logical_message": 2, "tombstone": 2}
    told = tell(records, CUSTOMERS)
    assert told.counts == expected
    assert told.rows == [None] * 9 + [ANNE]
    # of flat messages a value that is none deletes
    flat = [
        (key, value if value is None or "op" not in value or value["op"] == "m" else ANNE) for key, value in records
    ]
    told = tell(flat, CUSTOMERS, flat=True)
    assert told.counts == {name: count for name, count in expected.items() if name != "tombstone"}
    assert told.rows == [None] * 7 + [{"id": 1}, {"id": 1}, ANNE]


def test_what_cannot_be_decoded_is_put_aside_with_a_code(tell):
    change, text = postgres("c", None, ANNE), json.dumps(postgres("c", None, ANNE))
    records = {
        "VALUE_ENCODING": [b"\xff\xfe"],
        "MALFORMED_JSON": [
            b"", "x", "[]", "5", '"c"', text[:-1], text + " x", text + text, "[" + text + "]", text + "}",
            text + "]}", text + ',"x":{}', text[:9], text.replace("Anne", "An\nne"), "{'op':'c'}",
        ],
        "NOT_AN_ENVELOPE": ["{}", ANNE, {**change, "op": None}, block({"type": "struct"}, ANNE)],
        "UNKNOWN_OPERATION": [{**change, "op": "x"}, {**change, "op": "C"}, {**change, "op": 7}],
        "CHANGE_WITHOUT_ROW": [
            postgres("c", ANNE, None), postgres("u", ANNE, None), {"op": "r", "source": {}}, postgres("c", None, 5),
            postgres("c", None, "x"), postgres("c", None, [ANNE]), postgres("d", "x", None),
        ],
        "DUPLICATE_JSON_KEY": [text.replace('"email"', '"first_name": null, "email"')],
        "UNKNOWN_FIELD": [postgres("c", None, {**ANNE, "age": 5}), postgres("d", {**ANNE, "Email": None}, None)],
        "CHANGE_WITHOUT_POSITION": [
            postgres("c", None, ANNE, sequence=None, lsn=None), postgres("c", None, ANNE, sequence="x", lsn="y"),
            mysql("c", None, ANNE, pos=None), mysql("c", None, ANNE, file="binlog"), {"op": "c", "after": ANNE, "source": {"connector": "mysql"}},
        ],
        "CAST:id": [postgres("c", None, {**ANNE, "id": value}) for value in (1.5, "x", 2**63, True, [1], {"a": 1}, 1e300)],
        "NULL_VALUE:id": [postgres("c", None, {**ANNE, "id": None}), postgres("c", None, {"first_name": "x"})],
    }  # fmt: skip
    flat = [(code, value) for code, values in records.items() for value in values]
    told = tell([(None, value) for _, value in flat], CUSTOMERS)
    assert list(zip(told.rows, (value for _, value in flat), strict=True)) == flat
    for code, said in zip(told.rows, told.said, strict=True):
        assert ":" in code or said.startswith(MESSAGES[code])
    told = tell([(None, postgres("d", None, None)), *[(key, postgres("d", None, None)) for key in (b"\xff", "x", "5", {"ID": 1}, {"id": None}, {})],
                 (None, postgres("d", {"id": None}, None)), ({"id": 1}, postgres("d", {"first_name": "x"}, None))], CUSTOMERS)  # fmt: skip
    assert told.rows == [*["CHANGE_WITHOUT_KEY"] * 8, {"id": 1, "first_name": "x"}]


def test_a_delete_takes_what_its_row_does_not_say_from_the_key_of_the_record(tell):
    columns = {"id": "int not null", "region": "string not null", "name": "string", "amount": "decimal(9,2)"}
    key = {"id": 7, "region": "eu"}
    typed = block(
        struct(id="int32", region="string", amount=semantic("bytes", f"{CONNECT}.Decimal", scale="2")),
        {**key, "amount": in_base64(-5)},
    )
    whole = {**key, "name": "x", "amount": "1.50"}
    told = tell(
        [
            (key, postgres("d", None, None)), (key, postgres("d", {"id": 7}, None)), (key, postgres("d", whole, None)),
            (None, postgres("d", whole, None)), (key, {"op": "d", "source": postgres("d", None, None)["source"]}),
            # PostgreSQL, REPLICA IDENTITY DEFAULT: the connector fills in what it was not told
            (key, postgres("d", {**key, "name": None, "amount": None}, None)),
            (typed, postgres("d", None, None)), (typed, block(envelope(id="int32"), postgres("d", None, None))),
            # the key is that of the row, also where the row leaves it out (column.exclude.list)
            (key, postgres("c", None, {"name": "y"})), (typed, postgres("u", None, {"name": "z", "amount": "3"})),
            # a part of the key is nowhere
            ({"id": 7, "region": None}, postgres("d", {"id": 7}, None)),
        ],
        columns,
    )  # fmt: skip
    full = {**whole, "amount": Decimal("1.50")}
    assert told.rows == [
        key, key, full, full, key, key, *[{**key, "amount": Decimal("-0.05")}] * 2,
        {**key, "name": "y"}, {**key, "name": "z", "amount": Decimal("3.00")}, "CHANGE_WITHOUT_KEY",
    ]  # fmt: skip
    assert [change and change["set"] for change in told.changes[:6]] == [[*key], [*key], None, None, [*key], None]


def test_another_primary_key_is_a_delete_and_a_create(tell):
    told = tell(
        [
            ({"id": 1}, postgres("d", {"id": 1}, None, lsn=50, sequence='["40","50"]'), "__debezium.newkey"),
            ({"id": 1}, None),
            ({"id": 9}, postgres("c", None, {**ANNE, "id": 9}, lsn=50, sequence='["40","50"]'), "__debezium.oldkey"),
        ],
        CUSTOMERS,
    )
    assert told.rows == [{"id": 1}, None, {**ANNE, "id": 9}]
    assert [change and change["op"] for change in told.changes] == ["d", None, "c"]
    assert told.changes[0]["sequence"] == told.changes[2]["sequence"]


def test_the_sequence_is_the_order_in_which_the_changes_of_a_key_were_made(tell):
    def pg(op: str, commit: int | None, place: int, **more: Any) -> dict[str, Any]:
        pair = json.dumps([None if commit is None else str(commit), str(place)], separators=(",", ":"))
        return postgres(op, None, ANNE, **{"sequence": pair, "lsn": place, **more})

    in_order = [
        pg("r", None, 110, snapshot="true"),
        # its transaction was open when the snapshot was taken at 110: its change is newer than the row of the snapshot
        pg("u", 120, 100),
        pg("u", 130, 141),
        # a row that was read between (lsn is left out), before and after changes of one transaction
        pg("u", 150, 155),
        pg("r", 150, 160, snapshot="incremental", lsn=None),
        pg("u", 150, 165),
        # a blocking snapshot goes before whatever the connector tells after it, not after changes that it cannot have seen
        pg("r", 170, 190, snapshot="first"),
        pg("u", 170, 180),
        pg("u", 99_999_999_999, 100_000_000_000),
        # a snapshot of a connector that was made anew
        pg("r", None, 100_000_000_100, snapshot="first_in_data_collection"),
        # of an older connector, without source.sequence
        postgres("u", None, ANNE, lsn=100_000_000_200, sequence=None),
        postgres("d", None, None, lsn="100000000300", sequence=None),
    ]
    other = {
        **postgres("c", None, ANNE, sequence=None, lsn=None),
        "source": {"connector": "sqlserver", "change_lsn": "00000027:00000ac0:0002"},
    }
    told = tell(
        [*[({"id": 1}, one) for one in in_order], ({"id": 1}, other), ({"id": 1}, {**other, "source": None})], CUSTOMERS
    )
    sequences = [change["sequence"] for change in told.changes]
    assert sequences[:12] == sorted(sequences[:12])
    assert len(set(sequences)) == len(sequences)
    # where there is no place in a log, the place in Kafka, which goes before those in logs
    assert sequences[12:] == ["0-00000000000000000012", "0-00000000000000000013"] < sequences[:1]


def test_a_value_that_was_not_changed_and_is_not_told_is_left_out_of_set(tell):
    columns = {
        "id": "bigint", "body": "string not null", "blob": "binary", "texts": "array<string>", "numbers": "array<int>",
        "longs": "array<bigint>", "ids": "array<string>", "pairs": "map<string,string>", "amount": "decimal(9,2)",
    }  # fmt: skip
    text, encoded, _, blobs, numbers, ids, pairs = placeholders(GONE)
    assert encoded == base64.b64encode(GONE.encode()).decode()
    assert json.loads(numbers) == list(GONE.encode())
    assert json.loads(pairs) == {GONE: GONE}
    assert json.loads(blobs) == [encoded]
    row = {
        "id": 1,
        "body": "b",
        "blob": "AQI=",
        "texts": ["x", None],
        "numbers": [1],
        "longs": [2],
        "ids": [],
        "pairs": {"a": None},
        "amount": "1.5",
    }
    hidden = {
        "body": text, "blob": encoded, "texts": [GONE], "numbers": json.loads(numbers), "longs": json.loads(numbers),
        "ids": json.loads(ids), "pairs": {GONE: GONE}, "amount": text,
    }  # fmt: skip
    told = tell(
        [
            ({"id": 1}, postgres("u", None, row)), ({"id": 1}, postgres("u", None, {**row, **hidden})),
            *[({"id": 1}, postgres("u", None, {**row, name: value})) for name, value in hidden.items()],
            ({"id": 1}, postgres("u", None, {**row, "pairs": json.dumps({GONE: GONE}, separators=(",", ":")), "texts": [GONE, "x"]})),
            ({"id": 1}, postgres("u", None, {**row, "body": GONE + "!"})), ({"id": 1}, postgres("u", None, {**row, "blob": "not base64"})),
        ],
        columns,
    )  # fmt: skip
    whole = {**row, "blob": b"\x01\x02", "amount": Decimal("1.50")}
    assert told.rows[0] == whole
    assert told.changes[0]["set"] is None
    assert told.rows[1] == {"id": 1}
    assert told.changes[1]["set"] == ["id"]
    for name, one, change in zip(hidden, told.rows[2:10], told.changes[2:10], strict=True):
        assert one == {key: value for key, value in whole.items() if key != name}
        assert change["set"] == [key for key in columns if key != name]
    assert told.changes[10]["set"] == [name for name in columns if name != "pairs"]
    assert told.rows[10]["texts"] == [GONE, "x"]
    assert told.rows[11]["body"] == GONE + "!"
    assert told.changes[11]["set"] is None
    assert told.rows[12] == "JSON_TYPE"
    assert told.said[12].endswith(": blob")


def test_another_placeholder_may_be_named(tell):
    told = tell(
        [(None, postgres("u", None, {**ANNE, "email": one})) for one in ("#", GONE)], CUSTOMERS, unavailable="#"
    )
    assert told.rows == [{"id": 1, "first_name": "Anne"}, {**ANNE, "email": GONE}]
    assert told.changes[0]["set"] == ["id", "first_name"]


def test_each_message_is_read_by_its_own_schema_block(tell):
    """The table changes in the stream: a column's type, a new column, one that goes; and a message has no block."""
    columns = {"id": "bigint", "at": "timestamp", "amount": "decimal(20,4)", "note": "string", "raw": "binary"}
    decimal = semantic("bytes", f"{CONNECT}.Decimal", scale="4", **{"connect.decimal.precision": "20"})
    instant = 1529507596945104
    cases = [
        (envelope(id="int32", at=semantic("int64", f"{DBZ}.MicroTimestamp")), {"id": 1, "at": instant}),
        (envelope(id="int64", at=semantic("int64", f"{DBZ}.Timestamp"), amount=decimal), {"id": 1, "at": instant // 1000, "amount": in_base64(12345)}),
        (envelope(id="int64", at=semantic("string", f"{DBZ}.ZonedTimestamp"), amount="string"), {"id": 1, "at": "2018-06-20T15:13:16.945104Z", "amount": "1.2345"}),
        (envelope(id="int64", at=semantic("int64", f"{DBZ}.NanoTimestamp"), amount="double"), {"id": 1, "at": instant * 1000, "amount": 1.2345}),
        (envelope(at=semantic("string", f"{DBZ}.IsoTimestamp"), id="int64", amount=semantic("struct", "io.debezium.data.VariableScaleDecimal")),
         {"id": 1, "at": "2018-06-20T15:13:16.945104Z", "amount": {"scale": 3, "value": in_base64(1234)}}),
        # a plain number is no time, whatever the conf says of messages without a block
        (envelope(id="int64", at="int64"), {"id": 1, "at": instant}),
        (envelope(id="int64", raw="bytes", note="string"), {"id": 1, "raw": "AQI=", "note": "n"}),
        # bytes that the connector writes in hexadecimal digits are text
        (envelope(id="int64", raw="string"), {"id": 1, "raw": "0102"}),
        (None, {"id": 1, "at": instant, "amount": "1.2"}),
    ]  # fmt: skip
    records = [
        (None, postgres("c", None, row) if schema is None else block(schema, postgres("c", None, row)))
        for schema, row in cases
    ]
    spaced = json.dumps(block(cases[0][0], postgres("c", None, cases[0][1])), indent=2)
    turned = json.dumps(dict(reversed(block(cases[0][0], postgres("c", None, cases[0][1])).items())))
    told = tell([*records, (None, spaced), (None, turned)], columns, types={"at": f"{DBZ}.MicroTimestamp"})
    at = datetime(2018, 6, 20, 15, 13, 16, 945104)
    first = {"id": 1, "at": at}
    assert told.rows == [
        first, {**first, "at": at.replace(microsecond=945000), "amount": Decimal("1.2345")}, {**first, "amount": Decimal("1.2345")},
        {**first, "amount": Decimal("1.2345")}, {**first, "amount": Decimal("1.2340")}, "CAST:at",
        {"id": 1, "raw": b"\x01\x02", "note": "n"}, "JSON_TYPE", {**first, "amount": Decimal("1.2000")}, first, first,
    ]  # fmt: skip


def test_numbers_of_json_keep_all_of_their_digits(tell):
    """Connect's decimal.format NUMERIC: the parser would make doubles of them."""
    columns = {
        "id": "bigint",
        "exact": "decimal(38,20)",
        "text": "string",
        "big": "decimal(20,0)",
        "near": "double",
        "list": "array<double>",
    }
    text = (
        '{"op": "c", "source": {"connector": "none"}, "after": {"id": 1, "exact": 123456789012345678.12345678901234567890,'
        ' "text": "1.25e3, 1.12345678901234567 \\" 1.12345678901234567", "big": 18446744073709551615, "near": 0.1234567890123456789,'
        ' "list": [1.1234567890123456789, -2.5e-3, 7]}}'
    )
    told = tell([(None, text), (None, text.replace("123456789012345678.", "1234567890123456789.")), (None, text.replace('"near": 0', '"near": 1e400, "x": 0'))],
                columns, {"rescue": "others"})  # fmt: skip
    row = {
        "id": 1, "exact": Decimal("123456789012345678.12345678901234567890"), "big": Decimal(2**64 - 1), "near": 0.1234567890123456789,
        "text": '1.25e3, 1.12345678901234567 " 1.12345678901234567', "list": [1.1234567890123456789, -2.5e-3, 7.0],
    }  # fmt: skip
    assert told.rows == [row, "CAST:exact", "CAST:near"]


def test_fields_that_nobody_declared_are_ignored_or_kept_in_a_column_of_their_own(tell):
    row = {**ANNE, "age": 5, "tags": ["x", 1.5], "none": None}
    records = [(None, postgres("c", None, row)), (None, postgres("c", None, ANNE))]
    assert tell(records, CUSTOMERS, {"unknown_fields": "ignore"}).rows == [ANNE, ANNE]
    rescued = {"age": "5", "tags": '["x",1.5]', "none": None}
    assert tell(records, CUSTOMERS, {"rescue": "others"}).rows == [{**ANNE, "others": rescued}, ANNE]
    flat = [(None, {**row, "__op": "c", "__made_up": 1}), (None, block(struct(id="int32", age="int32"), row))]
    assert tell(flat, CUSTOMERS, {"rescue": "others"}, flat=True).rows == [{**ANNE, "others": rescued}] * 2


def test_flat_messages_are_rows_and_a_missing_value_deletes_by_key(tell):
    """ExtractNewRecordState with delete.tombstone.handling.mode tombstone: such a delete has no place in the log."""
    told = tell(
        [
            ({"id": 1}, {**ANNE, "__op": "c", "__lsn": 24023128, "__table": "customers", "__source_ts_ms": 1559033904863}),
            ({"id": 1}, None),
            (block(struct(id="int64"), {"id": 2}), block(None, None)),
            ({"id": 1}, block(struct(id="int64", first_name="string", email="string"), ANNE)),
            (None, None), ({"nr": 1}, None), (None, "[]"), (None, {**ANNE, "age": 1}), (None, {**ANNE, "id": "x"}), (None, "{'id': 1}"),
            (None, '{"id": 1, "id": 2}'), (None, {**ANNE, "__op": "x"}), (None, {"schema": "public", **ANNE}),
        ],
        CUSTOMERS,
        flat=True,
    )  # fmt: skip
    assert told.rows == [
        ANNE, {"id": 1}, {"id": 2}, ANNE, "CHANGE_WITHOUT_KEY", "CHANGE_WITHOUT_KEY", "MALFORMED_JSON", "UNKNOWN_FIELD", "CAST:id",
        "MALFORMED_JSON", "DUPLICATE_JSON_KEY", "UNKNOWN_OPERATION", "UNKNOWN_FIELD",
    ]  # fmt: skip
    assert [change["op"] for change in told.changes[:4]] == ["c", "d", "d", "u"]
    assert [change["sequence"] for change in told.changes[:4]] == [f"0-{offset:020}" for offset in range(4)]
    assert told.changes[0]["table"] == "customers"
    assert told.changes[0]["committed_at"] == datetime(2019, 5, 28, 8, 58, 24, 863000)
    assert told.changes[1]["set"] == ["id"]


def test_a_flat_row_with_columns_that_look_like_a_schema_block_is_a_row(tell):
    columns = {"schema": "string", "payload": "string", "id": "bigint"}
    rows = [
        {"schema": '{"type": "struct"}', "payload": "{}", "id": 1},
        {"schema": '{"type": 1}', "id": 2},
        {"payload": "x", "schema": "y"},
    ]
    assert tell([(None, row) for row in rows], columns, flat=True).rows == rows


def test_flat_messages_that_all_tell_their_place_are_ordered_by_it(tell):
    """delete.tombstone.handling.mode rewrite, with add.fields: op, source.lsn, source.sequence and such."""
    pg = {
        **ANNE,
        "__deleted": "false",
        "__op": "u",
        "__source_lsn": 200,
        "__source_sequence": '["150","200"]',
        "__source_txId": 9,
    }
    told = tell(
        [
            ({"id": 1}, pg), ({"id": 1}, {"id": 1, "first_name": None, "email": None, "__deleted": "true", "__op": "d", "__lsn": 300}),
            # of rewrite-with-tombstone: it says nothing new, and comes before whatever has a place
            ({"id": 1}, None), ({"id": 1}, {**ANNE, "__deleted": "false", "__op": "r", "__snapshot": "true", "__lsn": 100}),
            ({"id": 1}, {**ANNE, "__deleted": "false", "__op": "r", "__lsn": None}),
            ({"id": 1}, block(struct(id="int32", first_name="string", email="string", __deleted="string"), {**ANNE, "__deleted": "false"})),
            ({"id": 1}, {**ANNE, "__deleted": "false", "__file": "binlog.000012", "__pos": 99, "__row": 1, "__gtid": "a:1"}),
        ],
        CUSTOMERS,
        flat=True,
    )  # fmt: skip
    assert told.rows == [ANNE, {"id": 1}, {"id": 1}, ANNE, "CHANGE_WITHOUT_POSITION", ANNE, ANNE]
    assert [change and (change["op"], change["sequence"]) for change in told.changes] == [
        ("u", f"1-{150:020}-1-{200:020}"), ("d", f"1-{300:020}-1-{300:020}"), ("d", f"0-{2:020}"), ("r", f"1-{100:020}-0-{100:020}"),
        None, ("u", f"0-{5:020}"), ("u", f"1-{12:020}-{99:020}-{1:020}"),
    ]  # fmt: skip
    assert told.changes[0]["transaction"] == "9"
    assert told.changes[6]["transaction"] == "a:1"


def test_types_that_cannot_be_told_are_refused_before_anything_is_read(tell):
    for columns, types, message in [
        ({"id": "bigint", "at": "array<timestamp>"}, {}, "at is declared as array<timestamp>"),
        ({"id": "bigint", "o": "struct<a:map<string,decimal(9,2)>>"}, {}, "o is declared as"),
        ({"id": "bigint"}, {"ID": "int64"}, "debezium.types names ID"),
    ]:
        with pytest.raises(ConfigError, match=message):
            tell([(None, None)], columns, types=types)


NO = "rejected"
EPOCH = datetime(1970, 1, 1)


def exact(number: Decimal, precision: int, scale: int) -> Any:
    # Python's own context rounds to 28 digits, and so does abs()
    digits = number.scaleb(scale, Context(prec=100))
    return number if digits == digits.to_integral_value() and digits.copy_abs() < 10**precision else NO


def moment(value: int, unit: int) -> Any:
    """What a timestamp column is: exact to the microsecond and within the years 1 to 9999."""
    micros, rest = divmod(value * 1_000_000, unit)
    try:
        return NO if rest else EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return NO


def day(value: int) -> Any:
    try:
        return date(1970, 1, 1) + timedelta(days=value)
    except OverflowError:
        return NO


def clock(value: int, unit: int) -> Any:
    whole, rest = divmod(abs(value), unit)
    minutes, seconds = divmod(whole, 60)
    sign = "-" if value < 0 else ""
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.{rest:0{len(str(unit)) - 1}}"


LONG = st.integers(-(2**63), 2**63 - 1)
COMMON = {  # the column's type, the connector's name, values as the connector has them, and the oracle
    "date": ("date", f"{DBZ}.Date", st.integers(-(2**31), 2**31 - 1) | st.integers(-800_000, 3_000_000), day),
    "connect_date": ("date", f"{CONNECT}.Date", st.integers(-30_000, 30_000), day),
    "milli": ("timestamp", f"{DBZ}.Timestamp", LONG | st.integers(-(10**14), 3 * 10**14), lambda one: moment(one, 1000)),
    "connect_milli": ("timestamp_ntz", f"{CONNECT}.Timestamp", st.integers(-(10**14), 3 * 10**14), lambda one: moment(one, 1000)),
    "micro": ("timestamp", f"{DBZ}.MicroTimestamp", LONG | st.integers(-(10**17), 3 * 10**17), lambda one: moment(one, 10**6)),
    "micro_ntz": ("timestamp_ntz", f"{DBZ}.MicroTimestamp", st.integers(-(10**15), 10**16), lambda one: moment(one, 10**6)),
    "nano": ("timestamp", f"{DBZ}.NanoTimestamp", LONG | LONG.map(lambda one: one // 1000 * 1000 % 2**62), lambda one: moment(one, 10**9)),
    "nano_long": ("bigint", f"{DBZ}.NanoTimestamp", LONG, lambda one: one),
    "time": ("string", f"{DBZ}.Time", st.integers(0, 86_400_000), lambda one: clock(one, 1000)),
    "connect_time": ("string", f"{CONNECT}.Time", st.integers(0, 86_399_999), lambda one: clock(one, 1000)),
    "micro_time": ("string", f"{DBZ}.MicroTime", st.integers(-3_020_399_000_000, 3_020_399_000_000), lambda one: clock(one, 10**6)),
    "nano_time": ("string", f"{DBZ}.NanoTime", st.integers(0, 86_400 * 10**9), lambda one: clock(one, 10**9)),
    "micro_time_long": ("bigint", f"{DBZ}.MicroTime", LONG, lambda one: one),
    "unsigned": ("decimal(20,0)", f"{CONNECT}.Decimal", st.integers(-(2**70), 2**70), lambda one: exact(Decimal(one), 20, 0)),
    "unsigned_long": ("bigint", f"{CONNECT}.Decimal", st.integers(-(2**65), 2**65), lambda one: one if -(2**63) <= one < 2**63 else NO),
    "amount": ("decimal(12,4)", f"{CONNECT}.Decimal", st.integers(-(10**14), 10**14), lambda one: exact(Decimal(one).scaleb(-4), 12, 4)),
    "widest": ("decimal(38,10)", f"{CONNECT}.Decimal", st.integers(-(2**130), 2**130), lambda one: exact(Decimal(f"{one}e-10"), 38, 10)),
    "any_scale": ("decimal(38,6)", "io.debezium.data.VariableScaleDecimal",
                  st.tuples(st.integers(-(10**38), 10**38), st.integers(-6, 12)),
                  # of the bytes of a number 38 digits are read
                  lambda one: exact(Decimal(f"{one[0]}e{-one[1]}"), 38, 6) if abs(one[0]) < 10**38 else NO),
    "as_text": ("string", "io.debezium.data.VariableScaleDecimal", st.tuples(st.integers(-(10**20), 10**20), st.integers(0, 30)),
                lambda one: format(Decimal(f"{one[0]}e{-one[1]}"), "f")),
    "zoned": ("timestamp", f"{DBZ}.ZonedTimestamp", st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda one: one.isoformat() + "Z"),
              lambda one: datetime.fromisoformat(one).replace(tzinfo=None)),
    "text": ("string", None, st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8), lambda one: one),
    "raw": ("binary", None, st.binary(max_size=8).map(lambda one: base64.b64encode(one).decode()), base64.b64decode),
    "long": ("bigint", "int64", LONG, lambda one: one),
    "double": ("double", None, st.floats(allow_nan=False, allow_infinity=False), lambda one: one),
    "guess": ("timestamp", None, LONG, lambda _: NO),
    "flag": ("boolean", None, st.booleans(), lambda one: one),
}  # fmt: skip
SCALES = {"unsigned": 0, "unsigned_long": 0, "amount": 4, "widest": 10}


def written(name: str, value: Any) -> Any:
    """A value as the JSON converter writes it."""
    if name in SCALES:
        return in_base64(value)
    return {"scale": value[1], "value": in_base64(value[0])} if isinstance(value, tuple) else value


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.sampled_from(sorted(COMMON)).flatmap(lambda name: st.tuples(st.just(name), COMMON[name][2])),
        min_size=150,
        max_size=250,
    )
)
@example(
    [("any_scale", (number, scale)) for number in (10**30 - 1, 1 - 10**38, -(10**38), 10**38) for scale in (6, 10)]
)
def test_a_value_is_what_its_type_says_or_its_message_is_put_aside(tell, values):
    columns = {name: kind for name, (kind, *_) in COMMON.items()}
    names = {name: told for name, (_, told, *_) in COMMON.items() if told}
    blocks = {
        name: envelope(
            **{name: semantic("struct" if told and "Variable" in told else "bytes" if name in SCALES else "x", told, **({"scale": str(SCALES[name])} if name in SCALES else {}))
               if told and "." in told else {"bytes": "bytes"}.get(kind, "bytes" if kind == "binary" else "x")}
        )
        for name, (kind, told, *_) in COMMON.items()
    }  # fmt: skip
    rows = [{name: written(name, value)} for name, value in values]
    expected = []
    for name, value in values:
        wanted = COMMON[name][3](value)
        expected.append(wanted if wanted is NO else {name: wanted})
    told = tell([(None, postgres("c", None, row)) for row in rows], columns, types=names)
    assert [NO if isinstance(one, str) else one for one in told.rows] == expected
    assert all(
        one in ("JSON_TYPE", f"CAST:{name}")
        for one, (name, _) in zip(told.rows, values, strict=True)
        if isinstance(one, str)
    )
    # the same with a schema block in each message, and with nothing in the conf
    told = tell(
        [(None, block(blocks[name], postgres("c", None, row))) for row, (name, _) in zip(rows, values, strict=True)],
        columns,
    )
    assert [NO if isinstance(one, str) else one for one in told.rows] == expected


@pytest.mark.parametrize("mode", ["base64", "string", "double"])
def test_decimals_are_read_as_the_conf_says_they_are_written(tell, mode):
    columns = {"price": "decimal(10,2)", "views": "decimal(20,0)", "note": "string"}
    many = 2**64 - 1
    rows = {
        "base64": {"price": in_base64(-12345), "views": many, "note": "1234"},
        "string": {"price": "-123.45", "views": str(many), "note": "1234"},
        "double": {"price": -123.45, "views": many, "note": "1234"},
    }
    wrong = {
        "base64": ["12.5", "", "a", in_base64(10**10), 5], "string": [in_base64(-12345), "NaN", "1.234", ""], "double": ["x", 0.001, 1e10],
    }  # fmt: skip
    types = {"views": "int64"} if mode == "base64" else {}
    records = [rows[mode], *[{"price": one} for one in wrong[mode]]]
    told = tell([(None, postgres("c", None, one)) for one in records], columns, decimals=mode, types=types)
    assert told.rows[0] == {"price": Decimal("-123.45"), "views": Decimal(many), "note": "1234"}
    assert set(told.rows[1:]) <= {"JSON_TYPE", "CAST:price"}


def test_other_types_of_the_connectors_pass_as_they_are(tell):
    columns = {
        "uuid": "string", "doc": "string", "kind": "string", "bits": "binary", "point": "string", "span": "bigint", "year": "int",
        "xml": "string", "tiny": "boolean", "nan": "double", "range": "string", "iso": "date", "parsed": "map<string,string>",
        "place": "struct<x:double,y:double,srid:int>",
    }  # fmt: skip
    row = {
        "uuid": "0ea5f9a5-d2c8-4d3a-8d5d-1b5a1e4c3b2a", "doc": '{"a": [1, 2.50]}', "kind": "red", "bits": "AwE=",
        "point": {"x": 1.5, "y": 2, "wkb": "AQE=", "srid": None}, "span": 37091106020000, "year": 2018, "xml": "<a/>", "tiny": 1,
        "nan": "NaN", "range": "[2019-03-31 15:30:00,infinity)", "iso": "2017-09-15Z", "parsed": '{"a": "b"}',
        "place": {"x": 1.5, "y": 2, "wkb": "AQE=", "srid": None},
    }  # fmt: skip
    types = {"bits": "io.debezium.data.Bits", "span": f"{DBZ}.MicroDuration", "year": f"{DBZ}.Year", "iso": f"{DBZ}.IsoDate",
             "doc": "io.debezium.data.Json", "uuid": "io.debezium.data.Uuid", "point": "io.debezium.data.geometry.Point"}  # fmt: skip
    told = tell(
        [
            (None, postgres("c", None, row)),
            *[
                (None, postgres("c", None, {**row, "parsed": bad}))
                for bad in ('{"a":1} {', '{"a":1},"v":{"a":2', "[]", "x", 5)
            ],
        ],
        columns,
        types=types,
    )
    found = told.rows[0]
    assert str(found.pop("nan")) == "nan"
    assert found == {
        **{name: row[name] for name in ("uuid", "doc", "kind", "span", "year", "xml", "range")}, "bits": b"\x03\x01", "tiny": True,
        "point": '{"x":1.5,"y":2,"wkb":"AQE=","srid":null}', "iso": date(2017, 9, 15), "parsed": {"a": "b"},
        "place": {"x": 1.5, "y": 2.0, "srid": None},
    }  # fmt: skip
    assert told.rows[1:] == ["JSON_TYPE"] * 5


def in_avro(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), value)
    return out.getvalue()


def test_avro_has_the_same_rows_by_the_types_of_its_schema(tell):
    def connect(kind: str, name: str, **more: Any) -> dict[str, Any]:
        return {"type": kind, "connect.version": 1, "connect.name": name, **more}

    fields = {
        "id": "long", "name": ["null", "string"], "at": connect("long", f"{DBZ}.MicroTimestamp"), "day": connect("int", f"{DBZ}.Date"),
        "amount": connect("bytes", f"{CONNECT}.Decimal", scale=2, precision=64, logicalType="decimal", **{"connect.parameters": {"scale": "2"}}),
        "any": {"type": "record", "name": "VariableScaleDecimal", "namespace": "io.debezium.data", "connect.name": "io.debezium.data.VariableScaleDecimal",
                "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}]},
        "seen": connect("long", f"{CONNECT}.Timestamp", logicalType="timestamp-millis"), "blob": "bytes", "tags": {"type": "array", "items": "string"},
        "x": "double", "plain": "long",
    }  # fmt: skip
    value = {
        "type": "record",
        "name": "Value",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
    }
    source = {
        name: ["null", "long" if name in ("lsn", "ts_ms") else "string"]
        for name in ("connector", "snapshot", "sequence", "lsn", "ts_ms", "table")
    }
    parts = {
        "before": ["null", value], "after": ["null", "Value"], "op": "string", "ts_ms": ["null", "long"],
        "source": {"type": "record", "name": "Source", "fields": [{"name": name, "type": kind} for name, kind in source.items()]},
    }  # fmt: skip
    schema = {
        "type": "record",
        "name": "Envelope",
        "fields": [{"name": name, "type": kind} for name, kind in parts.items()],
    }
    columns = {
        "id": "bigint", "name": "string", "at": "timestamp", "day": "date", "amount": "decimal(12,2)", "any": "decimal(9,3)",
        "seen": "timestamp", "blob": "binary", "tags": "array<string>", "x": "double", "plain": "bigint",
    }  # fmt: skip
    row = {
        "id": 1, "name": None, "at": 1529507596945104, "day": 17702, "amount": Decimal("0.00"), "any": {"scale": 1, "value": b"\x0c"},
        "seen": datetime(2018, 6, 20, 15, 13, 16, 945000, UTC), "blob": b"\x00\xff", "tags": ["a"], "x": 1e-7, "plain": 2**62 + 1,
    }  # fmt: skip
    about = {"connector": "postgresql", "snapshot": "false", "sequence": None, "lsn": 7, "ts_ms": 1, "table": "t"}
    change = {"before": None, "after": row, "op": "c", "ts_ms": 1, "source": about}
    values = [
        change, {**change, "op": "u", "after": {**row, "name": GONE, "blob": GONE.encode(), "tags": [GONE]}},
        {**change, "op": "d", "after": None, "before": row}, {**change, "op": "d", "after": None}, {**change, "op": "x"},
    ]  # fmt: skip
    records = [({"id": 1}, in_avro(schema, one)) for one in values]
    avro = {"value": {"format": "avro", "schema_file": "x.avsc"}}
    told = tell(
        [*records, ({"id": 1}, None), ({"id": 1}, b"\x01")],
        columns,
        avro,
        brokers=SimpleNamespace(registry=None, schema=json.dumps(schema)),
    )
    want = {
        "id": 1, "at": datetime(2018, 6, 20, 15, 13, 16, 945104), "day": date(2018, 6, 20), "amount": Decimal("0.00"), "any": Decimal("1.200"),
        "seen": datetime(2018, 6, 20, 15, 13, 16, 945000), "blob": b"\x00\xff", "tags": ["a"], "x": 1e-7, "plain": 2**62 + 1,
    }  # fmt: skip
    less = {name: one for name, one in want.items() if name not in ("blob", "tags")}
    assert told.rows == [want, less, want, {"id": 1}, "UNKNOWN_OPERATION", None, "MALFORMED_AVRO"]
    assert told.changes[1]["set"] == [name for name in columns if name not in ("name", "blob", "tags")]
    assert told.changes[0]["sequence"] == f"1-{7:020}-1-{7:020}"
    assert told.counts == {"tombstone": 1}
    assert told.said[6] == "the value is not one datum of its schema"
    # flat: the row is the value
    told = tell(
        [({"id": 1}, in_avro(value, row)), ({"id": 1}, None)],
        columns,
        avro,
        brokers=SimpleNamespace(registry=None, schema=json.dumps(value)),
        flat=True,
    )
    assert told.rows == [want, {"id": 1}]
    assert [change["op"] for change in told.changes] == ["u", "d"]


@pytest.fixture
def registry() -> Iterator[tuple[str, dict[int, Any]]]:
    """What answers as a schema registry does, and the schemas that it has."""
    schemas: dict[int, Any] = {}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            schema = schemas.get(int(self.path.rpartition("/")[2]))
            told = {"schema": json.dumps(schema)} if schema else {"error_code": 40403, "message": "Schema not found"}
            self.send_response(200 if schema else 404)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", schemas
    server.shutdown()
    thread.join()
    server.server_close()


def test_keys_and_versions_of_a_registry_are_each_read_by_their_own_schema(tell, registry):
    """A column's type changes in the stream, and a column is added; the key of a deletion is in Avro, too."""
    address, schemas = registry

    def schema(**fields: Any) -> dict[str, Any]:
        row = {
            "type": "record",
            "name": "Value",
            "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
        }
        parts = {"before": ["null", row], "after": ["null", "Value"], "op": "string"}
        return {
            "type": "record",
            "name": "Envelope",
            "fields": [{"name": name, "type": kind} for name, kind in parts.items()],
        }

    millis, micros = ({"type": "long", "connect.name": f"{DBZ}.{name}"} for name in ("Timestamp", "MicroTimestamp"))
    schemas[1] = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}
    schemas[2] = schema(id="long", at=["null", millis])
    schemas[3] = schema(id="long", at=["null", micros], note=["null", {"type": "string"}])

    def framed(number: int, value: Any) -> bytes:
        return b"\0" + number.to_bytes(4, "big") + in_avro(schemas[number], value)

    key = framed(1, {"id": 7})
    records = [
        (key, framed(2, {"before": None, "after": {"id": 7, "at": 1529507596945}, "op": "c"})),
        (key, framed(3, {"before": None, "after": {"id": 7, "at": 1529507596945104, "note": None}, "op": "u"})),
        (key, framed(3, {"before": None, "after": None, "op": "d"})),
        ({"id": 8}, framed(3, {"before": None, "after": None, "op": "d"})),
        (b"\0\0\0\0\7\0", framed(2, {"before": None, "after": None, "op": "d"})),
        (key, None), (key, b"\0\0\0\0\7\0"),
    ]  # fmt: skip
    columns = {"id": "bigint", "at": "timestamp", "note": "string"}
    brokers = SimpleNamespace(registry=address, schema=None)
    told = tell(records, columns, {"value": {"format": "avro", "registry": address}}, brokers=brokers)
    at = datetime(2018, 6, 20, 15, 13, 16, 945104)
    assert told.rows == [
        {"id": 7, "at": at.replace(microsecond=945000)}, {"id": 7, "at": at}, {"id": 7}, {"id": 8}, "CHANGE_WITHOUT_KEY", None, "AVRO_SCHEMA_ID",
    ]  # fmt: skip
    assert [change and change["set"] for change in told.changes[:3]] == [["id", "at"], None, ["id"]]


def test_changes_without_a_place_in_the_log_are_ordered_by_kafka_where_the_job_says_so(tell):
    """As other tools write those of MySQL: ``file`` is empty, and ``pos`` is 0."""
    row = {"id": 1, "first_name": "a"}
    records = [
        ({"id": 1}, mysql("c", None, row, file="", pos=0)),
        ({"id": 1}, mysql("u", row, {**row, "first_name": "b"}, file="", pos=0)),
        ({"id": 1}, mysql("d", row, None, file="mysql-bin.000003", pos=5)),
    ]
    told = tell(records, CUSTOMERS)
    assert told.rows == ["CHANGE_WITHOUT_POSITION", "CHANGE_WITHOUT_POSITION", row]
    assert "debezium: {order: offset}" in told.said[0]
    told = tell(records, CUSTOMERS, order="offset")
    assert [change["sequence"] for change in told.changes] == [f"0-{number:020}" for number in range(3)]


def test_the_key_of_a_deletion_may_be_a_plain_value(tell):
    records = [("7", None), (json.dumps({"id": 8}), None), ("x", None), (None, None)]
    keyed = {"value": {"format": "json"}, "key_column": "id"}
    told = tell(records, CUSTOMERS, keyed, flat=True)
    assert told.rows == [{"id": 7}, {"id": 8}, "CAST:id", "CHANGE_WITHOUT_KEY"]
    assert [change and change["op"] for change in told.changes] == ["d", "d", None, None]
    assert "key_column" in tell(records[:1], CUSTOMERS, flat=True).said[0]
    deleted = postgres("d", None, None)
    assert tell([("7", deleted)], CUSTOMERS, keyed).rows == [{"id": 7}]
