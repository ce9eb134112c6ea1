"""What others get wrong, each a test: one key of a table per trap, so that a few batches set them all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from lakehouse.errors import (
    CommitMissingError,
    DefinitionChangeError,
    DeleteGuardError,
    HeldError,
    KeyMissingError,
    LakehouseError,
    TypeChangeError,
    WriteError,
)
from lakehouse.lake.batch import Identity
from lakehouse.lake.frame import materialise, small_frame
from lakehouse.lake.place import Lake
from lakehouse.lake.table import layout
from lakehouse.maintain.forget import forget
from lakehouse.runtime.plan import planned
from lakehouse.runtime.workplace import prepare
from lakehouse.spec.write import AppendWrite, Scd1Write, Scd2Write, SnapshotWrite, Write
from lakehouse.write import plan, write

if TYPE_CHECKING:
    from lakehouse.testing import LocalLake
    from lakehouse.write.commit import WriteResult

Batch = Callable[..., Identity]
Events = Sequence[Mapping[str, Any]]
Rows = list[tuple[Any, ...]]

SCHEMA = {
    "k1": "string",
    "k2": "string",
    "at": "int",
    "op": "string",
    "dt": "string",
    "a": "string",
    "b": "string",
    "c": "string",
    "raw": "binary",
    "m": "map<string,int>",
}
CHANGES: dict[str, Any] = {
    "table": "silver.t",
    "keys": ("k1", "k2"),
    "sequence_by": ("at",),
    "apply_as_deletes": "op = 'D'",
    "except_columns": ("op",),
    "evolve": "add_columns",
}
SCD1 = Scd1Write(mode="scd1", partition_by=("dt",), **CHANGES)
SCD2 = Scd2Write(mode="scd2", track_history_except=("dt",), **CHANGES)


def at(time: int, a: str | None = None, **more: Any) -> dict[str, Any]:
    """An event of a trap's key."""
    return {"at": time, "a": a, **more}


def gone(time: int) -> dict[str, Any]:
    """A delete of a trap's key."""
    return {"at": time, "op": "D"}


ODD = {"raw": "AP8=", "m": {"b": 1, "a": 2}}
TURNED = {"raw": "AP8=", "m": {"a": 2, "b": 1}}

TRAPS: dict[str, tuple[Events, ...]] = {
    "two and new": ([at(1, "x"), at(2, "y")],),
    "two and there": ([at(1, "z")], [at(2, "x"), at(3, "y")]),
    "older": ([at(10, "new")], [at(9, "old")]),
    "tie": ([at(1, "x")], [at(1, "y")], [at(1, "x"), at(1, "y")]),
    "tie in one batch": ([at(1, "x"), at(1, "y")], [at(1, "y")], [at(1, "x")]),
    "NULL key": ([at(1, "x", k2=None)], [at(2, "y", k2=None)], [at(2, "y", k2=None), at(3, "z", k2=None)]),
    "NULL to x": ([at(1, None)], [at(2, "x")]),
    "x to NULL": ([at(1, "x")], [at(2, None)]),
    "NULL to empty": ([at(1, None)], [at(2, "")]),
    "A, B, A": ([at(1, "A")], [at(2, "B")], [at(3, "A")]),
    "A, B, A in one batch": ([at(3, "A"), at(1, "A"), at(2, "B")],),
    "A again": ([at(1, "A")], [at(2, "A")], [at(3, "A")]),
    "NULL moves": ([at(1, "a", b=None, c="b")], [at(2, "a", b="b", c=None)]),
    "bars move": ([at(1, "a|b", b="c")], [at(2, "a", b="b|c")]),
    "x|y": ([at(1, "one", k2="z")],),
    "x": ([at(1, "other", k2="y|z")],),
    "stale delete": ([at(1, "A"), at(5, "B")], [gone(3)]),
    "late after delete": ([at(1, "A")], [gone(5)], [at(3, "B")]),
    "delete of nothing": ([gone(1)],),
    "delete first": ([gone(5)], [at(3, "A")]),
    "delete and insert first": ([gone(5), at(6, "C")], [at(3, "A")]),
    "delete and again": ([at(1, "A")], [gone(2)], [at(3, "A")]),
    "delete unknown whether": ([at(1, "A")], [{"at": 2, "a": "B", "op": None}]),
    "before the first": ([at(5, "B")], [at(1, "A")]),
    "into a gap": ([at(1, "A"), gone(2), at(9, "C")], [at(4, "B")]),
    "into a run": ([at(1, "A"), at(5, "A")], [at(3, "B")]),
    "as what follows": ([at(1, "A"), at(5, "B")], [at(3, "B")]),
    "as what was": ([at(1, "A"), at(5, "B")], [at(3, "A")]),
    "moved": ([at(1, "A", dt="2024-01-01")], [at(2, "A", dt="2024-01-02")]),
    "of an old day": ([at(1, "A", dt="1999-01-01")], [at(2, "B", dt="1999-01-01")]),
    "binary and map": ([at(1, "A", **ODD)], [at(1, "A", **TURNED)], [at(2, "A", **TURNED)]),
}
"""What comes to each key: in the first batch, the second, the third."""


def frame_of(spark: SparkSession, batch: Mapping[str, Events], schema: Mapping[str, str]) -> DataFrame:
    rows = [{"k1": trap, "k2": "k", **event} for trap, events in batch.items() for event in events]
    return small_frame(spark, [[row.get(name) for name in schema] for row in rows], schema)


