"""The tables and the batches, made by Spark from nothing but numbers: the same bytes' worth of rows every time.

A process of its own: ``python -m contest.tables FOLDER SIZE NAME…``. Keys are even; odd ones, and those beyond the
last, are free for inserts. Positions are shuffled by a multiplication modulo the size, so nothing need be sorted.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contest import folder
from contest.session import session
from contest.workloads import COLUMNS, MICRO

FILES = 64
SCATTER, PICK = 7_368_787, 5_915_587
"""Primes: multiplied by one of them modulo the size, every position is hit once."""

DAY = 86_400_000_000
BASE_TIME, BATCH_TIME = 1_700_000_000_000_000, 1_720_000_000_000_000
STATUS = "element_at(array('new', 'paid', 'packed', 'sent', 'done'), cast(pmod(_state, 5) as int) + 1)"
COUNTRY = (
    "element_at(array('AT', 'BE', 'CH', 'DE', 'DK', 'ES', 'FR', 'IT', 'NL', 'SE'), cast(pmod(_key, 10) as int) + 1)"
)


def filled(frame: DataFrame, *extra: str) -> DataFrame:
    """The twelve columns from ``id``, ``seed`` (another seed makes another state of the row) and ``time`` (µs)."""
    hashed = frame.selectExpr("*", "xxhash64(id, seed) AS _state", "xxhash64(id) AS _key")
    return hashed.selectExpr(
        "id",
        "timestamp_micros(time) AS updated_at",
        "pmod(_key, 1000000) AS customer_id",
        f"{STATUS} AS status",
        "cast(pmod(_state, 1000000) / 100 as decimal(12, 2)) AS amount",
        "cast(pmod(_key, 1000) * 10 + pmod(seed, 10) as int) AS quantity",
        "pmod(_state, 100003) / 7.0D AS price",
        f"{COUNTRY} AS country",
        "concat('user', pmod(_key, 500000), '@example.com') AS email",
        "if(pmod(_state, 10) = 0, null, lower(hex(_state))) AS note",
        "date_add(date'2023-01-01', cast(pmod(_key, 300) as int)) AS created_on",
        "pmod(_state, 3) > 0 AS active",
        *extra,
    )


def base_time(column: str = "id") -> str:
    """When a row of the base was written."""
    return f"{BASE_TIME} + pmod(xxhash64({column}, 7), {60 * DAY})"


def batch_time(number: int = 0) -> str:
    """When a row of a batch was written: after all of the base, and after all batches before."""
    return f"{BATCH_TIME + number * DAY} + pmod(xxhash64(id, 8), {DAY // 2})"


def scattered(spark: SparkSession, size: int) -> DataFrame:
    """One row for each key, in no order of the keys."""
    ids = spark.range(0, size, 1, FILES).selectExpr(f"2 * pmod(id * {SCATTER}, {size}) AS id", "0 AS seed")
    return filled(ids.selectExpr("*", f"{base_time()} AS time"))


def clustered(spark: SparkSession, size: int) -> DataFrame:
    """One row for each key, every file with a range of the keys."""
    ids = spark.range(0, size, 1, FILES).selectExpr("2 * id AS id", "0 AS seed")
    return filled(ids.selectExpr("*", f"{base_time()} AS time"))


def _versions(spark: SparkSession, size: int) -> DataFrame:
    places = spark.range(0, size, 1, FILES).selectExpr(f"pmod(id * {SCATTER}, {size}) AS place")
    ids = places.selectExpr("2 * (place div 2) AS id", "place % 2 AS seed")
    return ids.selectExpr("*", f"{base_time()} + seed * {100 * DAY} AS time")


def history(spark: SparkSession, size: int) -> DataFrame:
    """Two versions of each key, one of them closed, scattered."""
    return filled(
        _versions(spark, size),
        "timestamp_micros(time) AS valid_from",
        f"if(seed = 0, timestamp_micros(time + {100 * DAY}), null) AS valid_to",
        "seed = 1 AS is_current",
    )


def history_koheesio(spark: SparkSession, size: int) -> DataFrame:
    """The same as koheesio names and nests it."""
    end = f"if(seed = 0, timestamp_micros(time + {100 * DAY}), null)"
    names = "'effective_time', timestamp_micros(time), 'end_time', {end}, 'is_current', seed = 1"
    return filled(_versions(spark, size), f"named_struct({names.format(end=end)}) AS _scd2")


def _upsert(spark: SparkSession, updates: str, inserts: str, count: int) -> DataFrame:
    """Ids of 80 % updates and 20 % inserts, each an expression of ``id`` from 0."""
    old = spark.range(count * 8 // 10).selectExpr(f"{updates} AS id")
    return old.unionAll(spark.range(count - count * 8 // 10).selectExpr(f"{inserts} AS id"))


def upsert_scattered(spark: SparkSession, size: int, count: int) -> DataFrame:
    """Keys from everywhere, and new ones between them."""
    pick = f"pmod(id * {PICK} + 11, {size})"
    ids = _upsert(spark, f"2 * {pick}", f"2 * {pick} + 1", count)
    return filled(ids.selectExpr("*", "1 AS seed", f"{batch_time()} AS time"))


def upsert_clustered(spark: SparkSession, size: int, count: int) -> DataFrame:
    """Every second one of the newest keys, and new ones beyond."""
    first = size - 2 * (count * 8 // 10)
    ids = _upsert(spark, f"2 * ({first} + 2 * id)", f"2 * ({size} + id)", count)
    return filled(ids.selectExpr("*", "1 AS seed", f"{batch_time()} AS time"))


def insert(spark: SparkSession, size: int, count: int) -> DataFrame:
    """Half of the rows are in the table as they are, half have new keys."""
    old = spark.range(count // 2).selectExpr(f"2 * pmod(id * {PICK} + 11, {size}) AS id", "0 AS seed")
    new = spark.range(count - count // 2).selectExpr(f"2 * pmod(id * {PICK} + 11, {size}) + 1 AS id", "0 AS seed")
    return filled(old.unionAll(new).selectExpr("*", f"{base_time()} AS time"))


def unchanged(spark: SparkSession, size: int, count: int) -> DataFrame:
    """Rows of the table."""
    old = spark.range(count).selectExpr(f"2 * pmod(id * {PICK} + 11, {size}) AS id", "0 AS seed")
    return filled(old.selectExpr("*", f"{base_time()} AS time"))


def cdc(spark: SparkSession, size: int, count: int) -> DataFrame:
    """Two events for each key, the later of them first for half of the keys; deletes, new keys, and old events."""
    events = spark.range(count).selectExpr(f"id % {count // 2} AS k", f"id div {count // 2} + 1 AS seed")
    free = "if(k % 10 < 3, 1, 0)"
    events = events.selectExpr(f"2 * pmod(k * {PICK} + 11, {size}) + {free} AS id", "k", "seed")
    turn = "if(seed = 1, if(k % 2 = 0, 1, 3), 2)"
    old = "pmod(xxhash64(k, seed, 3), 10) = 0"
    time = f"if({old}, {BASE_TIME - 100 * DAY}, {BATCH_TIME}) + k * 1000 + {turn} AS time"
    op = "if(pmod(xxhash64(k, seed, 5), 5) = 0, 'D', 'U') AS op"
    return filled(events.selectExpr("*", time), op)


def scd2_one(spark: SparkSession, size: int, count: int) -> DataFrame:
    """One event for each key: half say what is so already, a tenth are of new keys."""
    keys = spark.range(count).selectExpr("id AS j", f"2 * pmod(id * {PICK} + 11, {size // 2}) AS old")
    ids = keys.selectExpr("old + if(j % 10 = 9, 1, 0) AS id", "if(j % 10 < 5, 1, 2) AS seed")
    return filled(ids.selectExpr("*", f"{batch_time()} AS time"))


def scd2_many(spark: SparkSession, size: int, count: int) -> DataFrame:
    """One to three events for each key: half say what is so already; a fiftieth of the keys have one that is late."""
    keys = spark.range(count // 2).selectExpr("id AS j", f"2 * pmod(id * {PICK} + 11, {size // 2}) AS old")
    events = keys.selectExpr(
        "j", "old + if(j % 10 = 9, 1, 0) AS id", "explode(sequence(1, 1 + cast(j % 3 as int))) AS turn"
    )
    changes = " + ".join(f"if(turn >= {turn}, pmod(xxhash64(j, {turn}), 2), 0)" for turn in (1, 2, 3))
    late = "j % 50 = 0 AND turn = 1"
    states = events.selectExpr("*", f"if({late}, 5, 1 + {changes}) AS seed")
    return filled(
        states.selectExpr("*", f"if({late}, {base_time()} + {50 * DAY}, {batch_time()} + turn * {DAY}) AS time")
    )


def micro(spark: SparkSession, size: int, number: int) -> DataFrame:
    """The batch of a number: 800 of the newest 4,000 keys, those of the batches before among them, and 200 new ones."""
    there = size + 200 * number
    ids = _upsert(spark, f"2 * ({there - 4000} + (5 * id + {number}) % 4000)", f"2 * ({there} + id)", 1000)
    return filled(ids.selectExpr("*", f"{number + 1} AS seed", f"{batch_time(number)} AS time"))


TABLES: dict[str, Callable[[SparkSession, int], DataFrame]] = {
    "scattered": scattered,
    "clustered": clustered,
    "history": history,
    "history_koheesio": history_koheesio,
}
BATCHES: dict[str, Callable[[SparkSession, int], DataFrame]] = {
    **{
        f"scattered_{part}": lambda spark, size, part=part: upsert_scattered(spark, size, size // part)
        for part in (10, 100, 1000)
    },
    **{
        f"clustered_{part}": lambda spark, size, part=part: upsert_clustered(spark, size, size // part)
        for part in (10, 100, 1000)
    },
    "growth": lambda spark, size: upsert_clustered(spark, size, 10_000),
    "insert": lambda spark, size: insert(spark, size, size // 100),
    "unchanged": lambda spark, size: unchanged(spark, size, size // 100),
    "cdc": lambda spark, size: cdc(spark, size, size // 100),
    "scd2_one": lambda spark, size: scd2_one(spark, size, size // 100),
    "scd2_many": lambda spark, size: scd2_many(spark, size, size // 100),
}


def make(spark: SparkSession, place: Path, size: int, name: str) -> None:
    """Make a table with and without deletion vectors, or a batch; whole or not at all."""
    done, half = place / name, place / f".{name}"
    shutil.rmtree(half, ignore_errors=True)
    if name in TABLES:
        TABLES[name](spark, size).write.format("delta").save(str(half / "plain"))
        folder.copy(half / "plain", half / "vectors")
        property_ = "'delta.enableDeletionVectors' = 'true'"
        spark.sql(f"ALTER TABLE delta.`{half / 'vectors'}` SET TBLPROPERTIES ({property_})")
    elif name == "micro":
        whole = micro(spark, size, 0).withColumn("number", F.lit(0))
        for number in range(1, MICRO):
            whole = whole.unionAll(micro(spark, size, number).withColumn("number", F.lit(number)))
        shuffled = whole.repartition(1).sortWithinPartitions("number", F.xxhash64("id"))
        shuffled.write.partitionBy("number").parquet(str(half))
    else:
        rows = BATCHES[name](spark, size)
        order = [F.xxhash64("id", "updated_at"), *map(F.col, COLUMNS)]
        rows.repartition(1 if rows.count() <= 200_000 else 2).sortWithinPartitions(*order).write.parquet(str(half))
    half.rename(done)


def main() -> None:
    """Make what is asked for."""
    place, size, names = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    spark = session("tables", place)
    for name in names:
        make(spark, place, size, name)
    spark.stop()
    shutil.rmtree(place / "local", ignore_errors=True)
    shutil.rmtree(place / "warehouse", ignore_errors=True)


if __name__ == "__main__":
    main()
