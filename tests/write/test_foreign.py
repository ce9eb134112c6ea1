"""Tables that others write too: their commits are read, and their statistics hide no key."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deltalake
import pyarrow as pa
import pytest
from pyarrow import parquet

from lakehouse.errors import LogUnreadableError
from lakehouse.lake.batch import Identity
from lakehouse.lake.frame import small_frame
from lakehouse.lake.place import Lake
from lakehouse.lake.table import read_table
from lakehouse.maintain.compact import Bounds
from lakehouse.recovery.diff import diff
from lakehouse.runtime.maintain import Plan, maintain
from lakehouse.runtime.status import status
from lakehouse.runtime.workplace import prepare
from lakehouse.spec.write import Scd1Write, Scd2Write
from lakehouse.write import write

if TYPE_CHECKING:
    from lakehouse.testing import LocalLake

APPEND = {"timestamp": 1704110400000, "operation": "WRITE", "operationParameters": {"mode": "Append"}}
SAID: dict[str, Any] = {
    "delta-rs": APPEND | {"operationMetrics": {"num_added_rows": 1, "execution_time_ms": 4}, "clientVersion": "x"},
    "flink": APPEND
    | {
        "operation": "STREAMING UPDATE",
        "operationMetrics": {"numOutputRows": "1", "numAddedFiles": "1"},
        "engineInfo": "Apache-Flink/1.16.1 flink-delta-connector/3.0.0",
    },
    "trino": {
        "version": 0,
        "timestamp": 1704110400000,
        "userId": "u",
        "operation": "MERGE",
        "operationParameters": {"queryId": "20240101_1"},
        "clusterId": "trino-450",
        "readVersion": 0,
    },
    "databricks": APPEND
    | {
        "operationParameters": {"mode": "Append", "statsOnLoad": "false", "partitionBy": "[]"},
        "notebook": {"notebookId": "1"},
        "tags": {"restoresDeletedRows": "false"},
        "operationMetrics": {"numFiles": "1", "numOutputRows": "1", "numOutputBytes": "9"},
        "engineInfo": "Databricks-Runtime/15.4.x-scala2.12",
        "txnId": "1",
    },
    "kernel": {"inCommitTimestamp": None, "timestamp": 1704110400000, "operation": "Manual Update", "txnId": "1"},
    "metrics without values": APPEND | {"operationMetrics": {"numFiles": None}},
    "no metrics": APPEND | {"operationMetrics": None},
    "no time": APPEND | {"timestamp": None},
    "nothing": None,
    "not even that": ...,
    "a note of no JSON": APPEND | {"userMetadata": "by hand"},
    "a note of a list": APPEND | {"userMetadata": "[1]"},
    "a note of our words": APPEND | {"userMetadata": '{"lakehouse": {"stream": 1, "step": "target", "batch": "x"}}'},
}


def insert(duck: Any, folder: Path, rows: pa.Table) -> None:
    """Add rows to a table as DuckDB does, in a commit that says no time."""
    duck.execute(f"ATTACH '{folder}' AS target (TYPE delta)")
    try:
        duck.register("rows", rows)
        duck.execute("INSERT INTO target SELECT * FROM rows")
    finally:
        duck.execute("DETACH target")


def add_commits(folder: Path, said: dict[str, Any], *, more: dict[str, Any] | None = None) -> None:
    """Commit to a table, once for each, a row with that name as its key."""
    for name, info in said.items():
        version = max(int(one.stem) for one in (folder / "_delta_log").glob("*.json")) + 1
        row = {"k": name, "at": pa.scalar(0, pa.int32()), "v": "others", **(more or {})}
        file = folder / f"others-{version}.parquet"
        parquet.write_table(pa.table({key: pa.array([value]) for key, value in row.items()}), file)
        add = {"path": file.name, "partitionValues": {}, "size": file.stat().st_size, "modificationTime": 0}
        actions: list[Any] = [] if info is ... else [{"commitInfo": info}]
        actions.append({"add": {**add, "dataChange": True, "stats": '{"numRecords":1}'}})
        log = folder / "_delta_log" / f"{version:020d}.json"
        log.write_text("".join(f"{json.dumps(one)}\n" for one in actions))


JOB = """
sources:
  orders: {kind: table, table: bronze.orders, stream: true}
