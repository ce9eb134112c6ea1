"""Hostile binary files: each contradicts itself or is a bomb, and what must become of it.

``fixed()`` are made by hand, one for each kind; ``drawn(seed)`` are good files with one random wound.
"""

from __future__ import annotations

import bz2
import gzip
import io
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import fastavro
import pyarrow as pa
import zstandard
from pyarrow import orc, parquet

from tests.attacks.forms import (
    chunks_of,
    field,
    groups_of,
    longer_page_with,
    orc_with,
    page_with,
    parquet_with,
    signed,
    unsigned,
)
from tests.read.corpus.case import zipped
from tests.read.corpus.documents import rewritten, workbook

INCONSISTENT, LIMIT, BROKEN = "FILE_INCONSISTENT", "FILE_LIMIT", "FILE_UNREADABLE"


@dataclass(frozen=True)
class Attack:
    """A file, and the code that it must have as one; of a drawn one ``rows`` are what it has where it is read."""

    name: str
    content: bytes
    code: str | None = None
    rows: int | None = None


ROWS = 1000
TABLE = pa.table(
    {
        "id": list(range(ROWS)),
        "n": [f"n{number % 7}" for number in range(ROWS)],
        "list": [list(range(number % 3)) or None for number in range(ROWS)],
    }
)


def a_parquet(table: pa.Table = TABLE, **options: object) -> bytes:
    out = io.BytesIO()
    parquet.write_table(
        table, out, **{"row_group_size": 100, "use_dictionary": False, "compression": "none", **options}
    )
    return out.getvalue()


def an_orc(table: pa.Table = TABLE, **options: object) -> bytes:
    out = io.BytesIO()
    orc.write_table(table, out, **options)
    return out.getvalue()


def fixed() -> Iterator[Attack]:
    """One of each kind."""
    yield from of_parquet()
    yield from of_orc()
    yield from of_avro()
    yield from of_workbooks()
    yield from of_archives()


def of_parquet() -> Iterator[Attack]:
    good = a_parquet()

    def footer(name: str, change: Callable[..., None], code: str = INCONSISTENT) -> Attack:
        return Attack(f"{name}.parquet", parquet_with(good, change), code)

    def set_to(number: int, value: int) -> Callable[..., None]:
        return lambda tree: field(tree, number).__setitem__(2, value)

    yield footer("more rows in the footer", set_to(3, 10_000))
    yield footer("fewer rows in the footer", set_to(3, 100))
    yield footer("negative rows", set_to(3, -5), BROKEN)
    yield footer("a row group left out", lambda tree: groups_of(tree).pop())
    yield footer("a row group twice", lambda tree: groups_of(tree).append(groups_of(tree)[0]))
    yield footer("a row group in the place of another", lambda tree: groups_of(tree).__setitem__(1, groups_of(tree)[0]))
    yield footer("rows of a row group", lambda tree: field(groups_of(tree)[0], 3).__setitem__(2, 99))
    yield footer("values of a column", lambda tree: field(chunks_of(tree, 0)[0], 5).__setitem__(2, 99))
    yield footer("values of a list", lambda tree: field(chunks_of(tree, 0)[2], 5).__setitem__(2, 101))
    yield footer("a column left out", lambda tree: field(groups_of(tree)[3], 1)[2][1].pop())
    yield footer(
        "values of another column",
        lambda tree: field(chunks_of(tree, 0)[0], 9).__setitem__(2, field(chunks_of(tree, 1)[0], 9)[2]),
    )
    yield footer("values behind the end", lambda tree: field(chunks_of(tree, 9)[0], 9).__setitem__(2, 10**9))
    yield footer("values before the beginning", lambda tree: field(chunks_of(tree, 9)[0], 9).__setitem__(2, -9))
    yield footer(
        "values in another file", lambda tree: field(groups_of(tree)[0], 1)[2][1][0].insert(0, [1, 8, b"x.parquet"])
    )
    yield footer("a schema of more children", lambda tree: field(field(tree, 2)[2][1][0], 5).__setitem__(2, 9))
    yield footer("a schema of fewer children", lambda tree: field(field(tree, 2)[2][1][0], 5).__setitem__(2, 1))

    def everything(tree: list) -> None:
        field(tree, 3)[2] = 10**15
        for group in groups_of(tree)[1:]:
            field(group, 3)[2] = 0
        field(groups_of(tree)[0], 3)[2] = 10**15

    yield footer("as many rows as one likes", everything, LIMIT)
    (length,) = struct.unpack("<I", good[-8:-4])
    starts: list[int] = []
    parquet_with(
        good, lambda tree: starts.extend(field(one, 9)[2] for number in range(10) for one in chunks_of(tree, number))
    )
    yield Attack("the middle missing.parquet", good[: starts[15]] + good[-8 - length :], INCONSISTENT)
    yield Attack(
        "a page of more values.parquet",
        page_with(good, starts[0], lambda page: field(field(page, 5)[2], 1).__setitem__(2, 101)),
        INCONSISTENT,
    )
    yield Attack(
        "a page of fewer values.parquet",
        page_with(good, starts[0], lambda page: field(field(page, 5)[2], 1).__setitem__(2, 99)),
        INCONSISTENT,
    )
    one = a_parquet(pa.table({"id": [7] * 100}), compression="zstd")
    yield Attack("a page of two gigabytes.parquet", _with_a_page_of(one, 2**31 - 1), LIMIT)
    wide = pa.table({f"c{number}": [1] for number in range(10_001)})
    yield Attack("columns.parquet", a_parquet(wide), LIMIT)
    deep = pa.array([None], type=_nested(120))
    yield Attack("depth.parquet", a_parquet(pa.table({"d": deep})), LIMIT)
    # a long value again and again
    long = pa.table({"n": pa.DictionaryArray.from_arrays(pa.array([0] * 900_000, pa.int32()), ["x" * 100_000])})
    yield Attack(
        "long values.parquet", a_parquet(long, use_dictionary=True, compression="zstd", row_group_size=900_000), LIMIT
    )


