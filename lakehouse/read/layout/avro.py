"""The schema and the blocks of an Avro file: how many records each has, and what it unpacks to.

https://avro.apache.org/docs/1.12.0/specification/#object-container-files
"""

from __future__ import annotations

import bz2
import json
import lzma
import zlib
from typing import TYPE_CHECKING, Any

import zstandard

from lakehouse.read.layout.layout import Layout, check_columns, check_records, contradict, exceed
from lakehouse.read.layout.protobuf import varint
from lakehouse.read.scan import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lakehouse.read.layout.content import Content
    from lakehouse.spec.limits import FileLimits

_MAGIC = b"Obj\x01"
_SYNC = 16
_HEAD = 1 << 20
_AHEAD = 1 << 16
_SMALL = 64 << 20
"""Bytes of a file whose blocks are all unpacked to see how large they are; of a larger one only the large blocks."""

_BLOCK = 1 << 16
"""Bytes of a packed block that may be any block: those of every writer have some 64 KiB before they are packed."""


def read_layout(content: Content, limits: FileLimits) -> Layout | None:
    """Read what the head and the blocks say, and check that they agree and stay within the limits.

    None where a part costs a request: the blocks are many, and Spark looks at their marks itself.

    Raises:
        Unreadable: they do not, or it is none.
    """
    meta, start = _read_head(content)
    try:
        schema = json.loads(meta.get("avro.schema", b""))
    except (ValueError, RecursionError) as error:
        message = f"its schema is no JSON: {type(error).__name__}"
        raise Unreadable(message) from None
    _Shape(limits).check(schema)
    if not content.near:
        return None
    return Layout(_count(content, start, meta.get("avro.codec", b"null").decode("utf-8", "replace"), limits))


def _read_head(content: Content) -> tuple[Mapping[str, bytes], int]:
    """Read the metadata, and where the first block begins."""
    size = min(content.size, _HEAD)
    data = content.part(0, size)
    if data[:4] != _MAGIC:
        message = "it is no Avro file: it does not begin as one"
        raise Unreadable(message)
    try:
        return _meta(data)
    except Unreadable:
        if size == content.size:
            raise
        # a schema of more than a mebibyte
        return _meta(content.part(0, content.size))


def _meta(data: bytes) -> tuple[Mapping[str, bytes], int]:
    found: dict[str, bytes] = {}
    count, at = _long(data, len(_MAGIC))
    while count:
        if count < 0:
            _, at = _long(data, at)
        for _ in range(abs(count)):
            key, at = _bytes(data, at)
            value, at = _bytes(data, at)
            found[key.decode("utf-8", "replace")] = value
        count, at = _long(data, at)
    if at + _SYNC > len(data):
        _cut()
    return found, at


def _long(data: bytes, at: int) -> tuple[int, int]:
    value, at = varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _long(data, at)
    if size < 0 or at + size > len(data):
        _cut()
    return data[at : at + size], at + size


def _cut() -> None:
    message = "it is cut"
    raise Unreadable(message)


def _count(content: Content, start: int, codec: str, limits: FileLimits) -> int:
    """Count the records that the blocks say."""
    sync, at, rows, unpacked = content.part(start, _SYNC), start + _SYNC, 0, 0
    most = limits.unpacked_of(content.size)
    while at < content.size:
        head = content.part(at, min(20, content.size - at))
        count, used = _long(head, 0)
        size, used = _long(head, used)
        at += used
        if count < 0 or size < 0 or at + size + _SYNC > content.size:
            message = f"a block says {count:,} records in {size:,} bytes, where there are none: the file is cut"
            raise Unreadable(message)
        if content.part(at + size, _SYNC) != sync:
            message = f"the block at {at:,} does not end with the file's mark"
            raise Unreadable(message)
        rows += count
        check_records(rows, content.size, limits)
        if codec != "null" and (content.size <= _SMALL or size > _BLOCK):
            unpacked += _unpacked_size(content.part(at, size), codec, most - unpacked)
            if unpacked > most:
                exceed("unpacked_bytes", f"its blocks unpack to more than {most:,} bytes")
        at += size + _SYNC
    return rows


