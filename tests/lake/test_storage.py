"""Files beside the tables: the same by Python on this machine and by Spark elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from pyspark.sql import SparkSession

from lakehouse.lake.storage import FileEntry, list_files, local, plain_path, read_lines, write_text


@pytest.fixture(params=["here", "elsewhere"])
def place(request: pytest.FixtureRequest, spark: SparkSession, tmp_path: Path) -> Iterator[str]:
    """The same folder, as a path of this machine and as one that only Spark can reach: a mount of Hadoop's ViewFs."""
    if request.param == "here":
        yield str(tmp_path)
        return
    cluster = f"c{uuid4().hex}"
    mount = f"fs.viewfs.mounttable.{cluster}.link./files"
    spark.conf.set(mount, tmp_path.as_uri())
    yield f"viewfs://{cluster}/files"
    spark.conf.unset(mount)


def test_a_path_is_this_machines_or_not() -> None:
    assert [str(local(path)) for path in ("/a b", "file:/a", "file:///a%20b", "rel", "s3a://b/c", "abfss://x@y/z")] == [
        "/a b", "/a", "/a%20b", "rel", "None", "None",
    ]  # fmt: skip
    assert plain_path("file:///a%20b%25", encoded=True) == "/a b%"


def test_files_are_listed_by_name_at_any_depth_and_hidden_ones_are_not(
    spark: SparkSession, place: str, tmp_path: Path
) -> None:
    names = [
        "b.csv",
        "a [1].csv",
        "deep/é%20.csv",
        "deep/_x/c.csv",
        "_hidden.csv",
        ".tmp.csv",
        "n.txt",
        "deep/.y/c.csv",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("four")
        os.utime(tmp_path / name, ns=(0, 1_700_000_000_123_000_000))
    listed = list_files(spark, place, "*.csv")
    assert listed == [
        FileEntry(f"{place}/{name}", 1_700_000_000_123, 4) for name in ("a [1].csv", "b.csv", "deep/é%20.csv")
    ]
    assert list_files(spark, place, "*.nosuch") == []


def test_a_text_is_written_whole_and_read_back(spark: SparkSession, place: str) -> None:
    path = f"{place}/new/it.json"
    assert read_lines(spark, path) is None
    for text in ('{"a": "é"}', '{"b": 2}'):
        write_text(spark, path, text)
        assert read_lines(spark, path) == [text]


def test_the_lines_of_a_folder_are_those_of_its_files_in_order(spark: SparkSession, place: str, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    for name, text in (("1", "v1\n{}\n"), ("0", "v1\nz\u2028x\n"), (".0.crc", "no"), ("_x", "no")):
        (tmp_path / "log" / name).write_text(text)
    assert sorted(read_lines(spark, f"{place}/log") or []) == ["v1", "v1", "z\u2028x", "{}"]
