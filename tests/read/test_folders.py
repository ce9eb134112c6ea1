"""Which files are read and when, and what their places say: folders, names, markers, control files, the archive."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import duckdb
import pytest

from lakehouse.errors import ConfigError, FileChangedError, FileUnreadableError, RecoveryError
from lakehouse.lake.storage import FileEntry
from lakehouse.read.control import _read
from lakehouse.read.folders import ready
from lakehouse.read.links import Links
from lakehouse.recovery.undo import undo
from lakehouse.runtime.plan import planned
from lakehouse.runtime.workplace import prepare
from tests.read.corpus.case import zipped

JOB = """\
sources:
  orders: {{kind: files, path: "${{param:landing}}/orders", format: csv, {said}}}
write: {{table: bronze.orders, mode: append, evolve: add_columns}}
"""


def wrong(workshop) -> dict[str, str]:
    """What was put aside: the files' names and codes."""
    rows = workshop.frame("quarantine.bronze_orders").select("source.file", "code").collect()
    assert len({row.file for row in rows}) == len(rows)
    return {Path(row.file).name: row.code for row in rows}


def test_folders_and_parts_of_names_are_columns_of_text(read) -> None:
    pattern = r"(?P<shop>[a-z]+)_(?P<number>\d+)(?P<more>x)?\.csv"
    found = read(
        {
            "country=DE/day=2026-01-01/a_01.csv": "id,v\n1,x\n2\n",
            "country=DE/day=2026-01-02/a_02x.csv": "id,v\n1,x\n",
            "deep/Country=x%2Fy%20%zz/other=1/day=__HIVE_DEFAULT_PARTITION__/b_1.csv": "v,id\nx,1\n",
            "country=ünï/day=007/c_1.csv": "id\n1\n",
            "country=DE/c_1.csv": "id\n1\n",
            "country=DE/day=/d_1.csv": "id\n1\n",
            "country=DE/country=DE/day=1/e_1.csv": "id\n1\n",
            "country=DE/day=1/no.csv": "id\n1\n",
            "country=DE/day=1/f_1.csv": "",
        },
        partition_columns=["country", "day"],
        name_pattern=pattern,
    )
    assert {name.rsplit("/", 1)[1]: rows for name, rows in found.good.items()} == {
        "a_01.csv": [{"id": "1", "v": "x", "country": "DE", "day": "2026-01-01", "shop": "a", "number": "01"}],
        "a_02x.csv": [
            {"id": "1", "v": "x", "country": "DE", "day": "2026-01-02", "shop": "a", "number": "02", "more": "x"}
        ],
        "b_1.csv": [{"id": "1", "v": "x", "country": "x/y %zz", "shop": "b", "number": "1"}],
        "c_1.csv": [{"id": "1", "country": "ünï", "day": "007", "shop": "c", "number": "1"}],
    }
    assert found.frame.columns[:7] == ["id", "v", "country", "day", "shop", "number", "more"]
    assert [code for rows in found.bad.values() for code, _ in rows] == ["FIELD_COUNT"]
    assert {name.rsplit("/", 1)[1]: code for name, code in found.files.items()} == {
        "c_1.csv": "FILE_PARTITION",
        "d_1.csv": "FILE_PARTITION",
        "e_1.csv": "FILE_PARTITION",
        "no.csv": "FILE_NAME",
        "f_1.csv": "FILE_EMPTY",
    }
    assert found.messages["country=DE/c_1.csv"] == "none of its folders is day=…"


