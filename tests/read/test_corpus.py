"""Every bad input ends as it must: in quarantine, record by record or as a file, and none is lost or made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from lakehouse.lake.storage import list_files
from lakehouse.read.files import read_files
from lakehouse.spec.files import CsvOptions, FilesSource, FixedWidthOptions, JsonOptions, XmlOptions
from tests.read.conftest import NOW
from tests.read.corpus import binary, csv_text, documents, json_text, packed
from tests.read.corpus.case import PEERS, Case


@dataclass
class Batch:
    """Cases that are read together, and how."""

    families: tuple[Callable[[], list[Case]], ...]
    options: dict[str, Any]
    peer: str = ""

    @cached_property
    def cases(self) -> list[Case]:
        return [case for family in self.families for case in family()]


PREAMBLE = CsvOptions(header=False, columns=("id", "n"), skip_lines=2, comment="#")
LINES = FixedWidthOptions(columns={"id": 3, "n": 4}, line_length=8)
BATCHES = {
    "delimited text": Batch((csv_text.records, csv_text.headers, csv_text.encodings), {}),
    "JSON lines": Batch((json_text.lines, json_text.records), {}),
    "JSON documents": Batch((json_text.documents,), {"json": JsonOptions(multiline=True)}, ".jsons"),
    "packed": Batch((packed.streams, packed.archives, packed.unknown), {}),
    "binary": Batch((binary.of_parquet, binary.of_avro, binary.of_orc), {}),
    "XML and workbooks": Batch((documents.of_xml, documents.of_excel), {"xml": XmlOptions(row_tag="o")}),
    "no header": Batch((csv_text.other_forms,), {"csv": PREAMBLE, "encoding": "windows-1252"}),
    "no quotes": Batch((csv_text.unquoted,), {"csv": CsvOptions(delimiter="|", quote="", line_separator="||\n", multiline=False)}),
    "separated": Batch((csv_text.separated,), {"csv": CsvOptions(line_separator="\x1e")}),
    "fixed width": Batch((documents.of_lines,), {"format": "fixed_width", "fixed_width": LINES}),
    "text": Batch((documents.of_text,), {"format": "text", "encoding": "UTF-16LE"}),
    "wide": Batch((csv_text.wide, json_text.wide), {}),
}  # fmt: skip


def test_there_are_enough_of_them() -> None:
    cases = [case for batch in BATCHES.values() for case in batch.cases]
    assert sum(1 for case in cases if case.bad or case.file) >= 150
    assert all(len(batch.cases) == len({case.name for case in batch.cases}) for batch in BATCHES.values())


@pytest.mark.parametrize("name", BATCHES)
def test_every_record_is_accepted_or_quarantined_and_no_file_harms_another(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    batch = BATCHES[name]
    cases = batch.cases
    for case in cases:
        if case.content is not None:
            (tmp_path / case.name).write_bytes(case.content)
    source = FilesSource(kind="files", path=str(tmp_path), **batch.options)
    arrived = read_files(spark, list_files(spark, str(tmp_path), "*"), source, run_id="r", now=NOW)
    rows = arrived.rows
    shown = F.col("n" if "n" in rows.columns else "value" if "value" in rows.columns else "c7").cast("string")
    kept = rows.select("_source.file", "_source.position", "__code", "__raw", _short(shown).alias("n"))
    wrong: dict[str, Any] = {}
    by_file: dict[str, list[Any]] = {}
    for row in kept.withColumn("__raw", F.length("__raw")).orderBy("file", "position").collect():
        by_file.setdefault(str(Path(row.file).relative_to(tmp_path)), []).append(row)
    broken = {str(Path(file.file).relative_to(tmp_path)): (file.code, file.message) for file in arrived.bad_files}
    for case in cases:
        found = by_file.pop(case.name, [])
        code, message = broken.pop(case.name, (None, ""))
        good = [row for row in found if row["__code"] is None]
        bad = dict(Counter(row["__code"] for row in found if row["__code"]))
        told = (len(good), bad, code, None if case.n is None else [row.n for row in good])
        if told != (case.accepted, dict(case.bad), case.file, case.n):
            wrong[case.name] = (*told, message)
        # a record that is broken is there as it was received, and each has its place
        elif [row.position for row in found] != list(range(1, len(found) + 1)) or any(
            bool(row["__code"]) == (row["__raw"] is None) for row in found
        ):
            wrong[case.name] = found
        elif problem := _peers_count(case, len(found), batch.peer):
            wrong[case.name] = problem
    assert (wrong, by_file, broken) == ({}, {}, {})


def _short(text: Column) -> Column:
    return F.when(F.length(text) > 5000, F.concat(F.lit("of "), F.length(text))).otherwise(text)


def _peers_count(case: Case, read: int, peer: str) -> str:
    """What another reader holds against it."""
    if case.content is None or case.alone or not case.content:
        return ""
    ending = PurePosixPath(case.name).suffix
    try:
        count = PEERS[peer or ending](case.content)
    except Exception as error:
        return "" if case.bad or case.file else f"another reader refuses it: {error!r}"
    return "" if count == read and not case.file else f"another reader has {count} records"
