"""Footers taken apart and put together again: thrift's compact protocol and protocol buffers, as trees to lie in."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

Tree = list[list[Any]]
"""The fields of a struct: number, type and value; a struct's value is a tree again, a list's ``[type, items]``."""


def unsigned(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def signed(number: int) -> bytes:
    return unsigned((number << 1) ^ (number >> 63) if number >= 0 else ((-number) << 1) - 1)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def tree(self) -> Tree:
        found: Tree = []
        number = 0
        while head := self.take(1)[0]:
            step = head >> 4
            if step:
                number += step
            else:
                number = self.unsigned()
                number = (number >> 1) ^ -(number & 1)
            found.append([number, head & 15, self.value(head & 15)])
        return found

    def value(self, kind: int, *, item: bool = False) -> Any:
        if kind in (1, 2):
            return self.take(1) if item else kind == 1
        if kind in (4, 5, 6):
            number = self.unsigned()
            return (number >> 1) ^ -(number & 1)
        if kind == 8:
            return self.take(self.unsigned())
        if kind in (9, 10):
            head = self.take(1)[0]
            size = head >> 4 if head >> 4 != 15 else self.unsigned()
            return [head & 15, [self.value(head & 15, item=True) for _ in range(size)]]
        return self.tree() if kind == 12 else self.take({3: 1, 7: 8}[kind])


def thrift(tree: Tree) -> bytes:
    out, before = b"", 0
    for number, kind, value in tree:
        kind = (1 if value else 2) if kind in (1, 2) else kind
        step = number - before
        out += bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + signed(number)
        out += _thrift(kind, value)
        before = number
    return out + b"\0"


def _thrift(kind: int, value: Any) -> bytes:
    if kind in (1, 2):
        return value if isinstance(value, bytes) else b""
    if kind in (4, 5, 6):
        return signed(value)
    if kind == 8:
        return unsigned(len(value)) + value
    if kind in (9, 10):
        inner, items = value
        size = len(items)
        head = bytes([size << 4 | inner]) if size < 15 else bytes([0xF0 | inner]) + unsigned(size)
        return head + b"".join(_thrift(inner, item) for item in items)
    return thrift(value) if kind == 12 else value


def field(tree: Tree, number: int) -> list[Any]:
    """The field of that number, to be changed."""
    return next(found for found in tree if found[0] == number)


def parquet_with(content: bytes, change: Callable[[Tree], None]) -> bytes:
    """A Parquet file whose footer says something else."""
    (length,) = struct.unpack("<I", content[-8:-4])
    start = len(content) - 8 - length
    tree = _Reader(content[start:-8]).tree()
    change(tree)
    footer = thrift(tree)
    return content[:start] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def chunks_of(tree: Tree, group: int) -> list[Tree]:
    """The metadata of the column chunks of a row group."""
    return [field(chunk, 3)[2] for chunk in field(groups_of(tree)[group], 1)[2][1]]


def groups_of(tree: Tree) -> list[Tree]:
    return field(tree, 4)[2][1]


def longer_page_with(content: bytes, at: int, change: Callable[[Tree], None]) -> tuple[bytes, int]:
    """A file in which the head of the page at that place says something else, and how many bytes longer it is."""
    reader = _Reader(content)
    reader.at = at
    tree = reader.tree()
    change(tree)
    head = thrift(tree)
    return content[:at] + head + content[reader.at :], len(head) - (reader.at - at)


def page_with(content: bytes, at: int, change: Callable[[Tree], None]) -> bytes:
    """The same, where the head stays as long as it is."""
    made, grown = longer_page_with(content, at, change)
    assert grown == 0
    return made


Message = list[list[Any]]
"""The fields of a protocol buffer: number, wire type and value."""


def message(data: bytes) -> Message:
    reader, found = _Reader(data), []
    while reader.at < len(data):
        head = reader.unsigned()
        kind = head & 7
        value = reader.unsigned() if kind == 0 else reader.take(reader.unsigned() if kind == 2 else {1: 8, 5: 4}[kind])
        found.append([head >> 3, kind, value])
    return found


def protobuf(fields: Message) -> bytes:
    out = b""
    for number, kind, value in fields:
        out += unsigned(number << 3 | kind)
        out += unsigned(value) if kind == 0 else (unsigned(len(value)) if kind == 2 else b"") + value
    return out


def orc_with(content: bytes, footer: Callable[[Message], None], tail: Callable[[Message], None] | None = None) -> bytes:
    """An ORC file (not packed) whose footer or postscript says something else."""
    length = content[-1]
    postscript = message(content[-1 - length : -1])
    size = next(value for number, _, value in postscript if number == 1)
    start = len(content) - 1 - length - size
    fields = message(content[start : start + size])
    footer(fields)
    made = protobuf(fields)
    next(found for found in postscript if found[0] == 1)[2] = len(made)
    if tail:
        tail(postscript)
    last = protobuf(postscript)
    return content[:start] + made + last + bytes([len(last)])
