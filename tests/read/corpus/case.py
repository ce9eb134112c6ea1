"""One bad input, what must become of it, and what another reader makes of it."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

import fastavro
import openpyxl
import pyarrow as pa
from pyarrow import orc, parquet


@dataclass(frozen=True)
class Case:
    """A file, and what must become of it.

    ``accepted`` are the records that are good, ``bad`` the others by code, ``file`` the code where it is one entry as
    a file. ``name`` is the file's name; of a member of a zip, ``a.zip!/b.csv`` with ``content`` None but for the first.
    ``n``: what the good records hold in the column ``n``. ``alone``: why no other reader is asked.
    """

    name: str
    content: bytes | None
    accepted: int = 0
    bad: Mapping[str, int] = field(default_factory=dict)
    file: str | None = None
    n: list[str | None] | None = None
    alone: str = ""


def of_csv(content: bytes) -> int:
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    return sum(1 for row in rows if row) - 1


def of_json_lines(content: bytes) -> int:
    lines = [line for line in re.split(r"\r\n|\n|\r", content.decode("utf-8-sig")) if line.strip()]
    for line in lines:
        json.loads(line, parse_constant=_no_constant)
    return len(lines)


def _no_constant(text: str) -> None:
    raise ValueError(text)


def of_json_values(content: bytes) -> int:
    text, count, at = content.decode("utf-8-sig").strip(), 0, 0
    while at < len(text):
        value, at = json.JSONDecoder(strict=False).raw_decode(text, at)
        count += len(value) if isinstance(value, list) else 1
        at += len(text[at:]) - len(text[at:].lstrip())
    return count


def of_lines(content: bytes) -> int:
    return len([line for line in re.split(r"\r\n|\n|\r", content.decode("utf-8-sig")) if line])


def of_text(content: bytes) -> int:
    lines = re.split(r"\r\n|\n|\r", content.decode("utf-8-sig"))
    return len(lines) - (not lines[-1])


def of_xml(content: bytes) -> int:
    root = ET.fromstring(content)  # noqa: S314 -- our own bytes
    return (root.tag == "o") or len(
        [row for row in root.iter("o") if row not in [x for y in root.iter("o") for x in y.iter("o") if x is not y]]
    )


def of_excel(content: bytes) -> int:
    sheet = openpyxl.load_workbook(io.BytesIO(content), data_only=True).worksheets[0]
    return sum(1 for row in sheet.iter_rows(values_only=True) if any(cell is not None for cell in row)) - 1


PEERS: dict[str, Callable[[bytes], int]] = {
    ".csv": of_csv,
    ".json": of_json_lines,
    ".jsons": of_json_values,
    ".xml": of_xml,
    ".xlsx": of_excel,
    ".fixed": of_lines,
    ".txt": of_text,
    ".parquet": lambda content: parquet.read_table(pa.BufferReader(content)).num_rows,
    ".orc": lambda content: orc.read_table(pa.BufferReader(content)).num_rows,
    ".avro": lambda content: sum(1 for _ in fastavro.reader(io.BytesIO(content))),
}
"""Another reader by the ending of a file: how many records it has; an exception where it is none."""


def zipped(*members: tuple[str, bytes], **options: object) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()
