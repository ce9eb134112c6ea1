"""Files that are packed: by gzip, bzip2, Zstandard or as a zip."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
import zlib

import zstandard

from tests.read.corpus.case import Case, zipped

LONG = b"id,n\n" + b"".join(b"%d,%d\n" % (number, number * 7919 % 104729) for number in range(20_000))
SMALL = b"id,n\n1,a\n"
ALONE = "what is packed is another case's matter"


def streams() -> list[Case]:
    frame = zstandard.ZstdCompressor(write_checksum=True).compress
    found = [
        Case("raw deflate.csv.gz", zlib.compress(SMALL), file="FILE_UNREADABLE", alone=ALONE),
        Case("gz twice.csv.gz", gzip.compress(gzip.compress(SMALL)), file="FILE_ENCODING", alone=ALONE),
        Case("wrong crc.csv.gz", gzip.compress(SMALL)[:-8] + b"12345678", file="FILE_UNREADABLE", alone=ALONE),
        Case("garbage after.csv.gz", gzip.compress(SMALL) + b"garbage", file="FILE_UNREADABLE", alone=ALONE),
        Case("two members.csv.gz", gzip.compress(SMALL) + gzip.compress(b"2,b\n"), 2, n=["a", "b"], alone=ALONE),
        Case("two streams.csv.bz2", bz2.compress(SMALL) + bz2.compress(b"2,b\n"), 2, n=["a", "b"], alone=ALONE),
        Case("two frames.csv.zst", frame(SMALL) + frame(b"2,b\n"), 2, n=["a", "b"], alone=ALONE),
        Case("latin1.csv.zst", frame("id,n\n1,é\n".encode("latin-1")), file="FILE_ENCODING", alone=ALONE),
        Case("utf16.csv.gz", gzip.compress("id,n\n1,é\n".encode("utf-16")), 1, n=["é"], alone=ALONE),
        Case("utf16.json.bz2", bz2.compress('{"id":1,"n":"é"}\n'.encode("utf-16")), 1, n=["é"], alone=ALONE),
        Case("nothing.csv.gz", gzip.compress(b""), file="FILE_HEADER", alone=ALONE),
    ]
    for ending, packed in {"gz": gzip.compress, "bz2": bz2.compress, "zst": frame}.items():
        flipped = bytearray(packed(LONG))
        flipped[len(flipped) // 2] ^= 0xFF
        found += [
            Case(f"good.csv.{ending}", packed(SMALL), 1, n=["a"], alone=ALONE),
            Case(f"good.json.{ending}", packed(b'{"id":1,"n":"a"}\n'), 1, n=["a"], alone=ALONE),
            Case(f"bad record.csv.{ending}", packed(SMALL + b"2\n"), 1, {"FIELD_COUNT": 1}, alone=ALONE),
            Case(f"cut.csv.{ending}", packed(LONG)[:-30], file="FILE_UNREADABLE", alone=ALONE),
            Case(f"cut to a head.json.{ending}", packed(LONG)[:6], file="FILE_UNREADABLE", alone=ALONE),
            Case(f"flipped.csv.{ending}", bytes(flipped), file="FILE_UNREADABLE", alone=ALONE),
            Case(f"not packed.csv.{ending}", SMALL, file="FILE_UNREADABLE", alone=ALONE),
            Case(f"zero.csv.{ending}", b"", file="FILE_EMPTY", alone=ALONE),
        ]
    return found


def archives() -> list[Case]:
    broken = bytearray(zipped(("a.csv", LONG), ("b.csv", SMALL)))
    broken[200] ^= 0xFF
    locked = bytearray(zipped(("a.csv", SMALL)))
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    future = bytearray(zipped(("a.csv", SMALL)))
    future[future.index(b"PK\x01\x02") + 6] = 99
    several = zipped(
        ("a.csv", SMALL), ("deep/b.csv", b"id,n\n1\n2,b\n"), ("c.json", b'{"id":1,"n":"c"}\n'), ("empty.csv", b""),
        ("notes.docx", b"x"), ("__MACOSX/a.csv", b"x"), (".hidden.csv", b"x"), ("d.csv.gz", gzip.compress(SMALL)),
        ("e.zip", zipped(("a.csv", SMALL))), ("../../f.csv", SMALL), ("utf16.csv", "id,n\n1,é\n".encode("utf-16")),
        ("latin.csv", b"id,n\n1,\xe9\n"),
    )  # fmt: skip
    return [
        Case("one.csv.zip", zipped(("one.csv", SMALL)), alone=ALONE),
        Case("one.csv.zip!/one.csv", None, 1, n=["a"]),
        Case("several.zip", several, alone=ALONE),
        Case("several.zip!/a.csv", None, 1, n=["a"]),
        Case("several.zip!/deep/b.csv", None, 1, {"FIELD_COUNT": 1}),
        Case("several.zip!/c.json", None, 1, n=["c"]),
        Case("several.zip!/empty.csv", None, file="FILE_EMPTY"),
        Case("several.zip!/notes.docx", None, file="FILE_FORMAT"),
        Case("several.zip!/d.csv.gz", None, 1, n=["a"]),
        Case("several.zip!/e.zip", None, file="FILE_FORMAT"),
        Case("several.zip!/../../f.csv", None, 1, n=["a"]),
        Case("several.zip!/utf16.csv", None, 1, n=["é"]),
        Case("several.zip!/latin.csv", None, file="FILE_ENCODING"),
        Case("broken member.zip", bytes(broken), alone=ALONE),
        Case("broken member.zip!/a.csv", None, file="FILE_UNREADABLE"),
        Case("broken member.zip!/b.csv", None, 1, n=["a"]),
        Case("locked.zip", bytes(locked), alone=ALONE),
        Case("locked.zip!/a.csv", None, file="FILE_UNREADABLE"),
        Case("cut.zip", zipped(("a.csv", LONG))[:-40], file="FILE_UNREADABLE", alone=ALONE),
        Case("not a.zip", SMALL, file="FILE_UNREADABLE", alone=ALONE),
        Case("no file.zip", zipped(), file="FILE_EMPTY", alone=ALONE),
        Case("only hidden.zip", zipped(("__MACOSX/a.csv", b"x")), file="FILE_EMPTY", alone=ALONE),
        Case("twice.zip", _twice(), file="FILE_INCONSISTENT", alone=ALONE),
        Case(
            "name of no text.zip",
            zipped(("é.csv", SMALL)).replace("é".encode(), b"\xff\xfe"),
            file="FILE_UNREADABLE",
            alone=ALONE,
        ),
        Case("of the future.zip", bytes(future), file="FILE_UNREADABLE", alone=ALONE),
        Case("lzma.zip", _lzma(), alone=ALONE),
        Case("lzma.zip!/a.csv", None, file="FILE_UNREADABLE"),
        Case("lzma.zip!/b.csv", None, 1, n=["a"]),
    ]


def _lzma() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.csv", LONG)
        archive.writestr("b.csv", SMALL)
    broken = bytearray(out.getvalue())
    # what says how it is packed
    broken[39] = 0xFF
    return bytes(broken)


def _twice() -> bytes:
    # one name as long as the other, so that it can be put in its place
    return zipped(("a.csv", SMALL), ("b.csv", SMALL)).replace(b"b.csv", b"a.csv")


def unknown() -> list[Case]:
    return [
        Case("notes.docx", b"dear", file="FILE_FORMAT", alone=ALONE),
        Case("no ending", b"x", file="FILE_FORMAT", alone=ALONE),
        Case("csv.7z", b"7z\xbc\xaf'\x1c", file="FILE_FORMAT", alone=ALONE),
        Case("a.csv.tmp", SMALL, file="FILE_FORMAT", alone=ALONE),
    ]
