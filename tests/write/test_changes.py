"""A silver table made of what Debezium tells is the table of the database, in whatever order and batches it comes."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse.check.contract import check
from lakehouse.errors import KeyMissingError
from lakehouse.lake.frame import small_frame
from lakehouse.lake.place import Lake
from lakehouse.read.kafka import arrived
from lakehouse.spec.kafka import KafkaSource
from lakehouse.spec.write import Scd1Write, Scd2Write
from lakehouse.write import write

if TYPE_CHECKING:
    from lakehouse.testing import LocalLake

COLUMNS = {"id": "bigint", "name": "string", "body": "string"}
GONE = "__debezium_unavailable_value"
SILVER: dict[str, Any] = {
    "table": "silver.t", "keys": ("id",), "sequence_by": ("_change.sequence",), "apply_as_deletes": "_change.op = 'd'",
}  # fmt: skip


class Database:
    """A table, and what the connector tells of it: a row's long text only if it was changed (TOAST)."""

    def __init__(self, seed: int) -> None:
        self.chance, self.rows, self.lsn, self.commit = random.Random(seed), dict[int, dict[str, Any]](), 1000, 0
        self.told: list[tuple[Any, Any]] = []

    def tell(self, op: str, key: int | None, before: Any, after: Any, *, lsn: int, **more: Any) -> None:
        pair = json.dumps([str(self.commit) if self.commit else None, str(lsn)], separators=(",", ":"))
        source = {"connector": "postgresql", "lsn": lsn, "sequence": pair, "snapshot": "false", **more}
        self.told.append(
            (None if key is None else {"id": key}, {"op": op, "before": before, "after": after, "source": source})
        )

    def change(self, key: int, *, lsn: int) -> None:
        """Insert, delete, update, or give another key to a row, as chance has it."""
        chance, row = self.chance, self.rows.get(key)
        if row is None:
            self.rows[key] = {"id": key, "name": chance.choice("abc"), "body": chance.choice("xyz") * 9}
            return self.tell("c", key, None, self.rows[key], lsn=lsn)
        what = chance.random()
        if what < 0.3:
            del self.rows[key]
            self.tell("d", key, {"id": key} if what < 0.15 else None, None, lsn=lsn)
            return self.told.append(({"id": key}, None))
        other = chance.randrange(100, 120)
        if what < 0.4 and other not in self.rows:
            self.tell("d", key, {"id": key}, None, lsn=lsn)
            self.rows[other] = {**self.rows.pop(key), "id": other}
            return self.tell("c", other, None, self.rows[other], lsn=lsn)
        new = {**row, "name": chance.choice(["d", "e", None])} | (
            {"body": chance.choice("uvw") * 9} if what < 0.6 else {}
        )
        self.rows[key] = new
        return self.tell("u", key, {"id": key}, {**new, "body": new["body"] if what < 0.6 else GONE}, lsn=lsn)

    def transaction(self, places: list[int], keys: list[int]) -> None:
        for key, place in zip(keys, places, strict=True):
            self.change(key, lsn=place)
        if self.chance.random() < 0.05 and not self.rows.get(200):
            self.lsn += 1
            self.rows.clear()
            self.tell("t", None, None, None, lsn=self.lsn)
        self.lsn += 1
        self.commit = self.lsn

    def history(self) -> None:
        for _ in range(40):
            self.some_changes()
        # a snapshot, while a transaction is open that another one overtakes: its changes are below the snapshot's lsn
        early = list(range(self.lsn, self.lsn + 5))
        self.lsn += 10
        for key in range(200, 205):
            self.rows[key] = {"id": key, "name": "old", "body": "old" * 9}
        for row in list(self.rows.values()):
            self.tell("r", row["id"], None, dict(row), lsn=self.lsn, snapshot="true")
        self.some_changes()
        self.transaction(early, list(range(200, 205)))

    def some_changes(self) -> None:
        count = self.chance.randrange(1, 5)
        self.lsn += count
        self.transaction(list(range(self.lsn - count, self.lsn)), self.chance.sample(range(20), count))


def bronze(spark: SparkSession, told: list[tuple[Any, Any]]) -> DataFrame:
    texts = [[number, *[None if one is None else json.dumps(one) for one in pair]] for number, pair in enumerate(told)]
    batch = small_frame(spark, texts, {"offset": "bigint", "key": "string", "value": "string"}).select(
        F.col("key").cast("binary"), F.col("value").cast("binary"), F.lit("t").alias("topic"), F.lit(0).alias("partition"),
        "offset", F.current_timestamp().alias("timestamp"), F.lit(0).alias("timestampType"),
        F.lit(None).cast("array<struct<key:string,value:binary>>").alias("headers"),
    )  # fmt: skip
    source = KafkaSource(
        kind="kafka", bootstrap_servers="localhost:9092", topics=("t",), value={"format": "json"}, debezium={}, contract={"columns": COLUMNS}
    )  # fmt: skip
    checked = check(arrived(batch, source, None, run_id="r"), source.contract)
    assert not checked.quarantined
    return checked.accepted


def test_a_silver_table_is_the_table_of_the_database_in_any_order_and_batches(
    lake: LocalLake, spark: SparkSession, batch: Any, read: Any
) -> None:
    database = Database(7)
    database.history()
    changes = bronze(spark, database.told)
    spec = Scd1Write(
        mode="scd1",
        apply_as_truncates="_change.op = 't'",
        update_columns="_change.set",
        except_columns=("_kafka",),
        **SILVER,
    )
    wanted = sorted(((row["id"], row["name"], row["body"]) for row in database.rows.values()), key=repr)
    assert len(wanted) > 10
    ways = {
        "as they came, in two cuts": [
            F.expr(f"_source.offset div {len(database.told) // 2 + 1} = {cut}") for cut in (0, 1)
        ],
        "mixed by chance, some twice": [
            F.expr(f"pmod(hash(_source.offset), 7) IN ({cut})") for cut in ("0,2,4,6", "1,3,5,0")
        ],
    }
    for way, batches in ways.items():
        target = Lake(f"{lake.folder}/{way}").table("silver.t")
        for number, part in enumerate(batches):
            write(changes.where(part), spec, target=target, identity=batch(number))
        assert read(f"{lake.folder}/{way}/silver/t", "id, name, body") == wanted, way


def test_what_a_table_must_keep_of_a_change(lake: LocalLake, spark: SparkSession, batch: Any, read: Any) -> None:
    """scd1 needs the sequence to tell an older change; scd2 has it in valid_from."""
    database = Database(3)
    for place in range(3):
        database.tell(
            "u" if place else "c", 1, None, {"id": 1, "name": "x", "body": "y"}, lsn=1000 + place, ts_ms=place
        )
    changes = bronze(spark, database.told)
    target = Lake(str(lake.folder)).table("silver.t")
    dropped = ("_change", "_kafka")
    with pytest.raises(KeyMissingError, match=r"sequence_by names _change\.sequence"):
        write(changes, Scd1Write(mode="scd1", except_columns=dropped, **SILVER), target=target, identity=batch(0))
    write(changes, Scd2Write(mode="scd2", except_columns=dropped, **SILVER), target=target, identity=batch(0))
    place = "00000000000000001000"
    assert read(lake.folder / "silver/t", "id, name, valid_from, is_current") == [
        (1, "x", f"1-{place}-1-{place}", True)
    ]
