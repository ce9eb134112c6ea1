"""What a row becomes does not depend on what came beside it: a batch gives what its files give in other company."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lakehouse.check.contract import check
from lakehouse.lake.frame import as_text, col
from lakehouse.lake.storage import FileEntry, list_files
from lakehouse.read.files import read_files
from lakehouse.spec.contract import Contract
from lakehouse.spec.files import FilesSource

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CONTRACT = Contract.model_validate(
    {
        "unknown": "rescue",
        "columns": {
            "id": {"type": "bigint", "nullable": False, "aliases": ["nr"]},
            "amount": {"type": "decimal(10,3)", "decimal": ",", "thousands": "."},
            "at": {"type": "timestamp", "time_zone": "Europe/Berlin"},
            "n": {"type": "bigint", "null_values": ["0"], "notation": "number"},
            "ms": {"type": "timestamp", "formats": ["epoch_millis"]},
            "day": {"type": "date", "formats": ["dd.MM.yyyy"]},
            "ok": {"type": "boolean", "true_values": ["ja"], "false_values": ["nein"]},
            "note": "string",
            "inner": "struct<a:int,b:string>",
        },
        "rules": [{"name": "small", "check": "amount < 5000"}],
    }
)
TEXTS: dict[str, list[str]] = {
    "amount": ["1,5", "1.234", "1.234,567", "9.999,5", "x", ""],
    "at": ["2026-07-01T12:30:00", "2026-07-01T12:30:00Z", "2026-03-29 02:30:00", "never"],
    "n": ["0", "7.0", "7.5", "12"],
    "ms": ["1704110400000", "-1", "99999999999999999", "x"],
    "day": ["01.02.2026", "2026-02-01", "31.02.2026"],
    "ok": ["ja", "NEIN", "true", "1"],
    "note": ["1.0", "\u00e9", " a ", "true"],
    "other": ["1", "x"],
}
TYPED: dict[str, list[str]] = {
    "amount": ["cast(1.234 AS decimal(10,3))", "1234.5d", "1.2345bd", "7", "6000", "'1,5'"],
    "at": [
        "timestamp'2026-07-01 12:30:00Z'", "timestamp_ntz'2026-07-01 12:30:00'", "date'2026-07-01'", "1704110400000L",
        "'2026-07-01T12:30:00'",
    ],
    "n": ["0L", "0", "7.0d", "7.5d", "'0'", "true"],
    "ms": ["1704110400000L", "timestamp'2026-07-01 00:00:00Z'", "1.5d", "'1704110400000'", "92233720368547758L"],
    "day": ["date'2026-02-01'", "timestamp'2026-02-01 00:00:00Z'", "20260201", "'01.02.2026'"],
    "ok": ["true", "1", "'ja'", "0.0d"],
    "note": ["X'FF00'", "X'61'", "1.5d", "named_struct('a', 1)", "date'2026-02-01'", "' a '"],
    "inner": [
        "named_struct('a', 1, 'b', 'x')", "named_struct('b', 'x', 'a', 1)", "named_struct('a', 1, 'c', 2)",
        "named_struct('a', 'x')", "array(1)", "5",
    ],
    "other": ["1", "X'FF'", "'x'", "array(1)", "named_struct('q', 1.5d)"],
}  # fmt: skip


def made(spark: SparkSession, folder: Path, chance: random.Random, count: int) -> None:
    """Put files of formats, columns and types drawn by chance into a folder."""
    for number in range(count):
        form = chance.choice(["csv", "jsonl", "parquet", "parquet", "avro", "orc"])
        rows = range(chance.randint(1, 2))
        if form in ("csv", "jsonl"):
            chosen = chance.sample(sorted(TEXTS), 4)
            values = [{"id": str(100 * number + n), **{one: chance.choice(TEXTS[one]) for one in chosen}} for n in rows]
            lines = [json.dumps(row) for row in values]
            if form == "csv":
                lines = [";".join(values[0]), *(";".join(row.values()) for row in values)]
            (folder / f"f{number}.{form}").write_text("\n".join(lines))
        else:
            chosen = chance.sample(sorted(TYPED), 5)
            types = {one: chance.choice(TYPED[one]) for one in chosen}
            kind = chance.choice(["bigint", "int", "string"])
            name = chance.choice(["id", "ID", "nr"])
            listed = "".join(f", {sql} AS {one}" for one, sql in types.items())
            query = f"SELECT cast({100 * number} + id AS {kind}) AS {name}{listed} FROM range({len(rows)})"
            spark.sql(query).coalesce(1).write.format(form).save(str(folder / f"_made{number}"))
            part = next((folder / f"_made{number}").glob(f"part*.{form}"))
            part.rename(folder / f"f{number}.{form}")


def outcome(spark: SparkSession, files: Sequence[FileEntry], source: FilesSource) -> dict[str, Any]:
    """What becomes of each record: its values, or why it is put aside and as what; by its file and position."""
    checked = check(read_files(spark, files, source, run_id="r", now=NOW), source.contract)
    accepted = checked.accepted
    shown = [as_text(col(one.name), one.dataType).alias(one.name) for one in accepted.drop("_source").schema.fields]
    rows = accepted.select("_source.file", "_source.position", *shown).collect()
    found: dict[str, Any] = {f"{row.file}:{row.position}": row.asDict() for row in rows}
    for row in checked.rejected.collect():
        found[f"{row.source.file}:{row.source.position}"] = (as_received(row.record), row.reasons)
    return found


def as_received(record: str) -> Any:
    """A record, but for columns that only other files of its format have."""
    if not record.startswith("{"):
        return record
    return {key: value for key, value in json.loads(record).items() if value is not None}


@pytest.mark.parametrize("seed", range(2))
def test_a_batch_gives_what_its_files_give_wherever_it_is_cut(spark: SparkSession, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    made(spark, tmp_path, chance, 7)
    source = FilesSource(kind="files", path=str(tmp_path), csv={"delimiter": ";"}, contract=CONTRACT)
    files = list_files(spark, str(tmp_path), "*")
    cut = chance.randint(1, 3)
    apart = outcome(spark, files[:cut], source) | outcome(spark, files[cut:], source)
    assert outcome(spark, files, source) == apart
