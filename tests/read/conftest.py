"""What the tests of the read share: files in a folder, and what became of their records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from lakehouse.lake.storage import list_files
from lakehouse.read.files import read_files
from lakehouse.spec.files import FilesSource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Found:
    """What a folder brought: the rows, per file (by its name) the good values and the bad records, and the bad files."""

    frame: DataFrame
    good: dict[str, list[dict[str, Any]]]
    bad: dict[str, list[tuple[str, str | None]]]
    files: dict[str, str]
    messages: dict[str, str]


@pytest.fixture
def read(spark: SparkSession, tmp_path: Path) -> Callable[..., Found]:
    """Put files into a new folder and read it: ``read({"a.csv": "id\\n1\\n"}, csv=...)``; NULL values are left out."""

    def run(files: dict[str, str | bytes], **options: Any) -> Found:
        folder = tmp_path / f"landing{len(list(tmp_path.iterdir()))}"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        source = FilesSource(kind="files", path=str(folder), **options)
        arrived = read_files(spark, list_files(spark, str(folder), "*"), source, run_id="r", now=NOW)
        good: dict[str, list[dict[str, Any]]] = {}
        bad: dict[str, list[tuple[str, str | None]]] = {}
        rows = sorted(arrived.rows.collect(), key=lambda row: (row["_source"].file, row["_source"].position))
        ordinals: dict[str, list[int]] = {}
        for row in rows:
            name = str(Path(row["_source"].file).relative_to(folder))
            ordinals.setdefault(name, []).append(row["_source"].position)
            if row["__code"]:
                bad.setdefault(name, []).append((row["__code"], row["__raw"]))
            else:
                assert row["__raw"] is row["__message"] is None
                values = {key: value for key, value in row.asDict().items() if not key.startswith("_") or key[1] == "c"}
                good.setdefault(name, []).append({key: value for key, value in values.items() if value is not None})
        # every record has its own ordinal, from 1 and without a gap
        assert all(found == list(range(1, len(found) + 1)) for found in ordinals.values())
        broken = {str(Path(file.file).relative_to(folder)): file for file in arrived.bad_files}
        assert len(broken) == len(arrived.bad_files)
        codes = {name: file.code for name, file in broken.items()}
        return Found(arrived.rows, good, bad, codes, {name: file.message for name, file in broken.items()})

    return run
