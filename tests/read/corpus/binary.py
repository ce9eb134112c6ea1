"""Parquet, Avro and ORC: cut, flipped, of another kind, or with what nobody can make a table of."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pyarrow as pa
from pyarrow import orc, parquet

from tests.read.corpus.case import Case

BROKEN = "FILE_UNREADABLE"
CSV = b"id,n\n1,a\n"


def flipped(content: bytes, at: int, count: int = 1) -> bytes:
    return content[:at] + bytes(byte ^ 0xFF for byte in content[at : at + count]) + content[at + count :]


def a_parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    parquet.write_table(table, out, **options)
    return out.getvalue()


def an_orc(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    orc.write_table(table, out, **options)
    return out.getvalue()


def an_avro(rows: list[dict[str, Any]], *fields: dict[str, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    fastavro.writer(out, {"type": "record", "name": "r", "fields": list(fields)}, rows, **options)
    return out.getvalue()


TABLE = pa.table({"id": [str(number) for number in range(1000)], "n": [f"n{number % 7}" for number in range(1000)]})
ONE = pa.table({"id": ["1"], "n": ["a"]})


def of_parquet() -> list[Case]:
    good = a_parquet(TABLE, compression="none", use_dictionary=False, write_page_checksum=True, data_page_size=1000)
    zipped = a_parquet(TABLE, compression="zstd", row_group_size=100)
    unseen = "the other reader does not look at checksums"
    lower = pa.table([pa.array(["1"]), pa.array(["2"])], names=["id", "ID"])
    return [
        Case("good.parquet", a_parquet(ONE), 1, n=["a"]),
        Case("1000.parquet", good, 1000),
        Case("row groups.parquet", zipped, 1000),
        Case("no row.parquet", a_parquet(ONE.slice(0, 0))),
        Case("magic only.parquet", b"PAR1", file=BROKEN),
        Case("magic twice.parquet", b"PAR1PAR1", file=BROKEN),
        Case("no footer.parquet", good[:-20], file=BROKEN),
        Case("half.parquet", good[: len(good) // 2], file=BROKEN),
        Case("footer too long.parquet", good[:-8] + b"\xff\xff\xff\x7fPAR1", file=BROKEN),
        Case("footer negative.parquet", good[:-8] + b"\xff\xff\xff\xffPAR1", file=BROKEN),
        Case("footer empty.parquet", good[:-8] + b"\0\0\0\0PAR1", file=BROKEN),
        Case("footer flipped.parquet", flipped(good, len(good) - 400, 60), file=BROKEN),
        Case("encrypted.parquet", good[:-4] + b"PARE", file=BROKEN),
        Case("bytes after it.parquet", good + b"xxxx", file=BROKEN),
        Case("bytes before it gone.parquet", good[10:], file=BROKEN),
        Case("a bit of a page.parquet", flipped(good, 3000), file=BROKEN, alone=unseen),
        Case("a page of zeros.parquet", good[:3000] + bytes(1000) + good[4000:], file=BROKEN, alone=unseen),
        Case("a compressed page.parquet", flipped(zipped, len(zipped) // 3, 8), file=BROKEN, alone=unseen),
        Case("csv.parquet", CSV, file=BROKEN),
        Case("orc.parquet", an_orc(ONE), file=BROKEN),
        Case("names but for case.parquet", a_parquet(lower), file=BROKEN, alone="to other readers case makes a difference"),
        Case("reserved.parquet", a_parquet(pa.table({"__raw": ["1"]})), file=BROKEN, alone="reserved by us"),
        Case("time of day.parquet", a_parquet(pa.table({"at": pa.array([1], pa.time64("us"))})), file=BROKEN, alone="a type that Spark 4.1 has not"),
        Case("nanoseconds.parquet", a_parquet(pa.table({"at": pa.array([1, 1000], pa.timestamp("ns"))}), version="2.6"), 1, {"NANOSECONDS": 1}),
        Case("zero.parquet", b"", file="FILE_EMPTY"),
    ]  # fmt: skip


def of_avro() -> list[Case]:
    text = ({"name": "id", "type": "string"}, {"name": "n", "type": ["null", "string"]})
    rows = [{"id": str(number), "n": f"n{number % 7}"} for number in range(1000)]
    good = an_avro(rows, *text, sync_interval=1000, sync_marker=b"0123456789abcdef")
    one = [{"id": "1", "n": "a"}]
    other = an_avro([{"id": "1", "z": "b"}], text[0], {"name": "z", "type": "string"})
    return [
        Case("good.avro", an_avro(one, *text), 1, n=["a"]),
        Case("deflate.avro", an_avro(rows, *text, codec="deflate"), 1000),
        Case("other schema.avro", other, 1),
        Case("no row.avro", an_avro([], *text)),
        Case("magic only.avro", b"Obj\x01", file=BROKEN),
        Case("other magic.avro", b"Obj\x02" + good[4:], file=BROKEN, alone="the other reader does not look at it"),
        Case("csv.avro", CSV, file=BROKEN),
        Case("schema cut.avro", good[:60], file=BROKEN),
        Case("unknown type.avro", good.replace(b'"string"', b'"strong"'), file=BROKEN),
        Case("schema no json.avro", good.replace(b'{"type"', b'x"type"'), file=BROKEN),
        Case("unknown codec.avro", an_avro(one, *text, codec="deflate").replace(b"deflate", b"deflat3"), file=BROKEN),
        Case("no marker at the end.avro", good[:-1], file=BROKEN),
        Case("half.avro", good[: len(good) // 2], file=BROKEN),
        Case("other marker.avro", good[:-16] + bytes(16), file=BROKEN),
        Case("block flipped.avro", flipped(good, 5000, 40), file=BROKEN),
        Case("deflated block flipped.avro", flipped(an_avro(rows, *text, codec="deflate"), 800, 20), file=BROKEN),
        Case("recursive.avro", an_avro([], {"name": "n", "type": ["null", "r"]}), file=BROKEN, alone="a schema without an end is no table's"),
        Case("reserved.avro", an_avro([], {"name": "_source", "type": "string"}), file=BROKEN, alone="reserved by us"),
        Case("zero.avro", b"", file="FILE_EMPTY"),
    ]  # fmt: skip


def of_orc() -> list[Case]:
    good = an_orc(TABLE)
    zipped = an_orc(TABLE, compression="zlib")
    return [
        Case("good.orc", an_orc(ONE), 1, n=["a"]),
        Case("1000.orc", zipped, 1000),
        Case("no row.orc", an_orc(ONE.slice(0, 0))),
        Case("magic only.orc", b"ORC", file=BROKEN),
        Case("half.orc", good[: len(good) // 2], file=BROKEN),
        Case("no tail.orc", good[:-30], file=BROKEN),
        Case("tail flipped.orc", flipped(good, len(good) - 10, 5), file=BROKEN),
        Case("footer flipped.orc", flipped(good, len(good) - 60, 30), file=BROKEN),
        Case("length of the tail.orc", good[:-1] + b"\xff", file=BROKEN),
        Case("no length of the tail.orc", good[:-1] + b"\0", file=BROKEN),
        Case("stripe flipped.orc", flipped(zipped, 200, 20), file=BROKEN),
        Case("bytes after it.orc", good + b"xxxx", file=BROKEN),
        Case("csv.orc", CSV, file=BROKEN),
        Case("parquet.orc", a_parquet(ONE), file=BROKEN),
        Case("zero.orc", b"", file="FILE_EMPTY"),
    ]