def _unpacked_size(block: bytes, codec: str, most: int) -> int:
    """Tell what a block unpacks to, as far as it is allowed; nothing of it is kept.

    Raises:
        Unreadable: it cannot be unpacked.
    """
    if codec == "snappy":
        return varint(block, 0)[0] if block else 0
    makers: dict[str, Callable[[], Any]] = {
        "deflate": lambda: zlib.decompressobj(-15),
        "bzip2": bz2.BZ2Decompressor,
        "xz": lzma.LZMADecompressor,
    }
    try:
        if codec == "zstandard":
            return _size_of_zstd(block, most)
        return _size_of_stream(makers[codec](), block, most) if codec in makers else 0
    except (zlib.error, OSError, EOFError, lzma.LZMAError, zstandard.ZstdError, ValueError) as error:
        message = f"a block cannot be unpacked: {error}"
        raise Unreadable(message) from None


def _size_of_zstd(block: bytes, most: int) -> int:
    size = 0
    with zstandard.ZstdDecompressor().stream_reader(block) as reader:
        while size <= most and (chunk := reader.read(_AHEAD)):
            size += len(chunk)
    return size


def _size_of_stream(decoder: Any, block: bytes, most: int) -> int:
    size, rest = 0, block
    while size <= most and not decoder.eof:
        size += len(chunk := decoder.decompress(rest, _AHEAD))
        rest = getattr(decoder, "unconsumed_tail", b"")
        if not chunk and not rest:
            break
    return size


class _Shape:
    """How many fields a schema comes to: a type that is named again is all of its fields again."""

    def __init__(self, limits: FileLimits) -> None:
        self._limits = limits
        self._sizes: dict[str, tuple[int, bool]] = {}

    def check(self, schema: Any) -> None:
        """Check that there are not too many, and none that takes no byte where there may be any number of it.

        Raises:
            Unreadable: there are.
        """
        check_columns(self._walk(schema, 0)[0], self._limits)

    def _walk(self, schema: Any, depth: int) -> tuple[int, bool]:
        """How many fields, and whether a value may take no byte at all."""
        if depth > 2 * self._limits.depth:
            exceed("depth", f"it has fields within fields to a depth of more than {self._limits.depth:,}")
        if isinstance(schema, list):
            return sum(self._walk(one, depth + 1)[0] for one in schema), False
        if isinstance(schema, str):
            # of a type that is within itself Spark says so
            return self._sizes.get(schema.rpartition(".")[2], (0, schema == "null"))
        if not isinstance(schema, dict):
            return 0, False
        return self._named(schema, depth)

    def _named(self, schema: Mapping[str, Any], depth: int) -> tuple[int, bool]:
        kind = schema.get("type")
        if kind in ("array", "map"):
            count, is_nothing = self._walk(schema.get("items" if kind == "array" else "values"), depth + 1)
            if is_nothing and kind == "array":
                contradict("it has arrays of what takes no byte: of any length in no space")
            return count + 1, False
        if kind in ("record", "error"):
            fields = [one for one in schema.get("fields") or () if isinstance(one, dict)]
            parts = [self._walk(one.get("type"), depth + 1) for one in fields]
            found = sum(count for count, _ in parts) + len(fields), all(nothing for _, nothing in parts)
        elif kind == "fixed":
            self._check_size(schema.get("size"))
            found = 0, schema.get("size") == 0
        elif isinstance(kind, str):
            found = 0, kind == "null"
        else:
            found = self._walk(kind, depth + 1)
        check_columns(found[0], self._limits)
        if isinstance(name := schema.get("name"), str) and kind in ("record", "error", "fixed", "enum"):
            self._sizes[name.rpartition(".")[2]] = found
        return found

    def _check_size(self, size: Any) -> None:
        # room is made for it before there is a byte of it
        if isinstance(size, int) and size > (most := self._limits.record_bytes):
            exceed("record_bytes", f"it has values of {size:,} bytes each; at most {most:,} are read")