def _with_a_page_of(content: bytes, size: int) -> bytes:
    at: list[int] = []
    parquet_with(content, lambda tree: at.append(field(chunks_of(tree, 0)[0], 9)[2]))
    made, grown = longer_page_with(content, at[0], lambda page: field(page, 2).__setitem__(2, size))
    return parquet_with(
        made, lambda tree: field(chunks_of(tree, 0)[0], 7).__setitem__(2, field(chunks_of(tree, 0)[0], 7)[2] + grown)
    )


def _nested(depth: int) -> pa.DataType:
    kind = pa.int32()
    for _ in range(depth):
        kind = pa.struct([("f", kind)])
    return kind


def of_orc() -> Iterator[Attack]:
    good = an_orc(TABLE, stripe_size=1)
    rows = 6

    def one(fields: list, number: int) -> list:
        return next(found for found in fields if found[0] == number)

    yield Attack(
        "more rows in the footer.orc",
        orc_with(good, lambda fields: one(fields, rows).__setitem__(2, 10_000)),
        INCONSISTENT,
    )
    yield Attack(
        "fewer rows in the footer.orc",
        orc_with(good, lambda fields: one(fields, rows).__setitem__(2, 10)),
        INCONSISTENT,
    )
    yield Attack("a stripe left out.orc", orc_with(good, lambda fields: fields.remove(one(fields, 3))), INCONSISTENT)
    yield Attack("a stripe twice.orc", orc_with(good, lambda fields: fields.insert(0, one(fields, 3))), INCONSISTENT)
    yield Attack(
        "rows without an end.orc", orc_with(good, lambda fields: one(fields, rows).__setitem__(2, 10**15)), LIMIT
    )
    yield Attack(
        "a block of gigabytes.orc",
        orc_with(good, lambda _: None, lambda tail: tail.append([3, 0, 2**40])),
        INCONSISTENT,
    )
    yield Attack("the middle missing.orc", good[:100] + good[2000:], INCONSISTENT)


def avro(schema: object, blocks: list[tuple[int, bytes]], codec: str = "null") -> bytes:
    """An Avro file of these blocks: how many records each says, and its bytes."""
    import json

    text, mark = json.dumps(schema).encode(), b"0123456789abcdef"
    meta = [(b"avro.schema", text), (b"avro.codec", codec.encode())]
    head = (
        b"Obj\x01"
        + signed(len(meta))
        + b"".join(signed(len(part)) + part for pair in meta for part in pair)
        + b"\0"
        + mark
    )
    return head + b"".join(signed(count) + signed(len(data)) + data + mark for count, data in blocks)


