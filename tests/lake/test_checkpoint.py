"""A checkpoint says whose it is, and what each batch read."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lakehouse.errors import CheckpointError
from lakehouse.lake.checkpoint import Checkpoint
from lakehouse.lake.storage import list_files
from lakehouse.read.files import FilesFeed
from lakehouse.spec.files import FilesSource

OWNER = {"job": "j", "source": "s", "target": "t"}


def test_what_spark_wrote_is_read_back_batch_by_batch(spark: SparkSession, tmp_path: Path) -> None:
    landing, checkpoint = tmp_path / "landing", Checkpoint(str(tmp_path / "checkpoint"))
    landing.mkdir()
    names = ["a b.csv", "per%20cent.csv", "ünï [1].csv", "zero.csv"]
    for name in names:
        (landing / name).write_text("" if name == "zero.csv" else "id\n1\n")
    assert checkpoint.id(spark) is None
    assert checkpoint.last_offset(spark) == {}
    assert checkpoint.files(spark) == {}
    checkpoint.claim(spark, OWNER)

    batches: list[int] = []
    stream = FilesFeed(str(landing), FilesSource(kind="files", path=str(landing), max_files=2)).stream(spark, "r")
    writer = stream.writeStream.foreachBatch(lambda _, number: batches.append(number))
    writer.option("checkpointLocation", checkpoint.path).trigger(availableNow=True).start().awaitTermination()

    entries = list_files(spark, str(landing), "*")
    assert {path: modified for path, (modified, _) in checkpoint.files(spark).items()} == {
        entry.path: entry.modified_ms for entry in entries
    }
    taken = [checkpoint.files_of(spark, number) for number in batches]
    assert [len(found) for found in taken] == [2, 2]
    assert taken[0] | taken[1] == {entry.path: entry.modified_ms for entry in entries}
    assert checkpoint.last_offset(spark) == checkpoint.offset(spark, 1) == {"logOffset": 1}
    assert checkpoint.offset(spark, 7) == {}
    assert checkpoint.id(spark)
    checkpoint.claim(spark, OWNER)


def test_a_checkpoint_belongs_to_one_job_source_and_target(spark: SparkSession, tmp_path: Path) -> None:
    checkpoint = Checkpoint(str(tmp_path / "c"))
    checkpoint.claim(spark, {**OWNER, "source": "mistyped"})  # no query has begun it, so this can be corrected
    checkpoint.claim(spark, OWNER)
    (tmp_path / "c" / "metadata").write_text('{"id":"x"}\n')
    with pytest.raises(
        CheckpointError, match="belongs to another job or source: source is s, not other; target is t, not u"
    ):
        checkpoint.claim(spark, {**OWNER, "source": "other", "target": "u"})
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "metadata").write_text('{"id":"x"}\n')
    with pytest.raises(CheckpointError, match="this library did not make"):
        Checkpoint(str(foreign)).claim(spark, OWNER)
