"""Vacuum: only what nobody reads any more, and nothing where that cannot be told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lakehouse.lake.place import Lake
from lakehouse.lake.table import head
from lakehouse.maintain.readers import needs
from lakehouse.maintain.vacuum import vacuum
from tests.maintain.conftest import aged, operations, seen

DAY = timedelta(days=1)


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def vacant(spark, make):
    """A table of 25 days, with four files of 20 days that left it so many days ago, at version 2."""

    def vacated(days):
        table = make(4)
        spark.sql(f"OPTIMIZE {table.sql}")
        return aged(table, {0: 25, 1: 20, 2: days})

    return vacated


def files(table):
    return len(list(Path(table.path).glob("*.parquet")))


def checkpoint(lake, name, *, source, offsets, ended):
    """What Spark leaves of a stream; ``offsets`` are those of its batches, ``ended`` how many of them ended."""
    place = Path(lake.checkpoint(name).path)
    (place / "offsets").mkdir(parents=True)
    (place / "commits").mkdir()
    (place / "metadata").write_text(json.dumps({"id": name}))
    (place / "owner.json").write_text(json.dumps({"job": name, "source": source, "target": "x.y"}))
    for number, offset in enumerate(offsets):
        (place / "offsets" / str(number)).write_text(f"v1\n{{}}\n{json.dumps(offset)}")
    for number in range(ended):
        (place / "commits" / str(number)).write_text("v1\n{}")


def offset(version, table_id="the table's"):
    return {
        "sourceVersion": 1,
        "reservoirId": table_id,
        "reservoirVersion": version,
        "index": -1,
        "isStartingVersion": False,
    }


def test_files_that_left_the_table_go_and_what_lies_beside_it_stays(spark, vacant):
    vacant = vacant(15)
    beside = Path(vacant.auxiliary.path) / "part-0.parquet"
    beside.parent.mkdir()
    beside.write_text("old")
    before, version = seen(vacant), head(spark, vacant).version
    assert vacuum(spark, vacant, 30 * DAY).why == "the table is younger; files are kept for 30 days"
    # what left the table so long ago Delta would not know any more for what it was
    skipped = vacuum(spark, vacant, 20 * DAY)
    assert skipped.status == "skipped"
    assert skipped.why.startswith("files are kept for 20 days; the table remembers for 7 days only which files left it")
    planned = vacuum(spark, vacant, 7 * DAY, dry_run=True)
    assert (planned.status, planned.counts["files"]) == ("planned", 4)
    assert (files(vacant), head(spark, vacant).version) == (5, version)
    done = vacuum(spark, vacant, 7 * DAY)
    assert (done.status, done.counts["files"], done.counts["bytes"] > 0) == ("done", 4, True)
    assert (files(vacant), beside.exists(), seen(vacant)) == (1, True, before)
    assert operations(spark, vacant, since=version) == ["VACUUM START", "VACUUM END"]
    assert head(spark, vacant).note == {"step": "maintain", "action": "vacuum"}
    assert spark.conf.get("spark.databricks.delta.retentionDurationCheck.enabled", None) is None


def test_a_reader_keeps_what_it_has_not_read(spark, lake, vacant):
    vacant = vacant(5)
    own = spark.sql(f"DESCRIBE DETAIL {vacant.sql}").collect()[0].id
    name, top = vacant.name, head(spark, vacant).version
    checkpoint(lake, "begun_nothing", source=name, offsets=[], ended=0)
    checkpoint(lake, "has_all", source=name, offsets=[offset(top + 1, own)], ended=1)
    checkpoint(lake, "has_all_but_moves", source=name, offsets=[offset(2, own)], ended=1)
    checkpoint(lake, "of_another_table", source="bronze.other", offsets=[offset(1, "other")], ended=1)
    checkpoint(lake, "of_files", source="/landing", offsets=[{"logOffset": 3}], ended=1)
    checkpoint(lake, "of_a_former_table", source=name, offsets=[offset(1, "former")], ended=1)
    assert needs(spark, lake, vacant) == []

    checkpoint(lake, "behind", source=name, offsets=[offset(1, own), offset(top + 1, own)], ended=1)
    (need,) = needs(spark, lake, vacant, unconcerned=["behind"])
    assert (need.reader, need.why) == ("behind", f"behind has read up to version 1 of {top}")
    assert 20 * DAY < datetime.now(UTC) - need.since < 21 * DAY
    done = vacuum(spark, vacant, DAY, [need])
    assert (done.status, done.why.split(";")[0]) == ("skipped", f"{need.why}: files are kept since then")

    # within what the table remembers, its files are kept as long as the reader needs them
    done = vacuum(spark, vacant, DAY, [replace(need, since=datetime.now(UTC) - 6 * DAY)])
    assert (done.status, done.why) == ("nothing", f"no file is older; {need.why}: files are kept since then")
    assert files(vacant) == 5
    assert vacuum(spark, vacant, DAY, dry_run=True).counts["files"] == 4

    spark.sql(f"ALTER TABLE {vacant.sql} SET TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 4 weeks')")
    assert vacuum(spark, vacant, 7 * DAY).why == "the table is younger; the table itself says 28 days"


def test_what_cannot_be_told_is_not_touched(spark, lake, make):
    table = make(1, properties="'delta.checkpointInterval' = '1'")
    own = spark.sql(f"DESCRIBE DETAIL {table.sql}").collect()[0].id
    checkpoint(lake, "strange", source=table.name, offsets=[{"at": "somewhere"}], ended=1)
    checkpoint(lake, "ancient", source=table.name, offsets=[offset(0, own)], ended=1)
    (Path(table.path) / "_delta_log" / f"{0:020}.json").unlink()
    ancient, strange = needs(spark, lake, table, unconcerned=["strange", "ancient"])
    assert (ancient.since, strange.since) == (None, None)
    assert "does not tell any more" in ancient.why
    done = vacuum(spark, table, 7 * DAY, [strange])
    assert (done.status, "does not say how far" in done.why) == ("skipped", True)

    # a batch that was begun may join the table as it was then; the first batch of a stream reads it so
    checkpoint(lake, "joins", source="/landing", offsets=[{"logOffset": 0}, {"logOffset": 1}], ended=1)
    checkpoint(lake, "first", source=table.name, offsets=[offset(1, own)], ended=0)
    _, first, joins, _ = needs(spark, lake, table, unconcerned=["strange", "ancient", "first"])
    assert joins.why.startswith("batch 1 of joins, which may read the table as it was then")
    assert all(timedelta(0) < datetime.now(UTC) - need.since < timedelta(hours=2) for need in (first, joins))