@dataclass(frozen=True)
class Trapped:
    """A table that all traps were set to, and what it was after each batch."""

    folder: Path
    states: tuple[dict[str, Rows], ...]
    made: tuple[WriteResult, ...]

    def __getitem__(self, trap: str) -> Rows:
        """What there is of a trap's key at the end."""
        return self.states[-1].get(trap, [])


def trapped(spark: SparkSession, folder: Path, spec: Write, read: Any, columns: str) -> Trapped:
    target, states, made = Lake(str(folder)).table(spec.table), [], []

    def deliver(batch: Mapping[str, Events], identity: Identity, **more: str) -> None:
        made.append(write(frame_of(spark, batch, {**SCHEMA, **more}), spec, target=target, identity=identity))
        state: dict[str, Rows] = defaultdict(list)
        for trap, *row in read(folder / "silver/t", f"k1, {columns}"):
            state[trap].append(tuple(row))
        states.append(dict(state))

    for number in range(3):
        batch = {trap: events[number] for trap, events in TRAPS.items() if number < len(events)}
        deliver(batch, Identity("job", "run", "stream", number, rows={"read": 1}))
    new = {
        "new checkpoint": [at(1, "N")],
        "A again": [at(4, "A")],
        "older": [at(11, "new", extra="e")],
    }
    deliver(new, Identity("job", "run", "another stream", 0, rows={"read": 1}), extra="string")
    return Trapped(folder, tuple(states), tuple(made))


@pytest.fixture(scope="module")
def scd1(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, read: Any) -> Trapped:
    """One row a key: a, b, c, dt."""
    return trapped(spark, tmp_path_factory.mktemp("scd1"), SCD1, read, "a, b, c, dt")


@pytest.fixture(scope="module")
def scd2(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, read: Any) -> Trapped:
    """The versions of a key: from, to, a."""
    return trapped(spark, tmp_path_factory.mktemp("scd2"), SCD2, read, "valid_from, valid_to, a")


def first(rows: Rows) -> list[Any]:
    return [row[0] for row in rows]


def test_two_changes_of_a_new_key_in_one_batch_make_one_row_and_two_versions(scd1: Trapped, scd2: Trapped) -> None:
    assert first(scd1["two and new"]) == ["y"]
    assert scd2["two and new"] == [(1, 2, "x"), (2, None, "y")]


def test_two_changes_of_a_key_that_is_there_in_one_batch_are_no_conflict(scd1: Trapped, scd2: Trapped) -> None:
    assert first(scd1["two and there"]) == ["y"]
    assert scd2["two and there"] == [(1, 2, "z"), (2, 3, "x"), (3, None, "y")]


def test_an_event_older_than_the_open_version_does_not_become_the_current_one(scd1: Trapped, scd2: Trapped) -> None:
    assert first(scd1["older"]) == ["new"]
    assert scd2.states[2]["older"] == [(10, None, "new"), (9, 10, "old")]


@pytest.mark.parametrize("trap", ["tie", "tie in one batch"])
def test_a_correction_with_the_same_time_has_one_winner_that_no_replay_changes(
    scd1: Trapped, scd2: Trapped, trap: str
) -> None:
    for table in (scd1, scd2):
        assert len(table.states[1][trap]) == 1
        assert table.states[1][trap] == table.states[2][trap]
    assert scd2[trap][0][2] == scd1[trap][0][0]


def test_a_key_with_a_NULL_in_it_is_one_key_however_often_it_comes(scd1: Trapped, scd2: Trapped) -> None:  # noqa: N802
    assert first(scd1["NULL key"]) == ["z"]
    assert scd2["NULL key"] == [(1, 2, "x"), (2, 3, "y"), (3, None, "z")]


def test_a_change_from_NULL_to_a_value_and_back_is_a_change(scd1: Trapped, scd2: Trapped) -> None:  # noqa: N802
    assert first(scd1["NULL to x"] + scd1["x to NULL"]) == ["x", None]
    assert scd2["NULL to x"] == [(1, 2, None), (2, None, "x")]
    assert scd2["x to NULL"] == [(1, 2, "x"), (2, None, None)]
    assert scd2["NULL to empty"] == [(1, 2, None), (2, None, "")]


@pytest.mark.parametrize("trap", ["A, B, A", "A, B, A in one batch"])
def test_A_B_A_makes_three_versions(scd1: Trapped, scd2: Trapped, trap: str) -> None:  # noqa: N802
    assert first(scd1[trap]) == ["A"]
    assert scd2[trap] == [(1, 2, "A"), (2, 3, "B"), (3, None, "A")]


def test_the_same_values_at_a_newer_time_make_no_version(scd2: Trapped) -> None:
    assert scd2["A again"] == [(1, None, "A")]


def test_a_value_that_moves_to_the_next_column_is_a_change(scd1: Trapped, scd2: Trapped) -> None:
    assert scd1["NULL moves"][0][:3] == ("a", "b", None)
    assert [row[:2] for row in scd2["NULL moves"]] == [(1, 2), (2, None)]
    assert [row[:2] for row in scd2["bars move"]] == [(1, 2), (2, None)]


def test_keys_whose_texts_look_alike_side_by_side_are_two_keys(scd1: Trapped, scd2: Trapped) -> None:
    assert first(scd1["x|y"] + scd1["x"]) == ["one", "other"]
    assert scd2["x|y"] + scd2["x"] == [(1, None, "one"), (1, None, "other")]


