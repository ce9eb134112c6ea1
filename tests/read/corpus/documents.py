"""XML, workbooks, lines of one length and plain text."""

from __future__ import annotations

import gzip
import io
import re
import struct
import zipfile
from typing import Any

import openpyxl

from tests.read.corpus.case import Case, zipped

BROKEN = "FILE_UNREADABLE"


def of_xml() -> list[Case]:
    bomb = '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + level)} "{f"&{chr(97 + level)};" * 10}">' for level in range(9)
    )
    latin = '<?xml version="1.0" encoding="ISO-8859-1"?><r><o><n>é</n></o></r>'.encode("latin-1")
    two = b"<r><o><n>a</n></o><o><n>b</n></o></r>"
    return [
        Case("two.xml", two, 2, n=["a", "b"]),
        Case("attribute.xml", b'<r><o id="1"><n> x </n></o></r>', 1, n=[" x "]),
        Case("parts.xml", b'<r><o><n k="v"><d>1</d><d>2</d></n></o></r>', 1, n=['{"_k":"v","d":["1","2"]}']),
        Case("name twice.xml", b"<r><o><n>1</n><n>2</n></o></r>", 1, n=['["1","2"]']),
        Case("row is the root.xml", b"<o><n>a</n></o>", 1, n=["a"]),
        Case("row in a row.xml", b"<r><o><n>a</n><o><n>b</n></o></o></r>", 1, n=["a"]),
        Case("cdata.xml", b"<r><o><n><![CDATA[<o><n>b</n></o>]]></n></o></r>", 1, n=["<o><n>b</n></o>"]),
        Case("commented.xml", b"<r><!-- <o><n>b</n></o> --><o><n>a</n></o></r>", 1, n=["a"]),
        Case("prefix.xml", b'<r xmlns:x="u"><x:o><n>b</n></x:o><o><n>a</n></o></r>', 1, n=["a"]),
        Case("no row.xml", b"<r><p>1</p></r>"),
        Case("references.xml", b"<r><o><n>&lt;&#233;&amp;</n></o></r>", 1, n=["<é&"]),
        Case("null.xml", b"<r><o><n>null</n></o></r>", 1, n=["null"]),
        Case("bom.xml", b"\xef\xbb\xbf" + two, 2),
        Case("latin1.xml", latin, 1, n=["é"]),
        Case("utf16.xml", '<?xml version="1.0" encoding="UTF-16"?><r><o><n>é</n></o></r>'.encode("utf-16"), 1, n=["é"]),
        Case("packed.xml.gz", gzip.compress(two), 2, alone="packed"),
        Case("cut in a record.xml", two[:-12], file=BROKEN),
        Case("cut between records.xml", two[:-4], file=BROKEN),
        Case("wrong end.xml", b"<r><o><n>a</n></o><o><n>b</m></o></r>", file=BROKEN),
        Case("two roots.xml", two + two, file=BROKEN),
        Case("no root.xml", b"hello", file=BROKEN),
        Case("csv.xml", b"id,n\n1,<o>\n", file=BROKEN),
        Case("unknown entity.xml", b"<r><o><n>&nope;</n></o></r>", file=BROKEN),
        Case("entity bomb.xml", (bomb + "]><r><o><n>&j;</n></o></r>").encode(), file=BROKEN),
        Case("external entity.xml", b'<!DOCTYPE r [<!ENTITY f SYSTEM "file:///etc/hostname">]><r><o><n>&f;</n></o></r>', file=BROKEN),
        Case("bare ampersand.xml", b"<r><o><n>a & b</n></o></r>", file=BROKEN),
        Case("attribute twice.xml", b'<r><o id="1" id="2"/></r>', file=BROKEN),
        Case("nul.xml", b"<r><o><n>a\0b</n></o></r>", file=BROKEN),
        Case("not its encoding.xml", b'<?xml version="1.0" encoding="UTF-8"?><r><o><n>\xe9</n></o></r>', file="FILE_ENCODING"),
        Case("unknown encoding.xml", b'<?xml version="1.0" encoding="klingon"?><r><o><n>a</n></o></r>', file="FILE_ENCODING"),
        Case("reserved.xml", b'<r><o source="1"/><o/></r>', 1, {"RESERVED_NAME": 1}),
        Case("names but for case.xml", b"<r><o><n>a</n><N>b</N></o><o><n>c</n></o></r>", 1, {"DUPLICATE_JSON_KEY": 1}, n=["c"]),
        Case("mixed.xml", b"<r><o>t<n>a</n></o><o> u </o></r>", 2, n=["a", None]),
        Case("entity.xml", b'<!DOCTYPE r [<!ENTITY x "y">]><r><o><n>&x;</n></o></r>', file=BROKEN, alone="the other reader lets a file define its own"),
        Case("skipped entity.xml", b'<!DOCTYPE r SYSTEM "x.dtd"><r><o><n>&x;</n></o></r>', file=BROKEN),
        Case("entity of another file.xml", b'<!DOCTYPE r SYSTEM "x.dtd"><r><o n="x&y;z"/></r>', file=BROKEN, alone="the other reader leaves it out"),
        Case("declared elsewhere.xml", b'<!DOCTYPE r [%p;]><r><o n="x&y;z"/></r>', file=BROKEN, alone="the other reader leaves it out"),
        Case("default.xml", b'<!DOCTYPE r [<!ATTLIST o n CDATA "made up">]><r><o/></r>', file=BROKEN, alone="the other reader makes it up"),
        Case("declared.xml", b"<!DOCTYPE r [<!ELEMENT o ANY>]><r><o><n>a</n></o></r>", 1, n=["a"]),
        Case("deep beside.xml", b"<r><o/>" + b"<n>" * 5000 + b"</n>" * 5000 + b"</r>", file=BROKEN, alone="deeper than we go"),
        Case("no entity.xml", b"<!DOCTYPE r><r><o><n>a</n></o></r>", 1, n=["a"]),
        Case("deep.xml", b"<r><o>" + b"<n>" * 5000 + b"</n>" * 5000 + b"</o></r>", file=BROKEN, alone="deeper than we go"),
        Case("zero.xml", b"", file="FILE_EMPTY"),
    ]  # fmt: skip