def test_folders_that_duckdb_wrote_are_read_as_duckdb_reads_them(read, tmp_path) -> None:
    rows = "(VALUES (1, 'DE', 'a b'), (2, 'DE', 'x/y=%'), (3, NULL, 'ü'), (4, 'FR', ':?*')) t(id, country, name)"
    for kind in ("csv", "parquet"):
        query = f"COPY (SELECT * FROM {rows}) TO '{tmp_path}/{kind}' (FORMAT {kind}, PARTITION_BY (country, name))"
        duckdb.sql(query)
        files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.glob(f"{kind}/**/*.{kind}")}
        found = read(files, partition_columns=["country", "name"])
        got = found.frame.selectExpr("cast(id as int)", "country", "name").collect()
        assert sorted(map(tuple, got)) == [(1, "DE", "a b"), (2, "DE", "x/y=%"), (3, None, "ü"), (4, "FR", ":?*")]
        assert found.files == {}


def test_a_column_that_says_other_than_its_folder_puts_the_file_aside(read) -> None:
    found = read(
        {
            "country=DE/same.csv": "id,Country\n1,DE\n2,\n",
            "country=DE/other.csv": "id,Country\n1,DE\n2,FR\n",
            "country=DE/shifted.csv": "id,note,Country\n1,a,DE\n2,a,b,FR\n",
            "country=DE/same.json": '{"id":"1","country":"DE"}\n',
            "country=DE/other.json": '{"id":"1","country":"FR"}\n',
            "country=__HIVE_DEFAULT_PARTITION__/null.json": '{"id":"1","country":"FR"}\n',
            "country=DE/none.json": '{"id":"1"}\n',
        },
        partition_columns="country",
    )
    kept = {name: [row["country"] for row in rows] for name, rows in found.good.items()}
    one = {f"country=DE/{name}": ["DE"] for name in ("shifted.csv", "same.json", "none.json")}
    assert kept == {"country=DE/same.csv": ["DE", "DE"], **one}
    assert [code for code, _ in found.bad["country=DE/shifted.csv"]] == ["FIELD_COUNT"]
    assert sorted(Path(name).stem for name in found.files) == ["null", "other", "other"]
    assert set(found.files.values()) == {"FILE_PARTITION"}
    assert found.messages["country=DE/other.csv"] == "its column country says other than its place"
    with pytest.raises(FileUnreadableError, match="1 of 1 files .*\n.*FILE_PARTITION: none of its folders"):
        read({"x.csv": "id\n1\n"}, partition_columns="country", on_unreadable="fail")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", (None, ())),
        ("12\n", (12, ())),
        ("\ufeff0", (0, ())),
        ("d41d8cd98f00b204e9800998ecf8427e", (None, (("md5", "d41d8cd98f00b204e9800998ecf8427e"),))),
        ("A" * 64 + "  orders.csv\n", (None, (("sha256", "a" * 64),))),
        (json.dumps({"records": 3, "sha256": "B" * 64, "by": "x"}), (3, (("sha256", "b" * 64),))),
        ("{}", (None, ())),
    ],
)
def test_a_control_file_says_a_count_or_a_checksum(tmp_path, text, says) -> None:
    (tmp_path / "a.ctl").write_text(text)
    control = _read(None, FileEntry(str(tmp_path / "a.ctl"), 0, len(text.encode())))
    assert (control.records, control.digests) == says


@pytest.mark.parametrize(
    "text",
    [
        *(
            "x",
            "1.5",
            "-1",
            "[1]",
            '{"records": "3"}',
            '{"records": -1}',
            '{"records": true}',
            '{"md5": "a"}',
            "{",
            "\xff",
        ),
        # nested deeper than Python goes, and a name that says two things
        *("[" * 60_000, '{"a":' * 12_000, '{"records": 1, "records": 2}', '{"a": {"b": 1, "b": 1}}', "9" * 5000),
    ],
)
def test_a_control_file_that_says_something_else_says_nothing(tmp_path, text) -> None:
    (tmp_path / "a.ctl").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError):  # noqa: PT011 -- whatever it says
        _read(None, FileEntry(str(tmp_path / "a.ctl"), 0, 1))


