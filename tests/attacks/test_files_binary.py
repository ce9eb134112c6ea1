"""Binary files that contradict themselves, and bombs: none is read by half, and none costs more than it is large."""

from __future__ import annotations

import resource
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from lakehouse.lake.storage import list_files
from lakehouse.read.files import read_files
from lakehouse.spec.files import FilesSource
from tests.attacks.files_binary import a_parquet, drawn, fixed
from tests.read.conftest import NOW

SAMPLE = range(20)


def play(spark: SparkSession, folder: Path, attacks) -> tuple[dict[str, str], Counter]:
    """What became of files: the codes of those that are refused, and the rows of the others."""
    for attack in attacks:
        (folder / attack.name).write_bytes(attack.content)
    source = FilesSource(kind="files", path=str(folder))
    arrived = read_files(spark, list_files(spark, str(folder), "*"), source, run_id="r", now=NOW)
    codes = {Path(file.file).name: file.code for file in arrived.bad_files}
    counts = arrived.rows.groupBy("_source.file").count().collect()
    return codes, Counter({Path(row.file).name: row["count"] for row in counts})


def test_a_file_that_contradicts_itself_and_a_bomb_are_one_entry_and_nothing_of_them_is_read(
    spark: SparkSession, tmp_path: Path
) -> None:
    attacks = [attack for attack in fixed() if attack.code]
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    codes, rows = play(spark, tmp_path, attacks)
    assert codes == {attack.name: attack.code for attack in attacks}
    assert not rows
    assert time.monotonic() - begun < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 << 10


def test_a_file_with_a_wound_is_refused_or_has_all_of_its_rows(spark: SparkSession, tmp_path: Path) -> None:
    attacks = [drawn(seed) for seed in SAMPLE]
    codes, rows = play(spark, tmp_path, attacks)
    lost = {
        attack.name: rows[attack.name]
        for attack in attacks
        if attack.name not in codes and rows[attack.name] != attack.rows
    }
    assert lost == {}
    assert len(codes) > len(SAMPLE) // 2


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
