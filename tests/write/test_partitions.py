"""Values that a partition cannot hold are put aside before the write, and types without a text of their own refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql.types import StructType

from lakehouse.errors import InvalidConfigError, WriteError
from lakehouse.lake.batch import Identity
from lakehouse.lake.frame import small_frame
from lakehouse.lake.look import Look
from lakehouse.lake.place import Lake
from lakehouse.lake.table import Commit, Layout
from lakehouse.spec.write import OverwriteWrite
from lakehouse.write import plan
from lakehouse.write.holds import _layout_holds

JOB = """
sources:
  rows: {kind: table, table: bronze.rows, stream: true}
write: {table: silver.t, partition_by: [p, day], WRITE}
"""
HELD = (
    "null",
    " ",
    ".",
    "a/b=c%2F",
    "a\u0001\n",
    "x. ",
    "e\u0301",
    "\u00e9",
    "A",
    "a",
    "é" * 100,
    "/" * 84,
    "\U0001f600",
)
NOT_HELD = ("", "__HIVE_DEFAULT_PARTITION__", "a\u0000b", "x" * 254, "é" * 127, "/" * 85)


def rows_of(texts: tuple[str, ...], day: str = "2024-01-01") -> list[list[Any]]:
    return [[text, day, number, "U"] for number, text in enumerate(texts)]


def put(workshop: Any, rows: list[list[Any]]) -> None:
    frame = small_frame(workshop.spark, rows, {"p": "string", "day": "string", "at": "int", "op": "string"})
    frame = frame.withColumn("day", frame.day.cast("date")).coalesce(1)
    frame.write.format("delta").mode("append").save(str(workshop.folder / "bronze" / "rows"))


@pytest.mark.parametrize(
    "write",
    [
        "mode: append",
        "mode: scd1, keys: [p], sequence_by: at, apply_as_deletes: op = 'D'",
        "mode: scd2, keys: [p], sequence_by: at, apply_as_deletes: op = 'D'",
    ],
    ids=["append", "scd1", "scd2"],
)
def test_a_value_that_a_partition_cannot_hold_is_put_aside(workshop: Any, write: str) -> None:
    workshop.job("silver", JOB.replace("WRITE", write))
    rows = [*rows_of(HELD), *rows_of(NOT_HELD), *rows_of(("far",), "+12024-01-01"), [None, "2024-01-01", 1, "U"]]
    put(workshop, rows)
    made = workshop.run("silver").rows
    lost = len(NOT_HELD) + 1 + ("keys" in write)
    assert (made.inserted, made.rejected) == (len(rows) - lost, lost)
    found = [row[0] for row in workshop.rows("silver.t", "p") if row[0] is not None]
    assert sorted(found) == sorted(HELD)
    aside = workshop.frame("quarantine.silver_t").where("code = 'PARTITION_VALUE'").select("reasons").collect()
    assert sorted(row.reasons for row in aside) == sorted(
        [["PARTITION_VALUE:p"]] * len(NOT_HELD) + [["PARTITION_VALUE:day"]]
    )
    if "keys" in write:
        # a deletion writes nothing but its key, and the other rows are what is there
        deleted = [["a", "+12024-01-01", 100, "D"], *rows_of(HELD)]
        put(workshop, deleted)
        made = workshop.run("silver").rows
        assert (made.inserted, made.deleted, made.rejected) == (0, 1, 0)


def test_a_type_without_a_text_of_its_own_is_no_partition(spark: Any, tmp_path: Path, workshop: Any) -> None:
    text = JOB.replace("WRITE", "mode: append, contract: {columns: {p: double, day: date, at: int, op: string}}")
    workshop.job("silver", text)
    with pytest.raises(InvalidConfigError, match=r"silver\.yaml:6:.* 'p' is a double"):
        workshop.run("silver")
    for kind in ("binary", "float", "double"):
        rows = small_frame(spark, [["1", 1]], {"p": "string", "n": "int"}).selectExpr(f"cast(p as {kind}) p", "n")
        spec = OverwriteWrite(table="silver.t", mode="overwrite", partition_by=("p",))
        with pytest.raises(WriteError, match=f"partition_by names p: not every {kind} has a text of its own"):
            plan(rows, spec, target=Lake(str(tmp_path)).table("silver.t"), identity=Identity("job", "run", "stream", 0))
    assert not (tmp_path / "silver").exists()


def test_a_table_that_is_partitioned_by_such_a_type_is_told_how_it_gets_out_of_it() -> None:
    kinds = StructType().add("p", "double").add("n", "integer")
    spec = OverwriteWrite(table="silver.t", mode="overwrite", partition_by=("p",))
    found = Look(Commit(0, "WRITE"), kinds, Layout(("P",), ()))
    for table, is_there in ((found, True), (None, False)):
        with pytest.raises(WriteError) as caught:
            _layout_holds(kinds, spec, table)
        assert ("--full-refresh and another partition_by" in (caught.value.hint or "")) is is_there
