"""Delimited text: what is broken in a record, in a header, in an encoding."""

from __future__ import annotations

from tests.read.corpus.case import Case

QUOTE, COUNT = {"UNCLOSED_QUOTE": 1}, {"FIELD_COUNT": 1}
OPEN = "Python takes what follows a quote for one field, as we do, yet we know that it was never closed"


def records() -> list[Case]:
    many = "".join(f"{number},v{number}\n" for number in range(1000))
    return [
        Case("too few.csv", b"id,n\n1\n2,b\n", 1, COUNT, n=["b"]),
        Case("too many.csv", b"id,n\n1,a,x\n2,b\n", 1, COUNT, n=["b"]),
        Case("trailing comma.csv", b"id,n\n1,a,\n2,b,\n", 0, {"FIELD_COUNT": 2}),
        Case("unclosed quote at the end.csv", b'id,n\n1,a\n2,"b\n', 1, QUOTE, alone="Python strict refuses the file"),
        Case("unclosed quote in the middle.csv", b'id,n\n1,a\n2,"b\n3,c\n', 1, QUOTE, alone=OPEN),
        Case("unclosed quote crlf.csv", b'id,n\r\n1,a\r\n2,"b\r\n3,c\r\n', 1, QUOTE, alone=OPEN),
        Case("text after quote.csv", b'id,n\n1,"a"x\n2,b\n', 2, n=['"a"x', "b"], alone="strict Python refuses it"),
        Case("quote inside.csv", b'id,n\n1,a"b\n2,5\'10"\n', 2, n=['a"b', "5'10\""]),
        Case("nul inside.csv", b"id,n\n1,a\0b\n2,b\n", 2, n=["a\0b", "b"]),
        Case("control characters.csv", b"id,n\n1,\x01\x02\x1b\n2,b\n", 2, n=["\x01\x02\x1b", "b"]),
        Case("formula.csv", b"id,n\n1,=cmd|'/c calc'!A0\n", 1, n=["=cmd|'/c calc'!A0"]),
        Case("only header.csv", b"id,n\n"),
        Case("only header no end.csv", b"id,n"),
        Case("no end.csv", b"id,n\n1,a", 1, n=["a"]),
        Case("blank lines.csv", b"\n\nid,n\n\n1,a\n\n\n2,b\n\n", 2, n=["a", "b"]),
        Case("line of blanks.csv", b"id,n\n   \n1,a\n", 1, COUNT),
        Case("all empty.csv", b"id,n\n,\n1,a\n", 2, n=[None, "a"]),
        Case("mixed line breaks.csv", b"id,n\r\n1,a\n2,b\r\n3,c\n", 3, n=["a", "b", "c"]),
        Case("cr.csv", b"id,n\r1,a\r2,b\r", 2, n=["a", "b"]),
        Case("unicode line breaks.csv", "id,n\n1,a\u2028b\u2029c\u0085d\x0be\x0cf\n".encode(), 1, n=["a\u2028b\u2029c\u0085d\x0be\x0cf"]),
        Case("repeated header.csv", b"id,n\n1,a\nid,n\n2,b\n", 3, n=["a", "n", "b"]),
        Case("trailer.csv", b"id,n\n1,a\nTOTAL 1\n", 1, COUNT),
        Case("semicolons.csv", b"id;n\n1;a\n", 1),
        Case("ctrl z.csv", b"id,n\n1,a\n\x1a", 1, COUNT),
        Case("1000 good 1 bad.csv", f"id,n\n{many}x\n".encode(), 1000, COUNT),
        Case("null bytes at the end.csv", b"id,n\n1,a\n" + bytes(512), 1, COUNT),
        Case("longest field.csv", b"id,n\n1," + b"x" * (10 << 20) + b"\n2,b\n", 2, n=[f"of {10 << 20}", "b"], alone="Python's fields have at most 128 KiB"),
        Case("too many fields.csv", b"id,n\n1,a\n" + b"," * 25_000 + b"\n", file="FILE_UNREADABLE", alone="more fields than the parser has room for"),
    ]  # fmt: skip


def headers() -> list[Case]:
    alone = "to Python a header is a record like any other"
    return [
        Case("name twice.csv", b"id,n,ID\n1,a,2\n", file="FILE_HEADER", alone=alone),
        Case("reserved name.csv", b"id,_source\n1,2\n", file="FILE_HEADER", alone=alone),
        Case("own name.csv", b"id,__raw\n1,2\n", file="FILE_HEADER", alone=alone),
        Case("blank.csv", b"\n\r\n\n", file="FILE_HEADER", alone=alone),
        Case("blanks.csv", b"   \n", alone="a header of one column without a name"),
        Case("header never closed.csv", b'"id,n\n1,a\n2,b\n', file="FILE_HEADER"),
        Case("too many columns.csv", (",".join(f"c{number}" for number in range(25_000)) + "\n").encode(), file="FILE_LIMIT", alone=alone),
        Case("zero.csv", b"", file="FILE_EMPTY"),
    ]  # fmt: skip


