"""The tail of an ORC file: its rows by stripe, and where their bytes are.

https://orc.apache.org/specification/ORCv1/ has the numbers of the fields.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import zstandard

from lakehouse.read.layout.codecs import unpack_lz4, unpack_snappy
from lakehouse.read.layout.layout import Layout, check_columns, check_records, contradict, exceed
from lakehouse.read.layout.protobuf import fields, number, numbers, one, parts
from lakehouse.read.scan import Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.read.layout.content import Content
    from lakehouse.read.layout.protobuf import Value
    from lakehouse.spec.limits import FileLimits

_MOST_FOOTER = 64 << 20
"""Bytes that a footer may unpack to."""

_MOST_BLOCK = 64 << 20
"""Bytes that are unpacked at once, which Java takes before it looks: ORC says 256 KiB where nobody says otherwise."""

_NONE, _ZLIB, _SNAPPY, _LZO, _LZ4, _ZSTD, _BROTLI = range(7)


def read_layout(content: Content, limits: FileLimits) -> Layout | None:
    """Read what the tail says, and check that it agrees with itself and with the length of the file.

    None where it is packed by LZO or Brotli, which are not unpacked here.

    Raises:
        Unreadable: it does not agree, it is none, or the file goes beyond a limit.
    """
    tail, length, size = _postscript(content)
    end = content.size - 1 - length - size
    if end < 0 or number(tail, 3) > _MOST_BLOCK:
        contradict(f"its tail says a footer of {size:,} bytes, and blocks of {number(tail, 3):,}")
    packed = content.part(end, size)
    kind = number(tail, 2)
    if kind in (_LZO, _BROTLI):
        return None
    footer = fields(packed if kind == _NONE else _unpack(packed, kind))
    rows, stripes = number(footer, 6), [fields(data) for data in parts(footer, 3)]
    check_records(rows, content.size, limits)
    _check_types(footer, limits)
    if (total := sum(number(stripe, 5) for stripe in stripes)) != rows:
        contradict(f"the footer says {rows:,} rows, and its stripes {total:,}")
    before = 0
    for stripe in sorted(stripes, key=lambda found: number(found, 1)):
        start = number(stripe, 1)
        if start < before or (before := start + sum(number(stripe, at) for at in (2, 3, 4))) > end:
            contradict("the footer says a stripe where there is none: the file is cut")
    return Layout(rows)


def _postscript(content: Content) -> tuple[Mapping[int, list[Value]], int, int]:
    length = content.part(content.size - 1, 1)[0] if content.size else 0
    tail = fields(content.part(content.size - 1 - length, length))
    if one(tail, 8000) != b"ORC" or not length:
        message = "it is no ORC file: it does not end as one"
        raise Unreadable(message)
    return tail, length, number(tail, 1)


def _check_types(footer: Mapping[int, list[Value]], limits: FileLimits) -> None:
    children = [numbers(fields(data), 2) for data in parts(footer, 4)]
    check_columns(len(children), limits)
    depths = [0] * len(children)
    for index, below in enumerate(children):
        for child in below:
            if not index < child < len(children):
                contradict("its types are no tree")
            depths[child] = depths[index] + 1
            if depths[child] > limits.depth:
                exceed("depth", f"it has fields within fields to a depth of more than {limits.depth:,}")


def _unpack(packed: bytes, kind: int) -> bytes:
    """Unpack a footer: chunks, each behind three bytes of its length and whether it is packed at all.

    Raises:
        Unreadable: it cannot be unpacked.
    """
    found, at = bytearray(), 0
    while at < len(packed):
        head = int.from_bytes(packed[at : at + 3], "little")
        chunk = packed[at + 3 : at + 3 + (head >> 1)]
        at += 3 + (head >> 1)
        try:
            found += chunk if head & 1 else _unpack_chunk(chunk, kind, _MOST_FOOTER - len(found))
        except (zlib.error, zstandard.ZstdError, IndexError, ValueError) as error:
            message = f"its footer cannot be unpacked: {error}"
            raise Unreadable(message) from None
    return bytes(found)


def _unpack_chunk(chunk: bytes, kind: int, most: int) -> bytes:
    if kind == _ZLIB:
        decoder = zlib.decompressobj(-15)
        found = decoder.decompress(chunk, most)
        if decoder.unconsumed_tail:
            exceed("unpacked_bytes", f"its footer unpacks to more than {_MOST_FOOTER:,} bytes")
        return found
    if kind == _ZSTD:
        with zstandard.ZstdDecompressor().stream_reader(chunk) as reader:
            return reader.read(most)
    if kind == _SNAPPY:
        return unpack_snappy(chunk, most)
    if kind == _LZ4:
        return unpack_lz4(chunk, most)
    message = f"it is packed in the unknown way {kind}"
    raise ValueError(message)