def of_avro() -> Iterator[Attack]:
    import zlib

    def deflated(data: bytes) -> bytes:
        packer = zlib.compressobj(9, wbits=-15)
        return packer.compress(data) + packer.flush()

    def record(*types: object) -> dict:
        return {
            "type": "record",
            "name": "r",
            "fields": [{"name": f"f{n}", "type": kind} for n, kind in enumerate(types)],
        }

    yield Attack("records of nothing.avro", avro(record("null"), [(10_000_000, b"")]), LIMIT)
    yield Attack(
        "lists of nothing.avro",
        avro(record({"type": "array", "items": "null"}), [(1, signed(2**30) + b"\0")]),
        INCONSISTENT,
    )
    for name, kind, length in (
        ("text", "string", 2**31 - 9),
        ("text", "string", 2**30),
        ("bytes", "bytes", 2**30),
        ("list", {"type": "array", "items": "long"}, 2**30),
        ("map", {"type": "map", "values": "long"}, 2**30),
        ("longs", {"type": "array", "items": "long"}, 2**40),
    ):
        yield Attack(f"a {name} of {length}.avro", avro(record("long", kind), [(1, signed(1) + signed(length))]), LIMIT)
    fixed_size = {"type": "fixed", "name": "f", "size": 2**30}
    yield Attack("a fixed of a gibibyte.avro", avro(record("long", fixed_size), [(1, b"\2ab")]), LIMIT)
    yield Attack(
        "a block of more bytes.avro", avro(record("string"), [(1, b"\2a")])[:-30] + signed(2**40) + b"x" * 20, BROKEN
    )
    yield Attack("negative records.avro", avro(record("string"), [(-1, b"\2a")]), BROKEN)
    yield Attack("columns.avro", avro(record(*["long"] * 20_000), []), LIMIT)
    doubled: object = "long"
    for level in range(30):
        doubled = {
            "type": "record",
            "name": f"t{level}",
            "fields": [{"name": "a", "type": doubled}, {"name": "b", "type": f"t{level - 1}" if level else "long"}],
        }
    yield Attack("columns that double.avro", avro(doubled, []), LIMIT)
    nested: object = "long"
    for _ in range(400):
        nested = {"type": "array", "items": nested}
    yield Attack("depth.avro", avro(record(nested), []), LIMIT)
    yield Attack("brackets.avro", avro("x", []).replace(b'\6"x"', signed(60_000) + b"[" * 60_000), BROKEN)
    text = signed(1 << 20) + b"x" * (1 << 20)
    yield Attack("deflated.avro", avro(record("string"), [(64, deflated(text * 64))], "deflate"), LIMIT)
    yield Attack("snappy.avro", avro(record("string"), [(1, unsigned(2**31) + b"x" * 9)], "snappy"), LIMIT)
    few = [(2, signed(1) + b"a"), (1, signed(1) + b"b")]
    yield Attack("more records than bytes.avro", avro(record("string"), few), BROKEN)
    yield Attack(
        "fewer records than bytes.avro", avro(record("string"), [(1, signed(1) + b"a" + signed(1) + b"b")]), BROKEN
    )


def of_workbooks() -> Iterator[Attack]:
    sheet, styles = "xl/worksheets/sheet1.xml", "xl/styles.xml"
    good = workbook(("id", "n"), (1, "a"), (2, "b"), (3, "c"))

    def changed(name: str, old: bytes, new: bytes, code: str = INCONSISTENT, part: str = sheet) -> Attack:
        content = rewritten(good, part, old, new)
        assert content != good
        return Attack(f"{name}.xlsx", content, code)

    yield changed("rows out of order", rb'<row r="4"', b'<row r="2"')
    yield changed("a row twice", rb'<row r="4"', b'<row r="3"')
    yield changed("row 0", rb'<row r="2"', b'<row r="0"')
    yield changed("a negative row", rb'<row r="4"', b'<row r="-4"')
    yield changed("a row of a fraction", rb'<row r="4"', b'<row r="4.5"')
    yield changed("a row without an end", rb'<row r="4"', b'<row r="1000000000000000"')
    yield changed("a row beyond", rb'<row r="4"', b'<row r="1048577"')
    yield changed("a cell twice", rb'r="B3"', b'r="A3"')
    yield changed("cells out of order", rb'<c r="A3"([^>]*)>(.*?)</c><c r="B3"', rb'<c r="B3"\1>\2</c><c r="A3"')
    yield changed("a cell of another row", rb'r="B3"', b'r="B9"')
    yield changed("a cell beyond", rb'r="B3"', b'r="XFE3"')
    yield changed("a cell of no place", rb'r="B3"', b'r="3B"')
    yield changed("two values", rb"<v>2</v>", b"<v>2</v><v>3</v>")
    yield changed("a text of no number", rb't="inlineStr"><is><t>a</t></is>', b't="s"><v>-1</v>')
    yield changed("a row of nobody", rb'<row r="4"(.*?)</row>', rb'<x:row xmlns:x="u" r="4"\1</x:row>')
    yield changed(
        "blank cells without an end",
        rb"</sheetData>",
        b"".join(b'<row r="%d"><c r="XFD%d"/></row>' % (n, n) for n in range(5, 2000)) + b"</sheetData>",
        LIMIT,
    )
    yield changed("styles", rb"<cellXfs[^>]*>", b"<cellXfs>" + b"<xf/>" * 2_000_000, LIMIT, styles)
    yield changed("elements", rb"</sheetData>", b"</sheetData>" + b"<x/>" * 3_000_000, LIMIT)
    yield changed("an entity", rb"<worksheet", b'<!DOCTYPE w [<!ENTITY x "y">]><worksheet')
    yield changed(
        "a style sheet of entities", rb"<styleSheet", b'<!DOCTYPE w [<!ENTITY x "y">]><styleSheet', INCONSISTENT, styles
    )
    yield Attack("two workbooks.xlsx", good + good, INCONSISTENT)
    yield Attack("something before it.xlsx", b"MZ" + bytes(100) + good, INCONSISTENT)
    yield Attack("zeros.xlsx", zipped(("xl/workbook.xml", bytes(40 << 20))), LIMIT)