def test_a_stale_delete_leaves_the_newer_row_and_ends_the_older_version(scd1: Trapped, scd2: Trapped) -> None:
    assert first(scd1["stale delete"]) == ["B"]
    assert scd2["stale delete"] == [(1, 3, "A"), (5, None, "B")]


def test_a_late_update_does_not_bring_back_what_was_deleted(scd1: Trapped, scd2: Trapped) -> None:
    assert scd1["late after delete"] == []
    assert scd2["late after delete"] == [(1, 3, "A"), (3, 5, "B")]


def test_a_delete_of_a_key_that_is_not_there_makes_no_row(scd1: Trapped, scd2: Trapped) -> None:
    assert scd1["delete of nothing"] == scd2["delete of nothing"] == []


def test_a_delete_that_comes_before_its_insert_is_remembered(scd1: Trapped, scd2: Trapped) -> None:
    assert scd1["delete first"] == []
    assert scd2["delete first"] == [(3, 5, "A")]
    assert first(scd1["delete and insert first"]) == ["C"]
    assert scd2["delete and insert first"] == [(3, 5, "A"), (6, None, "C")]


def test_what_comes_after_a_delete_is_there_again_with_a_gap_before_it(scd1: Trapped, scd2: Trapped) -> None:
    assert "delete and again" not in scd1.states[1]
    assert first(scd1["delete and again"]) == ["A"]
    assert scd2["delete and again"] == [(1, 2, "A"), (3, None, "A")]


def test_a_condition_that_is_NULL_deletes_nothing(scd1: Trapped, scd2: Trapped) -> None:  # noqa: N802
    assert first(scd1["delete unknown whether"]) == ["B"]
    assert scd2["delete unknown whether"] == [(1, 2, "A"), (2, None, "B")]


def test_a_late_event_goes_before_the_first_version_or_into_a_gap(scd1: Trapped, scd2: Trapped) -> None:
    assert first(scd1["before the first"] + scd1["into a gap"]) == ["B", "C"]
    assert scd2["before the first"] == [(1, 5, "A"), (5, None, "B")]
    assert scd2["into a gap"] == [(1, 2, "A"), (4, 9, "B"), (9, None, "C")]


def test_a_late_event_splits_a_run_where_an_event_had_changed_nothing(scd2: Trapped) -> None:
    assert scd2["into a run"] == [(1, 3, "A"), (3, 5, "B"), (5, None, "A")]


def test_a_late_event_as_its_neighbour_moves_a_bound_or_nothing(scd2: Trapped) -> None:
    assert scd2["as what follows"] == [(1, 3, "A"), (3, None, "B")]
    assert scd2["as what was"] == [(1, 5, "A"), (5, None, "B")]


def test_a_row_that_moves_to_another_partition_is_there_once(scd1: Trapped) -> None:
    assert scd1["moved"] == [("A", None, None, "2024-01-02")]


def test_a_key_of_an_old_partition_is_updated_and_not_inserted_again(scd1: Trapped) -> None:
    assert scd1["of an old day"] == [("B", None, None, "1999-01-01")]


def test_binary_columns_and_maps_are_compared_by_what_is_in_them(scd2: Trapped) -> None:
    assert scd2["binary and map"] == [(1, None, "A")]


def test_the_first_batch_is_folded_and_laid_out_like_any_other(spark: SparkSession, scd1: Trapped) -> None:
    there = [trap for trap, events in TRAPS.items() if any(event.get("op") != "D" for event in events[0])]
    assert scd1.made[0].rows_added == len(there)
    assert scd1.made[0].rows == sum(len(events[0]) for events in TRAPS.values())
    assert layout(spark, Lake(str(scd1.folder)).table("silver.t")).partition_by == ("dt",)


def test_each_batch_is_one_commit(scd1: Trapped, scd2: Trapped) -> None:
    for table in (scd1, scd2):
        versions = [made.version or 0 for made in table.made]
        assert versions == list(range(versions[0], versions[0] + 4))


def test_a_new_column_makes_no_version_by_itself(scd2: Trapped) -> None:
    assert scd2.states[3]["A again"] == scd2.states[2]["A again"] == [(1, None, "A")]
    assert scd2.states[3]["A, B, A"] == scd2.states[2]["A, B, A"]


def test_a_new_columns_value_makes_a_version_and_history_stays_as_it_was(scd2: Trapped, read: Any) -> None:
    rows = read(scd2.folder / "silver/t", "valid_from, valid_to, a, extra, k1")
    assert [row[:-1] for row in rows if row[-1] == "older"] == [
        (10, 11, "new", None),
        (11, None, "new", "e"),
        (9, 10, "old", None),
    ]


def test_a_new_checkpoint_counts_from_0_and_is_not_taken_for_the_old_one(scd1: Trapped, scd2: Trapped) -> None:
    assert first(scd1["new checkpoint"]) == ["N"]
    assert scd2["new checkpoint"] == [(1, None, "N")]


def test_a_merge_leaves_nothing_in_the_session_that_makes_a_later_statement_a_no_op(
    spark: SparkSession, scd1: Trapped, scd2: Trapped, read: Any
) -> None:
    assert "merge" in {made.strategy for made in (*scd1.made, *scd2.made)}
    for name in ("write.txnAppId", "write.txnVersion", "commitInfo.userMetadata"):
        assert spark.conf.get(f"spark.databricks.delta.{name}", None) is None
    spark.sql(f"DELETE FROM delta.`{scd1.folder}/silver/t` WHERE k1 = 'two and new'")
    assert ("two and new",) not in read(scd1.folder / "silver/t", "k1")


