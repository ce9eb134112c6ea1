"""Append: every row is added, each batch once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse.errors import (
    CommitMissingError,
    ImbalanceError,
    KeyMissingError,
    LayoutChangeError,
    NotDeltaError,
    SchemaDriftError,
    TypeChangeError,
    WriteError,
)
from lakehouse.lake.batch import Identity
from lakehouse.lake.place import Lake
from lakehouse.lake.table import Layout, commits, layout
from lakehouse.spec.write import AppendWrite
from lakehouse.write import plan, write
from lakehouse.write.commit import WriteResult

if TYPE_CHECKING:
    from lakehouse.testing import LocalLake

Batch = Callable[..., Identity]
NAME = "bronze.t"


def append(lake: LocalLake, schema: str, rows: list[tuple[Any, ...]], identity: Identity, **spec: Any) -> WriteResult:
    frame = lake.spark.createDataFrame(rows, schema)
    target = Lake(str(lake.folder)).table(NAME)
    return write(frame, AppendWrite(table=NAME, mode="append", **spec), target=target, identity=identity, about="It's")


def test_the_first_batch_makes_the_table_with_comments_and_layout(lake: LocalLake, batch: Batch, read: Any) -> None:
    made = append(
        lake,
        "Id int, day date, xs array<struct<`a-b`:int>>, v void",
        [(1, None, [(1,)], None), (2, None, None, None)],
        batch(0),
        comments={"id": "the key's \\ name"},
        cluster_by="id",
    )
    assert made == WriteResult(inserted=2, rows_added=2, version=1)
    assert read(lake.folder / "bronze/t", "Id, v") == [(1, None), (2, None)]
    described = lake.spark.sql(f"DESCRIBE DETAIL delta.`{lake.folder}/bronze/t`").collect()[0]
    assert (described.description, described.clusteringColumns) == ("It's", ["Id"])
    assert described.properties["delta.enableDeletionVectors"] == "true"
    columns = lake.spark.sql(f"DESCRIBE TABLE delta.`{lake.folder}/bronze/t`").collect()
    assert [(row.col_name, row.data_type, row.comment) for row in columns[:4]] == [
        ("Id", "int", "the key's \\ name"),
        ("day", "date", None),
        ("xs", "array<struct<a-b:int>>", None),
        ("v", "string", None),
    ]
    (newest,) = commits(lake.spark, Lake(str(lake.folder)).table(NAME), 1)
    note = newest.note
    assert (note["job"], note["batch"], note["step"], note["counts"]["inserted"]) == ("job", 0, "target", 2)


def test_a_batch_is_added_once_however_often_it_is_written(lake: LocalLake, batch: Batch, read: Any) -> None:
    spark = lake.spark
    first = append(lake, "id int", [(1,)], batch(0))
    again = append(lake, "id int", [(1,)], batch(0))
    assert (again.replayed, again.version, again.inserted, again.rows_added) == (True, first.version, 1, 1)
    assert append(lake, "id int", [(2,)], batch(1)).version == 2
    assert append(lake, "id int", [(1,)], batch(0)).replayed  # also after a later one
    assert lake.version(NAME) == 2
    # a new checkpoint counts its batches from 0 again, and these are other batches
    assert not append(lake, "id int", [(3,)], batch(0, stream="new")).replayed
    assert read(lake.folder / "bronze/t") == [(1,), (2,), (3,)]
    # the transaction is the writer's own: nothing in the session makes a later change a no-op
    assert spark.conf.get("spark.databricks.delta.write.txnAppId", None) is None
    spark.sql(f"DELETE FROM delta.`{lake.folder}/bronze/t` WHERE id = 3")
    assert read(lake.folder / "bronze/t") == [(1,), (2,)]


def test_a_batch_that_the_log_has_passed_is_not_made_behind_it(lake: LocalLake, batch: Batch) -> None:
    append(lake, "id int", [(1,)], batch(0))
    with pytest.raises(CommitMissingError):
        append(lake, "id int", [(2,)], replace(batch(3), past=True))
    assert append(lake, "id int", [], replace(batch(3), past=True)).is_empty
    assert lake.version(NAME) == 1


def test_a_batch_that_is_committed_twice_is_an_error(lake: LocalLake, batch: Batch) -> None:
    target, spec = Lake(str(lake.folder)).table(NAME), AppendWrite(table=NAME, mode="append")
    one, other = (
        plan(lake.spark.range(2), spec, target=target, identity=replace(batch(1), sole=True)) for _ in range(2)
    )
    one.commit(lake.spark)
    with pytest.raises(ImbalanceError, match="committed twice, as versions 1, 2"):
        other.commit(lake.spark)


def test_a_batch_of_no_rows_makes_no_commit(lake: LocalLake, batch: Batch) -> None:
    assert append(lake, "id int", [], batch(0)) == WriteResult(version=0)
    assert append(lake, "id int", [], batch(1)) == WriteResult(version=0)
    assert lake.version(NAME) == 0


def test_columns_meet_by_name_and_a_new_one_must_be_allowed(lake: LocalLake, batch: Batch, read: Any) -> None:
    append(lake, "id bigint, a string, xs array<int>", [(1, "x", [None])], batch(0))
    narrow = lake.spark.sql(
        "SELECT array(2) AS XS, 2 AS Id, null AS a"
    )  # no NULL in its array, an int, a column of no type
    target = Lake(str(lake.folder)).table(NAME)
    write(narrow, AppendWrite(table=NAME, mode="append"), target=target, identity=batch(1))
    with pytest.raises(SchemaDriftError, match="has no column b, C"):
        append(lake, "b int, C void, id int", [(1, None, 2)], batch(2))
    append(lake, "b int, C void, id int", [(1, None, 3)], batch(2), evolve="add_columns")
    assert read(lake.folder / "bronze/t", "id, a, xs, b, C") == [
        (1, "x", [None], None, None),
        (2, None, [2], None, None),
        (3, None, None, 1, None),
    ]
    assert lake.frame(NAME).columns == ["id", "a", "xs", "b", "C"]


def test_a_type_may_widen_to_the_tables_and_no_other_way(lake: LocalLake, batch: Batch, read: Any) -> None:
    append(lake, "a bigint, b decimal(12,2), c string, d double", [(1, Decimal(1), "x", 0.5)], batch(0))
    append(lake, "a int, b int, c date, d float", [(2, None, None, 0.25)], batch(1))
    with pytest.raises(
        TypeChangeError, match="a is bigint in the table and string in the rows; b is decimal.12,2. in the"
    ):
        append(lake, "a string, b decimal(12,3), c int, d bigint", [("3", None, 3, 1)], batch(2))
    with pytest.raises(TypeChangeError, match="d is double in the table and bigint in the rows"):
        append(lake, "d bigint", [(2**53 + 1,)], batch(2))
    assert read(lake.folder / "bronze/t", "a") == [(1,), (2,)]


def test_a_table_keeps_its_layout_and_its_columns(lake: LocalLake, batch: Batch) -> None:
    append(lake, "id int, Day string", [(1, "d")], batch(0), partition_by=["day"])
    assert layout(lake.spark, Lake(str(lake.folder)).table(NAME)) == Layout(("Day",))
    append(lake, "id int, day string", [(1, "d")], batch(1), partition_by=["DAY"])
    with pytest.raises(LayoutChangeError, match="is partitioned by Day, the job says not laid out by any column"):
        append(lake, "id int, day string", [(1, "d")], batch(2))
    with pytest.raises(LayoutChangeError, match="is partitioned by Day, the job says clustered by id"):
        append(lake, "id int, day string", [(1, "d")], batch(2), cluster_by=["id"])
    with pytest.raises(KeyMissingError, match="partition_by names day, which the rows do not have .they have id"):
        append(lake, "id int", [(1,)], batch(2), partition_by=["day"])
    assert lake.version(NAME) == 2


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("1 AS a, 2 AS A", "two columns a"),
        ("1 AS `a b`", "named 'a b'"),
        ("1 AS `a\nb`", "named"),
        ("array(struct(1 AS `f(x)`)) AS a", "f.x."),
    ],
)
def test_a_name_that_no_table_can_have_is_told_before_anything_is_made(
    lake: LocalLake, batch: Batch, columns: str, told: str
) -> None:
    target = Lake(str(lake.folder)).table(NAME)
    frame = lake.spark.sql(f"SELECT {columns}")
    with pytest.raises(WriteError, match=told):
        write(frame, AppendWrite(table=NAME, mode="append"), target=target, identity=batch(0))
    assert not (lake.folder / "bronze").exists()


def test_names_with_dots_quotes_and_backticks_are_names(lake: LocalLake, batch: Batch, read: Any) -> None:
    for number in range(2):
        append(lake, "`a.b` int, `c``d` int, `e'f` int, `ü-%\"/` int", [(1, 2, 3, number)], batch(number))
    assert read(lake.folder / "bronze/t") == [(1, 2, 3, 0), (1, 2, 3, 1)]


def test_a_folder_that_holds_something_else_is_left_alone(lake: LocalLake, batch: Batch) -> None:
    path = lake.folder / "bronze/t"
    path.mkdir(parents=True)
    (path / "letter.txt").write_text("dear")
    with pytest.raises(NotDeltaError, match="is not a Delta table and not empty"):
        append(lake, "id int", [(1,)], batch(0))
    assert [file.name for file in path.iterdir()] == ["letter.txt"]