write: {table: silver.orders, MODE}
"""
KEYED: dict[str, Any] = {"keys": ("k",), "sequence_by": ("at",)}
CODE = 'def transform(orders: DataFrame) -> DataFrame:\n    return orders.drop("_source")\n'
ROWS = {"k": "string", "at": "int", "v": "string"}


def test_a_table_with_commits_of_every_writer_is_read_written_compared_and_maintained(workshop: Any, duck: Any) -> None:
    schema, real, others = (
        "k string, at int, v string",
        ("delta-rs itself", "DuckDB itself"),
        [f"{name} here" for name in SAID],
    )
    workshop.job("silver", JOB.replace("MODE", "mode: scd1, keys: k, sequence_by: at"), CODE)
    workshop.put("bronze.orders", schema, [("a", 1, "x")])
    bronze = workshop.folder / "bronze/orders"
    add_commits(bronze, SAID)
    one, other = (pa.table({"k": [name], "at": pa.array([0], pa.int32()), "v": ["others"]}) for name in real)
    deltalake.write_deltalake(str(bronze), one, mode="append")
    insert(duck, bronze, other)
    assert workshop.run("silver").rows.inserted == len(SAID) + 3
    add_commits(workshop.folder / "silver/orders", dict(zip(others, SAID.values(), strict=True)))
    workshop.put("bronze.orders", schema, [("b", 1, "x"), ("nothing", 2, "x"), ("nothing here", 2, "x")])
    work = prepare("silver", lake=str(workshop.folder), params={}, root=workshop.project)
    assert status(work, workshop.spark).behind[0].count == 1
    result = workshop.run("silver")
    assert (result.rows.inserted, result.rows.updated) == (1, 2)
    assert Counter(name for (name,) in workshop.rows("silver.orders", "k")) == dict.fromkeys(
        [*SAID, *real, *others, "a", "b"], 1
    )
    found = diff(workshop.spark, Lake(str(workshop.folder)), "bronze.orders@0", "bronze.orders")
    assert (found.equal, found.only_a, found.only_b) == (1, 0, len(SAID) + 5)
    asked, tables = Plan(bounds=Bounds(files=1)), ("bronze.orders", "silver.orders")
    report = maintain(tables, asked, lake=str(workshop.folder), root=workshop.project, spark=workshop.spark)
    assert report.error is None


def test_versions_are_added_to_those_of_other_writers(lake: LocalLake, read: Any) -> None:
    spec, target = Scd2Write(table="silver.t", mode="scd2", **KEYED), Lake(str(lake.folder)).table("silver.t")
    for number in range(2):
        rows = small_frame(lake.spark, [("delta-rs", number + 1, "x"), ("a", number + 1, "x")], ROWS)
        made = write(rows, spec, target=target, identity=Identity("job", "run", "s", number, rows={"read": 1}))
        versions = {"valid_from": pa.scalar(0, pa.int32()), "valid_to": pa.scalar(None, pa.int32()), "is_current": True}
        if number == 0:
            add_commits(lake.folder / "silver/t", {name: SAID[name] for name in list(SAID)[1:]}, more=versions)
    assert (made.unchanged, made.version) == (2, len(SAID))
    assert len(read(lake.folder / "silver/t", "k")) == len(SAID) + 1


def test_what_delta_cannot_read_of_a_commit_is_told_with_the_way(workshop: Any) -> None:
    for name in ("nested", "broken"):
        workshop.put(f"bronze.{name}", "k string, at int, v string", [("a", 1, "x")])
    workshop.job("nested", JOB.replace("orders", "nested").replace("MODE", "mode: append"))
    workshop.run("nested")
    add_commits(workshop.folder / "bronze/nested", {"b": APPEND | {"operationMetrics": {"files": {"min": 1}}}})
    with pytest.raises(LogUnreadableError, match="without stream: true"):
        workshop.run("nested")
    assert len(workshop.rows("bronze.nested")) == 2
    add_commits(workshop.folder / "bronze/broken", {"b": APPEND | {"operationParameters": "x"}})
    with pytest.raises(LogUnreadableError, match="the writer has to mend it"):
        workshop.rows("bronze.broken")


def keys(number: int) -> dict[str, Any]:
    """A key that delta-rs writes inexact statistics of: as floats, cut to 64 bits, cut to milliseconds or to 32 bytes."""
    at = datetime(2024, 1, 1, 0, 0, 0, 123456 + number)
    return {
        "d18": Decimal(f"9999999999999999999{number}.123456789012345678"),
        "small": Decimal(f"0.12345678901234567{number}"),
        "edge": Decimal(f"99999999999999999.9{number}"),
        "d0": Decimal("9" * 37 + str(number)),
        "least": Decimal("-" + "9" * 37 + str(number)),
        "s": "a" * 100 + str(number),
        "odd": "\U0001f600" * 20 + str(number),
        "ts": at.replace(tzinfo=UTC),
        "ntz": at,
        "f": float("nan") if number == 0 else -0.0 if number == 1 else 1e300 * (number + 1),
        "b": b"\xff" * 40 + bytes([number]),
        "big": 2**63 - 1 - number,
    }


DECIMALS = {"d18": (38, 18), "small": (38, 18), "edge": (19, 2), "d0": (38, 0), "least": (38, 0)}


def test_no_key_is_hidden_by_the_statistics_of_delta_rs_and_duckdb(lake: LocalLake, read: Any, duck: Any) -> None:
    """One file for each key, which is found only if the statistics of all its columns let it be."""
    folder, spec = lake.folder / "silver/t", Scd1Write(
        table="silver.t", mode="scd1", keys=tuple(keys(0)), sequence_by=("at",), evolve="add_columns"
    )  # fmt: skip
    kinds = {name: pa.decimal128(*digits) for name, digits in DECIMALS.items()}
    for number in range(8):
        row = {**keys(number), "at": 1, "v": "rs"}
        table = pa.table({name: pa.array([value], kinds.get(name)) for name, value in row.items()})
        if number < 5:
            deltalake.write_deltalake(str(folder), table, mode="append")
        else:
            insert(duck, folder, table)
    assert any("e+" in one.read_text() for one in (folder / "_delta_log").glob("*.json"))
    target = Lake(str(lake.folder)).table("silver.t")
    held = read_table(lake.spark, target)
    for number, key in enumerate((0, 6)):
        events = [{**keys(key), "at": 2 + number, "v": "ours"}]
        rows = lake.spark.createDataFrame(
            [tuple(event[name] for name in held.columns) for event in events], held.schema
        )
        made = write(rows, spec, target=target, identity=Identity("job", "run", "stream", number, rows={"read": 1}))
        assert (made.updated, made.inserted) == (1, 0), key
    assert sorted(v for (v,) in read(folder, "v")) == ["ours"] * 2 + ["rs"] * 6


OPEN_END = {
    "until": datetime(2999, 12, 31, tzinfo=UTC),
    "latest": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
}
TIMES = {**OPEN_END, "earliest": datetime(1, 1, 1, tzinfo=UTC), "julian": datetime(1582, 10, 4, tzinfo=UTC)}
FAR = """
sources:
  orders: {kind: table, table: bronze.orders, stream: true}