PLAIN: dict[str, Any] = {"k": "string", "at": "int", "op": "string", "v": "string"}
KEYED: dict[str, Any] = {**CHANGES, "keys": ("k",), "evolve": "strict"}


@pytest.mark.parametrize(
    ("spec", "event"),
    [
        (AppendWrite(table="silver.t", mode="append"), (2, None, "x")),
        (Scd1Write(mode="scd1", **KEYED), (2, None, "x")),
        (Scd1Write(mode="scd1", **KEYED), (2, "D", None)),
        (Scd2Write(mode="scd2", **KEYED), (2, None, "x")),
    ],
    ids=["append", "scd1 by replace_on", "scd1 by merge", "scd2"],
)
def test_a_write_that_delta_skips_without_a_word_is_a_replay_or_an_error(
    lake: LocalLake, batch: Batch, spec: Write, event: tuple[Any, ...]
) -> None:
    """Delta skips a transaction number that is not above the newest, whatever is in it."""
    target = Lake(str(lake.folder)).table(spec.table)
    there = small_frame(lake.spark, [("one", 1, None, "a"), ("other", 1, None, "a")], PLAIN)
    one, other = (small_frame(lake.spark, [(key, *event)], PLAIN) for key in ("one", "other"))
    version = write(there, spec, target=target, identity=batch(5)).version
    assert write(one, spec, target=target, identity=batch(5)).replayed
    with pytest.raises(CommitMissingError):
        write(other, spec, target=target, identity=batch(4))
    assert lake.version("silver.t") == version


@pytest.mark.parametrize("mode", ["scd1", "scd2"])
def test_what_was_killed_before_its_commit_is_written_under_a_new_checkpoint_too(
    lake: LocalLake, batch: Batch, mode: str, read: Any
) -> None:
    """The auxiliary table then knows events that the table has not seen, and nobody comes back to mend it."""
    truncates: dict[str, Any] = {**KEYED, "apply_as_truncates": "op = 'T'"}
    spec: Write = (Scd1Write if mode == "scd1" else Scd2Write)(mode=mode, **truncates)
    target = Lake(str(lake.folder)).table(spec.table)
    first = [(key, time, None, "a") for key, time in (("deleted", 1), ("cut off", 2), ("again", 1), ("stays", 9))]
    second: Rows = [
        ("deleted", 4, "D", None),
        ("again", 4, "D", None),
        ("again", 5, None, "b"),
        ("deleted", 3, None, "late"),
    ]
    second += [(None, 3, "T", None)] if mode == "scd1" else [("cut off", 3, "D", None)]
    write(small_frame(lake.spark, first, PLAIN), spec, target=target, identity=batch(0))
    killed = plan(small_frame(lake.spark, second, PLAIN), spec, target=target, identity=batch(1))
    assert killed.remember
    killed.remember()
    write(small_frame(lake.spark, second, PLAIN), spec, target=target, identity=batch(0, stream="new"))
    if mode == "scd1":
        assert read(lake.folder / "silver/t", "k, v") == [("again", "b"), ("stays", "a")]
    else:
        assert read(lake.folder / "silver/t", "k, valid_from, valid_to, v") == [
            ("again", 1, 4, "a"),
            ("again", 5, None, "b"),
            ("cut off", 2, 3, "a"),
            ("deleted", 1, 3, "a"),
            ("deleted", 3, 4, "late"),
            ("stays", 9, None, "a"),
        ]


def test_two_updates_of_one_time_that_set_other_columns_both_count(lake: LocalLake, batch: Batch, read: Any) -> None:
    spec = Scd1Write(table="silver.t", mode="scd1", keys=("k",), sequence_by=("at",), update_columns="sets")
    target = Lake(str(lake.folder)).table("silver.t")
    schema = {"k": "string", "at": "int", "a": "string", "b": "string", "sets": "array<string>"}
    first: Rows = [("together", 1, "A", "B", ["a"]), ("together", 1, "A", "B", ["b"]), ("apart", 1, "A", "B", ["a"])]
    second: Rows = [("apart", 1, "A", "B", ["b"])]
    for number, rows in enumerate((first, second)):
        write(small_frame(lake.spark, rows, schema), spec, target=target, identity=batch(number))
    assert read(lake.folder / "silver/t", "k, a, b") == [("apart", "A", "B"), ("together", "A", "B")]


@pytest.mark.parametrize("mode", ["scd1", "scd2"])
def test_a_type_that_changes_is_an_error_and_no_NULL(lake: LocalLake, batch: Batch, mode: str, read: Any) -> None:  # noqa: N802
    spec = Scd1Write(mode="scd1", **KEYED) if mode == "scd1" else Scd2Write(mode="scd2", **KEYED)
    target = Lake(str(lake.folder)).table("silver.t")
    number = {**PLAIN, "v": "int"}
    write(small_frame(lake.spark, [("k", 1, None, 7)], number), spec, target=target, identity=batch(0))
    version = lake.version("silver.t")
    with pytest.raises(TypeChangeError):
        write(small_frame(lake.spark, [("k", 2, None, "seven")], PLAIN), spec, target=target, identity=batch(1))
    assert lake.version("silver.t") == version
    assert read(lake.folder / "silver/t", "v") == [(7,)]


