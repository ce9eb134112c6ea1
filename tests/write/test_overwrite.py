"""Overwrite: the table becomes what the job made, and what did not change is not written again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deltalake
import pytest

from lakehouse.errors import WriteError
from lakehouse.lake.batch import Identity
from lakehouse.lake.place import Lake
from lakehouse.spec.write import OverwriteWrite
from lakehouse.write import write
from lakehouse.write.commit import WriteResult

if TYPE_CHECKING:
    from lakehouse.testing import LocalLake

Batch = Callable[..., Identity]
Rows = list[tuple[Any, ...]]
NAME = "gold.t"
ODD = ["a'b", "a\\b", "a/b", "a=b", "a b", "ü", "%41", 'a"b', "{x}", "a\nb", "#", "a:b", ".", "NULL"]
"""Values that a path, an SQL text or a pattern would take for something else."""


def overwrite(lake: LocalLake, rows: Rows, identity: Identity, schema: str, **spec: Any) -> WriteResult:
    frame = lake.spark.createDataFrame(rows, schema)
    target = Lake(str(lake.folder)).table(NAME)
    return write(frame, OverwriteWrite(table=NAME, mode="overwrite", **spec), target=target, identity=identity)


def files(lake: LocalLake) -> set[str]:
    return set(deltalake.DeltaTable(str(lake.folder / "gold/t")).file_uris())


def test_only_partitions_that_changed_are_written(lake: LocalLake, batch: Batch, read: Any) -> None:
    schema, by = "p string, at timestamp, n int", {"partition_by": ["p", "at"]}
    noon = datetime(2024, 3, 31, 1, 30, 0, 123456, tzinfo=UTC)
    rows: Rows = [(value, noon, number) for number, value in enumerate(ODD)]
    rows += [(None, noon, 1), ("x", None, 2), ("x", None, 3), ("", noon, 4)]

    def run(number: int, now: Rows) -> WriteResult:
        return overwrite(lake, now, batch(number, incremental=False), schema, **by)

    assert run(0, rows) == WriteResult(inserted=18, rows_added=18, version=1)
    before = files(lake)
    assert run(1, rows[::-1]) == WriteResult(unchanged=18, version=1)  # rows in another order are the same rows

    changed = [("a'b", noon, 100), *rows[1:3], *rows[4:-2], ("new", noon, 5), ("", noon, 4)]  # and a=b, x/3 are no more
    made = run(2, changed)
    assert made == WriteResult(inserted=3, unchanged=14, rows_added=3, rows_removed=4, version=2)
    assert len(before - files(lake)) == 3
    assert len(files(lake) - before) == 3
    stored = [(p or None, n) for p, _, n in changed]
    assert read(lake.folder / "gold/t", "p, n") == sorted(stored, key=repr)
    assert run(3, changed) == WriteResult(unchanged=17, version=2)


def test_a_table_goes_from_one_state_to_another_and_back(lake: LocalLake, batch: Batch, read: Any) -> None:
    a: Rows = [(1, None, ["x", None]), (2, "q", [None, "x"])]
    b: Rows = [(1, None, [None, "x"]), (2, "q", ["x", None])]
    path: Path = lake.folder / "gold/t"
    schema = "id int, v string, xs array<string>"
    results = [overwrite(lake, rows, batch(0, incremental=False), schema) for rows in (a, b, a, a)]
    assert [made.version for made in results] == [1, 2, 3, 3]
    assert [made.rows_removed for made in results] == [0, 2, 2, 0]
    assert read(path) == a
    assert overwrite(lake, [], batch(0, incremental=False), schema) == WriteResult(rows_removed=2, version=4)
    grown = overwrite(lake, [(9, 8)], batch(0, incremental=False), "id int, n int", evolve="add_columns")
    assert (grown.version, read(path)) == (5, [(9, None, None, 8)])


def test_a_batch_of_a_stream_is_written_once(lake: LocalLake, batch: Batch, read: Any) -> None:
    assert overwrite(lake, [(1,)], batch(0), "id int").version == 1
    again = overwrite(lake, [(2,)], batch(0), "id int")
    assert (again.replayed, again.version) == (True, 1)
    assert read(lake.folder / "gold/t") == [(1,)]


def test_rows_outside_of_replace_where_are_an_error_and_the_others_are_replaced(
    lake: LocalLake, batch: Batch, read: Any
) -> None:
    schema, where = "day int, n int", {"replace_where": "day >= 2"}
    overwrite(lake, [(1, 1), (2, 2), (3, 3)], batch(0), schema)
    with pytest.raises(WriteError, match="1 rows are outside of replace_where"):
        overwrite(lake, [(1, 9), (2, 9)], batch(1), schema, **where)
    made = overwrite(lake, [(2, 9)], batch(2), schema, **where)
    assert (made.inserted, made.rows_removed) == (1, 2)
    assert read(lake.folder / "gold/t") == [(1, 1), (2, 9)]
    assert overwrite(lake, [(2, 9)], batch(3), schema, **where).unchanged == 1
