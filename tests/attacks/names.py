"""Hostile names of files and columns, end to end: rows arrive, or are put into quarantine under a code, never lost."""

from __future__ import annotations

import csv
import io
import json
import os
import random
from collections import Counter
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.lake.frame import col
from lakehouse.testing import LocalLake

ODD = (
    *("\n", "\r", "\t", "\x01", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u202e", "\u200f", "\ufeff", "\u00a0"),
    *('"', "'", "\\", "`", "``", "%", "%20", "%2F", "%0A", "${env:HOME}", "${spark.sql.x}", "$", "&", "|", ";", "<", ">"),
    *("-", "--", "-rf", "..x", "_", "~", "#", "?", "*", "[", "[a]", "]", "{", "{a,b}", "}", "^", "!", "@", "(", ")", "+"),
    *(":", "a:b", "file:", "C:\\", "T10:00:00", "=", "k=v", ",", " ", "  ", "con", "é", "e\u0301", "\U0001f600", "\U000e0001"),
    *("x" * 240, "é" * 120),
)  # fmt: skip
NAMES = tuple(
    name
    for name in dict.fromkeys(
        f"{before}{odd}{after}" for odd, (before, after) in product(ODD, product(("", "a"), ("", "z")))
    )
    if len(name.encode()) <= 250
)
"""Names of files, without their ending, and of columns."""

BYTES = (b"\xff.csv", b"a\xc3z.csv")
"""Names that are no text."""

CONF = """\
job: x
about: For an attack.
sources: {o: {kind: files, path: "${param:landing}/o"}}
write: {table: bronze.o, mode: append, column_mapping: name, evolve: add_columns}
"""


def play(spark: SparkSession, folder: Path, seed: int, count: int = len(NAMES)) -> list[str]:
    """Say which rows of hostile names are neither in the table nor in quarantine, or not under their names."""
    names = random.Random(seed).sample(NAMES, min(count, len(NAMES)))
    lake = _project(spark, folder)
    landing = lake.landing / "o"
    landing.mkdir(parents=True)
    files = {os.fsencode(f"{name}.csv"): number for number, name in enumerate(names)}
    files |= {name: len(NAMES) + number for number, name in enumerate(BYTES)}
    hidden = [name for name in files if name.startswith((b"_", b"."))]
    for name, number in files.items():
        (landing / os.fsdecode(name)).write_text(f"id\n{number}\n")
    columns = _columns(names)
    for form, content in _tables(columns).items():
        (landing / f"columns.{form}").write_bytes(content)
    lake.run("x")
    return [*_files_that_are_wrong(lake, files, hidden), *_columns_that_are_wrong(lake, columns)]


def _project(spark: SparkSession, folder: Path) -> LocalLake:
    (folder / "conf" / "env").mkdir(parents=True)
    (folder / "conf" / "env" / "local.yaml").write_text("lake: lake\nparams: {landing: landing}\n")
    (folder / "conf" / "x.yaml").write_text(CONF)
    return LocalLake(spark, folder / "lake", folder)


def _columns(names: list[str]) -> dict[str, str]:
    """A value for each column; of names that differ in case or blanks around them the first."""
    found: dict[str, str] = {}
    for number, name in enumerate(names):
        plain = name.strip().lower()
        if plain and plain not in (one.strip().lower() for one in found) and not name.startswith("__"):
            found[name] = f"v{number}"
    return found


def _tables(columns: dict[str, str]) -> dict[str, bytes]:
    """One row of these columns, in each format."""
    text, table = io.StringIO(), io.BytesIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(columns)
    writer.writerow(columns.values())
    pq.write_table(pa.table({name: [value] for name, value in columns.items()}), table)
    return {"csv": text.getvalue().encode(), "json": json.dumps(columns).encode() + b"\n", "parquet": table.getvalue()}


def _files_that_are_wrong(lake: LocalLake, files: dict[bytes, int], hidden: list[bytes]) -> list[str]:
    rows = lake.frame("bronze.o").where("id IS NOT NULL").select("id", "_source.file").collect()
    came = Counter(int(row.id) for row in rows)
    file_of = {int(row.id): os.fsencode(row.file.rpartition("/")[2]) for row in rows}
    aside: Counter[bytes] = Counter()
    if lake.version("quarantine.bronze_o") is not None:
        found = lake.frame("quarantine.bronze_o").where("code IS NOT NULL").select("source.file").collect()
        aside = Counter(os.fsencode(row.file.rpartition("/")[2]) for row in found)
    # of a name that is no text the bytes that are none are shown
    aside += Counter({name: aside[name.decode("utf-8", "backslashreplace").encode()] for name in BYTES})
    wrong = []
    for name, number in files.items():
        if name in hidden:
            if came[number]:
                wrong.append(f"file {name!r}: a hidden file was read")
        elif came[number] + aside[name] != 1:
            wrong.append(f"file {name!r}: {came[number]} rows, {aside[name]} in quarantine")
        elif came[number] and file_of[number] != name:
            wrong.append(f"file {name!r}: its row is said to be of {file_of[number]!r}")
    stored = sum(pq.read_metadata(path).num_rows for path in (lake.folder / "bronze" / "o").glob("**/*.parquet"))
    return (
        wrong
        if stored == len(rows) + 3
        else [*wrong, f"{stored} rows are stored, {len(rows)} of files and 3 of columns"]
    )


def _columns_that_are_wrong(lake: LocalLake, columns: dict[str, str]) -> list[str]:
    frame = lake.frame("bronze.o").where("id IS NULL")
    # blanks around a name of a header are none of it
    names = {name: name.strip() for name in columns}
    chosen = [F.coalesce(*(col(one) for one in {name, plain} if one in frame.columns)) for name, plain in names.items()]
    rows = {row[0].rpartition(".")[2]: row for row in frame.select("_source.file", *chosen).collect()}
    return [
        f"column {name!r} of {form}: {row[number]!r}"
        for form, row in rows.items()
        for number, (name, value) in enumerate(columns.items(), 1)
        if row[number] != value
    ] + [f"columns of {form}: no row" for form in ("csv", "json", "parquet") if form not in rows]