@pytest.mark.parametrize("kept", ["scd1", "scd2"])
def test_an_empty_or_shrunken_snapshot_does_not_close_all_history(
    lake: LocalLake, batch: Batch, kept: Any, read: Any
) -> None:
    spec = SnapshotWrite(table="silver.t", mode="snapshot", keys=("k",), snapshot_by="day", snapshot_as=kept)
    target, schema = Lake(str(lake.folder)).table("silver.t"), {"k": "int", "day": "date", "v": "string"}

    def deliver(day: int, keys: range, number: int) -> WriteResult:
        rows = [(key, f"2024-01-0{day}", "v") for key in keys]
        return write(small_frame(lake.spark, rows, schema), spec, target=target, identity=batch(number))

    deliver(1, range(10), 0)
    before = read(lake.folder / "silver/t")
    with pytest.raises(LakehouseError) as caught:
        deliver(2, range(4), 1)
    assert (caught.value.code, caught.value.exit_code) == ("DELETE_GUARD", 3)
    told = "silver.t: the snapshot lacks 6 of 10 keys, more than max_delete_fraction: 0.5 lets one batch delete"
    assert (caught.value.message, "raise max_delete_fraction" in str(caught.value.hint)) == (told, True)
    assert read(lake.folder / "silver/t") == before
    half = deliver(3, range(5), 1)
    assert half.rows == 5
    current = read(lake.folder / "silver/t", "k" if kept == "scd1" else "k, is_current")
    assert sum(row[-1] is True or kept == "scd1" for row in current) == 5
    with pytest.raises(LakehouseError) as caught:
        deliver(4, range(10, 12), 2)
    assert caught.value.code == "DELETE_GUARD"


@pytest.mark.parametrize("kept", ["scd1", "scd2"])
def test_a_snapshot_that_was_killed_before_its_commit_is_applied_under_a_new_checkpoint(
    lake: LocalLake, batch: Batch, kept: Any, read: Any
) -> None:
    spec = SnapshotWrite(
        table="silver.t", mode="snapshot", keys=("k",), snapshot_by="day", snapshot_as=kept, max_delete_fraction=1
    )
    target, schema = Lake(str(lake.folder)).table("silver.t"), {"k": "string", "day": "int", "v": "string"}
    first, second = (
        small_frame(lake.spark, rows, schema)
        for rows in ([("a", 1, "x"), ("b", 1, "x"), ("c", 1, "x")], [("a", 2, "y"), ("c", 2, "x")])
    )
    write(first, spec, target=target, identity=batch(0))
    killed = plan(second, spec, target=target, identity=batch(1))
    if killed.remember:
        killed.remember()
    write(second, spec, target=target, identity=batch(0, stream="new"))
    if kept == "scd1":
        assert read(lake.folder / "silver/t", "k, v") == [("a", "y"), ("c", "x")]
    else:
        assert read(lake.folder / "silver/t", "k, valid_from, valid_to, v") == [
            ("a", 1, 2, "x"),
            ("a", 2, None, "y"),
            ("b", 1, 2, "x"),
            ("c", 1, None, "x"),
        ]


def test_a_key_whose_row_could_not_be_read_is_not_taken_for_deleted(lake: LocalLake, batch: Batch) -> None:
    spec = SnapshotWrite(table="silver.t", mode="snapshot", keys=("k",), snapshot_by="day", snapshot_as="scd1")
    spec = spec.model_copy(update={"max_delete_fraction": 1})
    target, schema = Lake(str(lake.folder)).table("silver.t"), {"k": "string", "day": "int"}
    write(small_frame(lake.spark, [("a", 1), ("b", 1)], schema), spec, target=target, identity=batch(0))
    unread = replace(batch(1), rows={"read": 2, "quarantined": 1})
    with pytest.raises(DeleteGuardError, match="1 of its rows are not usable"):
        write(small_frame(lake.spark, [("a", 2)], schema), spec, target=target, identity=unread)
    whole = small_frame(lake.spark, [("a", 2), ("b", 2)], schema)
    assert write(whole, spec, target=target, identity=unread).unchanged == 2


def test_a_deletion_that_was_killed_before_its_commit_is_made_under_a_new_checkpoint(
    lake: LocalLake, batch: Batch, read: Any
) -> None:
    spec = Scd1Write(mode="scd1", **KEYED)
    target = Lake(str(lake.folder)).table("silver.t")
    write(
        small_frame(lake.spark, [("a", 1, None, "x"), ("b", 1, None, "x")], PLAIN),
        spec,
        target=target,
        identity=batch(0),
    )
    gone = small_frame(lake.spark, [("a", 4, "D", None)], PLAIN)
    killed = plan(gone, spec, target=target, identity=batch(1))
    assert killed.remember
    killed.remember()
    assert write(gone, spec, target=target, identity=batch(0, stream="new")).deleted == 1
    assert read(lake.folder / "silver/t", "k") == [("b",)]


def test_a_late_snapshot_ends_keys_that_it_lacks_until_the_next_one_only(
    lake: LocalLake, batch: Batch, read: Any
) -> None:
    spec = SnapshotWrite(
        table="silver.t", mode="snapshot", keys=("k",), snapshot_by="day", snapshot_as="scd2",
        max_delete_fraction=1, track_history=("v",),
    )  # fmt: skip
    target, schema = Lake(str(lake.folder)).table("silver.t"), {"k": "string", "day": "int", "v": "string", "u": "int"}
    both = {day: [("y", day, "v", day), ("z", day, "v", day)] for day in (1, 3)}
    for number, rows in enumerate((both[1], both[3], [("y", 2, "v", 2)])):
        write(small_frame(lake.spark, rows, schema), spec, target=target, identity=batch(number))
    assert read(lake.folder / "silver/t", "k, valid_from, valid_to") == [("y", 1, None), ("z", 1, 2), ("z", 3, None)]