def _with(content: bytes, part: str, data: bytes) -> bytes:
    """A zip with one more part, of a name that is there already."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        other = part.replace("1", "9")
        made = zipped((other, data), *[(name, archive.read(name)) for name in archive.namelist()])
    return made.replace(other.encode(), part.encode())


def of_archives() -> Iterator[Attack]:
    good, other = zipped(("a.csv", b"id,n\n1,a\n")), zipped(("b.csv", b"id,n\n2,b\n"))
    yield Attack("two zips.zip", good + other, INCONSISTENT)
    yield Attack("the same zip twice.zip", good + good, INCONSISTENT)
    yield Attack("something before it.zip", b"#!/bin/sh\n" + good, INCONSISTENT)
    yield Attack("something behind it.zip", good + b"x" * 10, INCONSISTENT)
    two = zipped(("a.csv", b"id,n\n1,a\n"), ("b.csv", b"id,n\n2,b\n"))
    at = two.rindex(b"PK\x01\x02")
    (size, start) = struct.unpack("<II", two[-10:-2])
    left = two[:at] + two[-22:-14] + struct.pack("<HHIIH", 1, 1, size // 2, start, 0)
    yield Attack("a file left out.zip", left, INCONSISTENT)
    yield Attack("another name.zip", good.replace(b"a.csv", b"z.csv", 1), INCONSISTENT)
    yield Attack("another size.zip", good[:22] + struct.pack("<I", 5) + good[26:], INCONSISTENT)
    yield Attack("many.zip", zipped(*[(f"{number}.csv", b"x") for number in range(10_001)]), LIMIT)
    yield Attack("zeros.zip", zipped(("a.csv", bytes(50 << 20))), LIMIT)
    yield Attack("zeros.csv.gz", gzip.compress(b"id,n\n" + bytes(50 << 20)), LIMIT)
    yield Attack("zeros.json.bz2", bz2.compress(b"x" * (50 << 20)), LIMIT)
    yield Attack("zeros.csv.zst", zstandard.ZstdCompressor().compress(b"x" * (50 << 20)), LIMIT)
    yield Attack("zeros.parquet.gz", gzip.compress(b"x" * (50 << 20)), LIMIT)


def drawn(seed: int) -> Attack:
    """A good file with one random wound: it is refused, or has all of its rows."""
    chance = random.Random(seed)
    name, content = chance.choice(_good())
    cut, at = chance.randrange(1, 400), chance.randrange(4, len(content))
    other = chance.randrange(4, len(content))
    wounded = chance.choice(
        [
            lambda: content[:at] + content[at + cut :],
            lambda: content[:at] + content[other : other + cut] + content[at:],
            lambda: content[:at] + bytes(cut) + content[at + cut :],
            lambda: content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :],
            lambda: content + content,
            lambda: content[:at] + content,
        ]
    )()
    return Attack(f"{seed} {name}", wounded, rows=ROWS)


def _good() -> list[tuple[str, bytes]]:
    out = io.BytesIO()
    fields = [{"name": "id", "type": "long"}, {"name": "n", "type": "string"}]
    rows = [{"id": number, "n": f"n{number}"} for number in range(ROWS)]
    fastavro.writer(
        out,
        {"type": "record", "name": "r", "fields": fields},
        rows,
        codec="deflate",
        sync_interval=1000,
        sync_marker=b"0123456789abcdef",
    )
    return [
        ("a.parquet", a_parquet(write_page_checksum=True)),
        ("b.parquet", a_parquet(use_dictionary=True, compression="zstd", write_page_checksum=True)),
        ("a.orc", an_orc(TABLE, stripe_size=1)),
        ("b.orc", an_orc(TABLE, compression="zlib")),
        ("a.avro", out.getvalue()),
    ]
