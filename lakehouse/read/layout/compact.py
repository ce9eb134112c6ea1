"""Thrift's compact protocol, as far as the footers of Parquet need it: a field is read, or passed over by its type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lakehouse.read.scan import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

TRUE: Final = 1
FALSE: Final = 2
_BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = range(3, 14)
_FIXED = {TRUE: 0, FALSE: 0, _BYTE: 1, _DOUBLE: 8, _UUID: 16}
_DEEPEST = 64


class Compact:
    """A place within bytes of the protocol."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def fields(self) -> Iterator[tuple[int, int]]:
        """The fields of a struct, each by its number and type; the caller reads its value or skips it."""
        number = 0
        while head := self._byte():
            kind = head & 0x0F
            number = number + (head >> 4) if head >> 4 else self.integer()
            yield number, kind

    def integer(self) -> int:
        """A whole number of any width."""
        value = self.length()
        return (value >> 1) ^ -(value & 1)

    def length(self) -> int:
        """A number that is not negative.

        Raises:
            Unreadable: it has more than 64 bits.
        """
        value = shift = 0
        data, at = self.data, self.at
        while True:
            if at >= len(data) or shift > 63:
                message = "its footer is cut"
                raise Unreadable(message)
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                self.at = at
                return value
            shift += 7

    def binary(self) -> bytes:
        """Bytes behind their length."""
        size = self.length()
        return self._take(size)

    def items(self) -> tuple[int, int]:
        """How many items a list has, and their type."""
        head = self._byte()
        size = head >> 4
        if size == 15:
            size = self.length()
        if size > len(self.data) - self.at:
            message = f"its footer has a list of {size:,} items in {len(self.data) - self.at:,} bytes"
            raise Unreadable(message)
        return size, head & 0x0F

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass over a value.

        Raises:
            Unreadable: it is of no known type, or has values within values without an end.
        """
        if kind in (_I16, _I32, _I64):
            self.length()
        elif kind == _BINARY:
            self._take(self.length())
        elif kind in _FIXED:
            self._take(_FIXED[kind])
        elif depth > _DEEPEST:
            message = "its footer has values within values to no end"
            raise Unreadable(message)
        else:
            self._skip_nested(kind, depth + 1)

    def _skip_nested(self, kind: int, depth: int) -> None:
        if kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth)
        elif kind in (_LIST, _SET):
            size, inner = self.items()
            for _ in range(size):
                self._skip_item(inner, depth)
        elif kind == _MAP:
            size = self.length()
            kinds = self._byte() if size else 0
            for _ in range(size):
                self._skip_item(kinds >> 4, depth)
                self._skip_item(kinds & 0x0F, depth)
        else:
            message = f"its footer has a value of the unknown type {kind}"
            raise Unreadable(message)

    def _skip_item(self, kind: int, depth: int) -> None:
        # within a list a truth has a byte of its own
        if kind in (TRUE, FALSE):
            self._take(1)
        else:
            self.skip(kind, depth)

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            message = "its footer is cut"
            raise Unreadable(message)
        found, self.at = self.data[self.at : end], end
        return found