def test_a_first_batch_of_snapshots_with_unread_rows_ends_no_key(lake: LocalLake, batch: Batch) -> None:
    spec = SnapshotWrite(table="silver.t", mode="snapshot", keys=("k",), snapshot_by="day", snapshot_as="scd2")
    target, schema = Lake(str(lake.folder)).table("silver.t"), {"k": "string", "day": "int"}
    rows = small_frame(lake.spark, [("a", 1), ("b", 1), ("a", 2)], schema)
    with pytest.raises(DeleteGuardError):
        write(rows, spec, target=target, identity=replace(batch(0), rows={"read": 4, "quarantined": 1}))
    assert write(rows, spec, target=target, identity=batch(0)).inserted == 2


def test_a_truncate_without_its_time_is_put_aside(workshop: Any) -> None:
    workshop.job(
        "silver", DELETING.replace("MODE", "scd1").replace("apply_as_deletes: op = 'D'", "apply_as_truncates: op = 'T'")
    )
    workshop.put("bronze.orders", "k string, at int, op string", [("a", 1, "U"), (None, None, "T")])
    result = workshop.run("silver")
    assert (result.rows.inserted, result.rows.rejected) == (1, 1)


@pytest.mark.parametrize("mode", ["scd1", "scd2"])
def test_a_sequence_inside_of_a_struct_makes_no_version(lake: LocalLake, batch: Batch, mode: str) -> None:
    changes = {"table": "silver.t", "keys": ("k.id",), "sequence_by": ("meta.at",)}
    spec: Write = Scd1Write(mode="scd1", **changes) if mode == "scd1" else Scd2Write(mode="scd2", **changes)
    target = Lake(str(lake.folder)).table("silver.t")
    schema = {"k": "struct<id:int>", "meta": "struct<at:int,by:string>", "v": "string"}
    made = []
    for number, (at, by) in enumerate(((1, "x"), (2, "x"), (3, "y"))):
        rows = small_frame(lake.spark, [({"id": 1}, {"at": at, "by": by}, "v")], schema)
        made.append(write(rows, spec, target=target, identity=batch(number)))
    assert [one.updated for one in made] == ([0, 1, 1] if mode == "scd1" else [0, 0, 1])


def test_a_key_inside_of_a_struct_is_kept_by_a_partial_update(lake: LocalLake, batch: Batch, read: Any) -> None:
    spec = Scd1Write(table="silver.t", mode="scd1", keys=("k.id",), sequence_by=("at",), update_columns="sets")
    target = Lake(str(lake.folder)).table("silver.t")
    schema = {"k": "struct<id:int>", "at": "int", "v": "string", "w": "string", "sets": "array<string>"}
    for number, name in enumerate(("v", "w")):
        rows = small_frame(lake.spark, [({"id": 1}, number, "V", "W", [name])], schema)
        write(rows, spec, target=target, identity=batch(number))
    assert read(lake.folder / "silver/t", "k.id, v, w") == [(1, "V", "W")]


def test_a_table_with_two_rows_of_a_key_is_told_before_anything_is_written(lake: LocalLake, batch: Batch) -> None:
    schema = "k string, at int, op string, v string"
    lake.put("silver.t", schema, [("a", 1, None, "x"), ("a", 1, None, "y")])
    target = Lake(str(lake.folder)).table("silver.t")
    spec = Scd1Write(table="silver.t", mode="scd1", keys=("k",), sequence_by=("at",))
    with pytest.raises(WriteError, match="more than one row of a key"):
        write(small_frame(lake.spark, [("a", 2, None, "z")], PLAIN), spec, target=target, identity=batch(0))
    # it is noted by then what the table is to be written by
    history = lake.spark.sql(f"DESCRIBE HISTORY {target.sql}").orderBy("version").collect()
    assert [row.operation for row in history[1:]] == ["SET TBLPROPERTIES"]
    assert sorted(lake.rows("silver.t", "v")) == [("x",), ("y",)]


@pytest.mark.parametrize("named", ["track_history", "track_history_except"])
def test_a_tracked_column_that_vanishes_ends_no_version(lake: LocalLake, batch: Batch, named: str) -> None:
    spec = Scd2Write(mode="scd2", **KEYED, **{named: ("v",)})
    target = Lake(str(lake.folder)).table("silver.t")
    write(small_frame(lake.spark, [("k", 1, None, "x")], PLAIN), spec, target=target, identity=batch(0))
    rows = small_frame(lake.spark, [("k", 2, None)], {name: kind for name, kind in PLAIN.items() if name != "v"})
    with pytest.raises(KeyMissingError, match=f"{named} names v"):
        write(rows, spec, target=target, identity=batch(1))


def test_a_hundred_thousand_changes_of_one_key_are_as_quick_as_of_many(lake: LocalLake, batch: Batch) -> None:
    count = 100_000
    changes = materialise(
        lake.spark.range(count).selectExpr("'k' AS k", "int(id) AS at", "string(id DIV 1000) AS v", "'U' AS op")
    )
    changed = {"table": "silver.t", "keys": ("k",), "sequence_by": ("at",), "except_columns": ("op",)}
    one = Lake(str(lake.folder / "one")).table("silver.t")
    made = write(changes, Scd1Write(mode="scd1", **changed), target=one, identity=batch(0))
    assert (made.inserted, made.superseded) == (1, count - 1)
    two = Lake(str(lake.folder / "two")).table("silver.t")
    made = write(changes, Scd2Write(mode="scd2", **changed), target=two, identity=batch(0))
    assert (made.inserted, made.updated, made.unchanged) == (1, 99, count - 100)


