"""Hostile text files end as records, quarantined records or quarantined files: all are accounted for, none ends the run."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import SparkSession

from lakehouse.lake.storage import list_files
from lakehouse.read.files import read_files
from lakehouse.spec.files import FilesSource
from tests.attacks.files_text import Expected, attacks

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def wrong_with(expected: Expected, codes: Counter[str | None], file: str | None) -> str:
    """What is wrong with what became of a file: of its records by code (None: a row), or of it as a whole."""
    if file:
        return "" if file in expected.file else f"the file is {file}"
    if not codes and expected.file and expected.records is None and expected.good is None and not expected.codes:
        return "the file is not set aside"
    strange = {code for code in codes if code} - expected.codes
    if strange:
        return f"records are {sorted(strange)}"
    if expected.records is not None and sum(codes.values()) != expected.records:
        return f"{sum(codes.values())} records"
    return "" if expected.good in (None, codes[None]) else f"{codes[None]} rows"


def test_every_record_of_a_hostile_file_is_accounted_for(spark: SparkSession, tmp_path: Path) -> None:
    hostile = list(attacks(20261130, 70))
    for name, content, _ in hostile:
        (tmp_path / name).write_bytes(content)
    source = FilesSource(kind="files", path=str(tmp_path))
    arrived = read_files(spark, list_files(spark, str(tmp_path), "*"), source, run_id="r", now=NOW)
    found: dict[str, Counter[str | None]] = {}
    for row in arrived.rows.groupBy("_source.file", "__code").count().collect():
        found.setdefault(Path(row["file"]).name, Counter())[row["__code"]] = row["count"]
    files = {Path(file.file).name: file.code for file in arrived.bad_files}
    told = {name: wrong_with(want, found.get(name, Counter()), files.get(name)) for name, _, want in hostile}
    assert {name: why for name, why in told.items() if why} == {}
