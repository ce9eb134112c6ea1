"""What a file holds cannot keep this machine busy for long or take all of its memory, and nothing is read by half."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import pytest

from lakehouse.errors import StorageDeniedError
from lakehouse.lake.storage import check_access
from lakehouse.read import json_values, xml
from lakehouse.read.csv import _head
from lakehouse.read.folders import outer
from lakehouse.read.json_values import values
from lakehouse.read.packed import check_lines, chunks, encoding_of, measure
from lakehouse.read.plain import _usable, _without_lines, _workbook
from lakehouse.read.scan import Unreadable
from lakehouse.spec.files import CsvOptions, FilesSource, XmlOptions
from lakehouse.spec.limits import FileLimits

ROWS = XmlOptions(row_tag="o")


def test_lines_before_the_header_are_left_out_however_they_end_and_wherever_the_text_is_cut() -> None:
    text = "a\r\nb\rc\nid\r\n1\n"
    for size in range(1, len(text) + 1):
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        assert "".join(_without_lines(iter(parts), 3, None)) == "id\r\n1\n"
    assert "".join(_without_lines(iter(["a|", "|b||id"]), 2, "||")) == "id"


def test_lines_that_are_not_there_are_looked_for_once_and_not_without_end() -> None:
    assert "".join(_without_lines(iter(["x\n" * 39]), 40, None)) == ""
    with pytest.raises(Unreadable, match="first 2 lines have more than") as raised:
        list(_without_lines(iter(["x" * (5 << 20), "\n\nid\n1\n"]), 2, None))
    assert raised.value.code == "FILE_HEADER"
    # where they are found, it is all the same how long the rest of what was read is
    assert sum(map(len, _without_lines(iter(["a\n" + "x" * (5 << 20)]), 1, None))) == 5 << 20


def test_a_header_is_no_other_encoding_for_being_cut_within_a_character(tmp_path: Path) -> None:
    path, options = tmp_path / "a.csv", CsvOptions(line_separator="\x1e")
    path.write_bytes(b"id\x1e" + "é".encode() * (3 << 20))
    assert _head(str(path), options).startswith("id\x1eé")
    path.write_bytes(b"id\x1e\xc3")
    with pytest.raises(UnicodeDecodeError):
        _head(str(path), options)


def test_a_value_of_json_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "_LONGEST", 20)
    text = b'[{"a": 1}, {"a": 2}, {"a": 3}]'
    assert len(list(values(text))) == 3
    assert len(list(values(b'{"a": 1} {"a": 2} {"a": 3}'))) == 3
    for long in (b'[{"a": "0123456789012345"}]', b'["01234567890123456789"]', b'{"a": [1,2,3,4,5,6,7,8,9]}'):
        with pytest.raises(Unreadable, match="a value has more than 20 bytes"):
            list(values(long))
    monkeypatch.undo()
    with pytest.raises(Unreadable, match="levels"):
        list(values(b"[" * 200_000))


def test_a_record_of_xml_is_bounded_and_a_file_is_not(tmp_path: Path) -> None:
    limits = FileLimits(record_bytes=2 << 20)
    path = tmp_path / "a.xml"
    row = b"<o><n>" + b"x" * 1000 + b"</n></o>"
    path.write_bytes(b"<r>" + b"y" * (5 << 20) + row * 5000 + b"</r>")
    assert sum(1 for _ in xml.objects(str(path), "utf-8", ROWS, limits)) == 5000
    for text in (b"<n>" + b"x" * (4 << 20), b"<n/>" * (1 << 20), b'<n k="' + b"x" * (4 << 20)):
        path.write_bytes(b"<r><o>" + text)
        with pytest.raises(Unreadable, match="a record has more than"):
            list(xml.objects(str(path), "utf-8", ROWS, limits))


def test_a_workbook_is_unpacked_no_further_than_it_is_read(tmp_path: Path) -> None:
    limits = FileLimits(workbook_bytes=1 << 20)
    path = tmp_path / "a.xlsx.gz"
    path.write_bytes(gzip.compress(bytes(3 << 20)))
    with pytest.raises(Unreadable, match="unpacks to more than 1,048,576 bytes"):
        list(_workbook(str(path), FilesSource(kind="files", path="x", limits=limits)))


def test_a_zip_is_bounded_as_a_whole() -> None:
    members = [zipfile.ZipInfo(name) for name in ("a.csv", "b.csv")]
    for member in members:
        member.file_size = 50
    _usable(members, 100)
    members[0].file_size = 51
    with pytest.raises(Unreadable, match="unpacks to 101 bytes"):
        _usable(members, 100)


def test_the_name_of_a_file_in_a_zip_may_hold_a_line_break() -> None:
    assert outer("/x/a.ZIP!/b\nc.csv") == "/x/a.ZIP"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else")
def test_a_file_that_may_not_be_read_is_no_bad_file(tmp_path: Path) -> None:
    """As an entry in quarantine it would be done with, and never be read again."""
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"id\n1\n"))
    os.seteuid(65534)
    try:
        for act in (
            lambda: list(chunks(str(path))),
            lambda: encoding_of(str(path), "UTF-8"),
            lambda: check_access(str(path)),
        ):
            with pytest.raises(StorageDeniedError, match="Permission denied"):
                act()
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(("separator", "end"), [(None, b"\n"), (None, b"\r\n"), (None, b"\r"), ("||", b"||")])
def test_a_line_that_is_longer_than_a_record_may_be_is_found_wherever_it_is(
    tmp_path: Path, separator: str | None, end: bytes
) -> None:
    limits = FileLimits(record_bytes=1000)
    for before in (0, 1, 37, 499, 500, 1001, 5000):
        for length in (0, 499, 500, 998, 1000, 1001, 1500, 90_000):
            lines = [b"x" * 200] * (before // 200) + [b"y" * (before % 200), b"z" * length, b"", b"x" * 900]
            plain, packed = tmp_path / "a.csv", tmp_path / "a.csv.gz"
            plain.write_bytes(end.join(lines))
            packed.write_bytes(gzip.compress(plain.read_bytes()))
            for look, path in ((check_lines, plain), (measure, packed)):
                if length > 1000:
                    with pytest.raises(Unreadable, match="a line of more than 1,000 bytes") as raised:
                        look(str(path), limits, separator)
                    assert raised.value.code == "FILE_LIMIT"
                else:
                    look(str(path), limits, separator)
