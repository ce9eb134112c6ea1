"""Parquet files bring types of their own, which may differ between files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

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