write: {table: silver.orders, mode: scd2, keys: k, sequence_by: at, open_end: 2999-12-31}
"""


def test_far_times_are_read_by_others_as_they_are(workshop: Any, read: Any) -> None:
    """INT96, Spark's own default, is read as nanoseconds by many: 2999-12-31 is 1830-11-22 to them."""
    workshop.job("silver", FAR, CODE)
    spark, folder = workshop.spark, workshop.folder / "silver/orders"
    columns = ", ".join(f"TIMESTAMP '{at.isoformat(sep=' ')}' AS {name}" for name, at in TIMES.items())
    dates = "DATE '0001-01-01' AS d, TIMESTAMP_NTZ '0001-01-01' AS n, array(TIMESTAMP '2999-12-31') AS many"
    rows = spark.sql(f"SELECT 'a' AS k, TIMESTAMP '2024-01-01' AS at, {columns}, {dates}")
    rows.write.format("delta").save(str(workshop.folder / "bronze/orders"))
    workshop.run("silver")
    file = next(folder.glob("*.parquet"))
    assert "int96" not in str(parquet.read_schema(file)) + str(parquet.ParquetFile(file).schema)
    expected = {
        **TIMES,
        "valid_to": OPEN_END["until"],
        "d": date(1, 1, 1),
        "n": datetime(1, 1, 1),
        "many": [OPEN_END["until"]],
    }
    query = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(str(folder))).execute("SELECT * FROM t")
    for table in (pa.table(query.read_all()), parquet.read_table(file)):
        (row,) = table.to_pylist()
        assert {name: row[name] for name in expected} == expected
    # DuckDB gives a timestamp in the zone of this machine
    epochs = [(at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for at in TIMES.values()]
    assert read(folder, ", ".join(f"epoch_us({name})" for name in TIMES)) == [tuple(epochs)]
    assert read(folder, "d, n") == [(date(1, 1, 1), datetime(1, 1, 1))]
