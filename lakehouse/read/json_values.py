"""JSON that goes over lines: cut into its values, each of which becomes a line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from lakehouse.read.scan import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

_STRING = rb'"(?:[^"\\]|\\.)*+"'
_TOKEN = re.compile(_STRING + rb'|[\[\]{},"]', re.DOTALL)
_BREAKS = re.compile(_STRING + rb"|[\r\n]", re.DOTALL)
_BLANK = b" \t\r\n"
_PAIRS = {b"[": b"]", b"{": b"}"}
_LONGEST = 256 << 20
"""Bytes of one value."""

_DEEPEST = 100_000


def values(data: bytes | mmap) -> Iterator[bytes]:
    """The elements of a text that is one array, or its values one after the other; each on one line.

    A value is not proved to be JSON here, only to end where it ends: that is for who reads the lines.

    Raises:
        Unreadable: nobody can tell where a value ends, or something is missing, or too much.
    """
    begin = 3 if data[:3] == b"\xef\xbb\xbf" else 0
    while begin < len(data) and data[begin : begin + 1] in (b" ", b"\t", b"\r", b"\n"):
        begin += 1
    is_array = data[begin : begin + 1] == b"["
    yield from map(_on_one_line, _elements(data, begin + 1) if is_array else _sequence(data, begin))


def _elements(data: bytes | mmap, begin: int) -> Iterator[bytes]:
    """What stands between the commas of the array that begins before ``begin``."""
    first = begin
    for kind, at in _marks(data, begin, in_array=True):
        if kind == "closed":
            continue
        value = data[begin:at].strip(_BLANK)
        if value:
            yield value
        elif kind == "comma" or begin != first:
            _refuse("an element is missing", at)
        begin = at + 1
        if kind == "end":
            if data[begin:].strip(_BLANK):
                _refuse("the array is followed by something", begin)
            return
    _refuse("the array is not closed", len(data))


def _sequence(data: bytes | mmap, begin: int) -> Iterator[bytes]:
    """Values one after the other: each ends where its outermost bracket is closed."""
    for kind, at in _marks(data, begin, in_array=False):
        if kind == "comma":
            _refuse("there is a comma between two values", at)
        yield data[begin : at + 1].strip(_BLANK)
        begin = at + 1
    if rest := data[begin:].strip(_BLANK):
        if re.search(rb"[{\[]", rest):
            _refuse("the last value is not closed", len(data))
        yield rest


def _marks(data: bytes | mmap, begin: int, *, in_array: bool) -> Iterator[tuple[str, int]]:
    """Where a comma stands outside of all values, where one is ``closed``, and where the array around them ``end``s."""
    closing: list[bytes] = []
    first = begin
    for found in _TOKEN.finditer(data, begin):
        at = found.start()
        _hold(found.end() - first, len(closing), at)
        token = found[0]
        if token in _PAIRS:
            closing.append(_PAIRS[token])
        elif token == b"," and not closing:
            yield "comma", at
            first = at
        elif token == b"]" and in_array and not closing:
            yield "end", at
            return
        elif token in (b"]", b"}", b'"'):
            if not closing or closing.pop() != token:
                _refuse(f"nothing is open that {token.decode()} closes", at)
            if not closing:
                yield "closed", at
                first = at


def _hold(size: int, depth: int, at: int) -> None:
    """A value must fit into memory."""
    if size > _LONGEST or depth > _DEEPEST:
        _refuse(f"a value has more than {_LONGEST:,} bytes, or {_DEEPEST:,} levels", at)


def _refuse(message: str, at: int) -> NoReturn:
    message = f"{message}, at byte {at + 1:,}"
    raise Unreadable(message)


def _on_one_line(value: bytes) -> bytes:
    """The value with blanks for its line breaks; one within a string, where JSON has no place for it, is escaped."""
    if b"\n" not in value and b"\r" not in value:
        return value

    def escaped(found: re.Match[bytes]) -> bytes:
        text = found[0]
        return b" " if text in (b"\n", b"\r") else text.replace(b"\n", b"\\n").replace(b"\r", b"\\r")

    return _BREAKS.sub(escaped, value)
