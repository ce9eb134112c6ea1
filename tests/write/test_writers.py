"""Several writers of one table: nothing of either is lost, and a skipped write is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lakehouse.errors import CommitMissingError, ImbalanceError, LockedError
from lakehouse.lake.batch import Identity
from lakehouse.lake.frame import materialise, small_frame
from lakehouse.lake.place import Lake
from lakehouse.lake.table import Table, commits, head
from lakehouse.runtime.lock import leased
from lakehouse.spec.write import Scd1Write, Scd2Write
from lakehouse.write import plan, write
from lakehouse.write.commit import REPAIR

Batch = Callable[..., Identity]
SCD1 = Scd1Write(
    table="silver.t", mode="scd1", keys=("k",), sequence_by=("s",), apply_as_deletes="op = 'D'", except_columns=("op",)
)
SCD2 = Scd2Write(
    table="silver.h", mode="scd2", keys=("k",), sequence_by=("s",), apply_as_deletes="op = 'D'", except_columns=("op",)
)
COLUMNS = {"k": "string", "s": "int", "v": "string", "op": "string"}


@pytest.fixture
def target(tmp_path: Path) -> Callable[[str], Table]:
    return Lake(str(tmp_path)).table


def rows(spark: SparkSession, *events: tuple[Any, ...]) -> Any:
    return materialise(small_frame(spark, [(*event, "U") if len(event) == 3 else event for event in events], COLUMNS))


def test_what_another_writer_made_newer_meanwhile_is_put_back(
    spark: SparkSession, target: Callable[[str], Table], batch: Batch, read: Any
) -> None:
    table = target("silver.t")
    write(rows(spark, ("a", 1, "old"), ("b", 1, "old"), ("c", 1, "old")), SCD1, target=table, identity=batch(0))
    planned = plan(
        rows(spark, ("a", 5, "ours"), ("b", 5, "ours"), ("c", 5, None, "D")), SCD1, target=table, identity=batch(1)
    )
    theirs = batch(0, stream="theirs")
    write(rows(spark, ("a", 9, "theirs"), ("b", 3, "theirs"), ("c", 9, "theirs")), SCD1, target=table, identity=theirs)
    made = planned.commit(spark)
    assert read(Path(table.path), "k, s, v") == [("a", 9, "theirs"), ("b", 5, "ours"), ("c", 9, "theirs")]
    newest = head(spark, table)
    assert newest
    assert (newest.note["step"], made.version) == (REPAIR, newest.version)


def test_a_key_that_another_writer_deletes_or_inserts_meanwhile_is_there_once_or_gone(
    spark: SparkSession, target: Callable[[str], Table], batch: Batch, read: Any
) -> None:
    table = target("silver.t")
    write(rows(spark, ("a", 1, "old")), SCD1, target=table, identity=batch(0))
    ours = plan(rows(spark, ("a", 5, "ours"), ("n", 5, "ours")), SCD1, target=table, identity=batch(1))
    new = plan(rows(spark, ("m", 5, "ours")), SCD1, target=table, identity=batch(2))
    theirs = rows(spark, ("a", 9, None, "D"), ("n", 3, "theirs"), ("m", 3, "theirs"))
    write(theirs, SCD1, target=table, identity=batch(0, stream="theirs"))
    ours.commit(spark)
    assert new.planned.strategy == "append"
    new.commit(spark)
    assert read(Path(table.path), "k, s, v") == [("m", 5, "ours"), ("n", 5, "ours")]


def test_a_history_that_another_writer_changed_meanwhile_is_folded_with_both(
    spark: SparkSession, target: Callable[[str], Table], batch: Batch, read: Any
) -> None:
    table = target("silver.h")
    write(rows(spark, ("a", 1, "A"), ("b", 1, "A")), SCD2, target=table, identity=batch(0))
    planned = plan(rows(spark, ("a", 5, "C"), ("b", 5, None, "D")), SCD2, target=table, identity=batch(1))
    theirs = batch(0, stream="theirs")
    write(rows(spark, ("a", 3, "B"), ("a", 9, "D"), ("b", 3, "B")), SCD2, target=table, identity=theirs)
    planned.commit(spark)
    assert read(Path(table.path), "k, valid_from, valid_to, v, is_current") == [
        ("a", 1, 3, "A", False),
        ("a", 3, 5, "B", False),
        ("a", 5, 9, "C", False),
        ("a", 9, None, "D", True),
        ("b", 1, 3, "A", False),
        ("b", 3, 5, "B", False),
    ]


def test_a_write_that_delta_skips_is_an_error_unless_it_is_a_replay(
    spark: SparkSession, target: Callable[[str], Table], batch: Batch
) -> None:
    table = target("silver.t")
    for number in (3, 4):
        write(rows(spark, ("a", number, "x")), SCD1, target=table, identity=batch(number))
    assert write(rows(spark, ("a", 9, "x")), SCD1, target=table, identity=batch(4)).replayed
    with pytest.raises(CommitMissingError, match="no commit of it"):
        write(rows(spark, ("a", 9, "x")), SCD1, target=table, identity=batch(1))


def test_a_commit_that_did_something_else_than_was_planned_is_an_error(
    spark: SparkSession, target: Callable[[str], Table], batch: Batch
) -> None:
    table = target("silver.t")
    made = plan(rows(spark, ("a", 1, "x")), SCD1, target=table, identity=batch(0))
    with pytest.raises(ImbalanceError, match="2 rows were to be added"):
        replace(made, planned=replace(made.planned, rows_added=2)).commit(spark)


@pytest.mark.parametrize("spec", [SCD1, SCD2], ids=["scd1", "scd2"])
def test_a_batch_that_was_killed_before_its_commit_counts_like_the_first_time(
    spark: SparkSession, target: Callable[[str], Table], batch: Batch, spec: Any, read: Any
) -> None:
    table = target(spec.table)
    write(rows(spark, ("a", 1, "x"), ("b", 1, "x")), spec, target=table, identity=batch(0))
    events = rows(spark, ("a", 5, None, "D"), ("c", 5, None, "D"), ("b", 2, "x"))
    killed = plan(events, spec, target=table, identity=batch(1))
    assert killed.remember
    killed.remember()
    made = write(events, spec, target=table, identity=replace(batch(1), again=True))
    assert made.deleted == 1
    assert (made.updated, made.unchanged) == ((1, 1) if spec is SCD1 else (0, 2))
    current = "k" if spec is SCD1 else "k, is_current"
    assert [row for row in read(Path(table.path), current) if row[-1] is not False] == [
        ("b",) if spec is SCD1 else ("b", True)
    ]


def test_what_an_attempt_remembered_is_gone_where_the_batch_comes_again_without_it(
    spark: SparkSession, target: Callable[[str], Table], batch: Batch, read: Any
) -> None:
    table = target(SCD1.table)
    write(rows(spark, ("a", 1, "x"), ("b", 1, "x")), SCD1, target=table, identity=batch(0))
    killed = plan(rows(spark, ("a", 9, None, "D")), SCD1, target=table, identity=batch(1))
    assert killed.remember
    killed.remember()
    # what the batch read was undone meanwhile, and so it brings another row
    write(rows(spark, ("b", 2, "y")), SCD1, target=table, identity=replace(batch(1), again=True))
    assert write(rows(spark, ("a", 5, "z")), SCD1, target=table, identity=batch(2)).updated == 1
    assert read(Path(table.path), "k, s, v") == [("a", 5, "z"), ("b", 2, "y")]


def test_a_table_of_many_files_is_looked_at_where_the_keys_are_and_nowhere_else(
    spark: SparkSession, target: Callable[[str], Table], batch: Batch, read: Any
) -> None:
    table, plain = target("silver.t"), Scd1Write(table="silver.t", mode="scd1", keys=("k",), sequence_by=("s",))
    columns = {"k": "string", "s": "int"}
    for number, first in enumerate("abcdefgh"):
        frame = small_frame(spark, [(f"{first}{key}", 1) for key in range(4)], columns)
        write(frame, plain, target=table, identity=batch(number))
    made = write(small_frame(spark, [("c0", 2), ("c3", 2)], columns), plain, target=table, identity=batch(8))
    assert (made.updated, made.inserted) == (2, 0)
    assert "of 8 files" in made.why
    assert "1 are touched" in made.why
    everywhere = small_frame(spark, [("a0", 3), ("h3", 3), ("d1", 3), ("e2", 3), ("b2", 3)], columns)
    made = write(everywhere, plain, target=table, identity=batch(9))
    assert (made.updated, made.inserted) == (5, 0)
    assert "of 9 files" in made.why
    assert len(read(Path(table.path), "k")) == 32


def test_a_merge_leaves_no_transaction_behind_in_the_session(
    spark: SparkSession, target: Callable[[str], Table], batch: Batch, read: Any
) -> None:
    table = target("silver.t")
    write(rows(spark, ("a", 1, "x"), ("b", 1, "x")), SCD1, target=table, identity=batch(0))
    made = write(rows(spark, ("a", 2, None, "D")), SCD1, target=table, identity=batch(1))
    assert (made.strategy, made.deleted) == ("merge", 1)
    spark.sql(f"DELETE FROM {table.sql} WHERE k = 'b'")
    assert read(Path(table.path), "k") == []


def test_the_lease_of_a_table_is_waited_for_and_not_for_ever(target: Callable[[str], Table]) -> None:
    with (
        leased(target("silver.t")),
        pytest.raises(LockedError, match=r"silver\.t"),
        leased(target("silver.t"), patience=0.1),
    ):
        pass
    with leased(target("silver.t"), patience=0.1):
        pass


WRITER = """
import json, sys
from lakehouse.lake.batch import Identity
from lakehouse.lake.frame import materialise, small_frame
from lakehouse.lake.place import Lake
from lakehouse.runtime.lock import leased
from lakehouse.runtime.session import settled, start
from lakehouse.spec.write import Scd1Write
from lakehouse.write import write
from lakehouse.testing.plugin import _SETTINGS

