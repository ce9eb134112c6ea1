"""The attack corpora by name: each is played whole by ``scripts/soak --attacks``, and in part by the tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import SparkSession

from lakehouse.lake.storage import list_files
from lakehouse.read.files import read_files
from lakehouse.spec.files import FilesSource
from tests.attacks import configs, files_binary, files_text, names, sql

NOW = datetime(2026, 1, 2, tzinfo=UTC)

Found = tuple[dict[str, str], dict[str, Counter[str | None]]]
"""By file: the code of one that was refused as a whole; of the others how many records have each code (None: a row)."""


def read(spark: SparkSession, folder: Path, files: Iterable[tuple[str, bytes]]) -> Found:
    """Write files into a folder, and read them as one batch."""
    for name, content in files:
        (folder / name).write_bytes(content)
    source = FilesSource(kind="files", path=str(folder))
    arrived = read_files(spark, list_files(spark, str(folder), "*"), source, run_id="r", now=NOW)
    records: dict[str, Counter[str | None]] = {}
    for row in arrived.rows.groupBy("_source.file", "__code").count().collect():
        records.setdefault(Path(row["file"]).name, Counter())[row["__code"]] = row["count"]
    return {Path(file.file).name: file.code for file in arrived.bad_files}, records


def play_text_files(spark: SparkSession, folder: Path, seed: int, count: int = 400) -> list[str]:
    """Say which hostile text files did not end as they must."""
    attacks = list(files_text.attacks(seed, count))
    codes, records = read(spark, folder, [(name, content) for name, content, _ in attacks])
    faults = {name: fault_of_text(want, records.get(name, Counter()), codes.get(name)) for name, _, want in attacks}
    return [f"{name}: {fault}" for name, fault in faults.items() if fault]


def fault_of_text(expected: files_text.Expected, codes: Counter[str | None], file: str | None) -> str:
    """Say what is wrong with what became of a file; empty where nothing is."""
    if file:
        return "" if file in expected.file else f"the file is {file}"
    if not codes and expected.file and expected.records is None and expected.good is None and not expected.codes:
        return "the file is not in quarantine"
    strange = {code for code in codes if code} - expected.codes
    if strange:
        return f"records are {sorted(strange)}"
    if expected.records is not None and sum(codes.values()) != expected.records:
        return f"{sum(codes.values())} records"
    return "" if expected.good in (None, codes[None]) else f"{codes[None]} rows"


def play_damaged_files(spark: SparkSession, folder: Path, seed: int, count: int = 300) -> list[str]:
    """Say which damaged binary files lost rows without a word."""
    attacks = [files_binary.drawn(seed * 1000 + number) for number in range(count)]
    codes, records = read(spark, folder, [(attack.name, attack.content) for attack in attacks])
    rows = {name: found[None] for name, found in records.items()}
    if len(codes) <= count // 2:
        return [f"only {len(codes)} of {count} files are refused: the damage is none"]
    return [
        f"{attack.name}: {rows.get(attack.name, 0)} of {attack.rows} rows"
        for attack in attacks
        if attack.name not in codes and rows.get(attack.name, 0) != attack.rows
    ]


def play_bombs(spark: SparkSession, folder: Path, seed: int) -> list[str]:  # noqa: ARG001 -- they are always the same
    """Say which files that contradict themselves, or cost more than they are large, were read in part."""
    attacks = [attack for attack in files_binary.fixed() if attack.code]
    codes, records = read(spark, folder, [(attack.name, attack.content) for attack in attacks])
    wrong = {attack.name: codes.get(attack.name) for attack in attacks if codes.get(attack.name) != attack.code}
    return [f"{name}: {code}" for name, code in wrong.items()] + [f"{name}: was read" for name in records]


def play_sql(spark: SparkSession, folder: Path, seed: int, count: int = 100_000) -> list[str]:  # noqa: ARG001
    """Say which texts of SQL Spark reads as another tree than the one that was checked."""
    return [f"{text!r}: {why}" for text, why in sql.play(spark, count, seed).faults]


def play_configs(spark: SparkSession, folder: Path, seed: int) -> list[str]:  # noqa: ARG001 -- it needs no Spark
    """Say which hostile configurations, names and paths were neither a job nor an error with its place."""
    return configs.attack(folder, seed=seed)


ATTACKS: dict[str, Callable[[SparkSession, Path, int], list[str]]] = {
    "configurations, names and paths": play_configs,
    "SQL": play_sql,
    "names of files and columns": names.play,
    "text files": play_text_files,
    "damaged binary files": play_damaged_files,
    "binary files that contradict themselves": play_bombs,
}
"""Each returns one line for every attack that got through."""
