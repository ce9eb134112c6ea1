"""What becomes of the values of each format, whatever it is packed in, and what is refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lakehouse.errors import DeleteGuardError, FileUnreadableError, StorageError
from lakehouse.lake.storage import FileEntry, list_files
from lakehouse.read.files import columns_of_files
from lakehouse.read.json_values import values
from lakehouse.read.packed import texts
from lakehouse.read.plain import Scratch, pieces
from lakehouse.read.scan import Unreadable
from lakehouse.spec.files import FilesSource
from tests.read.corpus.binary import an_avro
from tests.read.corpus.case import zipped
from tests.read.corpus.documents import workbook

Read = Callable[..., Any]
XML = b'<r><o id="1"><n> x </n><i q="2">a</i><i/></o></r>'
FILES = {
    "a.zip": zipped(("in/a.csv", b"id,n\n1,a\n"), ("b.xml", XML)),
    "c.xlsx": workbook(("id", "n"), (3, 0.5)),
    "d.avro": an_avro([{"id": 4, "z": 1.5}], {"name": "id", "type": "long"}, {"name": "z", "type": "double"}),
    "e.avro": an_avro([{"id": "5"}], {"name": "id", "type": "string"}),
    "f.json.bz2.gz": gzip.compress(b"x"),
    "g.json.gz": gzip.compress('[{"id": 6.50,\n"n": "é"}]'.encode("utf-16")),
}
OPTIONS: dict[str, Any] = {"xml": {"row_tag": "o"}, "json": {"multiline": True}}


def test_each_file_is_read_as_what_it_is(read: Read, spark: SparkSession, tmp_path: Path) -> None:
    options = {
        name: value
        for name, value in FilesSource.model_validate({"kind": "files", "path": "x", **OPTIONS})
        if name in ("xml", "json_")
    }
    found = read(FILES, xml=options["xml"], json=options["json_"])
    assert found.good == {
        "a.zip!/in/a.csv": [{"id": "1", "n": "a"}],
        "a.zip!/b.xml": [{"n": " x ", "i": '[{"_q":"2","_VALUE":"a"},""]'}],
        "c.xlsx": [{"id": "3", "n": "0.5"}],
        "d.avro": [{"id": "4", "z": 1.5}],
        "e.avro": [{"id": "5"}],
        "g.json.gz": [{"id": "6.50", "n": "é"}],
    }
    assert (found.bad, found.files) == ({}, {"f.json.bz2.gz": "FILE_FORMAT"})
    assert "_id" in found.frame.columns
    folder = next(tmp_path.iterdir())
    source = FilesSource.model_validate({"kind": "files", "path": str(folder), **OPTIONS})
    told = columns_of_files(spark, list_files(spark, str(folder), "*"), source)
    assert told.keys() == {"id", "n", "_id", "i", "z"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.zip", {}),
        ("a.xlsx", {}),
        ("a.parquet.gz", {}),
        ("a.csv", {"encoding": "windows-1252"}),
        ("a.csv", {"csv": {"skip_lines": 1}}),
        ("a.json", {"json": {"multiline": True}}),
        ("a.xml", {"xml": {"row_tag": "o"}}),
    ],
)
def test_what_must_be_written_again_is_refused_where_only_spark_can_reach(
    spark: SparkSession, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    source = FilesSource.model_validate({"kind": "files", "path": "s3a://b", **options})
    with pytest.raises(FileUnreadableError, match="lies where only Spark can reach"):
        pieces([FileEntry(f"s3a://b/{name}", 1, 1)], source, Scratch(spark, tmp_path))


def test_what_spark_can_read_is_left_where_it_lies(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"id\n1\n"))
    files = [
        *list_files(spark, str(tmp_path), "*"),
        *(FileEntry(f"s3a://b/a.{kind}", 1, 1) for kind in ("csv", "orc", "json.zst")),
    ]
    found, bad = pieces(files, FilesSource(kind="files", path="x"), Scratch(spark, tmp_path))
    assert ([piece.path for piece in found], bad) == ([file.path for file in files], [])
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv.gz"]


def test_files_that_unpack_to_more_than_they_explain_share_one_allowance(spark: SparkSession, tmp_path: Path) -> None:
    landing, scratch = tmp_path / "landing", tmp_path / "scratch"
    landing.mkdir()
    scratch.mkdir()
    bomb, good = zipped(("a.csv", b"id\n" + b"1\n" * 1_000_000)), zipped(("a.csv", b"id\n1\n"))
    for index in range(9):
        (landing / f"{index}.zip").write_bytes(good if index == 8 else bomb)
    assert (landing / "0.zip").stat().st_size < 5_000
    source = FilesSource(kind="files", path="x", limits={"batch_bytes": 3 << 20})
    found, bad = pieces(list_files(spark, str(landing), "*"), source, Scratch(spark, scratch, source.limits))
    assert [Path(piece.file.split("!")[0]).name for piece in found] == ["0.zip", "1.zip", "8.zip"]
    assert {file.code for file in bad} == {"FILE_LIMIT"}
    assert sum(path.stat().st_size for path in scratch.iterdir()) < 6 << 20


def test_a_full_disk_is_no_fault_of_the_file(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(("a.csv", b"id\n1\n")))
    files = list_files(spark, str(tmp_path), "*")
    with pytest.raises(StorageError, match="cannot be written"):
        pieces(files, FilesSource(kind="files", path="x"), Scratch(spark, tmp_path / "no folder"))


def test_where_a_text_is_wrong_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"x" * 3_000_000 + b"\x81")
    with pytest.raises(Unreadable, match=r"it is not cp1252: near byte 3,000,000") as raised:
        list(texts(str(path), "cp1252"))
    assert raised.value.code == "FILE_ENCODING"
    with pytest.raises(Unreadable, match="an element is missing, at byte 5"):
        list(values(b"[1, ,2]"))


def test_a_snapshot_may_come_in_a_zip(workshop: Any) -> None:
    job = workshop.job(
        "b",
        """sources: {o: {kind: files, path: "${param:landing}/o"}}
