"""SCD1: the table is the fold of all rows that ever came, whatever their order, their cuts and their replays."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import KeyMissingError
from lakehouse.lake.batch import SOURCE, SOURCE_TYPE, Identity
from lakehouse.lake.place import Lake
from lakehouse.spec.write import Scd1Write
from lakehouse.testing import LocalLake
from lakehouse.write import write
from lakehouse.write.commit import WriteResult

Batch = Callable[..., Identity]
Rows = list[tuple[Any, ...]]
SCHEMA = "k1 string, k2 int, k3 date, k4 decimal(5,2), seq int, seq2 string, v string, n double, tags array<string>"
SPEC = Scd1Write(
    table="silver.t", mode="scd1", keys=("k1", "k2", "k3", "k4"), sequence_by=("seq", "seq2"), evolve="add_columns"
)


def upsert(
    lake: LocalLake, rows: Rows, identity: Identity, *, schema: str = SCHEMA, spec: Scd1Write = SPEC
) -> WriteResult:
    frame = lake.spark.createDataFrame(rows, schema)
    return write(frame, spec, target=Lake(str(lake.folder)).table(spec.table), identity=identity)


def key_of(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[:4]


def test_any_order_any_cut_and_any_replay_make_the_same_table(
    tmp_path: Path, spark: Any, batch: Batch, read: Any
) -> None:
    chance = random.Random(20240101)
    events: Rows = []
    for number in range(300):
        key = ("ab'c`"[number % 5], number, date(2024, 1, 1 + number % 28), Decimal(number) / 4)
        for _ in range(chance.randint(1, 6)):
            tags = chance.choice([None, [], [None], ["p", None], [None, "p"], ["p"]])
            rest = (chance.choice([None, "", "x", "y"]), chance.choice([None, 0.5, -1.0]), tags)
            events.append((*key, chance.randint(0, 2), chance.choice(["", "a", "B"]), *rest))
    lake, other = (LocalLake(spark, tmp_path / name, Path()) for name in ("one", "other"))

    def deliver(into: LocalLake, cuts: list[Rows]) -> None:
        for number, rows in enumerate(cuts):
            made = upsert(into, rows, batch(number))
            assert made.rows == len(rows)
            assert (made.rows_added, made.rows_removed) == (made.inserted + made.updated, made.updated)

    chance.shuffle(events)
    half = len(events) // 2
    deliver(lake, [events[:half], events[half:]])
    chance.shuffle(events)
    some = chance.sample(events, 40)
    deliver(other, [events[: half // 2], some + events[half // 2 :] + some])

    found = read(lake.folder / "silver/t")
    assert read(other.folder / "silver/t") == found
    best: dict[Any, Any] = {}
    for event in events:
        best[key_of(event)] = max(best.get(key_of(event), (-1, "")), event[4:6])
    assert sorted((key_of(row), row[4:6]) for row in found) == sorted(best.items())
    of_key: dict[Any, Rows] = {}
    for event in events:
        of_key.setdefault(key_of(event), []).append(event)
    assert all(row in of_key[key_of(row)] for row in found)

    # all of it once more changes nothing, and makes no version
    version = lake.version("silver.t")
    again = upsert(lake, events, batch(9))
    assert (again.inserted, again.updated, again.version) == (0, 0, version)
    assert (again.unchanged, again.rows) == (len(found), len(events))
    assert lake.version("silver.t") == version


def test_each_row_of_a_batch_has_one_fate(lake: LocalLake, batch: Batch, read: Any) -> None:
    spec = Scd1Write(table="silver.t", mode="scd1", keys=("ID",), sequence_by=("seq",), partition_by=("part",))
    schema = "id int, seq int, v string, part string"
    first = upsert(
        lake,
        [(1, 1, "a", "x"), (1, 2, "b", "x"), (2, 5, "c", ""), (3, 1, "d", None)],
        batch(0),
        schema=schema,
        spec=spec,
    )
    assert first == WriteResult(inserted=3, superseded=1, rows_added=3, version=1)
    second = upsert(
        lake,
        [(1, 3, "e", "y'"), (1, 3, "e", "y'"), (1, 0, "f", "x"), (2, 5, "c", ""), (2, 4, "g", ""), (3, 1, "d", None), (4, 1, "h", "x")],
        batch(1), schema=schema, spec=spec,
    )  # fmt: skip
    assert second == WriteResult(
        inserted=1, updated=1, unchanged=2, superseded=2, duplicates=1, rows_added=2, rows_removed=1, version=2
    )
    # Delta keeps no empty text as a partition's value
    assert read(lake.folder / "silver/t") == [(1, 3, "e", "y'"), (2, 5, "c", None), (3, 1, "d", None), (4, 1, "h", "x")]
    late = upsert(lake, [(1, 2, "late", "x"), (2, 5, None, None)], batch(2), schema=schema, spec=spec)
    assert (late.superseded, late.unchanged + late.updated + late.duplicates) == (1, 1)
    with pytest.raises(KeyMissingError, match="keys names ID, which the rows do not have"):
        upsert(lake, [(1, "x")], batch(3), schema="seq int, part string", spec=spec)


def test_equal_sequences_are_told_apart_alike_in_any_order(tmp_path: Path, spark: Any, batch: Batch, read: Any) -> None:
    """By the later position, then by the hash of the row; a column that comes meanwhile changes neither."""
    spec = Scd1Write(table="silver.t", mode="scd1", keys=("id",), sequence_by=("seq",), evolve="add_columns")
    schema = f"id int, seq int, v string, {SOURCE} {SOURCE_TYPE}"
    wider = f"extra string, {SOURCE} {SOURCE_TYPE}, v string, seq int, id int"

    def at(file: str, position: int) -> tuple[Any, ...]:
        return (file, position, None, None, None, None, "run")

    one, two, ten, nine = (
        (0, 1, value, at(*place)) for value, *place in (("a", "f1", 2), ("b", "f2", 1), ("a", "f3", 10), ("c", "f3", 9))
    )
    ties: Rows = [(number, 1, value, None) for number in range(1, 21) for value in ("a", "b")]
    lost = [("e", at("f3", 9), "c", 1, 0), ("e", None, "z", 1, 99)]
    steps = [([one, ten, *ties[::2]], schema), ([two, *ties[1::2]], schema), (lost, wider)]
    other = [
        (lost, wider),
        ([nine, ten, *ties[1::2]], schema),
        ([two, *ties[::2], one], schema),
    ]
    tables = []
    for name, order in (("one", steps), ("other", other)):
        lake = LocalLake(spark, tmp_path / name, Path())
        for number, (rows, columns) in enumerate(order):
            upsert(lake, rows, batch(number), schema=columns, spec=spec)
        tables.append(read(lake.folder / "silver/t", f"id, v, extra, {SOURCE}.file, {SOURCE}.position"))
    assert tables[0] == tables[1]
    assert tables[0][0] == (0, "a", None, "f3", 10)
    assert {row[1] for row in tables[0][1:]} == {"a", "b", "z"}