def workbook(*rows: tuple[Any, ...], title: str = "Sheet") -> bytes:
    book = openpyxl.Workbook()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def rewritten(content: bytes, member: str, old: bytes, new: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found = [(name, archive.read(name)) for name in archive.namelist()]
    return zipped(*[(name, re.sub(old, new, data) if name == member else data) for name, data in found])


def _said_to_be_large() -> bytes:
    small = zipped(("xl/worksheets/sheet1.xml", bytes(1003)))
    return small.replace(struct.pack("<I", 1003), struct.pack("<I", 300 << 20))


def of_excel() -> list[Case]:
    import datetime as dt

    sheet = "xl/worksheets/sheet1.xml"
    good = workbook(("id", "n"), (1, "a"), (2, "b"))
    cells = (
        1.0,
        0.1,
        1e-7,
        123456789012345,
        True,
        dt.date(2026, 1, 2),
        dt.datetime(2026, 1, 2, 3, 4, 5),
        "1.0",
        "=",
        " x ",
    )
    texts = [
        "1",
        "0.1",
        "0.0000001",
        "123456789012345",
        "true",
        "2026-01-02",
        "2026-01-02 03:04:05",
        "1.0",
        "=",
        " x ",
    ]
    nothing = rewritten(workbook(("id", "n"), (1, '=""')), sheet, rb'<c r="B2">', b'<c r="B2" t="str">')
    computed = rewritten(workbook(("id", "n"), (1, "=1+1")), sheet, rb"<v ?/>|<v></v>", b"<v>2</v>")
    return [
        Case("good.xlsx", good, 2, n=["a", "b"]),
        Case("cells.xlsx", workbook(("id", "n"), *enumerate(cells)), 10, n=texts),
        Case("blank row.xlsx", workbook(("id", "n"), (1, "a"), (None, None), (2, "b")), 2),
        Case("cell without a name.xlsx", workbook(("id", "n"), (1, "a", "x")), 1),
        Case("wrong size.xlsx", rewritten(good, sheet, b'ref="A1:B3"', b'ref="A1"'), 2, n=["a", "b"]),
        Case("only header.xlsx", workbook(("id", "n"))),
        Case("error.xlsx", workbook(("id", "n"), (1, "#DIV/0!")), 1, n=["#DIV/0!"]),
        Case("computed.xlsx", computed, 1, n=["2"]),
        Case("computed to nothing.xlsx", nothing, 1, n=[None]),
        Case("cell of a taken name.xlsx", workbook(("id", "_c2"), (1, "a", "x")), file="FILE_HEADER", alone="our names"),
        Case("formula never computed.xlsx", workbook(("id", "n"), (1, "=1+1")), file=BROKEN, alone="the other reader makes nothing of it"),
        Case("name twice.xlsx", workbook(("id", "ID"), (1, 2)), file="FILE_HEADER", alone="our names"),
        Case("no row.xlsx", workbook(), file="FILE_HEADER", alone="our header"),
        Case("reserved.xlsx", workbook(("__raw",), (1,)), file=BROKEN, alone="reserved by us"),
        Case("cut.xlsx", good[:-100], file=BROKEN),
        Case("no zip.xlsx", b"id,n\n1,a\n", file=BROKEN),
        Case("old format.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), file=BROKEN),
        Case("a zip of another kind.xlsx", zipped(("a.csv", b"id\n1\n")), file=BROKEN),
        Case("sheet cut.xlsx", rewritten(good, sheet, b"</row></sheetData>", b""), file=BROKEN),
        Case("too large.xlsx", _said_to_be_large(), file="FILE_LIMIT"),
        Case("zero.xlsx", b"", file="FILE_EMPTY"),
    ]  # fmt: skip


def of_lines() -> list[Case]:
    """Of ``id`` (3), ``n`` (4) and one character that is of no column."""
    short = {"LINE_LENGTH": 1}
    return [
        Case("good.fixed", b"001a b x\n  2 b  x\r\n\n", 2, n=["a b", "b"]),
        Case("too short.fixed", b"001aaaa\n002bbbbx\n", 1, short, n=["bbbb"]),
        Case("too long.fixed", b"001aaaaxx\n002bbbbx\n", 1, short),
        Case("characters not bytes.fixed", "001é€😀ax\n".encode(), 1, n=["é€😀a"]),
        Case("blanks.fixed", b"        \n001aaaax\n", 2, n=[None, "aaaa"]),
        Case("tab.fixed", b"001\taaax\n", 1, n=["\taaa"]),
        Case("no end.fixed", b"001aaaax\n002bb", 1, short),
        Case("bom.fixed", b"\xef\xbb\xbf001aaaax\n", 1, n=["aaaa"]),
        Case("csv.fixed", b"id,n\n1,a\n", 0, {"LINE_LENGTH": 2}),
        Case("latin1.fixed", b"001\xe9aaax\n", file="FILE_ENCODING"),
    ]


def of_text() -> list[Case]:
    """In UTF-16LE, unless a mark says otherwise."""
    alone = "UTF-16"
    return [
        Case("lines.txt", "a\n\n b \r\né".encode("utf-16-le"), 4, alone=alone),
        Case("big endian.txt", "a\nb\n".encode("utf-16"), 2, alone=alone),
        Case("mark of utf8.txt", b"\xef\xbb\xbfa\nb\n", 2),
        Case("mark of utf8 and latin1.txt", b"\xef\xbb\xbfa\n\xe9\n", 1, {"RECORD_ENCODING": 1}),
        Case("odd bytes.txt", b"a\0b", file="FILE_ENCODING", alone=alone),
        Case("lone surrogate.txt", b"\x00\xd8a\0", file="FILE_ENCODING", alone=alone),
        Case("packed.txt.gz", gzip.compress("é\n".encode("utf-16-le")), 1, alone=alone),
    ]
