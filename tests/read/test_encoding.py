"""A record that is not UTF-8 is a matter of its own; a file is so where most of it is not."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from lakehouse.lake.batch import BYTES

Read = Callable[..., Any]

FILES: dict[str, str | bytes] = {
    "a.csv": b"id,n\n1,a\n2,\xff\n3,\xef\xbf\xbd\n4,\xc3\xa9\n",
    "count.csv": b"id,n\n1,a\n2,\xe9,x\n3,b\n",
    "late.csv.gz": gzip.compress(b"id,n\n" + b"1,a\n" * 3 + b"2,\xe9\n"),
    "latin.csv": b"id,n\n1,\xe9\n2,\xe8\n3,a\n",
    "latin header.csv": b"id,n\xe9\n1,a\n",
    "a.jsonl": b'{"id":1,"n":"\xff"}\n{"id": 2.50, "n":"\xef\xbf\xbd"}\n{"n":"x","id":3}\n',
    "latin.jsonl": b'{"id":"\xe9"}\n{"id":"\xe8"}\n{"id":3}\n',
}


@pytest.mark.parametrize("multiline", [True, False])
def test_a_record_that_does_not_decode_is_kept_with_its_bytes_and_the_others_go_in(read: Read, multiline: bool) -> None:
    found = read(FILES, csv={"multiline": multiline})
    good = {name: [row["id"] for row in rows] for name, rows in found.good.items()}
    assert good == {
        "a.csv": ["1", "3", "4"],
        "count.csv": ["1", "3"],
        "late.csv.gz": ["1"] * 3,
        "a.jsonl": ["2.50", "3"],
    }
    assert [row.get("n") for row in found.good["a.csv"]] == ["a", "\ufffd", "\u00e9"]
    assert found.files == dict.fromkeys(("latin.csv", "latin header.csv", "latin.jsonl"), "FILE_ENCODING")
    # the byte and its place
    assert found.messages["latin header.csv"] == "the header is not UTF-8: byte 5, 0xE9"
    assert "2 of 3 records are not UTF-8" in found.messages["latin.jsonl"]
    assert "byte 8, 0xE9, is not UTF-8" in found.messages["latin.jsonl"]
    rows = found.frame.where("__code IS NOT NULL").select("__raw", "__code", "__message", BYTES).collect()
    told = {(row["__raw"], row["__message"], bytes(row[BYTES] or b"")) for row in rows}
    assert {row["__code"] for row in rows} == {"RECORD_ENCODING"}
    of_csv = (
        {
            ('{"id":"2","n":"/w=="}', "n: byte 1, 0xFF, is not UTF-8", b""),
            ('{"id":"2","n":"6Q=="}', "n: byte 1, 0xE9, is not UTF-8", b""),
            ("2,\ufffd,x", "n: byte 1, 0xE9, is not UTF-8", b"2,\xe9,x"),
        }
        if multiline
        else {
            ("2,\ufffd", "byte 3, 0xFF, is not UTF-8", b"2,\xff"),
            ("2,\ufffd", "byte 3, 0xE9, is not UTF-8", b"2,\xe9"),
            ("2,\ufffd,x", "byte 3, 0xE9, is not UTF-8", b"2,\xe9,x"),
        }
    )
    of_json = {('{"id":1,"n":"\ufffd"}', "byte 14, 0xFF, is not UTF-8", b'{"id":1,"n":"\xff"}')}
    assert told == of_csv | of_json


def test_other_ways_of_text_keep_such_records_apart_too(read: Read) -> None:
    skipped = read({"a.csv": b"\xe9 made by x\nid,n\n1,a\n2,\xe9\n"}, csv={"skip_lines": 1})
    assert skipped.good == {"a.csv": [{"id": "1", "n": "a"}]}
    assert skipped.bad == {"a.csv": [("RECORD_ENCODING", '{"id":"2","n":"6Q=="}')]}
    documents = read({"a.json.gz": gzip.compress(b'[{"id":1},{"id":"\xff"}]')}, json={"multiline": True})
    assert (documents.good, documents.bad) == (
        {"a.json.gz": [{"id": "1"}]},
        {"a.json.gz": [("RECORD_ENCODING", '{"id":"\ufffd"}')]},
    )
    fixed = read({"a.txt": b"001a\n00\xe9b\n"}, format="fixed_width", fixed_width={"columns": {"id": 3, "n": 1}})
    assert fixed.bad == {"a.txt": [("RECORD_ENCODING", "00\ufffdb")]}
    assert fixed.good == {"a.txt": [{"id": "001", "n": "a"}]}