DELETING = """
sources:
  orders: {kind: table, table: bronze.orders, stream: true}
write: {table: silver.orders, mode: MODE, keys: k, sequence_by: at, apply_as_deletes: op = 'D', except_columns: op}
"""


@pytest.mark.parametrize("mode", ["scd1", "scd2"])
def test_what_is_older_than_what_was_forgotten_is_put_aside(workshop: Any, mode: str) -> None:
    workshop.job("silver", DELETING.replace("MODE", mode))
    schema = "k string, at int, op string, v string"
    workshop.put("bronze.orders", schema, [("a", 1, "U", "x"), ("a", 5, "D", None), ("b", 9, "U", "x")])
    workshop.run("silver")
    auxiliary = Lake(str(workshop.folder)).table("silver.orders").auxiliary
    forget(workshop.spark, auxiliary, datetime.now(UTC) + timedelta(days=1))
    workshop.put("bronze.orders", schema, [("a", 3, "U", "late"), ("a", 6, "U", "new"), ("c", 4, "U", "late too")])
    result = workshop.run("silver")
    # in scd1 a newer event of its key settles a late one
    late = 1 if mode == "scd1" else 2
    assert (result.rows.produced, result.rows.rejected, result.rows.inserted) == (3, late, 1)
    assert workshop.rows("quarantine.silver_orders", "code") == [("LATE_EVENT",)] * late
    assert all('"op":"U"' in record for (record,) in workshop.rows("quarantine.silver_orders", "record"))
    # a deletion that is older than what was forgotten tells nothing of what came after it
    workshop.put("bronze.orders", schema, [("c", 2, "D", None)])
    workshop.run("silver")
    workshop.put("bronze.orders", schema, [("c", 3, "U", "late again")])
    assert workshop.run("silver").rows.rejected == 1
    assert ("a", "new") in workshop.rows("silver.orders", "k", "v")
    told = workshop.rows("ops.runs", "event", "batch", "strategy", "why")
    assert any(row[2] in ("append", "replace_on") and "new rows" in row[3] for row in told if row[0] == "batch")


def test_a_write_is_explained_and_nothing_is_written(workshop: Any) -> None:
    workshop.job("silver", DELETING.replace("MODE", "scd1"))
    schema = "k string, at int, op string"
    workshop.put("bronze.orders", schema, [("a", 1, "U"), ("b", 1, "U")])
    work = prepare("silver", lake=str(workshop.folder), params={}, root=workshop.project)
    before = list(planned(work, spark=workshop.spark, explain_write=True))
    assert "    adds 2 rows, removes 0" in before
    assert workshop.version("silver.orders") is None
    workshop.run("silver")
    assert list(planned(work, spark=workshop.spark, explain_write=True))[-1] == "    how: nothing is due"
    workshop.put("bronze.orders", schema, [("a", 2, "U"), ("c", 1, "U")])
    version, files = workshop.version("silver.orders"), sorted(workshop.folder.rglob("*"))
    told = list(planned(work, spark=workshop.spark, explain_write=True))
    assert any("replace_on: 1 new rows, 1 replaced, 0 gone" in line for line in told)
    assert told[-1] == "    adds 2 rows, removes 1"
    assert (workshop.version("silver.orders"), sorted(workshop.folder.rglob("*"))) == (version, files)
    workshop.run("silver")
    assert workshop.rows("silver.orders", "k", "at") == [("a", 2), ("b", 1), ("c", 1)]


JOB = """
sources:
  orders: {kind: table, table: bronze.orders, stream: true}
write: {table: silver.orders, mode: scd1, keys: [a, b], sequence_by: at}
"""


def test_a_NULL_key_or_sequence_is_put_aside_and_the_batch_goes_on(workshop: Any) -> None:  # noqa: N802
    workshop.job("silver", JOB, "def transform(orders: DataFrame) -> DataFrame:\n    return orders\n")
    for _ in range(2):
        workshop.put("bronze.orders", "a int, b int, at int", [(1, None, 1), (1, 1, None), (2, 2, 1)])
        result = workshop.run("silver")
        assert (result.rows.produced, result.rows.rejected) == (3, 2)
    assert workshop.rows("silver.orders", "a", "b", "at") == [(2, 2, 1)]
    assert {code for (code,) in workshop.rows("quarantine.silver_orders", "code")} == {"NULL_KEY"}


TRUNCATED = """
sources:
  orders: {kind: table, table: bronze.orders, stream: true}
write: {table: silver.MODE, mode: MODE, keys: k, sequence_by: at, apply_as_truncates: op = 'T', except_columns: op}
"""


