"""Protocol buffers, as far as the tail of an ORC file needs them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from lakehouse.read.scan import Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = int | bytes
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5


def fields(data: bytes) -> Mapping[int, list[Value]]:
    """The fields of a message by their numbers, each with its values.

    Raises:
        Unreadable: it is none.
    """
    found: defaultdict[int, list[Value]] = defaultdict(list)
    at = 0
    while at < len(data):
        head, at = varint(data, at)
        kind = head & 7
        value: Value
        if kind == _VARINT:
            value, at = varint(data, at)
        else:
            size, at = (varint(data, at)) if kind == _BYTES else ({_EIGHT: 8, _FOUR: 4}.get(kind, -1), at)
            if size < 0 or at + size > len(data):
                _broken()
            value, at = data[at : at + size], at + size
        found[head >> 3].append(value)
    return found


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of any length up to 64 bits, and where it ends.

    Raises:
        Unreadable: it is cut, or longer.
    """
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return _broken()


def _broken() -> tuple[int, int]:
    message = "its footer is cut"
    raise Unreadable(message)


def one(message: Mapping[int, list[Value]], field: int) -> Value | None:
    """The value of a field: the last one, as the format has it."""
    found = message.get(field)
    return found[-1] if found else None


def number(message: Mapping[int, list[Value]], field: int) -> int:
    """The value of a field that is a number; 0 where it is not there."""
    found = one(message, field)
    return found if isinstance(found, int) else 0


def parts(message: Mapping[int, list[Value]], field: int) -> list[bytes]:
    """The values of a field that is messages."""
    return [value for value in message.get(field, ()) if isinstance(value, bytes)]


def numbers(message: Mapping[int, list[Value]], field: int) -> list[int]:
    """The values of a field that is numbers, which may be packed."""
    found: list[int] = []
    for value in message.get(field, ()):
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            item, at = varint(value, at)
            found.append(item)
    return found
