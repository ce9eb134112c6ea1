"""Hostile text files, made by a seed: CSV and JSON lines as a careless or ill-meaning supplier might send them."""

from __future__ import annotations

import codecs
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FILE = frozenset({"FILE_ENCODING", "FILE_HEADER", "FILE_UNREADABLE", "FILE_EMPTY"})
RECORD = frozenset({"FIELD_COUNT", "UNCLOSED_QUOTE", "LINE_BREAK", "RECORD_ENCODING", "MALFORMED_JSON"})
JSON = frozenset({"MALFORMED_JSON", "DUPLICATE_JSON_KEY", "RESERVED_NAME", "LONE_SURROGATE", "RECORD_ENCODING"})


@dataclass(frozen=True)
class Expected:
    """What must become of a file.

    ``records``: so many rows and quarantined records together; None where nobody can tell how many there are.
    ``good``: so many of them are rows. ``codes``: what may be said of a record. ``file``: what may be said of the file as
    a whole, which then has no record; empty where it must not be set aside.
    """

    records: int | None = None
    good: int | None = None
    codes: frozenset[str] = frozenset()
    file: frozenset[str] = frozenset()


Attack = tuple[str, bytes, Expected]

_WRONG = (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe9", b"\xf4\x90\x80\x80", b"\xc3")
_NAMES = (
    "id", "ID", "", " ", "_source", "__raw", "a`b", "a.b", "${env:HOME}", "${spark.app.name}", "x" * 300, "\t", "\x00", "\u202e",
    "a\'b", 'a"b', "--", "/*", "*/", "null", "\ufeff", "e\u0301", "\u0130", "select", "\\", "_c0", "\x1f", "\ue0fe",
)  # fmt: skip
_VALUES = (
    "", "1", "\x00", "\ufffd", "\ue0fe", "\ue0ff#1", "\x1f", "NaN", "1e999", "=1+1", "${env:HOME}", "a" * 10_000, "\\", "\'", "#",
    "\u2028", "\x85", "\x0b", "\x1a", "\U0001f600", " ", "NULL", "\u00a0", "0" * 400,
)  # fmt: skip


def wrong_bytes(chance: random.Random, number: int) -> Attack:
    """Rows of which some hold bytes that are no UTF-8; the header is whole."""
    count = chance.randint(1, 30)
    broken = set(chance.sample(range(count), chance.randint(0, count)))
    is_json = chance.random() < 0.5
    lines = []
    for row in range(count):
        byte = chance.choice(_WRONG) if row in broken else b"a"
        lines.append(b'{"id":%d,"n":"%s"}' % (row, byte) if is_json else b"%d,%s" % (row, byte))
    body = b"\n".join(lines if is_json else [b"id,n", *lines]) + b"\n" * chance.randint(0, 1)
    expected = Expected(count, count - len(broken), frozenset({"RECORD_ENCODING"}))
    if len(broken) * 2 > count:
        expected = Expected(file=frozenset({"FILE_ENCODING"}))
    return f"bytes{number}.{'jsonl' if is_json else 'csv'}", body, expected


def headers(chance: random.Random, number: int) -> Attack:
    """A header of names that mean something to somebody, and two rows."""
    names = [chance.choice(_NAMES) for _ in range(chance.randint(1, 6))]
    quoted = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in names]
    row = ",".join("1" for _ in names)
    return f"header{number}.csv", f"{','.join(quoted)}\n{row}\n{row}\n".encode(), Expected(2, 2, file=FILE)


def values(chance: random.Random, number: int) -> Attack:
    """Values that parsers trip over, each in quotes."""
    rows = [[chance.choice(_VALUES) for _ in range(3)] for _ in range(chance.randint(1, 8))]
    # three fields without a value and without quotes would be no line at all to some
    lines = [",".join(f'"{value}"' for value in row) for row in rows]
    return f"values{number}.csv", "\n".join(["a,b,c", *lines]).encode(), Expected(len(rows), len(rows))


def line_ends(chance: random.Random, number: int) -> Attack:
    """Line breaks of all kinds, in quotes and out of them: a record is never two, unless somebody is told."""
    ends = ("\n", "\r\n", "\r")
    text = "a,b" + chance.choice(ends)
    for row in range(chance.randint(1, 6)):
        value = f'"x{chance.choice(ends)}y"' if chance.random() < 0.3 else str(row)
        text += f"{row},{value}{chance.choice(ends)}"
    return f"ends{number}.csv", text.encode(), Expected(codes=RECORD)


def quotes(chance: random.Random, number: int) -> Attack:
    """Quotes where none belongs, and none where one does."""
    pieces = ('"', '""', ",", "a", "\n", "\r\n", "\\", '"x"', "1")
    body = "".join(chance.choice(pieces) for _ in range(chance.randint(5, 60)))
    return f"quotes{number}.csv", f"a,b\n{body}\n".encode(), Expected(codes=RECORD)


def objects(chance: random.Random, number: int) -> Attack:
    """Lines of JSON, some of them damaged."""
    lines, good = [], 0
    damages: tuple[Callable[[str], str], ...] = (
        lambda line: line[:-1],
        lambda line: line + line,
        lambda line: f"[{line}]",
        lambda line: line.replace(":", "=", 1),
        lambda line: line.replace('"', "'"),
        lambda line: line[:-1] + ', "ID": 1, "id": 2}',
        lambda line: line[:-1] + ', "__raw": 1}',
        lambda line: line[:-1] + ', "x": "\\ud800"}',
        lambda line: '{"a":' * 2000 + line,
    )
    for row in range(chance.randint(1, 12)):
        line = json.dumps({"id": row, chance.choice(("n", "N", "m")): chance.choice(_VALUES)})
        is_good = chance.random() < 0.6
        good += is_good
        lines.append(line if is_good else chance.choice(damages)(line))
    end = chance.choice(("\n", "\r\n", "\r"))
    return f"objects{number}.jsonl", end.join(lines).encode(), Expected(len(lines), good, JSON)


def encodings(chance: random.Random, number: int) -> Attack:
    """Texts of another encoding than is said, with a mark and without."""
    name = chance.choice(("utf-16-le", "utf-16-be", "utf-16", "utf-32", "cp500", "shift_jis", "utf-8-sig"))
    body = "id,n\n1,\u30c6\n2,\u30b9\n".encode(name, "replace")
    is_marked = name in ("utf-16", "utf-32", "utf-8-sig") or body.startswith(codecs.BOM_UTF8)
    return f"encoding{number}.csv", body, Expected(2, 2) if is_marked else Expected(file=FILE)


FAMILIES = (wrong_bytes, headers, values, line_ends, quotes, objects, encodings)


def attacks(seed: int, count: int) -> Iterator[Attack]:
    """Give so many files, each with its name, its bytes and what must become of it; the same for the same seed."""
    chance = random.Random(seed)
    for number in range(count):
        yield FAMILIES[number % len(FAMILIES)](chance, number)