@pytest.mark.parametrize("mode", ["scd1", "scd2"])
def test_a_batch_of_nothing_but_a_truncate_is_told_and_the_next_one_goes_on(workshop: Any, mode: str) -> None:
    workshop.job("silver", TRUNCATED.replace("MODE", mode))
    schema, table = "k string, at int, op string", f"silver.{mode}"
    fates = []
    for number, row in enumerate([(None, 0, "T"), ("a", 1, "I"), (None, 3, "T"), ("late", 2, "I"), ("b", 4, "I")]):
        workshop.put("bronze.orders", schema, [row])
        if number == 3:
            _damage(workshop, table)
        rows = workshop.run("silver").rows
        fates.append((rows.inserted, rows.deleted, rows.unchanged + rows.superseded))
    if mode == "scd1":
        assert fates == [(0, 0, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0)]
        assert workshop.rows(table, "k") == [("b",)]
    else:
        assert fates == [(0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 0, 0), (1, 0, 0)]
        shown = workshop.rows(table, "k", "valid_from", "valid_to")
        assert shown == [("a", 1, 3), ("b", 4, None), ("late", 2, 3)]
    told = workshop.frame("ops.runs").where("event = 'batch'").orderBy("batch")
    assert [(row.batch, row.deleted) for row in told.collect()] == [(0, 0), (1, 0), (2, 1), (3, 0), (4, 0)]


def _damage(workshop: Any, table: str) -> None:
    """Leave the table as an older version left it: the commit says true for 1, and the ledger was never told of it."""
    log = workshop.folder / table.replace(".", "/") / "_delta_log"
    for file in log.glob("*.json"):
        text = file.read_text()
        file.write_text(text.replace('\\"deleted\\": 1', '\\"deleted\\": true'))
        file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
    workshop.spark.sql(f"DELETE FROM delta.`{workshop.folder}/ops/runs` WHERE event = 'batch' AND batch = 2")
    (workshop.folder / "_checkpoints" / "silver" / "recorded").write_text("1")
    (workshop.folder / "_checkpoints" / "silver" / ".recorded.crc").unlink(missing_ok=True)


DEFINED = """
sources:
  orders: {kind: table, table: bronze.orders, stream: true}
write: {table: silver.t, mode: MODE, keys: [KEYS], sequence_by: SEQUENCE}
breaker: {max_duplicate_fraction: 0.5}
"""


def test_a_table_of_other_keys_order_or_mode_is_refused_before_anything_is_read(workshop: Any) -> None:
    def as_written(mode: str = "scd1", keys: str = "a, b, c", sequence: str = "at") -> None:
        text = DEFINED.replace("MODE", mode).replace("KEYS", keys).replace("SEQUENCE", sequence)
        workshop.job("silver", text if mode != "append" else text.replace("keys: [a, b, c], sequence_by: at", ""))

    schema, table = "a int, b int, c int, at int", f"delta.`{workshop.folder}/silver/t`"
    workshop.put("bronze.orders", schema, [(1, 1, 1, 1), (1, 2, 1, 1)])
    as_written()
    workshop.run("silver")
    workshop.put("bronze.orders", schema, [(1, 3, 1, 1)])
    changes = [{"keys": "a, c"}, {"sequence": "b"}, {"mode": "scd2"}, {"mode": "append"}, {"keys": "b, a, c"}]
    for change in changes:
        as_written(**change)
        with pytest.raises(DefinitionChangeError, match=r"silver\.t was written by another definition") as found:
            workshop.run("silver")
        assert "--full-refresh" in found.value.hint
        with pytest.raises(DefinitionChangeError):
            list(planned(prepare("silver", lake=str(workshop.folder), root=workshop.project), spark=workshop.spark))
    assert workshop.version("silver.t") == 1
    as_written(keys="A, b, C")
    assert workshop.run("silver").rows.inserted == 1
    # a table of an older version says nothing of its keys, and takes them over with the next batch
    workshop.spark.sql(f"ALTER TABLE {table} UNSET TBLPROPERTIES ('lakehouse.keys', 'lakehouse.sequence_by')")
    workshop.put("bronze.orders", schema, [(1, 4, 1, 1)])
    as_written()
    assert workshop.run("silver").rows.inserted == 1
    as_written(keys="a, c")
    with pytest.raises(DefinitionChangeError):
        workshop.run("silver")
    # nearly all rows of a batch are duplicates, which is what a wrong key looks like
    text = DEFINED.replace("MODE", "scd1").replace("KEYS", "a, c").replace("SEQUENCE", "at")
    workshop.job("silver_u", text.replace("silver.t", "silver.u"))
    with pytest.raises(HeldError, match="3 of its 4 rows are duplicates .* max_duplicate_fraction: 0.5"):
        workshop.run("silver_u")


def test_a_full_refresh_takes_over_another_definition(workshop: Any) -> None:
    workshop.put("bronze.orders", "a int, b int, c int, at int", [(1, 1, 1, 1), (1, 2, 1, 2)])
    text = DEFINED.replace("MODE", "scd1").replace("SEQUENCE", "at")
    workshop.job("silver", text.replace("KEYS", "a, b, c"))
    workshop.run("silver")
    workshop.job("silver", text.replace("KEYS", "a, c"))
    assert workshop.run("silver", full_refresh=True).rows.inserted == 1
    assert workshop.run("silver").status == "done"
    workshop.job("silver", text.replace("KEYS", "a, b, c"))
    with pytest.raises(DefinitionChangeError):
        workshop.run("silver")
    # what a RESTORE brings back is of the keys that it was written by
    workshop.spark.sql(f"RESTORE TABLE delta.`{workshop.folder}/silver/t` TO VERSION AS OF 1").collect()
    properties = workshop.spark.sql(f"SHOW TBLPROPERTIES delta.`{workshop.folder}/silver/t`").collect()
    assert {row.key: row.value for row in properties}["lakehouse.keys"] == '["a", "b", "c"]'
