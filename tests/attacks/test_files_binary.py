"""Binary files that contradict themselves, and bombs: none is read by half, and none costs more than it is large."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from lakehouse.lake.storage import list_files
from lakehouse.read.files import read_files
from lakehouse.spec.files import FilesSource
from tests.attacks.files_binary import a_parquet, drawn, fixed
from tests.attacks.play import play_bombs, play_damaged_files
from tests.read.conftest import NOW


def test_a_file_that_contradicts_itself_and_a_bomb_are_one_entry_and_nothing_of_them_is_read(
    spark: SparkSession, tmp_path: Path
) -> None:
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert play_bombs(spark, tmp_path, 0) == []
    assert time.monotonic() - begun < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 << 10


def test_a_damaged_file_is_refused_or_has_all_of_its_rows(spark: SparkSession, tmp_path: Path) -> None:
    assert play_damaged_files(spark, tmp_path, 0, 20) == []


@pytest.mark.parametrize("seed", range(2))
def test_an_attack_is_the_same_for_the_same_seed(seed: int) -> None:
    assert drawn(seed) == drawn(seed)


def test_files_that_only_spark_can_reach_are_held_against_themselves_too(spark: SparkSession, tmp_path: Path) -> None:
    attacks = {attack.name: attack for attack in fixed()}
    names = [
        "fewer rows in the footer.parquet",
        "the middle missing.parquet",
        "more rows in the footer.orc",
        "columns.avro",
    ]
    for name in names:
        (tmp_path / name).write_bytes(attacks[name].content)
    nanos = pa.table({"id": [1], "at": pa.array([1704067200123456000], pa.timestamp("ns"))})
    (tmp_path / "good.parquet").write_bytes(a_parquet(nanos))
    session = spark.newSession()
    session.conf.set("fs.viewfs.mounttable.attacks.link./landing", tmp_path.as_uri())
    folder = "viewfs://attacks/landing"
    source = FilesSource(kind="files", path=folder)
    arrived = read_files(session, list_files(session, folder, "*"), source, run_id="r", now=NOW)
    assert {Path(file.file).name: file.code for file in arrived.bad_files} == {
        name: attacks[name].code for name in names
    }
    assert [(row.id, str(row.at)) for row in arrived.rows.collect()] == [(1, "2024-01-01 00:00:00.123456")]