write: {table: bronze.o, mode: snapshot, keys: [id], snapshot_as: scd1, snapshot_by: file, max_delete_fraction: 1}
""",
    )
    workshop.land("o/1.zip", zipped(("a.csv", b"id,n\n1,a\n2,b\n")))
    workshop.run(job)
    workshop.land("o/2.zip", zipped(("a.csv", b"id,n\n2,c\n")))
    workshop.run(job)
    assert workshop.rows("bronze.o", "id", "n") == [("2", "c")]


SNAPSHOT = """\
sources: {o: {kind: files, path: "${param:landing}/NAME", contract: {columns: {id: int not null, n: int}}}}
write: {table: bronze.NAME, mode: snapshot, keys: [id], snapshot_as: scd1, snapshot_by: file}
"""


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ("id,n\n1,1\nx,2\n3,\n,4\n", "the batch lacks 1 keys, and 2 of its rows are not usable: "),
        ("id,n\nx,1\n", "no row of the snapshot is usable, and it would delete every key: "),
    ],
    ids=["some", "none"],
)
def test_a_snapshot_that_would_delete_for_rows_that_cannot_be_read_says_which(
    workshop: Any, second: str, told: str
) -> None:
    workshop.job("b", SNAPSHOT.replace("NAME", "b"))
    workshop.land("b/1.csv", "id,n\n1,1\n2,2\n3,\n")
    workshop.run("b")
    workshop.land("b/2.csv", second)
    with pytest.raises(DeleteGuardError) as raised:
        workshop.run("b")
    assert f"bronze.b: {told}" in raised.value.message
    assert "CAST:id (1)" in raised.value.message
    assert ("NULL_VALUE:id (1)" in raised.value.message) is (",4" in second)
    assert (raised.value.code, raised.value.exit_code, raised.value.retryable) == ("DELETE_GUARD", 3, False)
    # nobody is sent to a quarantine that has nothing of it
    assert "on_absent: keep" in str(raised.value.hint)
    assert workshop.version("quarantine.bronze_b") is None
    assert workshop.rows("bronze.b", "id", "n") == [(1, 1), (2, 2), (3, None)]