root, name, columns, batches = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
spec = Scd1Write(table="silver.t", mode="scd1", keys=("k",), sequence_by=("s",))
table = Lake(root).table("silver.t")
spark = start(name, _SETTINGS)
with settled(spark, {}):
    for number, rows in enumerate(batches):
        with leased(table):
            write(materialise(small_frame(spark, rows, columns)), spec, target=table, identity=Identity("j", "r", name, number))
"""


@pytest.mark.crash
def test_two_processes_write_one_table_and_nothing_is_lost(
    spark: SparkSession, target: Callable[[str], Table], batch: Batch, read: Any
) -> None:
    table, columns = target("silver.t"), {"k": "string", "s": "int", "v": "string"}
    root = str(Path(table.path).parent.parent)
    plain = Scd1Write(table="silver.t", mode="scd1", keys=("k",), sequence_by=("s",))
    write(small_frame(spark, [("k0", 0, "first")], columns), plain, target=table, identity=batch(0))
    best: dict[str, tuple[int, str]] = {"k0": (0, "first")}
    running = []
    for name in ("one", "two"):
        batches = [
            [
                (f"k{key}", (key * 7 + number * 5 + 11 * (name == "two")) % 23 * 2 + (name == "two"), f"{name}{number}")
                for key in range(12)
            ]
            for number in range(4)
        ]
        for key, sequence, value in (row for rows in batches for row in rows):
            best[key] = max(best.get(key, (-1, "")), (sequence, value))
        command = [sys.executable, "-c", WRITER, root, name, json.dumps(columns), json.dumps(batches)]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    for one in running:
        _, said = one.communicate(timeout=300)
        assert one.returncode == 0, said[-3000:]
    assert [(k, s) for k, s, _ in read(Path(table.path), "k, s, v")] == sorted(
        (key, won[0]) for key, won in best.items()
    )
    streams = {commit.note.get("stream") for commit in commits(spark, table, 100)}
    assert {"one", "two"} <= streams