def test_a_file_is_read_once_it_has_its_control_file_and_held_to_it(workshop) -> None:
    workshop.job("x", JOB.format(said="control: .ctl"))
    sha = hashlib.sha256(b"id\n1\n").hexdigest()
    md5 = hashlib.md5(b"id\n1\n").hexdigest()  # noqa: S324 -- what suppliers write
    controls = {
        "named.csv.ctl": "1",
        "bare.ctl": "",
        "sha.ctl": json.dumps({"records": 1, "sha256": sha}),
        "md5.csv.ctl": f"{md5} *md5.csv",
        "short.ctl": "2",
        "torn.ctl": f"{'0' * 64}",
        "odd.ctl": "many",
        "none.ctl": "1",
        "bare.csv.ctl": "1",
        "two.ctl": "",
        "empty.ctl": "0",
        "pack.ctl": "2",
    }
    for name in ("named", "bare", "sha", "md5", "short", "torn", "odd", "waits", "two"):
        workshop.land(f"orders/{name}.csv", "id\n1\n")
    workshop.land("orders/two.json", "{}")
    workshop.land("orders/empty.csv", "")
    workshop.land("orders/pack.zip", zipped(("a.csv", b"id\n1\n"), ("b.csv", b"id\n\xff\n")))
    assert workshop.run("x").batches == 0
    for name, text in controls.items():
        workshop.land(f"orders/{name}", text)
    work = prepare("x", root=workshop.project, lake=str(workshop.folder), params={"landing": str(workshop.landing)})
    plan = "\n".join(planned(work, spark=workshop.spark))
    assert "12 new files" in plan
    assert f"1 wait for .ctl, such as {workshop.landing}/orders/waits.csv" in plan
    rows = workshop.run("x").rows
    assert (rows.read, rows.accepted, rows.quarantined) == (11, 4, 7)
    read = {Path(row.file).stem for row in workshop.frame("bronze.orders").select("_source.file").collect()}
    assert read == {"named", "bare", "sha", "md5"}
    # bare.csv.ctl comes before bare.ctl, and a file is read for one of them
    unusable = dict.fromkeys(("odd.csv", "none.ctl", "bare.ctl", "two.ctl"), "FILE_CONTROL")
    # one of its files is not UTF-8, and nobody knows how many records that has
    codes = {"short.csv": "FILE_COUNT", "pack.zip": "FILE_COUNT", "torn.csv": "FILE_CHECKSUM", **unusable}
    assert wrong(workshop) == codes
    workshop.land("orders/waits.ctl", "1")
    workshop.land("orders/named.ctl", "1")
    rows = workshop.run("x").rows
    assert (rows.read, rows.accepted) == (2, 1)
    assert workshop.run("x").batches == 0
    # what comes after its control file was read is told
    workshop.land("orders/none.csv", "id\n1\n")
    with pytest.raises(FileChangedError, match=r"1 files were rewritten after they were read, first .*none.csv"):
        workshop.run("x")
    # and so is what was put in the place of a file that was read, by the time of another
    os.utime(workshop.land("orders/bare.csv", "id\n7\n"), (1_000_000_000,) * 2)
    with pytest.raises(FileChangedError, match=r"2 files were rewritten after they were read, first .*bare.csv"):
        workshop.run("x")


def test_a_folder_is_read_once_its_marker_is_there(workshop) -> None:
    workshop.job("x", JOB.format(said="ready_by: _SUCCESS, partition_columns: [day]"))
    workshop.land("orders/day=1, {a}/x/a.csv", "id\n1\n")
    assert workshop.run("x").batches == 0
    workshop.land("orders/day=1, {a}/_SUCCESS", "")
    assert workshop.run("x").rows.accepted == 1
    for name in ("day=2, {b}/b [1].csv", "day=2, {b}/_SUCCESS", "day=3/c.csv"):
        workshop.land(f"orders/{name}", "id\n1\n" if name.endswith("csv") else "")
    assert workshop.run("x").rows.accepted == 1
    assert workshop.rows("bronze.orders", "id", "day") == [("1", "1, {a}"), ("1", "2, {b}")]