def encodings() -> list[Case]:
    text = "id,n\n1,é€\n"
    codec = "FILE_ENCODING"
    return [
        Case("utf8 bom.csv", text.encode("utf-8-sig"), 1, n=["é€"]),
        Case("utf16 le bom.csv", b"\xff\xfe" + text.encode("utf-16-le"), 1, n=["é€"], alone="UTF-16"),
        Case("utf16 be bom.csv", b"\xfe\xff" + text.encode("utf-16-be"), 1, n=["é€"], alone="UTF-16"),
        Case("utf32 bom.csv", text.encode("utf-32"), 1, n=["é€"], alone="UTF-32"),
        Case("utf16 le no bom.csv", text.encode("utf-16-le"), file=codec, alone="Python takes NUL for a character"),
        Case("utf16 be no bom.csv", text.encode("utf-16-be"), file=codec, alone="Python takes NUL for a character"),
        Case("utf16 half a character.csv", text.encode("utf-16") + b"x", file=codec),
        Case("utf16 lone surrogate.csv", b"\xff\xfe" + "id,n\n1,".encode("utf-16-le") + b"\x00\xd8x\x00", file=codec),
        Case("latin1.csv", "id,n\n1,é\n".encode("latin-1"), file=codec),
        Case("windows1252.csv", text.encode("cp1252"), file=codec),
        Case("latin1 header.csv", "id,né\n1,a\n".encode("latin-1"), file=codec),
        Case("latin1 late.csv", b"id,n\n" + b"1,a\n" * 5000 + b"2,\xe9\n", 5000, {"RECORD_ENCODING": 1}),
        Case("latin1 in half.csv", b'id,n\n1,"a\nb"\n2,\xe9\n\xe9,"c",3\n4,\xef\xbf\xbd\n', 2, {"RECORD_ENCODING": 2}),
        Case("shift jis.csv", "id,n\n1,テスト\n".encode("shift_jis"), file=codec),
        Case("cut in a character.csv", "id,n\n1,é".encode()[:-1], file=codec),
        Case("overlong.csv", b"id,n\n1,\xc0\xaf\n", file=codec),
        Case("surrogate in utf8.csv", b"id,n\n1,\xed\xa0\x80\n", file=codec),
        Case("beyond unicode.csv", b"id,n\n1,\xf4\x90\x80\x80\n", file=codec),
        Case("replacement character.csv", "id,n\n1,a\ufffd\n".encode(), 1, n=["a\ufffd"]),
        Case("noncharacters.csv", "id,n\n1,\uffff\ufdd0\n".encode(), 1, n=["\uffff\ufdd0"]),
        Case("jpeg.csv", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)), file=codec),
        Case("zip.csv", b"PK\x03\x04" + bytes(range(256)), file=codec),
    ]  # fmt: skip


def other_forms() -> list[Case]:
    """Without a header, behind a preamble, with comments: see the options of the batch."""
    alone = "Python knows no preamble"
    return [
        Case("a.csv", b"from: x\n\n# a,b,c\n1,a\n#2,b\n3,#c\n", 2, n=["a", "#c"], alone=alone),
        Case("crlf.csv", b'from: "x\r\n\r\n1,a\r\n#\r\n2,"b\r\n#c"\r\n', 2, n=["a", "b\r\n#c"], alone=alone),
        Case("no record.csv", b"from: x\n\n", alone=alone),
        Case("only comments.csv", b"from: x\n\n#1\n#2", alone=alone),
        Case("too short.csv", b"from: x\n", alone=alone),
        Case("too few.csv", b"from: x\n\n1\n2,b\n", 1, COUNT, alone=alone),
        Case("windows.csv", "from: x\n\n1,é€\n".encode("cp1252"), 1, n=["é€"], alone=alone),
        Case("no character.csv", b"from: x\n\n1,\x81\n", file="FILE_ENCODING", alone=alone),
        Case("bom goes first.csv", "from: x\n\n1,é€\n".encode("utf-8-sig"), 1, n=["é€"], alone=alone),
    ]  # fmt: skip


def unquoted() -> list[Case]:
    """No quotes, and records that end in ``||`` and a line break."""
    alone = "Python knows no such end of a record"
    return [
        Case("a.csv", b'id|n||\n1|"a||\n2|b\nc||\n3|\0d||\n', 3, n=['"a', "b\nc", "\0d"], alone=alone),
        Case("too few.csv", b"id|n||\n1||\n2|b||\n", 1, COUNT, alone=alone),
        Case("no end.csv", b"id|n||\n1|a", 1, n=["a"], alone=alone),
        Case("line breaks only.csv", b"id|n\n1|a\n", file="FILE_HEADER", alone=alone),
    ]


def separated() -> list[Case]:
    """Records that end in the character 0x1E."""
    alone = "Python knows no such end of a record"
    return [
        Case("a.csv", b'id,n\x1e1,"a\x1eb"\x1e2,c\nd\x1e\n', 2, n=["a\x1eb", "c\nd"], alone=alone),
        Case("unclosed.csv", b'id,n\x1e1,a\x1e2,"b\x1e3,c\x1e', 1, QUOTE, alone=alone),
        Case("too few.csv", b"id,n\x1e1\x1e2,b", 1, COUNT, alone=alone),
    ]


def wide() -> list[Case]:
    """Of 2,000 columns; 5,000 are read as well, and take six times as long."""
    names = ",".join(f"c{number}" for number in range(2000))
    row = ",".join(map(str, range(2000)))
    return [Case("wide.csv", f"{names}\n{row}\n{row},x\n{row}\n".encode(), 2, COUNT)]
