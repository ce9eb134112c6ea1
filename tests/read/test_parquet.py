"""Parquet files bring types of their own, which may differ between files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from pyarrow.parquet import encryption
from pyspark.sql import Row, SparkSession

from lakehouse.lake.storage import list_files
from lakehouse.read.files import columns_of_files
from lakehouse.read.layout.content import open_content
from lakehouse.read.layout.parquet import read_layout
from lakehouse.read.scan import Unreadable
from lakehouse.spec.files import FilesSource
from lakehouse.spec.limits import FileLimits
from tests.read.corpus.binary import a_parquet, an_orc

Read = Callable[..., Any]


@pytest.fixture
def parquet(spark: SparkSession, tmp_path: Path) -> Callable[[str], bytes]:
    """The bytes of a Parquet file that holds what a query gives."""

    def made(query: str) -> bytes:
        folder = tmp_path / f"made{len(list(tmp_path.iterdir()))}"
        spark.sql(query).coalesce(1).write.parquet(str(folder))
        return next(folder.glob("*.parquet")).read_bytes()

    return made


def test_files_are_matched_by_name_and_types_that_clash_become_text(
    read: Read, parquet: Callable[[str], bytes]
) -> None:
    found = read(
        {
            "a.parquet": parquet("SELECT id, id * 1.5 AS d, cast(id AS string) AS t FROM range(3)"),
            "b.parquet": parquet("SELECT 'x' AS t, 'seven' AS id"),
            "c.parquet": parquet("SELECT cast(1 AS int) AS ID, date'2024-01-02' AS day, named_struct('a b', 1) AS s"),
            "d.parquet": parquet("SELECT 5L AS id WHERE false"),
            "e.csv": "id,day\n1,x\n",
        }
    )
    assert (found.bad, found.files) == ({}, {})
    texts = {
        name: [{key.lower(): str(value) for key, value in row.items()} for row in rows]
        for name, rows in found.good.items()
    }
    assert texts == {
        "a.parquet": [{"id": str(n), "d": f"{n * 1.5}", "t": str(n)} for n in range(3)],
        "b.parquet": [{"id": "seven", "t": "x"}],
        "c.parquet": [{"id": "1", "day": "2024-01-02", "s": "Row(a b=1)"}],
        "e.csv": [{"id": "1", "day": "x"}],
    }


def test_a_reserved_name_makes_the_file_unreadable(read: Read, parquet: Callable[[str], bytes]) -> None:
    found = read({"a.parquet": parquet("SELECT 1 AS id, 2 AS __raw"), "b.parquet": parquet("SELECT 1 AS id")})
    assert found.files == {"a.parquet": "FILE_UNREADABLE"}
    assert "the column __raw is reserved" in found.messages["a.parquet"]
    assert found.good == {"b.parquet": [{"id": 1}]}


def test_nanoseconds_are_timestamps_wherever_they_stand_and_no_digit_is_lost(
    read: Read, spark: SparkSession, tmp_path: Path
) -> None:
    """pandas and pyarrow write nanoseconds; Spark has none, and refused the file."""
    moment, beyond = 1704067200123456000, 1704067200123456789
    ns, utc = pa.timestamp("ns"), pa.timestamp("ns", "UTC")
    table = pa.table(
        {
            "id": [1, 2, 3, 4, 5],
            "At": pa.array([moment, None, -1000, moment, beyond], ns),
            "u": pa.array([moment, None, 0, moment, moment], utc),
            "list": pa.array([[moment, None], [], None, [beyond], [moment]], pa.list_(utc)),
            "s": pa.array([{"a": 1, "t": moment}, {"a": 2, "t": None}, None, {"a": 3, "t": moment}, None], pa.struct([("a", pa.int32()), ("t", ns)])),
            "m": pa.array([[("k", moment)], [], None, [], []], pa.map_(pa.string(), utc)),
        }
    )  # fmt: skip
    micros = pa.table({"id": [6], "at": pa.array([moment // 1000], pa.timestamp("us"))})
    found = read(
        {"a.parquet": a_parquet(table), "b.parquet": a_parquet(micros), "c.parquet": a_parquet(table.slice(0, 1))}
    )
    assert found.files == {}
    at, aware = dt.datetime(2024, 1, 1, 0, 0, 0, 123456), dt.datetime(2024, 1, 1, 0, 0, 0, 123456)
    first = {"id": 1, "at": at, "u": aware, "list": [aware, None], "s": Row(a=1, t=at), "m": {"k": aware}}
    assert [_lower(row) for row in found.good["a.parquet"]] == [
        first,
        {"id": 2, "list": [], "s": Row(a=2, t=None), "m": {}},
        {"id": 3, "at": dt.datetime(1969, 12, 31, 23, 59, 59, 999999), "u": dt.datetime(1970, 1, 1)},
    ]
    assert [_lower(row) for row in found.good["b.parquet"] + found.good["c.parquet"]] == [{"id": 6, "at": at}, first]
    assert [code for code, _ in found.bad["a.parquet"]] == ["NANOSECONDS"] * 2
    assert f'"At":{beyond}' in found.bad["a.parquet"][1][1]
    told = columns_of_files(
        spark, list_files(spark, str(next(tmp_path.iterdir())), "a*"), FilesSource(kind="files", path="x")
    )
    assert {name: told[name] for name in ("At", "u", "s")} == {
        "At": "timestamp_ntz",
        "u": "timestamp",
        "s": "struct<a:int,t:timestamp_ntz>",
    }
    assert told.keys() == set(table.column_names)


def test_lists_of_every_kind_have_as_many_values_as_the_footer_says(read: Read) -> None:
    """Each is counted as Parquet does it, whoever wrote it: no good file is taken for one that contradicts itself."""
    point = pa.struct([("x", pa.int32()), ("tags", pa.list_(pa.string()))])
    table = pa.table(
        {
            "id": list(range(6)),
            "l": pa.array([[1, 2], [], None, [None], [3], [4, 5, 6]], pa.list_(pa.int64())),
            "ll": pa.array([[[1], []], [], None, [None, [2, 3]], [[4]], [[]]], pa.list_(pa.list_(pa.int32()))),
            "p": pa.array([{"x": 1, "tags": ["a", "b"]}, {"x": 2, "tags": []}, None, {"x": 3, "tags": None}, {"x": 4, "tags": [None]}, None], point),
            "lp": pa.array([[{"x": 1, "tags": ["a", "b"]}, None], [], None, [{"x": 3, "tags": None}], [], []], pa.list_(point)),
            "m": pa.array([[("a", [1, 2]), ("b", [])], [], None, [("c", None)], [("d", [3])], []], pa.map_(pa.string(), pa.list_(pa.int32()))),
        }
    )  # fmt: skip
    files = {f"{size}.parquet": a_parquet(table, row_group_size=size) for size in (1, 4, 6)}
    found = read({**files, "lacks.parquet": a_parquet(table.select(["id", "ll"])), "a.orc": an_orc(table)})
    assert (found.bad, found.files) == ({}, {})
    assert {name: len(rows) for name, rows in found.good.items()} == dict.fromkeys(
        [*files, "lacks.parquet", "a.orc"], 6
    )


def _lower(row: dict[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in row.items()}


def constant(rows: int, columns: int) -> bytes:
    same = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), ["x" * 200])
    return a_parquet(pa.table({f"c{number}": same for number in range(columns)}))


def plain(rows: int, **options: Any) -> bytes:
    lines = pa.table({"line": pa.repeat('GET /healthz HTTP/1.1" 200 2 "kube-probe/1.27" ' * 4, rows)})
    return a_parquet(lines, compression="zstd", use_dictionary=False, **options)


def rows_of(content: bytes, folder: Path) -> int | None:
    """How many rows the check of the file alone finds, None where it cannot look; no Spark."""
    (folder / "a.parquet").write_bytes(content)
    with open_content(SimpleNamespace(), str(folder / "a.parquet")) as found:  # type: ignore[arg-type]
        assert found
        layout = read_layout(found, FileLimits())
    return layout and layout.rows


ORDINARY = {
    "a constant": lambda: constant(5_000_000, 1),
    "30 constants": lambda: constant(1_000_000, 30),
    "lines of a health check": lambda: plain(500_000),
    "one page for all of them": lambda: plain(300_000, data_page_size=1 << 30, max_rows_per_page=1 << 30),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_a_small_file_of_many_rows_that_are_the_same_is_no_bomb(tmp_path: Path, name: str) -> None:
    content = ORDINARY[name]()
    assert len(content) < 1_000_000
    assert (rows_of(content, tmp_path) or 0) >= 300_000


def test_a_page_beyond_what_the_file_explains_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="a page of it unpacks to") as caught:
        rows_of(plain(500_000, data_page_size=1 << 30, max_rows_per_page=1 << 30), tmp_path)
    assert caught.value.code == "FILE_LIMIT"


class Keys(encryption.KmsClient):
    """Keeps keys as they are."""

    def wrap_key(self, key_bytes: bytes, *_: str) -> str:
        """Give the key as text."""
        return key_bytes.hex()

    def unwrap_key(self, wrapped_key: str, *_: str) -> bytes:
        """Give the key."""
        return bytes.fromhex(wrapped_key)


@pytest.mark.parametrize("plaintext_footer", [False, True])
def test_a_file_that_is_encrypted_is_not_looked_at(tmp_path: Path, plaintext_footer: bool) -> None:
    way = encryption.EncryptionConfiguration("f", column_keys={"k": ["n"]}, plaintext_footer=plaintext_footer)
    keys = encryption.CryptoFactory(lambda _: Keys()).file_encryption_properties(encryption.KmsConnectionConfig(), way)
    content = a_parquet(pa.table({"id": [1, 2], "n": ["a", "b"]}), encryption_properties=keys)
    assert content.endswith(b"PAR1" if plaintext_footer else b"PARE")
    assert rows_of(content, tmp_path) is None