def test_the_topmost_markers_count_and_hidden_folders_do_not(tmp_path) -> None:
    for name in ("a/_SUCCESS", "a/b/_SUCCESS", "c/d/_SUCCESS", "_e/_SUCCESS", "f/x.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert ready(str(tmp_path), "_SUCCESS") == [f"{tmp_path}/a", f"{tmp_path}/c/d"]
    links = Links(str(tmp_path), "*")
    assert links.spark_paths(ready(str(tmp_path), "_SUCCESS")) == f"{tmp_path}/{{a,c/d}}"
    (tmp_path / "_SUCCESS").touch()
    assert links.spark_paths(ready(str(tmp_path), "_SUCCESS")) == str(tmp_path)
    with pytest.raises(ConfigError, match="folders of this machine"):
        ready("s3a://bucket/x", "_SUCCESS")


def test_files_are_archived_once_their_batch_is_done_and_nothing_is_overwritten(workshop) -> None:
    said = 'control: .ctl, max_files: 1, archive_to: "${param:landing}/done"'
    workshop.job("x", JOB.format(said=said))
    for name in ("a.csv", "b/b.csv", "waits.csv"):
        workshop.land(f"orders/{name}", "id\n1\n")
    for number, name in enumerate(("a.ctl", "b/b.csv.ctl")):
        os.utime(workshop.land(f"orders/{name}", "1"), (2_000_000_000 + number,) * 2)
    workshop.land("done/a.csv", "another")
    result = workshop.run("x")
    assert (result.batches, result.rows.accepted) == (2, 2)

    def left(folder: str) -> list[str]:
        return sorted(
            str(path.relative_to(workshop.landing / folder)) for path in (workshop.landing / folder).rglob("*.*")
        )

    assert left("orders") == ["waits.csv"]
    assert left("done") == ["a.csv", "a.csv.2", "a.ctl", "b/b.csv", "b/b.csv.ctl"]
    assert (workshop.landing / "done/a.csv").read_text() == "another"
    # as a kill leaves it: some are moved, some copied and not yet removed, and it is not noted
    checkpoint = workshop.folder / "_checkpoints/x"
    (checkpoint / "archived").unlink()
    (workshop.landing / "done/b/b.csv.ctl").rename(workshop.landing / "orders/b/b.csv.ctl")
    copied = workshop.land("orders/b/b.csv", "id\n1\n")
    os.utime(copied, ns=((workshop.landing / "done/b/b.csv").stat().st_mtime_ns,) * 2)
    assert workshop.run("x").batches == 0
    assert left("orders") == ["waits.csv"]
    assert left("done") == ["a.csv", "a.csv.2", "a.ctl", "b/b.csv", "b/b.csv.ctl"]
    with pytest.raises(RecoveryError, match=r"4 files that are to be read again are in .*/done") as raised:
        undo(
            result.run_id,
            lake=str(workshop.folder),
            root=workshop.project,
            spark=workshop.spark,
            params={"landing": str(workshop.landing)},
        )
    assert raised.value.hint.startswith("move them back")
    with pytest.raises(ConfigError, match="moves what it has read to"):
        workshop.run("x", full_refresh=True)


@pytest.mark.parametrize("archive", ["landing/orders", "landing", "landing/orders/done", "../done"])
def test_an_archive_is_where_nothing_is_read_again(workshop, archive) -> None:
    workshop.job("x", JOB.format(said=f"archive_to: {archive}"))
    with pytest.raises(ConfigError, match="sources.orders.archive_to"):
        prepare("x", root=workshop.project, params={"landing": "landing"})
    workshop.job("x", JOB.format(said="archive_to: landing/orders/_done"))
    assert prepare("x", root=workshop.project).folders["orders.archive_to"].endswith("landing/orders/_done")
