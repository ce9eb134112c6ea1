"""Two ways of packing that Python does not bring, for footers of some kilobytes."""

from __future__ import annotations

from lakehouse.read.layout.protobuf import varint


def unpack_snappy(data: bytes, most: int) -> bytes:
    """Unpack one block of Snappy.

    Raises:
        ValueError: it is none, or unpacks to more than ``most`` bytes.
        IndexError: it is cut.
    """
    size, at = varint(data, 0)
    found = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            length = (tag >> 2) + 1
            if length > 60:
                width = length - 60
                length = int.from_bytes(data[at : at + width], "little") + 1
                at += width
            found += data[at : at + length]
            at += length
        else:
            if tag & 3 == 1:
                length, offset, width = ((tag >> 2) & 7) + 4, ((tag >> 5) << 8) | data[at], 1
            else:
                length, width = (tag >> 2) + 1, 2 if tag & 3 == 2 else 4
                offset = int.from_bytes(data[at : at + width], "little")
            at += width
            _copy(found, offset, length)
        _bound(len(found), min(size, most))
    if len(found) != size:
        message = "a block of Snappy is cut"
        raise ValueError(message)
    return bytes(found)


def unpack_lz4(data: bytes, most: int) -> bytes:
    """Unpack one block of LZ4, which does not say how long it is.

    Raises:
        ValueError: it is none, or unpacks to more than ``most`` bytes.
        IndexError: it is cut.
    """
    found, at = bytearray(), 0
    while at < len(data):
        token = data[at]
        length, at = _length(data, at + 1, token >> 4)
        found += data[at : at + length]
        at += length
        _bound(len(found), most)
        if at >= len(data):
            break
        offset = int.from_bytes(data[at : at + 2], "little")
        length, at = _length(data, at + 2, token & 15)
        _bound(len(found) + length, most)
        _copy(found, offset, length + 4)
    return bytes(found)


def _length(data: bytes, at: int, length: int) -> tuple[int, int]:
    if length == 15:
        while True:
            length += data[at]
            at += 1
            if data[at - 1] != 255:
                break
    return length, at


def _copy(found: bytearray, offset: int, length: int) -> None:
    if not 0 < offset <= len(found):
        message = "a block refers to what is not there"
        raise ValueError(message)
    for _ in range(length):
        found.append(found[-offset])


def _bound(size: int, most: int) -> None:
    if size > most:
        message = f"a block unpacks to more than {most:,} bytes"
        raise ValueError(message)
