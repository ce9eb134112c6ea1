"""A folder of files: whatever they are called, and whatever some of them hold, the others are read."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from lakehouse.errors import FileChangedError, FileUnreadableError
from lakehouse.lake.storage import FileEntry, list_files
from lakehouse.read.files import columns_of_files, read_files
from lakehouse.read.layout.content import open_content
from lakehouse.spec.files import FilesSource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Read = Callable[..., Any]

NAMES = [
    "a b.csv", "br[1].csv", "{x,y}.csv", "x,y.csv", "per%20cent.csv", "per cent.csv", "100%.csv", "ünï.csv", "e\u0301.csv",
    "\u00e9.csv", "h#ash.csv", "st*r.csv", "star.csv", "q?.csv", "qu'ote.csv", 'dq".csv', "back\\slash.csv", "plus+.csv", "semi;.csv",
    "new\nline.csv", "tab\t.csv", "deep/er/x.csv", "deep [2]/x.csv", "..csv", "UPPER.CSV", "&=.csv", "$HOME.csv", "~.csv",
]  # fmt: skip


def test_a_file_may_have_any_name(read: Read) -> None:
    files = {name: f"id\n{number}\n" for number, name in enumerate(NAMES) if name != "..csv"}
    found = read({**files, ".hidden.csv": "id\n1\n", "_tmp/x.csv": "id\n1\n", "_x.csv": "id\n1\n"})
    assert found.good == {name: [{"id": text.split()[1]}] for name, text in files.items()}
    assert found.files == {}


def broken(spark: SparkSession, folder: Path) -> dict[str, bytes]:
    spark.range(1000).coalesce(1).write.parquet(str(folder / "p"))
    parquet = next((folder / "p").glob("*.parquet")).read_bytes()
    long = b"id,n\n" + b"".join(b"%d,%d\n" % (number, number * 7919 % 104729) for number in range(50_000))
    return {
        "truncated.csv.gz": gzip.compress(long)[:-200],
        "not zipped.csv.gz": b"id,n\n1,a\n",
        "zipped.csv": gzip.compress(b"id,n\n1,a\n"),
        "latin.csv": "id,n\n1,é\n".encode("latin-1"),
        "latin header.csv": "id,né\n1,a\n".encode("latin-1"),
        "utf16.csv": "id,n\n1,é\n".encode("utf-16")[2:],
        "binary.csv": b"PK\x03\x04" + bytes(range(256)) * 4,
        "latin.json": '{"id":1,"né":2}\n{"né":2}\n{"id":2}\n'.encode("latin-1"),
        "truncated.json.gz": gzip.compress(b'{"id":1}\n' * 10_000)[:-30],
        "no footer.parquet": parquet[:-20],
        "bad pages.parquet": parquet[:4] + bytes(len(parquet) // 2) + parquet[4 + len(parquet) // 2 :],
        "zero.csv": b"",
        "zero.parquet": b"",
        "notes.txt": b"dear",
        "no ending": b"x",
    }


def test_broken_files_are_named_and_lose_no_row_of_the_good_ones(
    read: Read, spark: SparkSession, tmp_path: Path
) -> None:
    bad = broken(spark, tmp_path)
    good = {f"good {number}.csv": f"id,n\n{number},a\ufffd\n" for number in range(9)}
    good |= {f"good {number}.json": f'{{"id":{number},"n":"\ufffd"}}' for number in range(9)}
    found = read({**bad, **good})
    assert found.files == {
        **dict.fromkeys(bad, "FILE_UNREADABLE"),
        # the pages are not where the footer says they are
        "bad pages.parquet": "FILE_INCONSISTENT",
        **dict.fromkeys(("zipped.csv", "latin.csv", "latin header.csv", "utf16.csv"), "FILE_ENCODING"),
        **dict.fromkeys(("binary.csv", "latin.json"), "FILE_ENCODING"),
        **dict.fromkeys(("zero.csv", "zero.parquet"), "FILE_EMPTY"),
        **dict.fromkeys(("notes.txt", "no ending"), "FILE_FORMAT"),
    }
    assert "ended before the end-of-stream marker" in found.messages["truncated.csv.gz"]
    assert {name: rows[0] for name, rows in found.good.items()} == {
        name: {"id": name[5], "n": "a\ufffd" if name.endswith("csv") else "\ufffd"} for name in good
    }
    # what a broken file names is no column
    beside = {"__raw", "__code", "__message", "__as_written", "__bytes", "_source"}
    assert set(found.frame.columns) == {"id", "n", *beside}


def test_a_run_may_end_where_files_cannot_be_read(read: Read) -> None:
    files = {"good.csv": "id\n1\n", "zero.csv": "", "notes.txt": "x"}
    with pytest.raises(
        FileUnreadableError, match=r"(?s)2 of 3 files.*notes.txt: FILE_FORMAT.*zero.csv: FILE_EMPTY"
    ) as raised:
        read(files, on_unreadable="fail")
    assert "good.csv" not in raised.value.message


def test_a_format_may_be_said_where_the_ending_says_nothing(read: Read) -> None:
    found = read({"a.txt": "id\n1\n", "b.dat.gz": gzip.compress(b"id\n2\n"), "c": "id\n3\n"}, format="csv")
    assert [row["id"] for rows in found.good.values() for row in rows] == ["1", "2", "3"]


def test_no_files_are_no_rows(read: Read) -> None:
    found = read({"_hidden.csv": "id\n1\n"})
    assert (found.good, found.bad, found.files) == ({}, {}, {})
    assert found.frame.columns == ["_source", "__raw", "__code", "__message"]


def test_a_file_that_changed_after_it_was_listed_is_not_read(spark: SparkSession, tmp_path: Path) -> None:
    source = FilesSource(kind="files", path=str(tmp_path))
    file = tmp_path / "a.csv"
    file.write_text("id\n1\n")
    listed = list_files(spark, str(tmp_path), "*")
    assert columns_of_files(spark, listed, source) == {"id": "string"}
    file.write_text("id\n1\n2\n")
    with pytest.raises(FileChangedError, match=r"a.csv changed after it was listed .was 5 bytes, is 7"):
        read_files(spark, listed, source, run_id="r", now=NOW)
    file.unlink()
    with pytest.raises(FileChangedError, match="vanished"):
        read_files(spark, listed, source, run_id="r", now=NOW)


def test_where_a_record_came_from_stands_beside_it(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    os.utime(tmp_path / "a.csv", ns=(0, 1_500_999_999))
    listed = list_files(spark, str(tmp_path), "*.csv")
    assert listed == [FileEntry(str(tmp_path / "a.csv"), 1500, 5)]
    rows = read_files(spark, listed, FilesSource(kind="files", path=str(tmp_path)), run_id="r", now=NOW).rows
    found = rows.select("_source.*").selectExpr(
        "file", "position", "topic", "partition", "offset", "cast(ingested_at as string)", "run_id"
    )
    assert [tuple(row) for row in found.collect()] == [
        (str(tmp_path / "a.csv"), 1, None, None, None, "2026-01-02 03:04:05", "r")
    ]


def test_a_file_that_is_gone_from_a_store_that_java_reads_is_gone_as_one_of_this_machine() -> None:
    def java_says(name: str) -> Any:
        kind = SimpleNamespace(getSimpleName=lambda: name)
        error = SimpleNamespace(getClass=lambda: kind, _target_id="o1", _gateway_client=None)

        def path(_: str) -> Any:
            raise Py4JJavaError("open", error)

        packages = SimpleNamespace(apache=SimpleNamespace(hadoop=SimpleNamespace(fs=SimpleNamespace(Path=path))))
        return SimpleNamespace(_jvm=SimpleNamespace(org=packages))

    with pytest.raises(FileNotFoundError), open_content(java_says("FileNotFoundException"), "s3a://b/a.parquet"):
        pass
    with pytest.raises(Py4JJavaError), open_content(java_says("AccessDeniedException"), "s3a://b/a.parquet"):
        pass
